//! A store that an earlier version wrote goes on.

use cofferdam_domain::{
    BlobRef, CallId, Digest, EventBody, EventId, Owner, Seq, SessionId, Timestamp, egress::AccessAsk, event,
};
use cofferdam_store::{Placement, SessionFilter, SqliteStore, Store as _, Writer};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    contract::Subject,
    events::{accepted, all, answered, ended, now, output, owner, pushed, queued, say},
};

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

/// What is new in the rows of a list is there for sessions that an earlier version wrote. `back` makes the schema that of this version.
pub(crate) async fn rows_are_folded_anew(subject: &impl Subject, back: &'static str) {
    let session = {
        let store = subject.open().await;
        let session = queued(&*store, owner(1, 1), 0).await;
        store.append(session, Writer::Anybody, now(), vec![pushed("c0ffee")]).await.unwrap();
        session
    };
    subject.tamper(back).await;
    let store = subject.open().await;
    let filter = SessionFilter { pushed: Some("c0ffee".into()), ..SessionFilter::default() };
    let found = store.sessions(filter).await.unwrap();
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [session]);
    assert_eq!(store.verify(session).await.unwrap().events, 2);
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

fn access_asked() -> EventBody {
    let rule = serde_json::json!({ "name": "docs", "host": "docs.example.com" });
    EventBody::AccessAsked(Box::new(AccessAsk {
        call: CallId { step: 1, index: 0 },
        rule: serde_json::from_value(rule).unwrap(),
        reason: "to read them".to_owned(),
    }))
}

/// The schema of PostgreSQL as it was.
const FIRST_OF_POSTGRES: &str = include_str!("../../migrations/postgres/0001_store.sql");

/// A session that asked for access when rows did not say so yet.
#[tokio::test]
async fn rows_of_the_first_schema_of_postgres_are_made_anew() {
    let Some(server) = cofferdam_testkit::Postgres::shared() else { return };
    let address = server.database();
    let session = SessionId::generate();
    let bodies = [accepted("Fix the parser"), access_asked(), answered(1, 30, 7)];
    let mut database = sqlx::PgConnection::connect(&address).await.unwrap();
    for statement in [
        FIRST_OF_POSTGRES,
        "CREATE TABLE cofferdam_schema (version BIGINT NOT NULL); INSERT INTO cofferdam_schema VALUES (1)",
    ] {
        sqlx::raw_sql(statement).execute(&mut database).await.unwrap();
    }
    let (mut previous, ids) = (Digest::ZERO, bodies.each_ref().map(|_| EventId::generate()));
    for ((place, body), id) in (1_i64..).zip(&bodies).zip(ids) {
        let (at, text) = (Timestamp(place as u64), serde_json::to_string(body).unwrap());
        let hash = event::hash(session, Seq(place as u64), id, at, previous, &text);
        sqlx::query("INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(session.to_string())
            .bind(place)
            .bind(id.to_string())
            .bind(place)
            .bind(i64::from(event::SCHEMA))
            .bind(text)
            .bind(&previous.as_bytes()[..])
            .bind(&hash.as_bytes()[..])
            .execute(&mut database)
            .await
            .unwrap();
        previous = hash;
    }
    let owner = Owner::LOCAL;
    sqlx::query(
        "INSERT INTO sessions (id, org, project, owner, lane, queued, priority, state, phase, waiting, waits, repository, title, outcome,
             cost, tokens, steps, pull_request, pull_request_state, created, updated, last, head_id, head_hash, fence, wanted, place,
             not_before, crashes, worker, holder, since, reason, archived, forgotten)
         VALUES ($1, $2, $3, $4, 'lane', 1, 0, 'queued', 'queued', NULL, $5, '/srv/repository', 'Fix the parser', NULL,
             30, 7, 1, NULL, NULL, 1, 3, 3, $6, $7, 0, 1, 0, 0, 0, NULL, NULL, 0, NULL, 0, 0)",
    )
    .bind(session.to_string())
    .bind(owner.org.to_string())
    .bind(owner.project.to_string())
    .bind(owner.user.to_string())
    .bind(r#"{"pause":false,"budget":false,"plan":false,"answers":[]}"#)
    .bind(ids[2].to_string())
    .bind(&previous.as_bytes()[..])
    .execute(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();

    let store = cofferdam_store::open(&address).await.unwrap();
    let row = store.session(None, session).await.unwrap().unwrap();
    assert_eq!((row.accesses, row.cost, row.last), (1, 30, Seq(3)));
    assert_eq!(store.verify(session).await.unwrap().events, 3);
    assert_eq!(cofferdam_store::verify_all(&*store).await.unwrap().sessions, 1);
    say(&*store, session, "it goes on").await;
    assert_eq!(store.verify(session).await.unwrap().events, 4);
}
