//! Seeing that the agent goes in circles: it is told so first, and stopped if that does not help.
//!
//! What is compared is a call *with its result*: asking a running process again and again for its output is
//! no circle as long as the output changes. Nobody is stopped for a pattern without having been told of it in
//! an earlier step.

use std::collections::VecDeque;

use cofferdam_domain::{Digest, ToolCall, ToolOutcome, ToolStatus, event::NudgeReason, tool::ToolEffect};

use crate::calls::has_edited;

/// The longest pattern that is looked for, in calls.
const LONGEST_CYCLE: usize = 4;
/// Times that a pattern repeats before the agent is told, and before it is stopped.
const REPEATS: Bounds = Bounds { tell: 3, stop: 5 };
/// The same where every call waited for something: polling a slow process is legitimate for longer.
const WAITS: Bounds = Bounds { tell: 10, stop: 15 };
/// Errors one after another.
const ERRORS: Bounds = Bounds { tell: 4, stop: 8 };
/// Steps one after another that bring nothing that was not seen before.
const IDLE_STEPS: Bounds = Bounds { tell: 6, stop: 12 };
/// A call that took this long waited for something.
const WAIT_MS: u64 = 5_000;
/// How far back calls are remembered.
const WINDOW: usize = LONGEST_CYCLE * 15;
/// How many different calls are remembered as seen.
const SEEN: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Bounds {
    tell: usize,
    stop: usize,
}

/// What is remembered of a call that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Stands for the call and its result together.
    key: u64,
    error: bool,
    waited: bool,
    edited: bool,
    planned: bool,
}

impl Record {
    pub(crate) fn new(call: &ToolCall, outcome: &ToolOutcome, millis: u64) -> Self {
        let images = outcome.images.iter().map(|image| image.blob.digest.hex());
        let mut text = format!("{}\0{}\0{}", call.name, call.arguments, outcome.text);
        images.for_each(|image| text.push_str(&image));
        let digest = Digest::of(text.as_bytes());
        let key = digest.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
        Self {
            key,
            error: outcome.status != ToolStatus::Ok,
            waited: millis >= WAIT_MS,
            edited: has_edited(outcome),
            planned: matches!(outcome.effect, Some(ToolEffect::Plan { .. })),
        }
    }
}

/// What is to be done about a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Tell the agent.
    Tell(NudgeReason),
    /// Stop it: it was told before.
    Stop,
}

/// Watches the calls of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    recent: VecDeque<Record>,
    seen: VecDeque<u64>,
    idle_steps: usize,
    told: Vec<NudgeReason>,
}

impl Watch {
    /// A step ended with these calls. What is to be done about it, if anything.
    pub(crate) fn step(&mut self, records: Vec<Record>) -> Option<Trouble> {
        self.note(records);
        let (cycle, length) = self.cycle();
        let whole = self.recent.iter().rev().take(length);
        let repeats = if whole.clone().count() > 0 && whole.clone().all(|record| record.waited) {
            WAITS
        } else {
            REPEATS
        };
        let (same, ping_pong) = if length == 1 { (cycle, 0) } else { (0, cycle) };
        let errors = self.recent.iter().rev().take_while(|record| record.error).count();
        let patterns = [
            (NudgeReason::RepeatedCall, same, repeats),
            (NudgeReason::PingPong, ping_pong, repeats),
            (NudgeReason::RepeatedError, errors, ERRORS),
            // A circle is spoken of as such.
            (NudgeReason::NoProgress, if cycle < REPEATS.tell { self.idle_steps } else { 0 }, IDLE_STEPS),
        ];
        let mut tell = None;
        for (reason, count, bounds) in patterns {
            let told = self.told.contains(&reason);
            if count < bounds.tell {
                self.told.retain(|known| *known != reason);
            } else if !told {
                tell = tell.or(Some(reason));
            } else if count >= bounds.stop {
                return Some(Trouble::Stop);
            }
        }
        let reason = tell?;
        self.told.push(reason);
        Some(Trouble::Tell(reason))
    }

    fn note(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let news = records.iter().any(|record| {
            record.edited || record.waited || !(record.planned || self.seen.contains(&record.key))
        });
        self.idle_steps = if news { 0 } else { self.idle_steps + 1 };
        for record in records {
            if !self.seen.contains(&record.key) {
                self.seen.push_back(record.key);
            }
            self.recent.push_back(record);
        }
        self.seen.drain(..self.seen.len().saturating_sub(SEEN));
        self.recent.drain(..self.recent.len().saturating_sub(WINDOW));
    }

    /// How often the latest calls repeat the ones before them, and the length of what is repeated.
    fn cycle(&self) -> (usize, usize) {
        let keys: Vec<u64> = self.recent.iter().rev().map(|record| record.key).collect();
        (1..=LONGEST_CYCLE)
            .map(|length| {
                let matching = keys.iter().zip(keys.iter().skip(length)).take_while(|(a, b)| a == b).count();
                (matching / length + 1, length)
            })
            .find(|(repeats, _)| *repeats >= REPEATS.tell)
            .unwrap_or((1, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u64) -> Record {
        Record { key, error: false, waited: false, edited: false, planned: false }
    }

    /// What each of the steps, of one call each, leads to: `.` nothing, `t` told, `s` stopped.
    fn watch(records: impl IntoIterator<Item = Record>) -> String {
        let mut watch = Watch::default();
        let steps = records.into_iter().map(|record| match watch.step(vec![record]) {
            None => '.',
            Some(Trouble::Tell(_)) => 't',
            Some(Trouble::Stop) => 's',
        });
        steps.collect()
    }

    #[test]
    fn the_same_call_is_told_at_three_and_stopped_at_five() {
        assert_eq!(watch((0..5).map(|_| record(1))), "..t.s");
        assert_eq!(
            watch([1, 1, 1, 2, 1, 1, 1].map(record)),
            "..t...t",
            "something else in between starts over"
        );
    }

    #[test]
    fn ping_pong_and_longer_circles() {
        assert_eq!(watch([1, 2, 1, 2, 1, 2, 1, 2, 1, 2].map(record)), ".....t...s");
        assert_eq!(watch([1, 2, 3, 1, 2, 3, 1, 2, 3].map(record)).find('t'), Some(8));
    }

    #[test]
    fn polling_with_changing_results_is_no_circle() {
        assert_eq!(watch((0..40).map(record)), ".".repeat(40));
    }

    #[test]
    fn waiting_is_given_more_time() {
        let waiting = Record { waited: true, ..record(1) };
        assert_eq!(watch((0..15).map(|_| waiting.clone())), ".........t....s");
    }

    #[test]
    fn errors_are_told_at_four_and_stopped_at_eight() {
        let errors = (0..8).map(|key| Record { error: true, ..record(key) });
        assert_eq!(watch(errors), "...t...s");
    }

    #[test]
    fn endless_planning_is_no_progress() {
        let plans = (0..12).map(|key| Record { planned: true, ..record(key) });
        assert_eq!(watch(plans), ".....t.....s");
    }

    #[test]
    fn nobody_is_stopped_untold() {
        let mut watch = Watch::default();
        assert_eq!(watch.step(vec![record(1); 12]), Some(Trouble::Tell(NudgeReason::RepeatedCall)));
        assert_eq!(watch.step(vec![record(1)]), Some(Trouble::Stop));
    }
}
