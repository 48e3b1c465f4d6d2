//! The contracts for PostgreSQL, and what is special to a store in a database.

use std::{fs, net::Ipv4Addr, os::unix::fs::PermissionsExt as _, sync::Arc};

use base64::Engine as _;
use cofferdam_domain::{Seq, WorkerId};
use cofferdam_store::{Everything, PostgresStore, Store as _, StoreError};
use cofferdam_testkit::Postgres;
use futures_util::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use sqlx::{Connection as _, PgConnection};

use crate::{
    contract::{Subject, all_contracts},
    events::{all, say, session, soon},
    old,
};

pub(crate) struct Database(String);

impl Subject for Database {
    async fn fresh() -> Option<Self> {
        Some(Self(Postgres::shared()?.database()))
    }

    async fn open(&self) -> Arc<dyn Everything> {
        Arc::new(PostgresStore::open(&self.0).await.unwrap())
    }

    fn address(&self) -> String {
        self.0.clone()
    }

    async fn silence(&self, worker: WorkerId) {
        let mut database = PgConnection::connect(&self.0).await.unwrap();
        sqlx::query("UPDATE workers SET seen = 0, patience = 0 WHERE id = $1")
            .bind(worker.to_string())
            .execute(&mut database)
            .await
            .unwrap();
    }

    async fn tamper(&self, sql: &'static str) {
        let mut database = PgConnection::connect(&self.0).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut database).await.unwrap();
    }
}

all_contracts!(crate::postgres::Database);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_fourth_schema_are_folded_anew() {
    let Some(database) = Database::fresh().await else { return };
    let back = "DROP TABLE search_tail; DROP TABLE search_blocks; DROP TABLE search_spots; DROP TABLE search_grams; DROP TABLE apps; DROP TABLE app_attempts; DROP TABLE app_names; DROP TABLE servers; DROP TABLE skills; DROP TABLE playbooks; DROP TABLE memories; DROP TABLE proposals; DROP TABLE watched; DROP TABLE reserved; ALTER TABLE sessions DROP COLUMN pushed; ALTER TABLE sessions DROP COLUMN parent; ALTER TABLE sessions DROP COLUMN attempt_of; ALTER TABLE blobs DROP COLUMN again; UPDATE cofferdam_schema SET version = 4";
    old::rows_are_folded_anew(&database, back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_the_fourteenth_schema_are_found() {
    let Some(database) = Database::fresh().await else { return };
    let back = "DROP TABLE search_tail; DROP TABLE search_blocks; DROP TABLE search_spots; DROP TABLE search_grams; ALTER TABLE memories DROP COLUMN private; ALTER TABLE proposals DROP COLUMN private; ALTER TABLE apps DROP COLUMN settings; ALTER TABLE blobs DROP COLUMN again; UPDATE cofferdam_schema SET version = 14";
    crate::search::older_sessions_are_found(&database, back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_at_once_make_one_schema() {
    let Some(database) = Database::fresh().await else { return };
    let openings = (0..6).map(|_| {
        let url = database.0.clone();
        tokio::spawn(async move { PostgresStore::open(&url).await.unwrap() })
    });
    let stores = futures_util::future::join_all(openings).await;
    let session = session(stores[0].as_ref().unwrap()).await;
    for store in stores {
        let store = store.unwrap();
        assert_eq!(all(&store, session).await.len(), 1);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_said_without_its_password() {
    let Some(database) = Database::fresh().await else { return };
    let mut connection = PgConnection::connect(&database.0).await.unwrap();
    PostgresStore::open(&database.0).await.unwrap().close().await.unwrap();
    sqlx::raw_sql("UPDATE cofferdam_schema SET version = 99").execute(&mut connection).await.unwrap();
    let refused = PostgresStore::open(&database.0).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Newer { found: 99, .. })), "{refused:?}");
    let nowhere = "postgres://ann:hunter2@127.0.0.1:1/x";
    let refused = PostgresStore::open(nowhere).await.map(drop).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Unavailable { address, .. } if address == "127.0.0.1:1/x"),
        "{refused:?}"
    );
    for wrong in ["postgres://ann:hunter2@[", "mysql://ann:hunter2@host/x"] {
        let refused = cofferdam_store::open(wrong).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Address { .. }), "{refused:?}");
        assert!(!format!("{refused:?} {refused}").contains("hunter2"), "{refused:?}");
    }
}

