//! A session's log as people read it: one entry for each step, stage or word, in the order in which they began.
//!
//! [`Timeline`] is a fold over events, like the agent itself: the first load, every live update and every test call the same function.
//! What comes later belongs to what it is about (a result to its call, a refusal to the step in which it happened), so an update
//! is a changed entry, never a line at the end that the reader must match by hand.
//!
//! It holds a bounded number of entries with bounded texts, whatever a session does: earlier entries are folded again from the log when somebody
//! asks for them.

mod call;
mod fold;
mod markup;

use std::collections::VecDeque;

use cofferdam_domain::{
    BlobRef, CallId, Cost, Digest, Event, EvidenceRun, Finding, Part, Seq, Stage, Timestamp, ToolStatus,
    Usage, Verdict, tool::PlanItem,
};

pub(crate) use markup::{entries, entry, findings, plan};

use super::text::Excerpt;

/// Entries that a page shows at once.
pub(crate) const WINDOW: usize = 60;
/// Bytes of text that a timeline holds, whatever its entries say.
const MOST_BYTES: usize = 1 << 20;

/// The end of a log, as entries.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    entries: VecDeque<Entry>,
    /// How many entries may be held.
    most: usize,
    /// Entries that were dropped from the front.
    earlier: u64,
    /// Bytes of text in the entries.
    weight: usize,
    /// Whether nothing new begins any more: see [`Timeline::finish`].
    closed: bool,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The event with which it began. Names the entry.
    pub(crate) first: Seq,
    /// The last event that changed it.
    pub(crate) changed: Seq,
    /// When it began.
    pub(crate) at: Timestamp,
    /// Whether the session was rolled back to before it.
    pub(crate) undone: bool,
    /// Bytes of text in it.
    weight: usize,
    /// What it is.
    pub(crate) what: What,
}

/// Kinds of entries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// The model's answer and what it asked for.
    Step(Box<Step>),
    /// A piece of the worker's own work.
    Stage(StageEntry),
    /// Something that a person said.
    Said(Said),
    /// What left a sandbox, or was kept from it, while no step was under way.
    Traffic(Traffic),
    /// Anything else.
    Note(Note),
}

impl What {
    /// Bytes of text in it, as far as they can be many.
    fn weight(&self) -> usize {
        match self {
            Self::Step(step) => {
                let reply = step.reply.as_ref().map_or(0, |reply| reply.text.len() + reply.reasoning.len());
                reply + step.calls.iter().map(Call::weight).sum::<usize>()
            }
            Self::Said(said) => said.text.len(),
            Self::Stage(StageEntry { result: Some(StageResult::Examined(findings, _)), .. }) => {
                findings.iter().map(|finding| finding.why.len() + finding.path.len()).sum()
            }
            Self::Stage(_) | Self::Traffic(_) | Self::Note(_) => 0,
        }
    }
}

impl Call {
    fn weight(&self) -> usize {
        let arguments: usize = self.arguments.iter().map(|(_, value)| value.len()).sum();
        let output = match &self.state {
            CallState::Ended(ended) => ended.output.len(),
            CallState::Waiting | CallState::Running(_) | CallState::Lost => 0,
        };
        self.subject.len() + arguments + output
    }
}

/// One model answer and the calls that it asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Step {
    /// Counted from 1.
    pub(crate) number: u32,
    /// Whether it makes a summary of what was before.
    pub(crate) compaction: bool,
    /// What the model said; `None` while it is being asked.
    pub(crate) reply: Option<Reply>,
    /// Why the model could not be asked.
    pub(crate) failure: Option<String>,
    /// What it asked for, in order.
    pub(crate) calls: Vec<Call>,
    /// What left the sandbox meanwhile.
    pub(crate) traffic: Traffic,
    /// The checkpoint after it.
    pub(crate) checkpoint: Option<Seq>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// The event that holds all of it.
    pub(crate) seq: Seq,
    /// Its prose.
    pub(crate) text: Excerpt,
    /// Its reasoning, as far as the provider shows it.
    pub(crate) reasoning: Excerpt,
    /// What it used.
    pub(crate) usage: Usage,
    /// What it cost, where that is known.
    pub(crate) cost: Option<Cost>,
    /// Milliseconds that it took.
    pub(crate) millis: u64,
    /// Why it ended, where that is worth a word.
    pub(crate) cut: Option<String>,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// Which.
    pub(crate) id: CallId,
    /// The tool, as the model named it.
    pub(crate) tool: String,
    /// What it is about, in one line: a command, a path.
    pub(crate) subject: String,
    /// Its other arguments.
    pub(crate) arguments: Vec<(String, Excerpt)>,
    /// How far it is.
    pub(crate) state: CallState,
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CallState {
    /// Asked for.
    Waiting,
    /// Running since.
    Running(Timestamp),
    /// It ended.
    Ended(Box<Ended>),
    /// Cut short by a crash; whether it had its effect is unknown.
    Lost,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    /// The event that holds all of it.
    pub(crate) seq: Seq,
    /// How it ended.
    pub(crate) status: ToolStatus,
    /// The first line of what it answered: mostly how a command ended.
    pub(crate) head: String,
    /// Whether that was a command that failed.
    pub(crate) failed: bool,
    /// What it answered.
    pub(crate) output: Excerpt,
    /// Where all of it is, if the answer was cut.
    pub(crate) whole: Option<BlobRef>,
    /// The agent's plan, if the call set it.
    pub(crate) plan: Vec<PlanItem>,
    /// Pictures: each as the model was shown it, and as it is.
    pub(crate) pictures: Vec<(Digest, Digest)>,
    /// Milliseconds that it took.
    pub(crate) millis: u64,
}

