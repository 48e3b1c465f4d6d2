//! The warm pool: from asking for a sandbox until its first command has ended, when one waits.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Place, rest, run};
use crate::figures::{Samples, head, row};

/// How long the pool may take to be filled again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures claims, with nothing else going on: the pool is full before each.
pub(super) async fn claim(place: &Place, rounds: usize) -> Result<()> {
    let (mut claimed, mut first) = (Samples::default(), Samples::default());
    // The first tells the pool what kind is wanted.
    place.sandbox().await?.destroy().await?;
    for _ in 0..rounds {
        let started = Instant::now();
        while place.driver.ready() == 0 {
            ensure!(started.elapsed() < PATIENCE, "the pool stays empty");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rest().await;
        let started = Instant::now();
        let sandbox = place.sandbox().await?;
        claimed.push(started.elapsed());
        run(&*sandbox, &["/bin/true"]).await?;
        first.push(started.elapsed());
        sandbox.destroy().await?;
    }
    head("claim from the warm pool", "claim");
    row("until commands can run", &claimed, &claimed);
    row("until the first `true` has ended", &first, &claimed);
    Ok(())
}
