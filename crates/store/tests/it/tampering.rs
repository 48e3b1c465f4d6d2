//! Random histories keep one valid chain, and every way to falsify one is found.

use std::sync::Arc;

use cofferdam_domain::{Seq, SessionId, Timestamp};
use cofferdam_store::{Claim, SqliteStore, Store, StoreError, Writer};
use proptest::prelude::*;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::{
    events::{accepted, all, claimed, ended, finished, message},
    sqlite::database,
};

/// What one of several writers does next.
#[derive(Debug, Clone, Copy)]
enum Move {
    Say { at: u64, count: usize },
    Claim { worker: usize },
    Work { worker: usize, stale: bool },
    GiveUp { worker: usize },
    Reopen,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (any::<u64>(), 0..4_usize).prop_map(|(at, count)| Move::Say { at, count }),
        (0..3_usize).prop_map(|worker| Move::Claim { worker }),
        (0..3_usize, any::<bool>()).prop_map(|(worker, stale)| Move::Work { worker, stale }),
        (0..3_usize).prop_map(|worker| Move::GiveUp { worker }),
        Just(Move::Reopen),
    ];
    proptest::collection::vec(one, 1..40)
}

/// What the store must be like after the same moves.
#[derive(Default)]
struct Model {
    last: u64,
    claims: [Option<Claim>; 3],
}

impl Model {
    async fn play(&mut self, store: &dyn Store, session: SessionId, step: Move) {
        match step {
            Move::Say { at, count } => {
                let bodies = vec![message("news"); count];
                store.append(session, Writer::Anybody, Timestamp(at), bodies).await.unwrap();
                self.last += count as u64;
            }
            Move::Claim { worker } => {
                let free = self.claims.iter().all(Option::is_none);
                match store.claim(session, "worker").await {
                    Ok(claim) => {
                        assert!(free);
                        self.claims[worker] = Some(claim);
                    }
                    Err(error) => assert!(!free && matches!(error, StoreError::Claimed { .. }), "{error:?}"),
                }
            }
            Move::Work { worker, stale } => {
                let Some(claim) = &self.claims[worker] else { return };
                let after = Seq(self.last - u64::from(stale));
                let written = store
                    .append(
                        session,
                        Writer::Worker { claim, after },
                        Timestamp(5),
                        vec![claimed(claim.fence), finished()],
                    )
                    .await;
                match written {
                    Ok(_) => {
                        assert!(!stale);
                        self.last += 2;
                    }
                    Err(error) => assert!(stale && matches!(error, StoreError::Behind { .. }), "{error:?}"),
                }
            }
            Move::GiveUp { worker } => drop(self.claims[worker].take()),
            Move::Reopen => (),
        }
    }
}

async fn play(moves: &[Move]) {
    let folder = tempfile::tempdir().unwrap();
    let mut stores = [open(&folder).await, open(&folder).await];
    let session = SessionId::generate();
    stores[0].create(session, Timestamp(3), accepted("Play"), Vec::new()).await.unwrap();
    let mut model = Model { last: 1, ..Model::default() };
    for (turn, step) in moves.iter().enumerate() {
        if matches!(step, Move::Reopen) {
            stores[turn % 2] = open(&folder).await;
        }
        model.play(&*stores[turn % 2], session, *step).await;
    }
    assert_eq!(all(&*stores[0], session).await.len() as u64, model.last);
    assert_eq!(stores[1].verify(session).await.unwrap().events, model.last);
}

async fn open(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder.path()).await.unwrap())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_one_valid_chain(moves in moves()) {
        runtime().block_on(play(&moves));
    }
}

/// Every statement that changes something which was written, and what it is about.
const FORGERIES: &[(&str, &str)] = &[
    ("session", "UPDATE events SET session = 'ses_00000000000000000000000000' WHERE seq = ?1"),
    ("seq", "UPDATE events SET seq = seq + 100 WHERE seq = ?1"),
    ("id", "UPDATE events SET id = 'evt_00000000000000000000000000' WHERE seq = ?1"),
    ("id as text", "UPDATE events SET id = upper(id) WHERE seq = ?1"),
    ("at", "UPDATE events SET at = at + 1 WHERE seq = ?1"),
    ("schema", "UPDATE events SET schema = schema + 1 WHERE seq = ?1"),
    ("body", "UPDATE events SET body = replace(body, 'e', 'E') WHERE seq = ?1"),
    ("body's spaces", "UPDATE events SET body = body || ' ' WHERE seq = ?1"),
    ("previous", "UPDATE events SET previous = randomblob(32) WHERE seq = ?1"),
    ("hash", "UPDATE events SET hash = zeroblob(32) WHERE seq = ?1"),
    ("hash's length", "UPDATE events SET hash = x'00' WHERE seq = ?1"),
    ("a whole event", "DELETE FROM events WHERE seq = ?1"),
    ("the end of the log", "DELETE FROM events WHERE seq >= ?1"),
    (
        "another event's body",
        "UPDATE events SET body = (SELECT body FROM kept WHERE seq = 1 + ?1 % 6) WHERE seq = ?1",
    ),
    ("another event's place", "UPDATE OR REPLACE events SET seq = 1 + ?1 % 6 WHERE seq = ?1"),
];

