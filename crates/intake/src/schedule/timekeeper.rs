//! Sleeps until something is due, and has it kept then.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::Timestamp;
use cofferdam_store::{Arrival, Everything, StoreError};
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::{
    Clock, Schedule,
    due::{DUE, SINCE, ScheduleWay},
    due_id,
};
use crate::Way as _;

/// How long a store is left alone that does not answer, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Keeps the times of schedules. Any number of processes may do so at once.
pub struct Timekeeper {
    store: Arc<dyn Everything>,
    ways: Vec<Arc<ScheduleWay>>,
    clock: Arc<dyn Clock>,
}

impl Timekeeper {
    /// One for these schedules.
    #[must_use]
    pub fn new(store: Arc<dyn Everything>, ways: Vec<Arc<ScheduleWay>>, clock: Arc<dyn Clock>) -> Self {
        Self { store, ways, clock }
    }

    /// Keeps them until it is asked to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let keeper = Arc::new(self);
        let mut kept = JoinSet::new();
        for way in keeper.ways.clone() {
            kept.spawn(Arc::clone(&keeper).keep(way));
        }
        // Nobody can ask any more where that fails.
        stop.wait_for(|stop| *stop).await.ok();
        kept.shutdown().await;
    }

    /// For as long as it is due again.
    async fn keep(self: Arc<Self>, way: Arc<ScheduleWay>) {
        let schedule = way.schedule();
        let mut after = insist(schedule, || self.kept_since(&way)).await;
        loop {
            let now = self.clock.now();
            if let Some(due) = schedule.owed(after, now) {
                let new = insist(schedule, || self.store.arrive(arrival(&way, DUE, due_id(due), now))).await;
                tracing::debug!(schedule = schedule.name(), due = due.utc(), new, "due");
            }
            // Also where the clock was set back: what is due again then has arrived before.
            after = now;
            let Some(next) = schedule.calendar().next(now) else { return };
            self.clock.until(next).await;
        }
    }

    /// The time up to which nothing is owed: when the schedule was first seen with these times, by whichever server. What came long ago is
    /// forgotten; then it is known that it is kept by the run before the latest.
    async fn kept_since(&self, way: &ScheduleWay) -> Result<Timestamp, StoreError> {
        let (schedule, now) = (way.schedule(), self.clock.now());
        let first = schedule.since_id();
        self.store.arrive(arrival(way, SINCE, first.clone(), now)).await?;
        let since = self.store.seen(way.source(), &first).await?.unwrap_or(now).min(now);
        let latest = schedule.calendar().latest(now);
        let before = latest.and_then(|due| schedule.calendar().latest(Timestamp(due.0.saturating_sub(1))));
        match before {
            Some(before) if before < since => {
                let was = self.store.seen(way.source(), &due_id(before)).await?;
                Ok(was.map_or(since, |_| before))
            }
            Some(_) | None => Ok(since),
        }
    }
}

fn arrival(way: &ScheduleWay, event: &str, id: String, at: Timestamp) -> Arrival {
    Arrival {
        source: way.source().to_owned(),
        id,
        event: event.to_owned(),
        line: way.schedule().name().to_owned(),
        org: way.org(),
        at,
        body: Vec::new(),
    }
}

/// Asks the store until it answers.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(schedule: &Schedule, ask: impl Fn() -> F) -> T {
    let mut pause = PAUSE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(schedule = schedule.name(), %error, "what is due cannot be kept yet");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
