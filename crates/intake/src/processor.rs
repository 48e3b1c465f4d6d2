//! Takes what arrived and has its way deal with it.
//!
//! Several processes may do all of this at once: the store gives each arrival to one of them, and those of one line one after another. Nothing
//! is polled: the store says when there may be something, also when the time of something has come that could not be dealt with before.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cofferdam_domain::{Timestamp, WorkerId};
use cofferdam_store::{Dealt, Everything, StoreError, TakenArrival, while_held};
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::Way;

/// Arrivals that are dealt with at the same time.
const AT_ONCE: usize = 8;
/// How long dealing with one may take.
const LONGEST: Duration = Duration::from_secs(60);
/// For how long it is taken, again and again while it is dealt with: whoever dies with one keeps it so long from others.
const LEASE: Duration = Duration::from_secs(15);
/// How long a store is left alone that does not answer, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often it is tried to write down what became of an arrival.
const NOTES: u32 = 5;
/// The longest wait between two tries, and how long after its arrival something is given up that could not be dealt with.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
const GIVE_UP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Has what arrived dealt with.
pub struct Processor {
    store: Arc<dyn Everything>,
    ways: Vec<Arc<dyn Way>>,
    /// Names this process.
    holder: String,
}

impl Processor {
    /// One for these ways.
    #[must_use]
    pub fn new(store: Arc<dyn Everything>, ways: Vec<Arc<dyn Way>>) -> Self {
        Self { store, ways, holder: WorkerId::generate().to_string() }
    }

    /// Deals with what arrives until it is asked to stop. What is under way then is done again by somebody else.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut attending = JoinSet::new();
        if !self.ways.is_empty() {
            attending.spawn(Arc::new(self).attend());
        }
        // Nobody can ask any more where that fails.
        stop.wait_for(|stop| *stop).await.ok();
        attending.shutdown().await;
    }

    /// For ever.
    async fn attend(self: Arc<Self>) {
        let sources: Vec<String> = self.ways.iter().map(|way| way.source().to_owned()).collect();
        let mut pause = PAUSE;
        loop {
            let ended = match self.store.arrivals(&sources).await {
                Ok(arrivals) => self.serve(&sources, arrivals, &mut pause).await,
                Err(error) => error,
            };
            tracing::warn!(error = %ended, "what arrived cannot be read");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Deals with what there is each time that there may be something. Gives back what went wrong with the store.
    async fn serve(
        self: &Arc<Self>,
        sources: &[String],
        mut arrivals: BoxStream<'static, ()>,
        pause: &mut Duration,
    ) -> StoreError {
        let mut under_way = JoinSet::new();
        let mut look = true;
        loop {
            if look && under_way.len() < AT_ONCE {
                match self.store.take_arrival(&self.holder, sources, millis(LEASE)).await {
                    Ok(Some(taken)) => {
                        *pause = PAUSE;
                        under_way.spawn(Arc::clone(self).deal_with(taken));
                    }
                    Ok(None) => look = false,
                    Err(error) => return error,
                }
                continue;
            }
            tokio::select! {
                Some(_) = under_way.join_next(), if !under_way.is_empty() => look = true,
                // While there is no room it does not matter what waits.
                news = arrivals.next(), if under_way.len() < AT_ONCE => match news {
                    Some(()) => look = true,
                    None => return StoreError::Deaf,
                },
            }
        }
    }

    async fn deal_with(self: Arc<Self>, taken: TakenArrival) {
        let arrival = &taken.arrival;
        let Some(way) = self.ways.iter().find(|way| way.source() == arrival.source) else { return };
        let (source, id) = (&arrival.source, &arrival.id);
        let renew = || self.store.hold_arrival(&taken, millis(LEASE));
        let dealt = match while_held(timeout(LONGEST, way.deal(&taken)), LEASE, renew).await {
            Some(Ok(Ok(dealt))) => dealt,
            Some(Ok(Err(error))) => again(&taken, error.to_string(), None),
            Some(Err(_)) => again(&taken, "it took too long".to_owned(), None),
            None => return tracing::warn!(%source, %id, "somebody else deals with it meanwhile"),
        };
        match &dealt {
            Dealt::Done { session, what } => {
                let session = session.map(|session| session.to_string()).unwrap_or_default();
                tracing::info!(%source, %id, session, what, "dealt with");
            }
            Dealt::Again { at, reason } => {
                tracing::warn!(%source, %id, at = at.0, reason, "cannot be dealt with yet");
            }
            Dealt::GivenUp { reason } => tracing::warn!(%source, %id, reason, "given up"),
        }
        if let Err(error) = self.note(&taken, dealt).await {
            tracing::warn!(%source, %id, %error, "what became of an arrival could not be written down");
        }
    }

    /// Writes it down, also where the store is away for a moment: what is not written down is done again.
    async fn note(&self, taken: &TakenArrival, dealt: Dealt) -> Result<(), StoreError> {
        let mut pause = PAUSE;
        for _ in 1..NOTES {
            if self.store.dealt(taken, dealt.clone()).await.is_ok() {
                return Ok(());
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.store.dealt(taken, dealt).await
    }
}

/// That something is to be tried again: later with each try, not before `at` where whoever was asked says so, and after a week not any more.
#[must_use]
pub fn again(taken: &TakenArrival, reason: String, at: Option<Timestamp>) -> Dealt {
    let step = taken.tries.saturating_sub(1).min(16);
    let wait = Duration::from_secs(1 << step).min(LONGEST_WAIT);
    let now = now();
    let at = Timestamp(now.0.saturating_add(millis(wait))).max(at.unwrap_or(now));
    if at.millis_since(taken.arrival.at) >= millis(GIVE_UP) {
        return Dealt::GivenUp { reason: format!("{reason}; tried {} times", taken.tries) };
    }
    Dealt::Again { at, reason }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What time it is.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::OrgId;
    use cofferdam_store::Arrival;

    use super::*;

    fn taken(tries: u32, at: Timestamp) -> TakenArrival {
        let (source, id, event, line) = ("forge".into(), "1".into(), "issues".into(), "1".into());
        let arrival = Arrival { source, id, event, line, org: OrgId::from_u128(0), at, body: Vec::new() };
        TakenArrival { arrival, tries, holder: String::new() }
    }

    #[test]
    fn tries_are_further_and_further_apart_and_end() {
        let wait = |tries| match again(&taken(tries, now()), String::new(), None) {
            Dealt::Again { at, .. } => at.0.saturating_sub(now().0),
            Dealt::Done { .. } | Dealt::GivenUp { .. } => panic!(),
        };
        assert!(wait(1) <= 1000 && wait(4) > 7000 && wait(4) <= 8000);
        assert!(wait(u32::MAX) <= millis(LONGEST_WAIT));
        let told = Timestamp(now().0 + 3_600_000);
        assert_eq!(
            again(&taken(1, now()), "away".into(), Some(told)),
            Dealt::Again { at: told, reason: "away".into() }
        );
        let old = Timestamp(now().0 - millis(GIVE_UP));
        let Dealt::GivenUp { reason } = again(&taken(9, old), "away".into(), None) else { panic!() };
        assert_eq!(reason, "away; tried 9 times");
    }
}
