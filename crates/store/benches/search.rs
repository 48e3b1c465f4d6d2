//! How long a search for a text takes when there are few sessions and when there are many, beside looking at their texts without the index:
//! `cargo bench -p cofferdam-store --bench search`, on SQLite and, where it is installed, on PostgreSQL.
//!
//! Everything is measured in turn in one run on one machine, so that the ratios hold. A look without the index ends after 5,000 sessions, as a
//! search did before there was one: then its page says where to go on. Name other numbers of sessions with `COFFERDAM_BENCH_SESSIONS`.

use std::{
    error::Error,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, Owner, SessionId, Source, Task, Timestamp};
use cofferdam_store::{Everything, SessionFilter, Ticket};
use cofferdam_testkit::Postgres;
use futures_util::future::try_join_all;

type Failure = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 50;
const AT_ONCE: usize = 64;

/// What titles are made of: each session has five of them, and a number.
const WORDS: [&str; 24] = [
    "fix", "the", "parser", "retry", "timeouts", "upload", "login", "page", "slow", "query", "index",
    "crash", "when", "empty", "test", "flaky", "docs", "rename", "module", "cache", "修復", "вход", "größe",
    "config",
];

/// What is looked for, and what that is.
const LOOKS: [(&str, &str); 6] = [
    ("no such text", "no session has it, and not all of its grams are there"),
    ("module parser slow retry fix", "no session has it, and all of its grams are there"),
    ("FOUND ONCE", "the oldest session has it"),
    ("parser", "a fifth of all sessions have it"),
    ("復", "one character, which a fifth of all sessions have"),
    ("/team-7/", "one in 40 repositories has it"),
];

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let counts = std::env::var("COFFERDAM_BENCH_SESSIONS").unwrap_or_else(|_| "1000,100000".to_owned());
    let counts: Vec<usize> = counts.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let folder = tempfile::tempdir()?;
    runtime.block_on(async {
        measure("SQLite", &folder.path().display().to_string(), &counts).await?;
        match Postgres::shared() {
            Some(server) => measure("PostgreSQL", &server.database(), &counts).await,
            None => Ok(()),
        }
    })
}

async fn measure(name: &str, address: &str, counts: &[usize]) -> Result<(), Failure> {
    let store = cofferdam_store::open(address).await?;
    let mut there = 0;
    let mut first: Option<Vec<Duration>> = None;
    for count in counts {
        let started = Instant::now();
        fill(&store, there, *count).await?;
        let filled = started.elapsed();
        store.index(Owner::LOCAL.org).await?;
        let all = started.elapsed();
        say(&format!(
            "{name}, {count} sessions: {} more made in {filled:.1?}, all in blocks after {all:.1?}",
            count - there
        ));
        there = *count;
        let mut times = Vec::new();
        for (place, (text, what)) in LOOKS.into_iter().enumerate() {
            let (indexed, looked) = look(&store, text).await?;
            let before = first.as_ref().and_then(|first| first.get(place)).copied().unwrap_or(indexed);
            say(&format!(
                "  {text:?}: {indexed:.2?}, {:.2} × with the fewest sessions; without the index {looked:.2?}, {:.1} × ({what})",
                indexed.as_secs_f64() / before.as_secs_f64(),
                looked.as_secs_f64() / indexed.as_secs_f64()
            ));
            times.push(indexed);
        }
        first.get_or_insert(times);
    }
    Ok(())
}

/// The medians of a page with the index and without it, measured in turns.
async fn look(store: &Arc<dyn Everything>, text: &str) -> Result<(Duration, Duration), Failure> {
    let (mut indexed, mut looked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (org, times) in [(Some(Owner::LOCAL.org), &mut indexed), (None, &mut looked)] {
            let filter =
                SessionFilter { org, text: Some(text.to_owned()), limit: 50, ..SessionFilter::default() };
            let started = Instant::now();
            store.search(filter).await?;
            times.push(started.elapsed());
        }
    }
    Ok((median(&mut indexed), median(&mut looked)))
}

async fn fill(store: &Arc<dyn Everything>, from: usize, to: usize) -> Result<(), Failure> {
    let workers = (0..AT_ONCE).map(|worker| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in (from + worker..to).step_by(AT_ONCE) {
                create(&store, number).await?;
            }
            Ok::<_, Failure>(())
        })
    });
    for done in try_join_all(workers).await? {
        done?;
    }
    Ok(())
}

async fn create(store: &Arc<dyn Everything>, number: usize) -> Result<(), Failure> {
    let mut title = if number == 0 { "found once".to_owned() } else { format!("{number}") };
    // The same for the same number, and without an order that an index could profit from.
    let mut random = number as u64;
    for _ in 0..5 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = usize::try_from(random >> 33)? % WORDS.len();
        write!(title, " {}", WORDS.get(word).copied().unwrap_or_default())?;
    }
    let repository = format!("https://forge.example.com/team-{}/project-{}", number % 40, number % 400);
    let task = Task::new(title, repository, None, "ann".into(), Source::Cli)?;
    let first = EventBody::TaskAccepted { task };
    store.enqueue(Ticket::LOCAL, SessionId::generate(), Timestamp(1), first, Vec::new()).await?;
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
fn say(line: &str) {
    println!("{line}");
}
