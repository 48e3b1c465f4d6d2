//! How fast sessions are accepted for good, beside the database's own inserts, and what taking the next one costs when many wait:
//! `cargo bench -p cofferdam-store --bench queue`.
//!
//! Each store is measured in turn with its own floor: one row of the same size, inserted into the same database by a plain connection with the
//! same durability. `COFFERDAM_BENCH_DIR` names another directory for the SQLite store, `COFFERDAM_BENCH_WAITING` another number of waiting
//! sessions than 100,000.

#![expect(clippy::unwrap_used, reason = "what the server of the tests needs fails by panicking")]

use std::{
    error::Error,
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, OrgId, Owner, ProjectId, Seq, SessionId, Source, Task, Timestamp, UserId};
use cofferdam_store::{Everything, Placement, Release, Shares, Ticket, open};
use futures_util::future::{BoxFuture, try_join_all};
use sqlx::{Connection as _, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

#[path = "../tests/it/server.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod server;

/// What the server of the tests says goes where everything goes here.
mod child {
    pub(crate) use super::say as tell;
}

type Failure = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 400;
const AT_ONCE: usize = 64;
const OWNERS: u128 = 1000;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let parent = std::env::var_os("COFFERDAM_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent)?;
    let server = server::Server::start();
    runtime.block_on(async {
        say("SQLite");
        let path = folder.path().join("store");
        let store = open(path.to_str().unwrap_or_default()).await?;
        let mut floor = SqliteFloor::open(&folder.path().join("floor.db")).await?;
        measure(&store, &mut floor).await?;
        if let Some(server) = &server {
            say("PostgreSQL");
            let store = open(&server.database().await).await?;
            let mut floor = PostgresFloor::open(&server.database().await).await?;
            measure(&store, &mut floor).await?;
        }
        Ok(())
    })
}

/// A database's own insert, durable on return.
trait Floor: Send {
    fn insert<'f>(&'f mut self, text: &'f str) -> BoxFuture<'f, Result<(), Failure>>;
}

struct SqliteFloor(SqliteConnection);
struct PostgresFloor(PgConnection);

const TABLE: &str = "CREATE TABLE rows (id TEXT PRIMARY KEY, text TEXT NOT NULL)";
const INSERT: &str = "INSERT INTO rows (id, text) VALUES ($1, $2)";

impl SqliteFloor {
    async fn open(path: &std::path::Path) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(TABLE).execute(&mut connection).await?;
        Ok(Self(connection))
    }
}

impl PostgresFloor {
    async fn open(url: &str) -> Result<Self, Failure> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(TABLE).execute(&mut connection).await?;
        Ok(Self(connection))
    }
}

impl Floor for SqliteFloor {
    fn insert<'f>(&'f mut self, text: &'f str) -> BoxFuture<'f, Result<(), Failure>> {
        Box::pin(async move {
            let id = SessionId::generate().to_string();
            sqlx::query(INSERT).bind(id).bind(text).execute(&mut self.0).await?;
            Ok(())
        })
    }
}

impl Floor for PostgresFloor {
    fn insert<'f>(&'f mut self, text: &'f str) -> BoxFuture<'f, Result<(), Failure>> {
        Box::pin(async move {
            let id = SessionId::generate().to_string();
            sqlx::query(INSERT).bind(id).bind(text).execute(&mut self.0).await?;
            Ok(())
        })
    }
}

async fn measure(store: &Arc<dyn Everything>, floor: &mut dyn Floor) -> Result<(), Failure> {
    accept(store, floor).await?;
    let waiting = std::env::var("COFFERDAM_BENCH_WAITING").ok().and_then(|count| count.parse().ok());
    take(store, "few").await?;
    fill(store, waiting.unwrap_or(100_000)).await?;
    take(store, "many, of 1,000 owners").await?;
    hog(store).await
}

