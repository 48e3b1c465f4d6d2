//! Whole sessions: how many a minute, and what a second worker adds.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{
    ask::Client,
    place::{Ground, Kind, Place, Settings, Started},
    recordings::quick,
    title,
};
use crate::figures::say;

/// How long a model thinks that is not a recording.
const THOUGHT: Duration = Duration::from_secs(1);
/// How often it is looked whether all have ended.
const LOOK: Duration = Duration::from_millis(50);
/// Sessions that one worker has at once: as it is where nobody says.
const SLOTS: usize = 4;
const TURNS: usize = 2;

/// Whoever runs the sessions.
enum Crew {
    /// Everything in one process.
    Up,
    /// A server, and so many workers.
    Split(usize),
}

/// One process, and one or two workers beside a server, in turns.
pub(crate) async fn measure(ground: &Ground, sessions: usize) -> Result<()> {
    title(&format!(
        "{sessions} sessions from the first task to the last pull request, {SLOTS} at once in each worker"
    ));
    for (what, thought) in
        [("a model that answers at once", Duration::ZERO), ("a model that takes a second", THOUGHT)]
    {
        let settings = Settings { slots: SLOTS, recordings: vec![quick(thought)?], ..Settings::idle() };
        let mut crews = vec![(Kind::Sqlite, Crew::Up, "up, SQLite")];
        if ground.kinds().contains(&Kind::Postgres) {
            crews.push((Kind::Postgres, Crew::Up, "up, PostgreSQL"));
            crews.push((Kind::Postgres, Crew::Split(1), "server and one worker, PostgreSQL"));
            crews.push((Kind::Postgres, Crew::Split(2), "server and two workers, PostgreSQL"));
        }
        let mut times = vec![Duration::ZERO; crews.len()];
        for _ in 0..TURNS {
            for ((kind, crew, _), time) in crews.iter().zip(&mut times) {
                *time += run(&ground.place(*kind, &settings)?, crew, sessions).await?;
            }
        }
        say(&format!("  {what}:"));
        let mut before = None;
        for ((_, _, name), time) in crews.iter().zip(&times) {
            let rate = (TURNS * sessions) as f64 * 60.0 / time.as_secs_f64();
            let ratio =
                before.map_or_else(String::new, |before| format!(", {:.2} of the line above", rate / before));
            say(&format!("    {name:<40} {rate:>7.1} a minute{ratio}"));
            before = Some(rate);
        }
    }
    Ok(())
}

async fn run(place: &Place, crew: &Crew, sessions: usize) -> Result<Duration> {
    let token = place.token("local")?;
    let mut started: Vec<Started> = Vec::new();
    match crew {
        Crew::Up => started.push(place.serve("up")?),
        Crew::Split(workers) => {
            started.push(place.serve("server")?);
            for _ in 0..*workers {
                started.push(place.work()?);
            }
        }
    }
    let address = started.first().map(|server| server.address.clone()).unwrap_or_default();
    let task = place.task("Mark line 7 of the first note as seen.", 0);
    let mut client = Client::connect(&address, &token).await?;
    // The first session of a worker prepares what all on its commit share.
    let warm = started.len().max(2) - 1;
    all_done(&mut client, &give(&address, &token, &task, warm * SLOTS).await?).await?;
    let begun = Instant::now();
    let given = give(&address, &token, &task, sessions).await?;
    all_done(&mut client, &given).await?;
    let took = begun.elapsed();
    drop(client);
    for process in started.into_iter().rev() {
        process.end()?;
    }
    Ok(took)
}

/// Gives so many tasks at once.
pub(crate) async fn give(address: &str, token: &str, task: &str, count: usize) -> Result<Vec<String>> {
    let clients = (0..count).map(|_| async move {
        let mut client = Client::connect(address, token).await?;
        client.accept(task, None).await
    });
    try_join_all(clients).await
}

/// Waits until these have ended well.
async fn all_done(client: &mut Client, given: &[String]) -> Result<()> {
    until(client, given, |row| {
        ensure!(row["state"] != "waiting", "a session waits: {row}");
        let ended = row["state"] == "ended";
        ensure!(!ended || row["outcome"] == "succeeded", "a session failed: {row}");
        Ok(ended)
    })
    .await
}

/// Waits until something is so with each of these sessions.
pub(crate) async fn until(
    client: &mut Client,
    given: &[String],
    is_so: impl Fn(&Value) -> Result<bool>,
) -> Result<()> {
    loop {
        let list = client.list("/api/v1/sessions?limit=200").await?;
        let mut so = 0;
        for row in list["sessions"].as_array().into_iter().flatten() {
            if given.iter().any(|id| row["id"] == id.as_str()) && is_so(row)? {
                so += 1;
            }
        }
        if so == given.len() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
