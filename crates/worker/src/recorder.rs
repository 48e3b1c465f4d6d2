//! From the egress door into the session's log.
//!
//! The run loop is the log's only writer. What a door has to write down waits here until the loop takes it, all of it in one append;
//! whatever is to pass waits for that append. A hostile program decides how much there is to write down about what was refused: the first
//! refusals are written one by one, the rest is counted by its reason and written with the next tool call's end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use cofferdam_domain::{
    CallId, EventBody, SandboxId,
    egress::{Fetched, Passed, Refusal, Refused},
};
use cofferdam_egress::{NotRecorded, Record};
use tokio::sync::{Notify, oneshot};

/// Refusals of a session that are written one by one.
const MOST_SINGLE: u32 = 1_000;
/// Refusals that are told in the outcome of one call.
const MOST_TOLD: usize = 6;
/// Bytes of one of them.
const LONGEST_TOLD: usize = 300;

/// What the doors of one session have to write down, until it is written.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    state: Mutex<State>,
    news: Notify,
    /// Each time that there were so many refusals more, that is news by itself; 0 for never.
    burst: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    passed: Vec<(Passed, oneshot::Sender<()>)>,
    refused: Vec<Refused>,
    fetched: Vec<Fetched>,
    /// Refusals beyond those that are written one by one, by their reason.
    counted: BTreeMap<&'static str, Refused>,
    single: u32,
    told: BTreeMap<CallId, Told>,
    /// Refusals, written down or not.
    refusals: u64,
    /// There were as many of them as are news by themselves.
    burst: bool,
}

/// What a call is told of what was refused while it ran.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    more: u64,
}

/// Entries to be written in one append. Dropped without [`Batch::written`], nothing of it passes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bodies: Vec<EventBody>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    /// The entries are durable: what waited for them may pass.
    pub(crate) fn written(self) {
        for waiting in self.waiting {
            // Who asked may have given up meanwhile.
            waiting.send(()).ok();
        }
    }
}

/// Which entries are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// Those that should be written at once.
    Pressing,
    /// All that there are.
    All,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Each time that there were so many refusals more, that is news, whether or not there is anything to take.
    pub(crate) fn tell_at(&self, refusals: u64) {
        self.burst.store(refusals, Ordering::Relaxed);
    }

    /// Whether there were that many since this was asked last.
    pub(crate) fn burst(&self) -> bool {
        std::mem::take(&mut self.state().burst)
    }

    /// Returns when there is something to take.
    pub(crate) async fn pending(&self) {
        self.news.notified().await;
    }

    /// Takes what waits.
    pub(crate) fn take(&self, which: Take) -> Batch {
        let mut state = self.state();
        let mut batch = Batch::default();
        let refused = std::mem::take(&mut state.refused);
        batch.bodies.extend(refused.into_iter().map(|refused| EventBody::EgressRefused(Box::new(refused))));
        if which == Take::All {
            let counted = std::mem::take(&mut state.counted).into_values();
            batch.bodies.extend(counted.map(|refused| EventBody::EgressRefused(Box::new(refused))));
        }
        for (passed, waiting) in std::mem::take(&mut state.passed) {
            batch.bodies.push(EventBody::EgressAllowed(passed));
            batch.waiting.push(waiting);
        }
        batch.bodies.extend(std::mem::take(&mut state.fetched).into_iter().map(EventBody::PackageFetched));
        batch
    }

    /// What is to be added to the outcome of a call that has ended.
    pub(crate) fn told(&self, call: CallId) -> Option<String> {
        let told = self.state().told.remove(&call)?;
        let mut text = told.lines.join("\n");
        if told.more > 0 {
            text.push_str(&format!("\negress refused: {} more", told.more));
        }
        Some(text)
    }

    /// From now on nothing passes.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        // Nobody will write them any more, so what waits for them does not pass.
        state.passed.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse(&mut self, refused: Refused) {
        for call in &refused.calls {
            self.told.entry(*call).or_default().add(&refused);
        }
        // What freezes the sandbox does so at once, however much there was before.
        let pressing = matches!(refused.code, Refusal::Canary | Refusal::Secret);
        if self.single < MOST_SINGLE || pressing {
            self.single = self.single.saturating_add(1);
            self.refused.push(refused);
            return;
        }
        let more = refused.count;
        let counted = self.counted.entry(refused.code.as_str()).or_insert(Refused { count: 0, ..refused });
        counted.count = counted.count.saturating_add(more);
    }
}

impl Told {
    fn add(&mut self, refused: &Refused) {
        if self.lines.len() >= MOST_TOLD {
            self.more += u64::from(refused.count);
            return;
        }
        let operation = cut(&refused.operation.to_string());
        let ask = if refused.ask.is_some() { "; `request_access` asks a person for it" } else { "" };
        let line =
            format!("egress refused: {operation} ({}): {}{ask}", refused.code.as_str(), cut(&refused.reason));
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST_TOLD)].replace(['\n', '\r'], " ")
}

