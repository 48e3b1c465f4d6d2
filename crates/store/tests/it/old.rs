//! A store that an earlier version wrote goes on.

use cofferdam_domain::{BlobRef, Digest, EventBody, EventId, Owner, Seq, SessionId, Timestamp, event};
use cofferdam_store::{Placement, SqliteStore, Store as _};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::events::{accepted, all, answered, ended, output, say};

/// The schema as it was.
const FIRST: &str = include_str!("../../migrations/sqlite/0001_log.sql");

#[tokio::test]
async fn sessions_of_the_first_schema_are_folded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let session = SessionId::generate();
    let blob = BlobRef { digest: Digest::of(b"whole"), size: 5 };
    let bodies = [accepted("Fix the parser"), answered(1, 30, 7), output(blob), ended()];
    write_old(folder.path(), session, &bodies).await;

    let store = SqliteStore::open(folder.path()).await.unwrap();
    store.put_blob(b"whole").await.unwrap();
    let row = store.session(None, session).await.unwrap().unwrap();
    assert_eq!((row.owner, row.placement), (Owner::LOCAL, Placement::Direct));
    assert_eq!((row.cost, row.tokens, row.steps, row.last), (30, 7, 1, Seq(4)));
    assert_eq!((row.outcome.as_deref(), row.title.as_str()), (Some("held"), "Fix the parser"));
    assert!(store.is_blob_of(session, blob.digest).await.unwrap());
    assert_eq!(store.verify(session).await.unwrap().events, 4);
    say(&store, session, "it goes on").await;
    assert_eq!(all(&store, session).await.len(), 5);
    assert_eq!(store.verify(session).await.unwrap().events, 5);
}

async fn write_old(folder: &std::path::Path, session: SessionId, bodies: &[EventBody]) {
    let options = SqliteConnectOptions::new().filename(folder.join("cofferdam.db")).create_if_missing(true);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(FIRST).execute(&mut database).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 1").execute(&mut database).await.unwrap();
    let mut previous = Digest::ZERO;
    for (place, body) in (1..).zip(bodies) {
        let (id, at, text) = (EventId::generate(), Timestamp(place), serde_json::to_string(body).unwrap());
        let hash = event::hash(session, Seq(place), id, at, previous, &text);
        sqlx::query("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(session.to_string())
            .bind(place as i64)
            .bind(id.to_string())
            .bind(place as i64)
            .bind(i64::from(event::SCHEMA))
            .bind(text)
            .bind(&previous.as_bytes()[..])
            .bind(&hash.as_bytes()[..])
            .execute(&mut database)
            .await
            .unwrap();
        previous = hash;
    }
    sqlx::query(
        "INSERT INTO sessions VALUES (?, 'ended', '/srv/repository', 'Fix the parser', 'held', 1, 4, 4, 0)",
    )
    .bind(session.to_string())
    .execute(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();
}