/// The server is killed under appends and followers, and comes back: what was acknowledged is there, once, and followers go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_and_comes_back_loses_nothing() {
    let Some(mut server) = Postgres::start() else { return };
    let url = server.database();
    let store = Arc::new(PostgresStore::open(&url).await.unwrap());
    let session = session(&*store).await;
    let events = store.follow(session, Seq(1)).await.unwrap();
    let followed = tokio::spawn(events.take(60).map(|event| event.unwrap()).collect::<Vec<_>>());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut written = 0;
            let mut acknowledged = Vec::new();
            while written < 60 {
                let message = vec![crate::events::message(&written.to_string())];
                let at = cofferdam_domain::Timestamp(2000);
                match store.append(session, cofferdam_store::Writer::Anybody, at, message).await {
                    Ok(events) => {
                        acknowledged.extend(events);
                        written += 1;
                        tell.send(written).unwrap();
                    }
                    Err(StoreError::Unavailable { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            acknowledged
        })
    };
    for round in [10, 30] {
        while soon(told.recv()).await.unwrap() < round {}
        server.kill();
        server.again();
    }
    let acknowledged =
        tokio::time::timeout(std::time::Duration::from_secs(120), writer).await.unwrap().unwrap();
    let events = all(&*store, session).await;
    for event in &acknowledged {
        assert_eq!(events.iter().filter(|known| *known == event).count(), 1);
    }
    // One that was committed without the answer getting through may be there twice, as another event; never is one missing.
    assert!(events.len() > 60 && events.len() <= 63, "{}", events.len());
    assert_eq!(soon(followed).await.unwrap(), events[1..61]);
    assert_eq!(store.verify(session).await.unwrap().events, events.len() as u64);
    say(&*store, session, "it goes on").await;
}

/// A server whose certificate, for 127.0.0.1 alone, is from an authority of the test's own.
struct Encrypted {
    server: Postgres,
    folder: tempfile::TempDir,
}

impl Encrypted {
    async fn start() -> Option<Self> {
        let server = Postgres::start()?;
        let folder = tempfile::tempdir().unwrap();
        let encrypted = Self { server, folder };
        let (authority, issuer) = encrypted.authority("ca.pem");
        encrypted.authority("other.pem");
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        drop(authority);
        // The server's user reads them, and its key is for nobody else.
        let at = |name: &str| encrypted.folder.path().join(name);
        fs::set_permissions(encrypted.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [
            ("server.pem", pem("CERTIFICATE", certificate.der())),
            ("server.key", pem("PRIVATE KEY", &key.serialize_der())),
        ] {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
            if rustix::process::geteuid().is_root() {
                std::os::unix::fs::chown(at(name), Some(65534), Some(65534)).unwrap();
            }
        }
        let mut connection = PgConnection::connect(&encrypted.server.url("postgres")).await.unwrap();
        for (setting, value) in [
            ("ssl_cert_file", at("server.pem").display().to_string()),
            ("ssl_key_file", at("server.key").display().to_string()),
            ("ssl", "on".to_owned()),
        ] {
            let set = sqlx::AssertSqlSafe(format!("ALTER SYSTEM SET {setting} = '{value}'"));
            sqlx::raw_sql(set).execute(&mut connection).await.unwrap();
        }
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut connection).await.unwrap();
        Some(encrypted)
    }

    /// A new authority, whose certificate is in this file.
    fn authority(&self, name: &str) -> (rcgen::Certificate, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        fs::write(self.folder.path().join(name), pem("CERTIFICATE", certificate.der())).unwrap();
        (certificate, Issuer::new(parameters, key))
    }

    /// The address of a new database, asked for in this way.
    fn address(&self, host: &str, root: &str) -> String {
        let url = self.server.database().replace("127.0.0.1", host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", self.folder.path().join(root).display())
    }
}

fn pem(label: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_prove_who_it_is_is_refused() {
    let Some(encrypted) = Encrypted::start().await else { return };
    let address = encrypted.address("127.0.0.1", "ca.pem");
    // What was changed is in force a moment after it was.
    let store = async {
        loop {
            match PostgresStore::open(&address).await {
                Ok(store) => break store,
                Err(StoreError::Untrusted { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let store = soon(store).await;
    let session = session(&store).await;
    assert_eq!(all(&store, session).await.len(), 1);
    let mut connection = PgConnection::connect(&address).await.unwrap();
    let plain: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
         WHERE a.application_name = 'cofferdam' AND NOT s.ssl",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(plain, 0, "every connection is encrypted");
    for (host, root) in [("127.0.0.1", "other.pem"), ("localhost", "ca.pem")] {
        let refused = PostgresStore::open(&encrypted.address(host, root)).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Untrusted { .. }), "{host} {root}: {refused:?}");
        assert!(refused.to_string().contains("sslrootcert"), "{refused}");
    }
    let plain = Postgres::shared().map(Postgres::database).unwrap() + "?sslmode=verify-full";
    let refused = PostgresStore::open(&plain).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Untrusted { .. }), "{refused:?}");
}