const ROW_FORGERIES: &[&str] = &[
    "UPDATE sessions SET id = 'ses_00000000000000000000000000'",
    "UPDATE sessions SET state = 'queued'",
    "UPDATE sessions SET state = 'paused'",
    "UPDATE sessions SET repository = '/elsewhere'",
    "UPDATE sessions SET title = 'Something else'",
    "UPDATE sessions SET outcome = 'succeeded'",
    "UPDATE sessions SET outcome = NULL",
    "UPDATE sessions SET created = created - 1",
    "UPDATE sessions SET updated = updated + 1",
    "UPDATE sessions SET last = last - 1",
    "UPDATE sessions SET last = last + 1",
    "UPDATE sessions SET fence = 0",
    "UPDATE sessions SET phase = 'working'",
    "UPDATE sessions SET waiting = 'pause'",
    "UPDATE sessions SET waits = '{\"pause\":true}'",
    "UPDATE sessions SET cost = 1",
    "UPDATE sessions SET steps = steps + 1",
    "UPDATE sessions SET pull_request = 1, pull_request_state = '{\"state\":\"open\"}'",
    "UPDATE sessions SET head_hash = zeroblob(32)",
    "UPDATE sessions SET forgotten = 1",
    "DELETE FROM sessions",
];

/// A store with one session of six events, and a connection past it.
async fn history() -> (TempDir, SqliteStore, SqliteConnection, SessionId) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = SessionId::generate();
    store.create(session, Timestamp(3), accepted("Play"), Vec::new()).await.unwrap();
    let fence = store.claim(session, "w").await.unwrap().fence;
    let bodies = vec![claimed(fence), message("one"), message("two"), finished(), ended()];
    store.append(session, Writer::Anybody, Timestamp(4), bodies).await.unwrap();
    let database = database(&folder).await;
    (folder, store, database, session)
}

#[tokio::test]
async fn every_forgery_of_an_event_is_found_and_named() {
    let (_folder, store, mut database, session) = history().await;
    sqlx::raw_sql("CREATE TABLE kept AS SELECT * FROM events").execute(&mut database).await.unwrap();
    for (what, sql) in FORGERIES {
        for seq in 1..=6_i64 {
            let changed = run(&mut database, sql, seq).await;
            assert!(changed > 0, "{what} of event {seq} was not changed");
            let error = store.verify(session).await.map(drop).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{what} of event {seq}: {error:?}");
            let first_wrong =
                matches!(*what, "at" | "schema" | "hash" | "previous" | "body" | "hash's length");
            if first_wrong {
                assert!(error.to_string().contains(&format!("event {seq} of {session}")), "{what}: {error}");
                assert!(store.read(session, Seq(seq as u64 - 1), 1).await.is_err(), "reading finds it too");
            }
            sqlx::raw_sql("DELETE FROM events; INSERT INTO events SELECT * FROM kept")
                .execute(&mut database)
                .await
                .unwrap();
        }
    }
    assert_eq!(store.verify(session).await.unwrap().events, 6);
}

#[tokio::test]
async fn every_forgery_of_a_session_is_found() {
    for sql in ROW_FORGERIES {
        let (_folder, store, mut database, session) = history().await;
        store.verify(session).await.unwrap();
        assert_eq!(run(&mut database, sql, 0).await, 1, "{sql}");
        let error = store.verify(session).await.map(drop).unwrap_err();
        let found = matches!(error, StoreError::Corrupt { .. } | StoreError::UnknownSession(_));
        assert!(found, "{sql}: {error:?}");
        database.close().await.unwrap();
    }
}

async fn run(database: &mut SqliteConnection, sql: &'static str, seq: i64) -> u64 {
    let query = sqlx::query(sql);
    let query = if sql.contains("?1") { query.bind(seq) } else { query };
    query.execute(database).await.unwrap().rows_affected()
}
