//! Removing what has expired and what was deleted, for as long as a service runs.
//!
//! A round says when the next one has something to do, and until then nothing is looked at. What is deleted by somebody on another machine is heard
//! of as the queue is.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cofferdam_domain::Timestamp;
use cofferdam_store::{Everything, Retention, upkeep};
use cofferdam_worker::{StopSignal, WorkerError, erase_forgotten, erase_forgotten_after, expire, now};
use futures_util::StreamExt as _;

/// After a failure.
const AGAIN: Duration = Duration::from_secs(10 * 60);
/// The longest time without a round: others may have changed what is to be kept.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after something has changed it is looked for what was deleted: once for all that changes meanwhile.
const SHORTLY: Duration = Duration::from_secs(5);
/// A transaction that was begun so much earlier than others may show after them.
const OVERLAP: u64 = 10 * 60 * 1000;

/// What is removed, and where.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) store: Arc<dyn Everything>,
    pub(crate) retention: Retention,
    /// The data directory of a worker.
    pub(crate) data: Option<PathBuf>,
}

impl Upkeep {
    /// Goes on until it is told to stop.
    pub(crate) async fn run(self, mut stop: StopSignal) {
        // Before anything else, so that also a service that is stopped at once has removed what was deleted while it was away.
        if let Some(data) = &self.data
            && let Err(error) = erase_forgotten(&*self.store, data).await
        {
            tracing::warn!(%error, "something of deleted sessions is left on disk");
        }
        let rounds = self.clone().rounds();
        let deletions = self.deletions();
        let work = async { tokio::join!(rounds, deletions) };
        tokio::select! {
            _ = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn rounds(self) {
        loop {
            let wait = self.round().await;
            tokio::time::sleep(wait).await;
        }
    }

    /// Removes what has expired; says how long nothing else will have.
    async fn round(&self) -> Duration {
        let at = now();
        let mut wait = match upkeep(&*self.store, self.retention, at).await {
            Ok(kept) => {
                if kept.sessions > 0 || kept.contents > 0 {
                    tracing::info!(sessions = kept.sessions, contents = kept.contents, "expired");
                }
                Duration::from_millis(kept.next.millis_since(at))
            }
            Err(error) => {
                tracing::warn!(%error, "what has expired cannot be removed");
                AGAIN
            }
        };
        if let Some(data) = &self.data {
            wait = match expire(&*self.store, data, self.retention, at).await {
                Ok(Some(next)) => wait.min(Duration::from_millis(next.millis_since(at))),
                Ok(None) => wait,
                Err(error) => {
                    tracing::warn!(%error, "files that have expired cannot be removed");
                    wait.min(AGAIN)
                }
            };
        }
        // Sessions that end from now on are kept for a day at least.
        wait.min(LONGEST)
    }

    /// Removes from this machine what was deleted while it was not looking, and then what is deleted anywhere.
    async fn deletions(self) {
        let Some(data) = &self.data else { return std::future::pending().await };
        loop {
            if let Err(error) = self.hear(data).await {
                tracing::warn!(%error, "something of deleted sessions is left on disk");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Returns when nothing can be heard, or something cannot be removed.
    async fn hear(&self, data: &std::path::Path) -> Result<(), WorkerError> {
        let mut stirred = self.store.stirred().await?;
        let mut last = Timestamp(now().0.saturating_sub(OVERLAP));
        erase_forgotten(&*self.store, data).await?;
        while let Some(()) = stirred.next().await {
            tokio::time::sleep(SHORTLY).await;
            last = erase_forgotten_after(&*self.store, data, Timestamp(last.0.saturating_sub(OVERLAP)))
                .await?
                .max(last);
        }
        Ok(())
    }
}
