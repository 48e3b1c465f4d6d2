//! The contract for SQLite, and what is special to a store in a directory.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use cofferdam_domain::{Seq, WorkerId};
use cofferdam_store::{Directory as _, Everything, SqliteStore, Store as _, StoreError};
use futures_util::{StreamExt as _, future::join_all};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::{
    contract::{Subject, all_contracts},
    events::{all, now, output, say, session, soon},
    old,
};

pub(crate) struct Directory(TempDir);

impl Subject for Directory {
    async fn fresh() -> Option<Self> {
        Some(Self(tempfile::tempdir().unwrap()))
    }

    async fn open(&self) -> Arc<dyn Everything> {
        Arc::new(SqliteStore::open(self.0.path()).await.unwrap())
    }

    fn address(&self) -> String {
        self.0.path().display().to_string()
    }

    async fn silence(&self, worker: WorkerId) {
        let mut database = database(&self.0).await;
        sqlx::query("UPDATE workers SET seen = 0, patience = 0 WHERE id = $1")
            .bind(worker.to_string())
            .execute(&mut database)
            .await
            .unwrap();
    }

    async fn tamper(&self, sql: &'static str) {
        let mut database = database(&self.0).await;
        sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
    }
}

all_contracts!(crate::sqlite::Directory);

#[tokio::test]
async fn rows_of_the_fifth_schema_are_folded_anew() {
    let Some(store) = Directory::fresh().await else { return };
    let back = "DROP TABLE search_tail; DROP TABLE search_blocks; DROP TABLE search_spots; DROP TABLE search_grams; DROP TABLE apps; DROP TABLE app_attempts; DROP TABLE app_names; DROP TABLE servers; DROP TABLE skills; DROP TABLE playbooks; DROP TABLE memories; DROP TABLE proposals; DROP TABLE watched; DROP TABLE reserved; DROP INDEX sessions_by_commit; ALTER TABLE sessions DROP COLUMN pushed; DROP INDEX sessions_by_parent; ALTER TABLE sessions DROP COLUMN parent; DROP INDEX sessions_by_attempt; ALTER TABLE sessions DROP COLUMN attempt_of; ALTER TABLE blobs DROP COLUMN again; PRAGMA user_version = 5";
    old::rows_are_folded_anew(&store, back).await;
}

/// A connection of its own to the store's database.
pub(crate) async fn database(folder: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.path().join("cofferdam.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// What is asked for at once shares a transaction; what is refused of it takes nothing else with it.
#[tokio::test]
async fn what_is_refused_takes_nothing_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let org = store.create_org("acme", now()).await.unwrap().id;
    let names: Vec<String> = (0..120).map(|number| format!("project-{}", number / 2)).collect();
    let made = join_all(names.iter().map(|name| store.create_project(org, name, now()))).await;
    for pair in made.chunks(2) {
        assert!(matches!(pair, [Ok(_), Err(StoreError::Taken { .. })]), "{pair:?}");
    }
    let there: BTreeSet<String> =
        store.projects(org).await.unwrap().into_iter().map(|project| project.name).collect();
    assert_eq!(there.len(), 60 + 1, "one for each name, and the first one of every organisation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_the_fifteenth_schema_are_found() {
    let Some(store) = Directory::fresh().await else { return };
    let back = "DROP TABLE search_tail; DROP TABLE search_blocks; DROP TABLE search_spots; DROP TABLE search_grams; ALTER TABLE memories DROP COLUMN private; ALTER TABLE proposals DROP COLUMN private; ALTER TABLE apps DROP COLUMN settings; ALTER TABLE blobs DROP COLUMN again; PRAGMA user_version = 15";
    crate::search::older_sessions_are_found(&store, back).await;
}

#[tokio::test]
async fn closed_and_opened_again_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    let last = say(&store, session, "kept").await;
    store.close().await.unwrap();
    assert!(!folder.path().join("cofferdam.db-wal").exists(), "a closed store is one database file");
    let store = SqliteStore::open(folder.path()).await.unwrap();
    assert_eq!(all(&store, session).await.last(), Some(&last));
}

#[tokio::test]
async fn only_its_user_may_look_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let store = SqliteStore::open(&dir).await.unwrap();
    session(&store).await;
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("blobs"), mode("claims"), mode("bells")], [0o700; 4]);
    assert_eq!([mode("cofferdam.db"), mode("cofferdam.db-wal")], [0o600; 2]);
}

#[tokio::test]
async fn a_newer_store_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    SqliteStore::open(folder.path()).await.unwrap().close().await.unwrap();
    let mut database = database(&folder).await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut database).await.unwrap();
    let refused = SqliteStore::open(folder.path()).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Newer { found: 99, .. })), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cofferdam.db"), "not a database, but long enough to look at".repeat(100))
        .unwrap();
    let refused = SqliteStore::open(folder.path()).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = SqliteStore::open(&file).await.map(drop);
    assert!(matches!(&refused, Err(StoreError::File { path, .. }) if path.ends_with("file")), "{refused:?}");
}

#[tokio::test]
async fn damaged_content_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    let blob = store.put_blob(b"whole").await.unwrap();
    store
        .append(session, cofferdam_store::Writer::Anybody, cofferdam_domain::Timestamp(1), vec![output(blob)])
        .await
        .unwrap();
    let (first, rest) = (blob.digest.hex()[..2].to_owned(), blob.digest.hex()[2..].to_owned());
    let path = folder.path().join("blobs").join(first).join(rest);
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    fs::write(&path, b"wh0le").unwrap();
    assert!(matches!(store.blob(blob.digest).await, Err(StoreError::Corrupt { .. })));
    let error = store.verify(session).await.unwrap_err().to_string();
    assert!(error.contains("event 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_what_was_deleted_is_left_in_the_files() {
    const SECRET: &str = "a-text-that-nobody-else-writes-4711";
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let (kept, session) = (session(&store).await, session(&store).await);
    let has = || {
        let files = ["cofferdam.db", "cofferdam.db-wal"].map(|name| fs::read(folder.path().join(name)));
        files
            .into_iter()
            .flatten()
            .any(|file| file.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()))
    };
    for number in 0..40 {
        say(&store, session, &format!("{number} {SECRET}").repeat(200)).await;
        say(&store, kept, "something else").await;
    }
    assert!(has());
    store.forget(session).await.unwrap();
    assert!(!has());
    store.verify(kept).await.unwrap();
}

/// The database's write-ahead log is emptied, restarted and deleted under a follower, which must not care.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_survives_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    let mut events = store.follow(session, Seq(1)).await.unwrap();
    for number in 0..6 {
        let other = SqliteStore::open(folder.path()).await.unwrap();
        let written = say(&other, session, &number.to_string()).await;
        assert_eq!(soon(events.next()).await.unwrap().unwrap(), written);
        let mut database = database(&folder).await;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut database).await.unwrap();
        other.close().await.unwrap();
    }
}

/// The watch belongs to the followers: with the last of them it is given back to the system.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_share_one_watch_and_give_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    // Other tests in this process have watches too: this folder's is told by its inode.
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(folder.path().join("bells")).unwrap());
    let watches = || {
        let fds = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        let infos = fds.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        infos.filter(|info| info.contains(&format!(" ino:{inode:x} "))).count()
    };
    assert_eq!(watches(), 0);
    let followers = futures_util::future::join_all((0..5).map(|_| store.follow(session, Seq::START))).await;
    assert_eq!(watches(), 1);
    drop(followers);
    // Giving it back is the work of another task.
    let given_back = async {
        while watches() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(given_back).await;
}
