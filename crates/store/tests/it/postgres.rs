//! The contracts for PostgreSQL, and what is special to a store in a database.

use std::sync::Arc;

use cofferdam_domain::{Seq, WorkerId};
use cofferdam_store::{Everything, PostgresStore, Store as _, StoreError};
use futures_util::StreamExt as _;
use sqlx::{Connection as _, PgConnection};

use crate::{
    contract::{Subject, all_contracts},
    events::{all, say, session, soon},
    server,
};

pub(crate) struct Database(String);

impl Subject for Database {
    async fn fresh() -> Option<Self> {
        Some(Self(server::shared()?.database().await))
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
    let Some(mut server) = server::Server::start() else { return };
    let url = server.database().await;
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