#[async_trait]
impl Record for Recorder {
    async fn passed(&self, passed: Passed) -> Result<(), NotRecorded> {
        let durable = {
            let mut state = self.state();
            if state.closed {
                return Err(NotRecorded);
            }
            let (waiting, durable) = oneshot::channel();
            state.passed.push((passed, waiting));
            durable
        };
        self.news.notify_one();
        durable.await.map_err(|_| NotRecorded)
    }

    fn tried(&self, _: SandboxId, _: Refusal) {
        let mut state = self.state();
        state.refusals = state.refusals.saturating_add(1);
        let burst = self.burst.load(Ordering::Relaxed);
        if burst > 0 && state.refusals.is_multiple_of(burst) {
            // What is merged with its like is written down later; that there are many is known now.
            state.burst = true;
            self.news.notify_one();
        }
    }

    fn refused(&self, refused: Refused) {
        self.state().refuse(refused);
        self.news.notify_one();
    }

    fn fetched(&self, fetched: Fetched) {
        self.state().fetched.push(fetched);
        self.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::egress::Operation;

    use super::*;

    const CALL: CallId = CallId { step: 3, index: 1 };

    fn refused(name: &str, code: Refusal) -> Refused {
        Refused {
            sandbox: SandboxId::from_u128(1),
            operation: Operation::Name { name: name.to_owned() },
            code,
            reason: "no rule is about it".to_owned(),
            ask: None,
            count: 1,
            calls: vec![CALL],
        }
    }

    fn passed() -> Passed {
        Passed {
            sandbox: SandboxId::from_u128(1),
            operation: Operation::Connection { host: "a.example".to_owned(), port: 443 },
            rule: "all".to_owned(),
            credential: None,
            calls: Vec::new(),
        }
    }

    #[tokio::test]
    async fn what_passes_waits_until_it_is_written() {
        let recorder = Recorder::new();
        let waiting = tokio::spawn({
            let recorder = recorder.clone();
            async move { recorder.passed(passed()).await }
        });
        recorder.pending().await;
        let batch = recorder.take(Take::Pressing);
        assert_eq!(batch.bodies, [EventBody::EgressAllowed(passed())]);
        assert!(!waiting.is_finished());
        batch.written();
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn what_cannot_be_written_does_not_pass() {
        let recorder = Recorder::new();
        let waiting = tokio::spawn({
            let recorder = recorder.clone();
            async move { recorder.passed(passed()).await }
        });
        recorder.pending().await;
        drop(recorder.take(Take::Pressing));
        assert!(waiting.await.unwrap().is_err());
        recorder.close();
        assert!(recorder.passed(passed()).await.is_err());
    }

    #[tokio::test]
    async fn a_burst_of_the_same_is_news_before_it_is_written() {
        let recorder = Recorder::new();
        recorder.tell_at(3);
        let sandbox = SandboxId::from_u128(1);
        recorder.tried(sandbox, Refusal::Name);
        recorder.refused(refused("a.example", Refusal::Name));
        recorder.pending().await;
        assert_eq!(recorder.take(Take::Pressing).bodies.len(), 1);
        // The door merges these with the first, and tells of them later.
        recorder.tried(sandbox, Refusal::Name);
        assert!(!recorder.burst());
        recorder.tried(sandbox, Refusal::Host);
        recorder.pending().await;
        assert!(recorder.burst() && !recorder.burst(), "told once");
        assert!(recorder.take(Take::All).bodies.is_empty());
    }

    #[test]
    fn a_flood_is_counted_and_nothing_of_it_lost() {
        let recorder = Recorder::new();
        for number in 0..MOST_SINGLE + 500 {
            let code = if number % 2 == 0 { Refusal::Name } else { Refusal::Host };
            recorder.tried(SandboxId::from_u128(1), code);
            recorder.refused(refused(&format!("n{number}.example"), code));
        }
        let mut bodies = recorder.take(Take::Pressing).bodies;
        assert_eq!(bodies.len(), MOST_SINGLE as usize);
        bodies.extend(recorder.take(Take::All).bodies);
        assert_eq!(bodies.len(), MOST_SINGLE as usize + 2);
        let count: u32 = bodies
            .iter()
            .map(|body| if let EventBody::EgressRefused(refused) = body { refused.count } else { 0 })
            .sum();
        assert_eq!(count, MOST_SINGLE + 500);
        let told = recorder.told(CALL).unwrap();
        assert_eq!(told.lines().count(), MOST_TOLD + 1, "{told}");
        assert!(told.len() < 4096);
        assert_eq!(recorder.told(CALL), None);
    }
}
