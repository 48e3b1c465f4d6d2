//! Sends spans to a collector, behind the back of whoever writes the log.
//!
//! The log is the queue. Whoever writes it only says of which session there is news ([`Exporter::heard`]); one task reads the log, folds it, and
//! delivers what is over. While the collector takes nothing, it reads no further than a bounded number of spans. So nothing here can hold a
//! session up, and a collector that is away for an hour loses no span.
//!
//! A span is delivered at least once. Its ids follow from the log, so that twice is as good as once. What a worker that was killed had not
//! delivered is made again by the next one that claims the session, or from the journal by the next process on the same data directory.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use cofferdam_domain::{Seq, SessionId};
use reqwest::Client;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    Left, Logs, Settings, Span, SpanCounts, Unread,
    following::Following,
    journal::Journal,
    post::{Delivery, deliver},
    wire,
};

/// Spans that wait in memory; then the log is read no further.
const MOST_SPANS: usize = 2048;
/// Spans of one delivery.
const BATCH: usize = 512;
/// Sessions that are followed at once.
const MOST_SESSIONS: usize = 512;
/// How long spans are gathered before they are delivered.
const GATHER: Duration = Duration::from_millis(500);
/// How long a session that is at rest is remembered.
const REST: Duration = Duration::from_secs(60);
/// How long the collector is left alone after it took nothing, and at most after several times.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What an exporter is made of.
pub struct Parts {
    /// Where the logs are.
    pub logs: Arc<dyn Logs>,
    /// Where spans go.
    pub settings: Settings,
    /// What posts them.
    pub client: Client,
    /// A directory for notes on what is not delivered yet.
    pub journal: Option<PathBuf>,
    /// Counts them.
    pub counts: Arc<SpanCounts>,
    /// Is told what whoever runs this should know. Must not block.
    pub told: Arc<dyn Fn(Told<'_>) + Send + Sync>,
}

/// What whoever runs this should know.
#[derive(Debug)]
pub enum Told<'a> {
    /// The collector takes nothing, for this reason; what there is waits.
    Away(&'a str),
    /// It does again.
    Back,
    /// So many spans are lost: the collector answered with this status.
    Refused(u64, u16),
    /// So many spans are lost: the collector said so.
    Rejected(u64),
    /// So many spans are lost: there was too much to follow while the collector was away.
    Behind(u64),
    /// The log cannot be read.
    Unread(&'a Unread),
}

/// Sends spans to a collector.
pub struct Exporter {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// Sessions of which there is news, and the first event of it.
    heard: Mutex<BTreeMap<SessionId, Seq>>,
    wake: Notify,
    /// Until when all is to be delivered, once it is to end.
    end: watch::Sender<Option<Instant>>,
    counts: Arc<SpanCounts>,
}

impl Exporter {
    /// Starts with what the journal says is left.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let shared = Arc::new(Shared {
            heard: Mutex::default(),
            wake: Notify::new(),
            end: watch::Sender::new(None),
            counts: parts.counts.clone(),
        });
        shared.counts.used.store(true, Ordering::Relaxed);
        let work = Work {
            journal: parts.journal.clone().map(Journal::new),
            parts,
            shared: shared.clone(),
            following: BTreeMap::new(),
            queue: VecDeque::new(),
            pause: FIRST_PAUSE,
            retry: None,
            asked: false,
        };
        let task = Mutex::new(Some(tokio::spawn(work.run())));
        Self { shared, task }
    }

    /// There is an event in a session's log. Costs next to nothing.
    pub fn heard(&self, session: SessionId, seq: Seq) {
        self.shared.hear(session, seq);
        self.shared.wake.notify_one();
    }

    /// Delivers what there is, for at most this long, and ends.
    pub async fn finish(&self, patience: Duration) -> Left {
        self.shared.end.send_replace(Some(Instant::now() + patience));
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A defect of it is none of a session's.
            task.await.ok();
        }
        self.shared.counts.left()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Shared {
    fn hear(&self, session: SessionId, seq: Seq) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.entry(session).or_insert(seq);
    }
}