/// A piece of the worker's work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StageEntry {
    /// On which of the session's repositories.
    pub(crate) part: Part,
    /// Which.
    pub(crate) stage: Stage,
    /// What came of it; `None` while it goes on.
    pub(crate) result: Option<StageResult>,
}

/// What came of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StageResult {
    /// Something that one line tells.
    Told(Note),
    /// What the gate saw.
    Examined(Vec<Finding>, Verdict),
    /// A run of the tests.
    Evidence(Box<EvidenceRun>),
    /// It cannot be done.
    Failed(String),
}

/// A person's words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// The event that holds all of it.
    pub(crate) seq: Seq,
    /// Who.
    pub(crate) by: String,
    /// As what: the task, a message, an answer, an instruction.
    pub(crate) how: &'static str,
    /// What.
    pub(crate) text: Excerpt,
}

/// Requests at the egress door.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Traffic {
    /// Let out.
    pub(crate) passed: u64,
    /// Packages that came in.
    pub(crate) packages: u64,
    /// Refused, in all.
    pub(crate) refused: u64,
    /// Refused, the first ones: what, and why.
    pub(crate) refusals: Vec<(String, String)>,
}

impl Traffic {
    pub(crate) const fn is_empty(&self) -> bool {
        self.passed == 0 && self.packages == 0 && self.refused == 0
    }
}

/// How something should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Quiet,
    Plain,
    Good,
    Warn,
    Bad,
    /// It is at work.
    Live,
}

impl Tone {
    /// The class that gives it its colour.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Live => "live",
        }
    }
}

/// One line: the platform's words, and apart from them somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) tone: Tone,
    /// The platform's words.
    pub(crate) words: String,
    /// A name, a reason, an address: as untrusted as whoever wrote it.
    pub(crate) quote: String,
}

impl Note {
    pub(crate) fn new(tone: Tone, words: impl Into<String>) -> Self {
        Self { tone, words: words.into(), quote: String::new() }
    }

    pub(crate) fn quoting(tone: Tone, words: impl Into<String>, quote: &str) -> Self {
        Self { tone, words: words.into(), quote: super::text::cut(quote, 400) }
    }
}

impl Timeline {
    /// The timeline of an empty log that holds so many entries at most.
    pub(crate) const fn new(most: usize) -> Self {
        Self { entries: VecDeque::new(), most, earlier: 0, weight: 0, closed: false }
    }

    /// The entries, oldest first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Entries that have changed since an event, oldest first.
    pub(crate) fn changed_after(&self, seq: Seq) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.changed > seq)
    }

    /// How many entries there were before the first that is held.
    pub(crate) const fn earlier(&self) -> u64 {
        self.earlier
    }

    /// Folds one more event in.
    pub(crate) fn apply(&mut self, event: &Event) {
        fold::fold(self, event);
    }

    /// Folds an event in as far as it says how something ended that began before. Nothing new begins from here on.
    pub(crate) fn finish(&mut self, event: &Event) {
        self.closed = true;
        fold::fold(self, event);
    }

    fn push(&mut self, event: &Event, what: What) {
        if self.closed {
            return;
        }
        let weight = what.weight();
        self.weight += weight;
        self.entries.push_back(Entry {
            first: event.seq,
            changed: event.seq,
            at: event.at,
            undone: false,
            weight,
            what,
        });
        self.trim();
    }

    /// Weighs the entry anew that this event has changed.
    fn weigh(&mut self, event: &Event) {
        for entry in self.entries.iter_mut().filter(|entry| entry.changed == event.seq) {
            let weight = entry.what.weight();
            self.weight = self.weight - entry.weight + weight;
            entry.weight = weight;
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.entries.len() > self.most || (self.weight > MOST_BYTES && self.entries.len() > 1) {
            let Some(dropped) = self.entries.pop_front() else { return };
            self.weight -= dropped.weight;
            self.earlier += 1;
        }
    }

    fn note(&mut self, event: &Event, note: Note) {
        self.push(event, What::Note(note));
    }

    /// The last step that is not undone, to be changed by this event.
    fn step(&mut self, event: &Event, is_it: impl Fn(&Step) -> bool) -> Option<&mut Step> {
        self.entries.iter_mut().rev().filter(|entry| !entry.undone).find_map(|entry| match &mut entry.what {
            What::Step(step) if is_it(step) => {
                entry.changed = event.seq;
                Some(step.as_mut())
            }
            What::Step(_) | What::Stage(_) | What::Said(_) | What::Traffic(_) | What::Note(_) => None,
        })
    }

    fn call(&mut self, event: &Event, id: CallId) -> Option<&mut Call> {
        let step =
            self.step(event, |step| step.number == id.step && step.calls.iter().any(|call| call.id == id))?;
        step.calls.iter_mut().find(|call| call.id == id)
    }
}

#[cfg(test)]
mod tests;
