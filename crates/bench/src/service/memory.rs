//! What a session takes of memory: while it waits, and while it runs and its model thinks.

use std::time::Duration;

use anyhow::Result;

use super::{
    ask::Client,
    place::{Ground, Kind, Settings, Started},
    recordings::busy,
    title,
    work::{give, until},
};
use crate::{
    figures::say,
    process::{processor, proportional, resident, tree},
};

/// Sessions that wait, in total.
const WAITING: [usize; 3] = [100, 1000, 10_000];
/// Tasks that are given at once.
const AT_ONCE: usize = 50;
/// How long a process is left alone before it is looked at, and how long it is looked at for what it does when it has nothing to do.
const REST: Duration = Duration::from_secs(1);
const WATCH: Duration = Duration::from_secs(5);

/// `up` on SQLite: idle, with sessions that wait, and with some that run.
pub(crate) async fn measure(ground: &Ground, running: &[usize]) -> Result<()> {
    waiting(ground).await?;
    run(ground, running).await
}

/// What was seen of a process, in kB.
#[derive(Clone, Copy)]
struct Look {
    resident: u64,
    proportional: u64,
    whole_tree: u64,
}

impl Look {
    async fn at(started: &Started) -> Self {
        tokio::time::sleep(REST).await;
        let pid = started.pid();
        let whole_tree = tree(pid).into_iter().map(proportional).sum();
        Self { resident: resident(pid), proportional: proportional(pid), whole_tree }
    }

    /// A line, with what each of `more` sessions has added to `before`.
    fn tell(self, what: &str, before: Self, more: usize) {
        let each = |now: u64, then: u64| (now as f64 - then as f64) / more.max(1) as f64;
        say(&format!(
            "  {what:<28} {:>9} {:>9} {:>11} {:>12.2} {:>12.2}",
            self.resident,
            self.proportional,
            self.whole_tree,
            each(self.resident, before.resident),
            each(self.whole_tree, before.whole_tree)
        ));
    }
}

fn heading() {
    say(&format!(
        "  {:<28} {:>9} {:>9} {:>11} {:>12} {:>12}",
        "kB", "resident", "PSS", "tree's PSS", "a session", "of the tree"
    ));
}

async fn waiting(ground: &Ground) -> Result<()> {
    let settings = Settings { slots: 1, recordings: vec![busy()?], ..Settings::idle() };
    let place = ground.place(Kind::Sqlite, &settings)?;
    let token = place.token("local")?;
    let up = place.serve("up")?;
    title("memory of `up` while sessions wait");
    heading();
    let idle = Look::at(&up).await;
    idle.tell("idle", idle, 0);
    let before = processor(up.pid());
    tokio::time::sleep(WATCH).await;
    let spent = (processor(up.pid()) - before) / WATCH.as_secs_f64();
    let task = place.task("Think.", 0);
    let mut client = Client::connect(&up.address, &token).await?;
    let first = give(&up.address, &token, &task, 1).await?;
    until(&mut client, &first, |row| Ok(row["steps"] == 1)).await?;
    let one = Look::at(&up).await;
    one.tell("one runs, none waits", idle, 1);
    let mut there = 0;
    for count in WAITING {
        while there < count {
            give(&up.address, &token, &task, AT_ONCE).await?;
            there += AT_ONCE;
        }
        Look::at(&up).await.tell(&format!("one runs, {count} wait"), one, count);
    }
    say(&format!("  processor time of the idle process: {:.2} ms a second", spent * 1000.0));
    Ok(())
}

async fn run(ground: &Ground, running: &[usize]) -> Result<()> {
    let most = running.iter().copied().max().unwrap_or(1);
    let settings = Settings { slots: most, recordings: vec![busy()?], ..Settings::idle() };
    let place = ground.place(Kind::Sqlite, &settings)?;
    let token = place.token("local")?;
    let up = place.serve("up")?;
    title("memory of `up` while sessions run, each with a sandbox, and their models think");
    heading();
    let idle = Look::at(&up).await;
    let task = place.task("Think.", 0);
    let mut client = Client::connect(&up.address, &token).await?;
    let mut given = Vec::new();
    for count in running.iter().copied() {
        given.extend(give(&up.address, &token, &task, count.saturating_sub(given.len())).await?);
        until(&mut client, &given, |row| Ok(row["steps"] == 1)).await?;
        Look::at(&up).await.tell(&format!("{count} run"), idle, count);
    }
    Ok(())
}