/// The task that reads, folds and delivers.
struct Work {
    parts: Parts,
    journal: Option<Journal>,
    shared: Arc<Shared>,
    following: BTreeMap<SessionId, Following>,
    queue: VecDeque<(SessionId, Span)>,
    pause: Duration,
    /// The collector is left alone until then.
    retry: Option<Instant>,
    /// The collector itself said until when.
    asked: bool,
}

impl Work {
    async fn run(mut self) {
        let mut end = self.shared.end.subscribe();
        for session in self.journal.iter().flat_map(|journal| journal.left(MOST_SESSIONS)) {
            self.shared.hear(session, Seq::START);
        }
        loop {
            let until = *end.borrow_and_update();
            let whole = self.round(until).await;
            self.settle(until.is_some());
            if until.is_some_and(|until| self.is_over(until, whole)) {
                return;
            }
            self.wait(&mut end, whole).await;
        }
    }

    /// Reads and delivers what there is; whether there is nothing more to read now.
    async fn round(&mut self, until: Option<Instant>) -> bool {
        let round = async {
            let whole = self.take_up().await && self.read().await;
            self.deliver().await;
            whole
        };
        match until {
            None => round.await,
            Some(until) => timeout_at(until, round).await.unwrap_or(false),
        }
    }

    fn is_over(&self, until: Instant, whole: bool) -> bool {
        let done = whole && self.queue.is_empty();
        let worth_waiting = self.retry.is_none_or(|retry| self.asked && retry < until);
        done || Instant::now() >= until || !worth_waiting
    }

    /// Waits for news, for the collector's time to come, or the end.
    async fn wait(&mut self, end: &mut watch::Receiver<Option<Instant>>, whole: bool) {
        let now = Instant::now();
        let again = match self.retry {
            Some(retry) => retry,
            None if !whole || !self.queue.is_empty() => now + GATHER,
            None => now + REST,
        };
        let ending = end.borrow().is_some();
        tokio::select! {
            () = sleep_until(again) => {}
            _ = end.changed(), if !ending => {}
            () = self.shared.wake.notified(), if !ending && self.retry.is_none() => {
                tokio::select! {
                    () = sleep_until(Instant::now() + GATHER) => {}
                    _ = end.changed() => {}
                }
            }
        }
        // Whether it is to end is looked at next.
        end.mark_changed();
    }

