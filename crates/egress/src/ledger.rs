//! What a door writes down. What is refused again and again is counted and written once in a while, so that a burst
//! cannot fill the session's log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use cofferdam_domain::{
    CallId, SandboxId,
    egress::{Fetched, Operation, Passed, Refusal, Refused},
};

use crate::{
    decide::Denied,
    record::{NotRecorded, Record},
};

/// How long the same refusal is counted before it is written down again.
const INTERVAL: Duration = Duration::from_secs(10);
/// Different refusals that are written down in that time; what is beyond is counted by its code alone.
const MOST: usize = 256;

/// Writes down what passes and what does not.
pub(crate) struct Ledger {
    record: Arc<dyn Record>,
    interval: Duration,
    calls: Mutex<HashMap<SandboxId, Vec<CallId>>>,
    repeated: Arc<Mutex<Repeated>>,
}

#[derive(Default)]
struct Repeated {
    counts: HashMap<(SandboxId, Operation, Refusal), Again>,
    /// Whether somebody is waiting to write them down.
    watched: bool,
}

struct Again {
    refused: Refused,
    /// How often since it was written down.
    count: u32,
}

impl Ledger {
    pub(crate) fn new(record: Arc<dyn Record>) -> Self {
        Self { record, interval: INTERVAL, calls: Mutex::default(), repeated: Arc::default() }
    }

    /// These tool calls run now in this sandbox.
    pub(crate) fn running(&self, sandbox: SandboxId, calls: Vec<CallId>) {
        if self.calls(sandbox) == calls {
            return;
        }
        // What was counted belongs to those that ran until now, and they are told of it when they end.
        self.flush();
        let mut running = lock(&self.calls);
        if calls.is_empty() {
            running.remove(&sandbox);
        } else {
            running.insert(sandbox, calls);
        }
    }

    fn calls(&self, sandbox: SandboxId) -> Vec<CallId> {
        lock(&self.calls).get(&sandbox).cloned().unwrap_or_default()
    }

    /// Writes down what is about to be sent, durably.
    pub(crate) async fn pass(
        &self,
        sandbox: SandboxId,
        operation: Operation,
        rule: &str,
        credential: Option<&str>,
    ) -> Result<(), NotRecorded> {
        let calls = self.calls(sandbox);
        let (rule, credential) = (rule.to_owned(), credential.map(str::to_owned));
        self.record.passed(Passed { sandbox, operation, rule, credential, calls }).await
    }

    /// Writes down, now or together with its like, what was refused.
    pub(crate) fn refuse(&self, sandbox: SandboxId, operation: Operation, denied: &Denied) {
        self.record.tried(sandbox, denied.code);
        let calls = self.calls(sandbox);
        let refused = Refused {
            sandbox,
            operation,
            code: denied.code,
            reason: denied.reason.clone(),
            ask: denied.ask.clone(),
            count: 1,
            calls,
        };
        let first = self.count(refused);
        if let Some(refused) = first {
            self.record.refused(refused);
        }
    }

    /// A package came through.
    pub(crate) fn fetched(&self, fetched: Fetched) {
        self.record.fetched(fetched);
    }

    /// Counts it; gives it back if it is the first of its kind.
    fn count(&self, mut refused: Refused) -> Option<Refused> {
        let mut repeated = lock(&self.repeated);
        let key = |refused: &Refused| (refused.sandbox, refused.operation.clone(), refused.code);
        if repeated.counts.len() >= MOST && !repeated.counts.contains_key(&key(&refused)) {
            refused.operation = Operation::Connection { host: "many different ones".to_owned(), port: 0 };
            refused.reason = "too many different operations were refused to name each".to_owned();
            refused.ask = None;
        }
        if let Some(again) = repeated.counts.get_mut(&key(&refused)) {
            again.count = again.count.saturating_add(1);
            again.refused.calls = refused.calls;
            return None;
        }
        repeated.counts.insert(key(&refused), Again { refused: refused.clone(), count: 0 });
        if !repeated.watched
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            repeated.watched = true;
            runtime.spawn(watch(Arc::downgrade(&self.repeated), self.record.clone(), self.interval));
        }
        Some(refused)
    }

    /// Writes down what has been counted so far.
    pub(crate) fn flush(&self) {
        flush(&self.repeated, self.record.as_ref());
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes counts down once in a while, until there are none: an idle door has no timer.
async fn watch(repeated: Weak<Mutex<Repeated>>, record: Arc<dyn Record>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(repeated) = repeated.upgrade() else { return };
        if flush(&repeated, record.as_ref()) {
            return;
        }
    }
}

