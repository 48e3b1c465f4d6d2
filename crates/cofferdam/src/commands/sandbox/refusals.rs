//! What the egress door of a sandbox without a session refuses, to be told to whoever ran the command.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use cofferdam_domain::{
    SandboxId,
    amount::counted,
    egress::{Fetched, Passed, Refusal, Refused},
};
use cofferdam_egress::{NotRecorded, Record};
use tokio::sync::watch;

use crate::terminal::{complain, excerpt};

/// How many are remembered.
const MOST: usize = 200;
/// Lines of a log.
const LINES: u64 = 10_000;
/// Characters of a line.
const LINE: usize = 600;

/// Keeps the last of what is refused. What passes is not written down: there is no session.
#[derive(Default)]
pub(super) struct Refusals {
    seen: Mutex<Seen>,
    /// Whether each is written to standard error as it comes.
    logged: bool,
    /// Why the sandbox is to be frozen, each time that something wants it to be.
    alarm: watch::Sender<Option<&'static str>>,
}

#[derive(Default)]
struct Seen {
    last: VecDeque<Refused>,
    count: u64,
}

impl Refusals {
    /// Refusals that are also written to standard error as they come.
    pub(super) fn logged() -> Self {
        Self { logged: true, ..Self::default() }
    }

    /// Hears of what no program has a reason to send or to ask for.
    pub(super) fn alarms(&self) -> watch::Receiver<Option<&'static str>> {
        self.alarm.subscribe()
    }

    /// How many there have been.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// A line for each that came after so many, the same operation once.
    pub(super) fn since(&self, before: u64) -> Vec<String> {
        let seen = self.lock();
        let new = usize::try_from(seen.count.saturating_sub(before)).unwrap_or(usize::MAX);
        let mut told: Vec<(&Refused, u64)> = Vec::new();
        for one in seen.last.iter().skip(seen.last.len().saturating_sub(new)) {
            let same =
                told.iter_mut().find(|(known, _)| known.operation == one.operation && known.code == one.code);
            match same {
                Some((_, count)) => *count += u64::from(one.count),
                None => told.push((one, one.count.into())),
            }
        }
        told.into_iter().map(|(refused, count)| line(refused, count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(refused: &Refused, count: u64) -> String {
    let times = if count > 1 { format!(", {}", counted(count, "time")) } else { String::new() };
    let (operation, reason) = (refused.operation.to_string(), &refused.reason);
    excerpt(&format!("egress refused: {operation} ({}{times}): {reason}", refused.code.as_str()), LINE)
}

#[async_trait]
impl Record for Refusals {
    async fn passed(&self, _: Passed) -> Result<(), NotRecorded> {
        Ok(())
    }

    fn tried(&self, _: SandboxId, code: Refusal) {
        if code == Refusal::Canary {
            self.alarm.send_replace(Some("a canary was touched"));
        } else if code == Refusal::Secret {
            self.alarm.send_replace(Some("a request contained a secret"));
        }
    }

    fn refused(&self, refused: Refused) {
        let mut seen = self.lock();
        seen.count += 1;
        if self.logged && seen.count <= LINES {
            complain(&line(&refused, refused.count.into()));
        }
        if seen.last.len() == MOST {
            seen.last.pop_front();
        }
        seen.last.push_back(refused);
    }

    fn fetched(&self, _: Fetched) {}
}
