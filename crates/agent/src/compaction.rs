//! Making room in the context window: when, and what is tried when the first attempt does not help.
//!
//! At four fifths of the window the model itself is asked for a summary, with the same prefix as every other
//! request, so that the provider's cache still serves it. The task, the summary and the latest messages then
//! start a new epoch. When the provider says that a prompt does not fit (the estimate was wrong, or one step
//! brought too much), tool results are cut first; the second time the summary is done without; the third time
//! there is nothing left to cut.

use std::sync::Arc;

/// The part of the window, in hundredths, at which the conversation is compacted.
const FULL: u64 = 80;
/// The part of the window, in hundredths, that is kept of the latest messages, and the most tokens that are.
const KEPT: u64 = 15;
const MOST_KEPT: u64 = 20_000;
/// The part of the window, in hundredths, that the results of one step may fill.
const RESULTS: u64 = 25;
/// Bytes that the results of one step may fill in any case.
const LEAST_RESULTS: usize = 8 * 1024;
/// Bytes that each tool result keeps after the first overflow and after the second.
const SQUEEZED: [usize; 2] = [4096, 512];
/// Answers between two compactions that no overflow asked for: a window that is always full must not be
/// summarised at every step.
const APART: u32 = 3;

/// How short of room the conversation is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pressure {
    /// Prompts that did not fit since the last answer.
    overflows: usize,
    /// A summary is to be asked for.
    wanted: bool,
    /// The summary that stands to be used.
    summary: Option<Arc<str>>,
    /// Answers since the last compaction, if there was one.
    answers: Option<u32>,
    /// The summary that stands at the head of the conversation now.
    latest: Option<Arc<str>>,
}

impl Pressure {
    /// A step was answered, so the prompt fitted.
    pub(crate) fn answered(&mut self) {
        self.overflows = 0;
        self.answers = self.answers.map(|answers| answers.saturating_add(1));
    }

    /// The context window was full during the answer.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether a prompt of `tokens` calls for a compaction first.
    pub(crate) fn is_high(&self, tokens: u64, window: Option<u64>) -> bool {
        let full = window.is_some_and(|window| tokens.saturating_mul(100) > window.saturating_mul(FULL));
        self.wanted || (full && self.answers.is_none_or(|answers| answers >= APART))
    }

    /// A prompt did not fit. The bytes that each tool result may keep now, or `None` when everything was
    /// tried.
    pub(crate) fn overflow(&mut self) -> Option<usize> {
        let limit = SQUEEZED.get(self.overflows).copied();
        self.overflows += 1;
        limit
    }

    /// After an overflow there is something to replace: by a summary at first, by none if the request for one
    /// did not fit either.
    pub(crate) fn relieve(&mut self, without: &'static str) {
        if self.overflows > 1 {
            self.go_without(without);
        } else {
            self.wanted = true;
        }
    }

    /// The summary is there.
    pub(crate) fn give(&mut self, summary: impl Into<Arc<str>>) {
        self.wanted = false;
        self.summary = Some(summary.into());
    }

    /// There is no summary: the latest one is kept, and `instead` says the rest.
    pub(crate) fn go_without(&mut self, instead: &str) {
        match &self.latest {
            Some(latest) if latest.ends_with(instead) => self.give(Arc::clone(latest)),
            Some(latest) => self.give(format!("{latest}\n\n{instead}")),
            None => self.give(instead),
        }
    }

    pub(crate) fn summary(&self) -> Option<&Arc<str>> {
        self.summary.as_ref()
    }

    /// Tokens of the latest messages that a compaction keeps.
    pub(crate) fn kept(&self, window: Option<u64>) -> u64 {
        if self.overflows > 1 {
            0
        } else {
            window.map_or(MOST_KEPT, |window| (window * KEPT / 100).min(MOST_KEPT))
        }
    }

    /// The compaction is done.
    pub(crate) fn compacted(&mut self, summary: &str) {
        self.wanted = false;
        self.summary = None;
        self.latest = Some(summary.into());
        self.answers = Some(0);
    }
}

/// Bytes that the results of one step may fill together.
pub(crate) fn room_for_results(window: Option<u64>) -> usize {
    // About 3.5 bytes a token.
    let bytes = window.map_or(u64::MAX, |window| window.saturating_mul(RESULTS) / 100 * 7 / 2);
    usize::try_from(bytes).unwrap_or(usize::MAX).max(LEAST_RESULTS)
}
