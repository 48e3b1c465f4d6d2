//! One test from its first task to its last check: tasks are accepted, things happen, everything comes to its end, and is looked at.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;

use crate::{
    Options, Report,
    books::Books,
    checks::{self, Counts},
    client::Client,
    fault::Fault,
    machine::Census,
    site::{Site, say},
};

/// Sessions that are open at once: more than the workers take, so that some wait.
const CROWD: usize = 7;
/// At the least so many tasks in a wave.
const TASKS: u32 = 10;
/// Workers that a session may be lost with before the next fault waits for its end; two later it is given up.
const MOST_LOST: u32 = 3;
/// How long everything may take to come to its end.
const ENDS_WITHIN: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(200);

/// Waves, one after the other, for as long as there is time.
pub(crate) fn waves(site: &mut dyn Site, options: &Options) -> Result<Report> {
    let began = Instant::now();
    let mut dice = Rng::with_seed(options.seed);
    let mut report = Report::default();
    let mut known = 0;
    loop {
        let seed = dice.u64(..);
        say(&format!("wave {} (seed {})", report.waves + 1, options.seed));
        let counts = wave(site, seed, options.time.is_zero(), &mut known, &mut report)
            .with_context(|| format!("wave {} of seed {} failed", report.waves + 1, options.seed))?;
        report.waves += 1;
        report.sessions += counts.sessions;
        report.events += counts.events;
        report.taken_over += counts.taken_over;
        report.lost_calls += counts.lost_calls;
        report.again = site.client().again();
        report.took = began.elapsed();
        if report.took >= options.time {
            return Ok(report);
        }
    }
}

fn wave(
    site: &mut dyn Site,
    seed: u64,
    short: bool,
    known: &mut usize,
    report: &mut Report,
) -> Result<Counts> {
    let mut dice = Rng::with_seed(seed);
    let (books, done) = (Books::default(), AtomicBool::new(false));
    site.start()?;
    let client = site.client().clone();
    let task = |number: u32| {
        let repositories = site.world().repositories();
        let repository = &repositories[number as usize % repositories.len()];
        let prompt = format!("Mend the sum, number {number}.");
        serde_json::json!({ "prompt": prompt, "repository": repository, "model": site.world().model() })
    };
    let (tasks, number) = ((0..500).map(task).collect(), AtomicU32::new(0));
    let asking = Asking { client: &client, books: &books, done: &done, number, tasks, seed };
    let mut census = Census::default();
    let result = thread::scope(|scope| {
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let (mut dice, asking) = (dice.fork(), &asking);
                scope.spawn(move || asking.ask(&mut dice))
            })
            .collect();
        let looking = scope.spawn(|| look(&client, &books, &done));
        let faults = faults(site.faults(), short, &mut dice);
        let happen = || -> Result<()> {
            for fault in faults {
                rest(&books, &mut dice)?;
                if fault.costs_workers() {
                    books.workers_are_lost();
                }
                say(&format!("  {fault}"));
                census.look();
                site.inflict(fault, &mut dice).with_context(|| fault.to_string())?;
                *report.faults.entry(fault).or_default() += 1;
            }
            Ok(())
        };
        let happened = happen();
        done.store(true, Ordering::Relaxed);
        let mut said = Ok(());
        for thread in asking.into_iter().chain([looking]) {
            match thread.join() {
                Ok(result) => said = said.and(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        // What could not be done is why those who ask were not answered.
        happened.and(said)
    });
    result?;
    let accepted = books.all();
    for accepted in &accepted {
        let again = client.accept(&accepted.key, &accepted.task)?;
        ensure!(
            again == accepted.session,
            "{} was accepted twice: {again} and {}",
            accepted.key,
            accepted.session
        );
    }
    *known += accepted.len();
    let there = client.sessions()?.len();
    ensure!(there == *known, "{there} sessions for {known} tasks");
    let processes = site.rest()?;
    let counts = checks::check(site, &accepted)?;
    census.nothing_is_left(site.world(), &processes)?;
    Ok(counts)
}

/// What is to happen: everything once, or so many things at random.
fn faults(all: &[Fault], short: bool, dice: &mut Rng) -> Vec<Fault> {
    let mut faults = all.to_vec();
    dice.shuffle(&mut faults);
    if !short {
        let many = faults.len();
        faults = (0..many).filter_map(|_| dice.choice(all).copied()).collect();
    }
    faults
}

/// Waits a little before the next fault, and for as long as somebody has had enough of them.
fn rest(books: &Books, dice: &mut Rng) -> Result<()> {
    thread::sleep(Duration::from_millis(dice.u64(300..2_000)));
    let deadline = Instant::now() + ENDS_WITHIN;
    while books.most_lost() >= MOST_LOST {
        ensure!(Instant::now() < deadline, "these do not end: {:?}", books.open());
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Those who ask: what they have in common.
struct Asking<'w> {
    client: &'w Client,
    books: &'w Books,
    done: &'w AtomicBool,
    /// Of the next task.
    number: AtomicU32,
    tasks: Vec<serde_json::Value>,
    seed: u64,
}

impl Asking<'_> {
    /// Has one task after the other accepted, until all has happened.
    fn ask(&self, dice: &mut Rng) -> Result<()> {
        loop {
            let done = self.done.load(Ordering::Relaxed);
            if self.books.open().len() >= CROWD {
                if done {
                    return Ok(());
                }
                thread::sleep(LOOK);
                continue;
            }
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            if number >= TASKS && done {
                return Ok(());
            }
            let task = self.tasks.get(number as usize).context("too many tasks in one wave")?;
            let key = format!("{}-{number}", self.seed);
            let session = self.client.accept(&key, task)?;
            self.books.enter(key.clone(), task.clone(), session);
            if dice.bool() {
                let again = self.client.accept(&key, task)?;
                ensure!(again == session, "{key} was accepted twice: {session} and {again}");
            }
            thread::sleep(Duration::from_millis(dice.u64(0..400)));
        }
    }
}

/// Looks what has ended, until all has.
fn look(client: &Client, books: &Books, done: &AtomicBool) -> Result<()> {
    let mut deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let open = books.open();
        if !done.load(Ordering::Relaxed) {
            deadline = Instant::now() + ENDS_WITHIN;
        } else if open.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "these do not end: {open:?}");
        for session in open {
            let row = client.get(&format!("/sessions/{session}"))?;
            if row["state"] == "ended" {
                books.ended(session);
            }
        }
        thread::sleep(LOOK);
    }
}
