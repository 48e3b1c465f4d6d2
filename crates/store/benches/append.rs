//! How fast events become durable, beside the floor that the disk sets: `cargo bench -p cofferdam-store`.
//!
//! Everything is measured in turn in one run on one file system, so that the ratios hold whatever else the
//! machine does. The floor appends the same bytes to a plain file and calls `fdatasync(2)`; a second floor
//! overwrites them in place, which needs no change of the file's size. Name another directory to measure on
//! with `COFFERDAM_BENCH_DIR`.

use std::{
    error::Error,
    fs::File,
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_domain::{
    CallId, EventBody, Label, Seq, SessionId, Source, Task, Timestamp, ToolOutcome, ToolStatus,
};
use cofferdam_store::{SqliteStore, Store, Writer};
use futures_util::{StreamExt as _, future::try_join_all};

type Failure = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 10;
const PER_ROUND: usize = 100;
const SESSIONS: usize = 16;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let parent = std::env::var_os("COFFERDAM_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(parent)?;
    runtime.block_on(measure(folder.path()))
}

async fn measure(folder: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    let store = Arc::new(SqliteStore::open(&folder.join("store")).await?);
    say(&format!("open a new store: {:?}", started.elapsed()));

    let session = create(&store).await?;
    let bytes = serde_json::to_string(&step())?.len();
    let mut growing = File::create(folder.join("growing"))?;
    let mut fixed = File::create(folder.join("fixed"))?;
    fixed.write_all(&vec![0; 4 << 20])?;
    fixed.sync_all()?;

    let (mut floor, mut in_place, mut appends) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        fixed.rewind()?;
        for _ in 0..PER_ROUND {
            floor.push(flush(&mut growing, bytes)?);
            in_place.push(flush(&mut fixed, bytes)?);
            let started = Instant::now();
            store.append(session, Writer::Anybody, Timestamp(1), step()).await?;
            appends.push(started.elapsed());
        }
    }
    let floor = median(&mut floor);
    say(&format!("two events are {bytes} bytes of JSON"));
    show("write + fdatasync, file grows", floor, floor);
    show("write + fdatasync, in place", median(&mut in_place), floor);
    show("append of two events", median(&mut appends), floor);
    show("append, 99th percentile", appends[appends.len() * 99 / 100], floor);

    together(&store, floor).await?;
    follow(&store, session).await?;
    read(&store, session).await
}

/// Many sessions at once share flushes.
async fn together(store: &Arc<SqliteStore>, floor: Duration) -> Result<(), Failure> {
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(create(store).await?);
    }
    let started = Instant::now();
    try_join_all(sessions.into_iter().map(|session| async move {
        for _ in 0..PER_ROUND {
            store.append(session, Writer::Anybody, Timestamp(1), step()).await?;
        }
        Ok::<_, Failure>(())
    }))
    .await?;
    let each = started.elapsed() / u32::try_from(SESSIONS * PER_ROUND)?;
    show(&format!("append, {SESSIONS} sessions at once, per append"), each, floor);
    Ok(())
}

/// From the start of an append to its event at a follower.
async fn follow(store: &Arc<SqliteStore>, session: SessionId) -> Result<(), Failure> {
    let last = store.append(session, Writer::Anybody, Timestamp(1), step()).await?;
    let mut events = store.follow(session, last.last().map_or(Seq::START, |event| event.seq)).await?;
    let mut delays = Vec::new();
    for _ in 0..PER_ROUND {
        let written = store.append(session, Writer::Anybody, Timestamp(1), step()).await?;
        let returned = Instant::now();
        for _ in &written {
            events.next().await.ok_or("the stream ended")??;
        }
        delays.push(returned.elapsed());
    }
    say(&format!("from an append's return to its follower: {:?}", median(&mut delays)));
    Ok(())
}

async fn read(store: &Arc<SqliteStore>, session: SessionId) -> Result<(), Failure> {
    let started = Instant::now();
    let events = store.read(session, Seq::START, u32::MAX).await?;
    let each = started.elapsed() / u32::try_from(events.len())?;
    say(&format!("read and check {} events: {each:?} each", events.len()));
    Ok(())
}

fn flush(file: &mut File, bytes: usize) -> Result<Duration, Failure> {
    let content = vec![b'x'; bytes];
    let started = Instant::now();
    file.write_all(&content)?;
    file.sync_data()?;
    Ok(started.elapsed())
}

async fn create(store: &SqliteStore) -> Result<SessionId, Failure> {
    let session = SessionId::generate();
    let task = Task::new("Make it fast".into(), "/srv/r".into(), None, "ann".into(), Source::Cli)?;
    store.create(session, Timestamp(1), EventBody::TaskAccepted { task }, Vec::new()).await?;
    Ok(session)
}

/// What a step of an agent typically writes at once.
fn step() -> Vec<EventBody> {
    let call = CallId { step: 1, index: 0 };
    let outcome = ToolOutcome {
        status: ToolStatus::Ok,
        text: "test result: ok. 1 passed; 0 failed\n".repeat(40),
        images: Vec::new(),
        whole: None,
        label: Label::SANDBOX,
        effect: None,
    };
    vec![
        EventBody::ToolStarted { call, tool: "shell".into() },
        EventBody::ToolFinished { call, outcome, millis: 12 },
    ]
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn show(what: &str, time: Duration, floor: Duration) {
    let rate = 1.0 / time.as_secs_f64();
    say(&format!("{what}: {time:?} ({rate:.0}/s), {:.2} × floor", time.as_secs_f64() / floor.as_secs_f64()));
}

#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
fn say(line: &str) {
    println!("{line}");
}