/// Writes down what was counted and forgets what was not; whether nothing is left.
fn flush(repeated: &Mutex<Repeated>, record: &dyn Record) -> bool {
    let mut due = Vec::new();
    let mut repeated = lock(repeated);
    repeated.counts.retain(|_, again| {
        if again.count > 0 {
            due.push(Refused { count: std::mem::take(&mut again.count), ..again.refused.clone() });
            return true;
        }
        false
    });
    repeated.watched = !repeated.counts.is_empty();
    let done = !repeated.watched;
    drop(repeated);
    for refused in due {
        record.refused(refused);
    }
    done
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::refuse::denied;

    #[derive(Default)]
    struct Log(Mutex<Vec<Refused>>, Mutex<usize>);

    #[async_trait]
    impl Record for Log {
        async fn passed(&self, _: Passed) -> Result<(), NotRecorded> {
            Err(NotRecorded)
        }

        fn tried(&self, _: SandboxId, _: Refusal) {
            *lock(&self.1) += 1;
        }

        fn refused(&self, refused: Refused) {
            lock(&self.0).push(refused);
        }

        fn fetched(&self, _: Fetched) {}
    }

    fn name(name: &str) -> Operation {
        Operation::Name { name: name.to_owned() }
    }

    #[tokio::test]
    async fn the_first_is_written_at_once_and_the_rest_are_counted() {
        let log = Arc::new(Log::default());
        let mut ledger = Ledger::new(log.clone());
        ledger.interval = Duration::from_millis(20);
        let sandbox = SandboxId::generate();
        let call = CallId { step: 3, index: 0 };
        ledger.running(sandbox, vec![call]);
        let no = denied(Refusal::Name, "no");
        for _ in 0..100 {
            ledger.refuse(sandbox, name("a"), &no);
        }
        ledger.refuse(sandbox, name("b"), &no);
        let counts = || lock(&log.0).iter().map(|refused| refused.count).collect::<Vec<_>>();
        assert_eq!(counts(), [1, 1]);
        assert_eq!(*lock(&log.1), 101, "what is counted is known at once");
        assert_eq!(lock(&log.0)[0].calls, [call]);
        // Written down after a while, and forgotten after another.
        while !lock(&ledger.repeated).counts.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(counts(), [1, 1, 99]);
        ledger.interval = INTERVAL;
        ledger.refuse(sandbox, name("a"), &no);
        ledger.refuse(sandbox, name("a"), &no);
        assert_eq!(counts(), [1, 1, 99, 1]);
        drop(ledger);
        assert_eq!(counts(), [1, 1, 99, 1, 1]);
    }

    #[tokio::test]
    async fn a_burst_of_different_ones_is_bounded() {
        let log = Arc::new(Log::default());
        let ledger = Ledger::new(log.clone());
        let sandbox = SandboxId::generate();
        for number in 0..10_000 {
            ledger.refuse(sandbox, name(&number.to_string()), &denied(Refusal::Name, "no"));
        }
        ledger.flush();
        let written = lock(&log.0);
        assert_eq!(written.len(), MOST + 2);
        assert_eq!(written.iter().map(|refused| refused.count).sum::<u32>(), 10_000);
    }
}
