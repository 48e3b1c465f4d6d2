//! Commands that run beside the conversation. They end with the sandbox, and are not remembered after a crash.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cofferdam_sandbox::{Finished, Output, Process, SandboxError};

use crate::tool::{Context, Failure};

/// Commands that may run in the background at the same time.
const MAX_RUNNING: usize = 16;
/// All background commands of a session.
#[derive(Default)]
pub(crate) struct Background(Mutex<Commands>);

#[derive(Default)]
struct Commands {
    last: u32,
    known: BTreeMap<u32, Arc<BackgroundCommand>>,
}

/// One of them.
pub(crate) struct BackgroundCommand {
    /// What the model calls it: `p1`.
    pub(crate) id: String,
    /// The command line.
    pub(crate) line: String,
    /// When it started.
    pub(crate) started: Instant,
    /// Its process, until its end has been told. Dropping it kills what it left behind.
    pub(crate) process: tokio::sync::Mutex<Option<Box<dyn Process>>>,
}

impl Background {
    /// Whether one more may be started.
    pub(crate) fn room(&self) -> Result<(), Failure> {
        if self.running().len() < MAX_RUNNING {
            return Ok(());
        }
        Err(Failure(format!(
            "{MAX_RUNNING} background commands run already. End one with `process` (action kill) first."
        )))
    }

    /// Takes in a started command and gives it an id.
    pub(crate) fn add(&self, line: &str, process: Box<dyn Process>) -> Arc<BackgroundCommand> {
        self.locked(|commands| {
            commands.last += 1;
            let command = Arc::new(BackgroundCommand {
                id: format!("p{}", commands.last),
                line: line.to_owned(),
                started: Instant::now(),
                process: tokio::sync::Mutex::new(Some(process)),
            });
            commands.known.insert(commands.last, Arc::clone(&command));
            command
        })
    }

    /// Forgets a command whose end has been told.
    pub(crate) fn remove(&self, id: &str) {
        self.locked(|commands| commands.known.retain(|_, command| command.id != id));
    }

    /// The command with this id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<BackgroundCommand>> {
        let id = id.trim();
        let found = |command: &&Arc<BackgroundCommand>| command.id == id || command.id[1..] == *id;
        self.locked(|commands| commands.known.values().find(found).cloned())
    }

    /// All commands whose end has not been told, in the order in which they were started.
    pub(crate) fn running(&self) -> Vec<Arc<BackgroundCommand>> {
        self.locked(|commands| commands.known.values().cloned().collect())
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Commands) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits for a process and passes its output on to those who watch. Returns how it ended, if it did within `patience`, and what it
/// printed meanwhile that had not been taken before, of which at most `kept` bytes are kept.
pub(crate) async fn follow(
    context: &Context<'_>,
    process: &mut dyn Process,
    patience: Duration,
    kept: u64,
) -> Result<(Option<Finished>, Output), SandboxError> {
    let until = Instant::now() + patience;
    let mut printed =
        Printed { half: usize::try_from(kept / 2).unwrap_or(usize::MAX / 4), output: Output::default() };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        process.stir(left).await;
        let finished = process.wait(Duration::ZERO).await?;
        let fresh = process.take_output();
        if !fresh.is_empty() {
            (context.watch)(&fresh);
            printed.push(&fresh);
        }
        if finished.is_some() || left.is_zero() {
            return Ok((finished, printed.finish()));
        }
    }
}

/// The beginning and the end of what a command prints, however much that is.
struct Printed {
    half: usize,
    output: Output,
}

impl Printed {
    fn push(&mut self, bytes: &[u8]) {
        let room = (self.half - self.output.head.len()).min(bytes.len());
        self.output.head.extend_from_slice(&bytes[..room]);
        self.output.tail.extend_from_slice(&bytes[room..]);
        // Twice as much as is wanted, so that not every piece moves the whole tail.
        if self.output.tail.len() > self.half.saturating_mul(2) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let surplus = self.output.tail.len().saturating_sub(self.half);
        self.output.tail.drain(..surplus);
        self.output.dropped += surplus as u64;
    }

    fn finish(mut self) -> Output {
        self.shrink();
        self.output
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_both_ends(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), half in 0usize..50) {
            let all = pieces.concat();
            let mut printed = Printed { half, output: Output::default() };
            pieces.iter().for_each(|piece| printed.push(piece));
            let output = printed.finish();
            prop_assert!(output.head.len() <= half && output.tail.len() <= half);
            prop_assert!(all.starts_with(&output.head) && all.ends_with(&output.tail));
            prop_assert_eq!(output.head.len() + output.tail.len() + usize::try_from(output.dropped).unwrap(), all.len());
        }
    }
}
