//! Working on a session that works for another one, for as long as that one waits for it.

use std::sync::Arc;

use cofferdam_agent::Agent;
use cofferdam_domain::{Event, Outcome, SessionId, WaitingFor, causes::with_causes};
use cofferdam_store::StoreError;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{Delegation, Family, Halt, MOST_TRIES};
use crate::{
    Live, Watch, WorkerError,
    log::now,
    patience::{Pause, patiently},
    run::Left,
    work::{Ended, Job, work_on},
};

impl Delegation {
    /// Works on a session that works for the one of `agent`, until it ends.
    pub(crate) async fn attend(
        &self,
        session: SessionId,
        family: &Arc<Family>,
        agent: &Agent,
    ) -> Result<Result<Outcome, String>, Halt> {
        let store = &self.parts.store;
        let mut tries = 0;
        loop {
            match self.turn(session, family).await {
                Ok(Left::Ended(Ended::Over(outcome))) => return Ok(Ok(outcome)),
                Ok(Left::Ended(Ended::Interrupted)) => return Err(Halt::Stopped),
                Ok(Left::Ended(Ended::Waiting(WaitingFor::Budget))) if agent.spends_anyway(now()) => {
                    self.let_go_on(session).await.map_err(Halt::Failed)?;
                }
                Ok(Left::Ended(Ended::Waiting(WaitingFor::Budget))) => {
                    let what = self.purses.exceeded(self.owner).await;
                    let what = what.map_err(|error| Halt::Failed(error.into()))?;
                    return Err(Halt::Budget(
                        what.unwrap_or_else(|| "the day's budget is used up".to_owned()),
                    ));
                }
                Ok(Left::Ended(Ended::Waiting(_))) => self.until_somebody_writes(session).await?,
                Ok(Left::TakenBack) => {}
                Err(WorkerError::Store(StoreError::UnknownSession(gone))) if gone == session => {
                    return Ok(Err("Somebody has deleted its session.".to_owned()));
                }
                // Whoever had it before is not quite gone, or somebody else works on it.
                Err(WorkerError::Store(StoreError::Claimed { .. } | StoreError::Fenced { .. })) => {
                    self.a_moment().await?;
                }
                Err(error) if tries < MOST_TRIES => {
                    tries += 1;
                    if patiently(|| store.session(None, session)).await.is_err() {
                        return Err(Halt::Failed(error));
                    }
                    self.a_moment().await?;
                }
                Err(error) => return Ok(Err(format!("Its machine failed: {}.", with_causes(&error)))),
            }
        }
    }

    async fn turn(&self, session: SessionId, family: &Arc<Family>) -> Result<Left, WorkerError> {
        let claim = self.parts.store.claim(session, &self.parts.name).await?;
        let job = Job {
            parts: self.parts.clone(),
            claim: &claim,
            owner: self.owner,
            purses: self.purses.clone(),
            watch: Arc::new(Below(self.watch.clone())),
            grace: self.grace,
            crashes: 0,
            family: Some(family.clone()),
        };
        Ok(Box::pin(work_on(job, None, self.stop.subscribe())).await?.left)
    }

    /// Waits until there is news in the log of a subagent that waits for a person.
    async fn until_somebody_writes(&self, session: SessionId) -> Result<(), Halt> {
        let failed = |error: StoreError| Halt::Failed(error.into());
        let store = &self.parts.store;
        let last =
            store.session(None, session).await.map_err(failed)?.map(|row| row.last).unwrap_or_default();
        let mut news = store.follow(session, last).await.map_err(failed)?;
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            () = stopped(&mut stop) => Err(Halt::Stopped),
            _ = news.next() => Ok(()),
        }
    }

    async fn a_moment(&self) -> Result<(), Halt> {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            () = stopped(&mut stop) => Err(Halt::Stopped),
            () = async { Pause::new().wait().await } => Ok(()),
        }
    }
}

/// Whoever watches a session hears of those that work for it, and of what they do only that.
struct Below(Arc<dyn Watch>);

impl Watch for Below {
    fn event(&self, event: &Event) {
        self.0.below(event);
    }

    fn below(&self, event: &Event) {
        self.0.below(event);
    }

    fn live(&self, _: Live<'_>) {}

    fn written(&self, took: std::time::Duration) {
        self.0.written(took);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