    /// Looks after the sessions of which there is news; whether all could be taken up.
    async fn take_up(&mut self) -> bool {
        let heard = std::mem::take(&mut *self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let mut whole = true;
        for (session, seq) in heard {
            if let Some(following) = self.following.get_mut(&session) {
                following.behind = true;
                following.touched = Instant::now();
                continue;
            }
            let entry = self.journal.as_ref().and_then(|journal| journal.take(session));
            if seq == Seq::START && entry.is_none() {
                // Left behind by a process that is alive after all.
                continue;
            }
            let content = self.parts.settings.content;
            match Following::begin(&self.parts.logs, session, seq, content, entry).await {
                Ok(following) => drop(self.following.insert(session, following)),
                Err(error) => {
                    whole &= self.unread(session, seq, &error);
                }
            }
            self.make_room().await;
        }
        whole
    }

    /// A log that cannot be read: later it may be, unless it is gone. Whether it is gone.
    fn unread(&self, session: SessionId, seq: Seq, error: &Unread) -> bool {
        if matches!(error, Unread::Gone) {
            if let Some(entry) = self.journal.as_ref().and_then(|journal| journal.take(session)) {
                entry.remove();
            }
            return true;
        }
        (self.parts.told)(Told::Unread(error));
        self.shared.hear(session, seq);
        false
    }

    /// Gives up the session that was not heard of for the longest, if there are too many.
    async fn make_room(&mut self) {
        if self.following.len() <= MOST_SESSIONS {
            return;
        }
        let oldest = self.following.iter().min_by_key(|(_, following)| following.touched);
        let Some(mut following) = oldest.map(|(id, _)| *id).and_then(|id| self.following.remove(&id)) else {
            return;
        };
        while following.behind && following.read(&self.parts.logs).await.is_ok() {}
        let session = following.session();
        self.queue.retain(|(of, _)| *of != session);
        let lost = following.waiting as u64;
        following.forget();
        if lost > 0 {
            self.shared.counts.behind.fetch_add(lost, Ordering::Relaxed);
            (self.parts.told)(Told::Behind(lost));
        }
    }

    /// Folds logs until there are enough spans; whether all are folded.
    async fn read(&mut self) -> bool {
        let behind: Vec<SessionId> = self
            .following
            .iter()
            .filter(|(_, following)| following.behind)
            .map(|(session, _)| *session)
            .collect();
        let mut whole = true;
        for session in behind {
            let Some(following) = self.following.get_mut(&session) else { continue };
            while following.behind {
                if self.queue.len() >= MOST_SPANS {
                    return false;
                }
                match following.read(&self.parts.logs).await {
                    Ok(made) => self.queue.extend(made.into_iter().map(|span| (session, span))),
                    Err(Unread::Gone) => following.behind = false,
                    Err(error) => {
                        (self.parts.told)(Told::Unread(&error));
                        whole = false;
                        break;
                    }
                }
            }
        }
        whole
    }

    /// Delivers until there is nothing left, or the collector takes no more.
    async fn deliver(&mut self) {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return;
        }
        self.retry = None;
        while !self.queue.is_empty() {
            let count = self.queue.len().min(BATCH);
            let spans = self.queue.iter().take(count).map(|(_, span)| span);
            let body = wire::request(&self.parts.settings.resource, spans);
            let counts = &self.shared.counts;
            match deliver(&self.parts.client, &self.parts.settings, body).await {
                Delivery::Taken(rejected) => {
                    let rejected = rejected.min(count as u64);
                    counts.sent.fetch_add(count as u64 - rejected, Ordering::Relaxed);
                    if rejected > 0 {
                        counts.rejected.fetch_add(rejected, Ordering::Relaxed);
                        (self.parts.told)(Told::Rejected(rejected));
                    }
                    self.pause = FIRST_PAUSE;
                    self.is_away(None);
                }
                Delivery::Refused(status) => {
                    counts.refused.fetch_add(count as u64, Ordering::Relaxed);
                    (self.parts.told)(Told::Refused(count as u64, status));
                }
                Delivery::Later { why, after } => {
                    self.asked = after.is_some();
                    self.retry = Some(Instant::now() + after.unwrap_or(self.pause));
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    return self.is_away(Some(&why));
                }
            }
            for (session, _) in self.queue.drain(..count) {
                if let Some(following) = self.following.get_mut(&session) {
                    following.waiting = following.waiting.saturating_sub(1);
                }
            }
        }
    }

    /// Says so when the collector goes away or is back.
    fn is_away(&self, why: Option<&str>) {
        let was = self.shared.counts.away.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(why) if !was => (self.parts.told)(Told::Away(why)),
            None if was => (self.parts.told)(Told::Back),
            Some(_) | None => {}
        }
    }

    /// Notes how far everything is delivered, and forgets what needs no looking after. When it is to end, all that can be forgotten is.
    fn settle(&mut self, ending: bool) {
        let mut left = 0;
        let idle = |following: &Following| {
            following.is_told() && following.is_at_rest() && (ending || following.touched.elapsed() >= REST)
        };
        for following in self.following.values_mut() {
            following.note();
            left += u64::from(!following.is_told());
        }
        let forgotten: Vec<SessionId> =
            self.following.iter().filter(|(_, following)| idle(following)).map(|(id, _)| *id).collect();
        for session in forgotten {
            if let Some(following) = self.following.remove(&session) {
                following.forget();
            }
        }
        let counts = &self.shared.counts;
        counts.sessions.store(left, Ordering::Relaxed);
        counts.waiting.store(self.queue.len() as u64, Ordering::Relaxed);
    }
}
