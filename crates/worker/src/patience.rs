//! Waiting out a store that cannot be reached for a while.

use std::time::Duration;

use cofferdam_store::StoreError;
use tokio::time::sleep;

use crate::WorkerError;

/// How long to wait before the first further try, and at most before each.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// The time between one try and the next.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(FIRST)
    }

    /// Waits, longer each time.
    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

/// Whether the store may be back in a moment.
pub(crate) trait Passing {
    fn passes(&self) -> bool;
}

impl Passing for StoreError {
    fn passes(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::BucketAway { .. })
    }
}

impl Passing for WorkerError {
    fn passes(&self) -> bool {
        matches!(self, Self::Store(error) if error.passes())
    }
}

/// Does what reads or may be done again, until the store can be reached. Whoever has no more patience drops the future.
pub(crate) async fn patiently<T, E: Passing, F: Future<Output = Result<T, E>>>(
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let mut pause = Pause::new();
    loop {
        match attempt().await {
            Err(error) if error.passes() => pause.wait().await,
            done => return done,
        }
    }
}
