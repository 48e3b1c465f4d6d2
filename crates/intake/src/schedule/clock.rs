//! What time it is, and waiting for a time.

use std::{io, os::fd::OwnedFd, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::Timestamp;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Where a timer cannot be had: how long one waits at a time before the clock is looked at again.
const WITHOUT_TIMER: Duration = Duration::from_secs(60);

/// A clock.
#[async_trait]
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Waits until that time, or until the clock has been set.
    async fn until(&self, at: Timestamp);
}

/// The clock of this machine. Waits also through a time in which the machine was asleep, and hears when somebody sets it (timerfd_create(2)).
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        crate::now()
    }

    async fn until(&self, at: Timestamp) {
        let left = || Duration::from_millis(at.millis_since(self.now()));
        match timer(at) {
            Ok(timer) => {
                // What is read does not matter: that there is something does.
                timer.readable().await.map(drop).ok();
            }
            Err(error) => {
                tracing::debug!(%error, "there is no timer for the clock");
                tokio::time::sleep(left().min(WITHOUT_TIMER)).await;
            }
        }
    }
}

/// A descriptor that is readable from that time on, or when the clock is set.
#[expect(
    deprecated,
    reason = "an owned descriptor stays what it is, which is all that the unsafe replacement asks for"
)]
fn timer(at: Timestamp) -> io::Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A timer that is set to zero would never go off.
    let millis = i64::try_from(at.0.max(1)).unwrap_or(i64::MAX);
    let value = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(&timer, flags, &Itimerspec { it_interval: zero, it_value: value })?;
    AsyncFd::with_interest(timer, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_until_the_time_and_not_longer() {
        let clock = SystemClock;
        let at = Timestamp(clock.now().0 + 300);
        clock.until(at).await;
        let late = clock.now().millis_since(at);
        assert!(clock.now() >= at && late < 5_000, "{late} ms late");
        clock.until(Timestamp(0)).await;
        clock.until(at).await;
    }
}