/// One task after the other, then many at once.
async fn accept(store: &Arc<dyn Everything>, floor: &mut dyn Floor) -> Result<(), Failure> {
    let text = serde_json::to_string(&task()?)?;
    let (mut floors, mut accepted) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let started = Instant::now();
        floor.insert(&text).await?;
        floors.push(started.elapsed());
        let started = Instant::now();
        enqueue(store, number as u128, 0).await?;
        accepted.push(started.elapsed());
    }
    show("  the database's own insert", &mut floors);
    show("  a task accepted", &mut accepted);
    let started = Instant::now();
    let mut times = Vec::new();
    for _ in 0..ROUNDS / AT_ONCE * 4 {
        let round = (0..AT_ONCE).map(|number| {
            let store = Arc::clone(store);
            async move {
                let started = Instant::now();
                enqueue(&store, number as u128, 0).await?;
                Ok::<_, Failure>(started.elapsed())
            }
        });
        times.extend(try_join_all(round).await?);
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    show(&format!("  a task accepted, {AT_ONCE} at once ({rate:.0}/s)"), &mut times);
    Ok(())
}

/// Takes and gives back, again and again, with one session of each of some owners running.
async fn take(store: &Arc<dyn Everything>, what: &str) -> Result<(), Failure> {
    let presence = store.enter("bench", Duration::from_secs(3600)).await?;
    let mut running = Vec::new();
    for _ in 0..20 {
        running.extend(store.next(&presence, shares(99)).await?);
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS / 2 {
        let started = Instant::now();
        let taken = store.next(&presence, shares(99)).await?.ok_or("nothing waits")?;
        times.push(started.elapsed());
        store.release(taken, Release::Done { seen: Seq(1) }).await?;
    }
    let depth = store.depth().await?;
    show(&format!("  the next taken, {} waiting ({what})", depth.waiting), &mut times);
    store.leave(presence).await?;
    Ok(())
}

/// The oldest of all belong to somebody who has their share: others' turns come first.
async fn hog(store: &Arc<dyn Everything>) -> Result<(), Failure> {
    for _ in 0..AT_ONCE * 2 {
        enqueue(store, 0, 9).await?;
    }
    let presence = store.enter("bench", Duration::from_secs(3600)).await?;
    let first = store.next(&presence, shares(1)).await?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS / 8 {
        let started = Instant::now();
        let taken = store.next(&presence, shares(1)).await?.ok_or("nothing waits")?;
        times.push(started.elapsed());
        store.release(taken, Release::HandOver).await?;
    }
    drop(first);
    show("  the next taken, past an owner who has their share", &mut times);
    store.leave(presence).await?;
    Ok(())
}

async fn fill(store: &Arc<dyn Everything>, waiting: usize) -> Result<(), Failure> {
    let started = Instant::now();
    let workers = (0..AT_ONCE).map(|worker| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in (worker..waiting).step_by(AT_ONCE) {
                enqueue(&store, number as u128 % OWNERS, 0).await?;
            }
            Ok::<_, Failure>(())
        })
    });
    for done in try_join_all(workers).await? {
        done?;
    }
    let rate = waiting as f64 / started.elapsed().as_secs_f64();
    say(&format!("  {waiting} tasks accepted, {AT_ONCE} at once: {rate:.0}/s"));
    Ok(())
}

fn shares(per_user: u32) -> Shares {
    let many = NonZeroU32::MAX;
    Shares { per_user: NonZeroU32::new(per_user).unwrap_or(many), per_org: many, per_repository: many }
}

async fn enqueue(store: &Arc<dyn Everything>, user: u128, priority: i16) -> Result<(), Failure> {
    let owner = Owner {
        org: OrgId::from_u128(user / 10 + 1),
        project: ProjectId::from_u128(user / 10 + 1),
        user: UserId::from_u128(user + 1),
    };
    let ticket = Ticket { owner, placement: Placement::Queued { priority } };
    store.enqueue(ticket, SessionId::generate(), Timestamp(1), task()?, Vec::new()).await?;
    Ok(())
}

fn task() -> Result<EventBody, Failure> {
    let prompt = "Make it fast. ".repeat(40);
    let task = Task::new(prompt, "/srv/r".into(), None, "ann".into(), Source::Cli)?;
    Ok(EventBody::TaskAccepted { task })
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let (half, nearly_all) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    say(&format!("{what}: {half:?} at p50, {nearly_all:?} at p99"));
}

#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
