//! Holding on to what was taken for a while, for as long as it takes.
//!
//! A lease is short, so that others soon have what somebody died with; whoever lives renews it.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{MissedTickBehavior, interval_at};

use crate::StoreError;

/// Does something with what was taken for `lease`, and asks all the while to `renew` it. `None` when it was lost: it is left as it is then, since
/// somebody else does it. A store that cannot be reached has lost nothing: it could not have given it to anybody else either.
pub async fn while_held<T, R: Future<Output = Result<bool, StoreError>>>(
    work: impl Future<Output = T>,
    lease: Duration,
    renew: impl Fn() -> R,
) -> Option<T> {
    let every = lease / 3;
    let mut work = pin!(work);
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            _ = ticks.tick() => {
                // The work goes on while the store is asked.
                let renewed = tokio::select! {
                    biased;
                    done = &mut work => return Some(done),
                    renewed = renew() => renewed,
                };
                if let Ok(false) = renewed {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::time::sleep;

    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn it_is_renewed_until_it_is_done() {
        let renewed = AtomicUsize::new(0);
        let renew = async || {
            // A store that is away for a moment changes nothing.
            match renewed.fetch_add(1, Ordering::Relaxed) {
                0 => Err(StoreError::Closed),
                _ => Ok(true),
            }
        };
        let work = async {
            sleep(Duration::from_secs(61)).await;
            7
        };
        assert_eq!(while_held(work, LEASE, renew).await, Some(7));
        assert_eq!(renewed.load(Ordering::Relaxed), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_short_is_not_renewed_and_what_is_lost_is_left() {
        assert_eq!(while_held(async { 1 }, LEASE, async || panic!()).await, Some(1));
        assert_eq!(while_held(pending::<()>(), LEASE, async || Ok(false)).await, None);
        // Neither does a store that never answers hold up the work.
        let work = sleep(Duration::from_secs(60));
        assert_eq!(while_held(work, LEASE, async || pending().await).await, Some(()));
    }
}
