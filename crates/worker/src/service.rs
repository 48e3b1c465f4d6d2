//! The worker as a service: it is present in the queue, takes sessions while it has room, works on them side by side, and gives them back.
//!
//! Sessions share nothing but the parts: what goes wrong with one, be it a panic, touches no other. A session that waits, in the queue
//! or for a person, costs nothing here.

use std::{any::Any, num::NonZeroUsize, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use cofferdam_domain::{SessionId, Timestamp, WorkerId, causes::with_causes};
use cofferdam_store::{Presence, Queue, Release, Shares, StoreError, Taken};
use futures_util::{FutureExt as _, StreamExt as _, stream::BoxStream};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{
    Ended, Parts, StopSignal, Watch, WorkerError, layers, leftovers,
    log::now,
    patience::{Passing as _, Pause, patiently},
    purses::Purses,
    run::Left,
    work::{Job, Worked, work_on},
};

/// How a worker of the queue works.
#[derive(Clone)]
pub struct ServiceOptions {
    /// Sessions that it works on at once.
    pub slots: NonZeroUsize,
    /// How many sessions may be worked on at once by all workers.
    pub shares: Shares,
    /// How long it may be silent before others take its sessions over.
    pub patience: Duration,
    /// How long what is under way may take to end when it is asked to stop; then it is cut short.
    pub grace: Duration,
    /// Watches all its sessions.
    pub watch: Arc<dyn Watch>,
    /// Is told what happens, to log and to count it. Must not block.
    pub news: Arc<dyn Fn(ServiceNews<'_>) + Send + Sync>,
}

/// What happens in a service.
#[derive(Debug, Clone, Copy)]
pub enum ServiceNews<'a> {
    /// It is present in the queue.
    Entered(WorkerId),
    /// It has taken a session, which so many workers in a row have died with.
    Taken(SessionId, u32),
    /// It has given a session back, for this reason.
    Released(SessionId, &'a Ended),
    /// A session was taken back by somebody and is to be taken again.
    TakenBack(SessionId),
    /// It could not go on with a session, for this reason: something of this machine's failed. In words without what others wrote: the
    /// store has all of it.
    Because(SessionId, &'a str),
    /// It has given such a session back, to be tried again later.
    Failed(SessionId),
    /// Another worker has a session now.
    Overtaken(SessionId),
    /// A session was deleted while it was worked on; nothing of it is left here.
    Deleted(SessionId),
    /// The store cannot be asked for more at present.
    StoreFailed(&'a StoreError),
    /// It was silent for too long: all its sessions belong to others, and it begins anew.
    Lost,
    /// It takes no more sessions, and has so many left.
    Draining(usize),
}

/// How long a session is left alone after something of this machine's has failed, and at most after several times.
const REST: Duration = Duration::from_secs(15);
const LONGEST_REST: Duration = Duration::from_secs(10 * 60);
/// How long giving a session back may take when the worker is to stop.
const GIVING_BACK: Duration = Duration::from_secs(10);

/// A worker of the queue.
pub struct Service {
    parts: Arc<Parts>,
    queue: Arc<dyn Queue>,
    options: ServiceOptions,
    purses: Arc<Purses>,
    /// Turns true when sessions are to come to a safe point.
    drain: watch::Sender<bool>,
}

/// How a presence came to its end.
enum Over {
    /// All its sessions are given back.
    Stopped,
    /// They are others' now.
    Lost,
}

type Stirred = BoxStream<'static, ()>;
/// Sessions that are worked on; each gives itself back.
type Sessions = JoinSet<()>;

impl Service {
    /// Takes sessions from the queue and works on them until it is asked to stop; then it brings each to a safe point and hands it over.
    ///
    /// # Errors
    /// When the queue cannot be entered, for another reason than that it cannot be reached: that is waited out.
    pub async fn run(
        parts: Arc<Parts>,
        queue: Arc<dyn Queue>,
        options: ServiceOptions,
        mut stop: StopSignal,
    ) -> Result<(), WorkerError> {
        let purses = Purses::new(parts.ledger.clone());
        let service = Arc::new(Self { parts, queue, options, purses, drain: watch::Sender::new(false) });
        loop {
            let entered = tokio::select! {
                entered = service.clear_and_enter() => entered?,
                () = stopped(&mut stop) => return Ok(()),
            };
            match service.attend(entered, &mut stop).await? {
                Over::Stopped => return Ok(()),
                Over::Lost => service.tell(ServiceNews::Lost),
            }
        }
    }

    fn tell(&self, news: ServiceNews<'_>) {
        (self.options.news)(news);
    }

    async fn clear_and_enter(&self) -> Result<Presence, WorkerError> {
        // No reason not to work: the next time tries again.
        leftovers::clear(&self.parts).await.ok();
        self.enter().await
    }

    async fn enter(&self) -> Result<Presence, WorkerError> {
        let presence = patiently(|| self.queue.enter(&self.parts.name, self.options.patience)).await?;
        self.tell(ServiceNews::Entered(presence.worker));
        Ok(presence)
    }

    /// Works for as long as it is present.
    async fn attend(
        self: &Arc<Self>,
        presence: Presence,
        stop: &mut StopSignal,
    ) -> Result<Over, WorkerError> {
        let mut lost = presence.lost.clone();
        let mut stirred = self.listen().await?;
        let mut sessions = Sessions::new();
        let mut pause = Pause::new();
        let mut look = true;
        loop {
            let room = sessions.len() < self.options.slots.get();
            if look && room {
                look = self.take(&presence, &mut sessions, &mut pause).await;
                continue;
            }
            tokio::select! {
                biased;
                () = turned(&mut lost) => {
                    // Whatever they still do would be refused: nothing is written any more.
                    sessions.shutdown().await;
                    return Ok(Over::Lost);
                }
                () = stopped(stop) => break,
                Some(_) = sessions.join_next(), if !sessions.is_empty() => look = true,
                stirred_again = stirred.next(), if room => match stirred_again {
                    Some(()) => look = true,
                    None => {
                        pause.wait().await;
                        stirred = self.listen().await?;
                        look = true;
                    }
                },
            }
        }
        self.drain(&mut sessions, &mut lost).await;
        let left = timeout(GIVING_BACK, self.queue.leave(presence)).await;
        if let Ok(Err(error)) = left {
            self.tell(ServiceNews::StoreFailed(&error));
        }
        Ok(Over::Stopped)
    }

    async fn listen(&self) -> Result<Stirred, WorkerError> {
        Ok(patiently(|| self.queue.stirred()).await?)
    }

    /// Takes the next session, if there is one; whether there may be more.
    async fn take(self: &Arc<Self>, presence: &Presence, sessions: &mut Sessions, pause: &mut Pause) -> bool {
        match self.queue.next(presence, self.options.shares).await {
            Ok(Some(taken)) => {
                *pause = Pause::new();
                self.tell(ServiceNews::Taken(taken.claim.session, taken.crashes));
                sessions.spawn(Arc::clone(self).attend_to(taken));
                true
            }
            Ok(None) => false,
            // Also when the presence is lost, which is noticed right after.
            Err(error) => {
                if !*presence.lost.borrow() {
                    self.tell(ServiceNews::StoreFailed(&error));
                    pause.wait().await;
                }
                !*presence.lost.borrow()
            }
        }
    }

    /// Brings all sessions to a safe point.
    async fn drain(&self, sessions: &mut Sessions, lost: &mut watch::Receiver<bool>) {
        self.tell(ServiceNews::Draining(sessions.len()));
        self.drain.send_replace(true);
        let all = async { while sessions.join_next().await.is_some() {} };
        let patience = self.options.grace + GIVING_BACK;
        tokio::select! {
            () = turned(lost) => {}
            _ = timeout(patience, all) => {}
        }
        sessions.shutdown().await;
    }

    /// Works on one session and gives it back.
    async fn attend_to(self: Arc<Self>, taken: Taken) {
        let session = taken.claim.session;
        let job = Job {
            parts: self.parts.clone(),
            claim: &taken.claim,
            owner: taken.owner,
            purses: self.purses.clone(),
            watch: self.options.watch.clone(),
            grace: self.options.grace,
            crashes: taken.crashes,
            family: None,
        };
        let worked =
            AssertUnwindSafe(Box::pin(work_on(job, None, self.drain.subscribe()))).catch_unwind().await;
        let crashes = taken.crashes;
        let (release, news) = match &worked {
            Ok(Ok(Worked { left: Left::Ended(ended), seen, again })) => {
                let release = match ended {
                    Ended::Waiting(_) if let Some(at) = again => Release::TryAgain {
                        not_before: *at,
                        reason: "some of the attempts at its task are not made yet".to_owned(),
                    },
                    Ended::Over(_) | Ended::Waiting(_) => Release::Done { seen: *seen },
                    Ended::Interrupted => Release::HandOver,
                };
                (release, ServiceNews::Released(session, ended))
            }
            Ok(Ok(Worked { left: Left::TakenBack, .. })) => {
                (Release::HandOver, ServiceNews::TakenBack(session))
            }
            Ok(Err(WorkerError::Store(StoreError::Fenced { .. }))) => {
                return self.tell(ServiceNews::Overtaken(session));
            }
            Ok(Err(WorkerError::Store(StoreError::UnknownSession(gone)))) if *gone == session => {
                return self.erase(session).await;
            }
            Ok(Err(error)) => (again(crashes, with_causes(error)), ServiceNews::Failed(session)),
            Err(panic) => {
                let reason = format!("the worker has a defect: {}", in_words(&**panic));
                (again(crashes, reason), ServiceNews::Failed(session))
            }
        };
        match &worked {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.tell(ServiceNews::Because(session, &error.in_own_words())),
            // What it said may have somebody's text in it.
            Err(_) => self.tell(ServiceNews::Because(session, "the worker has a defect")),
        }
        match self.give_back(&taken, &release).await {
            Ok(()) => self.tell(news),
            Err(StoreError::Fenced { .. }) => self.tell(ServiceNews::Overtaken(session)),
            Err(StoreError::UnknownSession(_)) => self.erase(session).await,
            // It is given to others once this worker is gone.
            Err(error) => self.tell(ServiceNews::StoreFailed(&error)),
        }
    }

    /// Removes what a session has left here that was deleted while it was worked on: whoever deleted it could not remove what was still being
    /// written.
    async fn erase(&self, session: SessionId) {
        if let Err(error) = layers::erase(&self.parts.data, session).await {
            self.tell(ServiceNews::Because(session, &error.in_own_words()));
        }
        self.tell(ServiceNews::Deleted(session));
    }

    /// Gives a session back, however long the store cannot be written: nobody else may take it before, and this worker does not work on it.
    async fn give_back(&self, taken: &Taken, release: &Release) -> Result<(), StoreError> {
        let mut pause = Pause::new();
        loop {
            match self.queue.release(taken.once_more(), release.clone()).await {
                Err(error) if error.passes() || is_full(&error) => {
                    self.tell(ServiceNews::StoreFailed(&error));
                    pause.wait().await;
                }
                done => return done,
            }
        }
    }
}

const fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. } | StoreError::Busy { .. })
}

/// Something failed that is no fault of the task: later it may not.
fn again(times: u32, reason: String) -> Release {
    let rest = REST.saturating_mul(1 << times.min(10)).min(LONGEST_REST);
    let rest = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
    Release::TryAgain { not_before: Timestamp(now().0.saturating_add(rest)), reason }
}

/// What a panic said.
fn in_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no more is known")
}

/// Returns when the flag is true; never if nobody can set it any more.
async fn turned(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns when the worker is asked to stop.
async fn stopped(stop: &mut StopSignal) {
    turned(stop).await;
}
