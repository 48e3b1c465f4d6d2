//! What a provider said of itself, kept for a while, so that it is not asked at each sign-in.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::failure::Failure;

/// How long it is good.
const GOOD: Duration = Duration::from_secs(60 * 60);
/// How long it is not asked again after it has failed.
const PAUSE: Duration = Duration::from_secs(2);
/// How seldom it is asked because what is known does not do: nobody can make the server ask by sending it something odd.
const SELDOM: Duration = Duration::from_secs(60);

/// Something that is read once for all who wait for it.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    value: Option<(Instant, Arc<T>)>,
    failed: Option<(Instant, Failure)>,
    /// When it was last read because the value did not do.
    anew: Option<Instant>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(Slot { value: None, failed: None, anew: None }))
    }
}

impl<T> Kept<T> {
    /// The value, which is read where there is none that is good.
    pub(super) async fn get(
        &self,
        now: Instant,
        read: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Arc<T>, Failure> {
        let mut slot = self.0.lock().await;
        if let Some((_, value)) =
            slot.value.as_ref().filter(|(since, _)| now.saturating_duration_since(*since) < GOOD)
        {
            return Ok(value.clone());
        }
        if let Some((_, failure)) =
            slot.failed.as_ref().filter(|(since, _)| now.saturating_duration_since(*since) < PAUSE)
        {
            return Err(failure.clone());
        }
        slot.take(now, read.await)
    }

    /// Another value than this one, which did not do; `None` when there is none and it is too early to ask again.
    pub(super) async fn newer(
        &self,
        now: Instant,
        known: &Arc<T>,
        read: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<Arc<T>>, Failure> {
        let mut slot = self.0.lock().await;
        if let Some((_, value)) = slot.value.as_ref().filter(|(_, value)| !Arc::ptr_eq(value, known)) {
            return Ok(Some(value.clone()));
        }
        if slot.anew.is_some_and(|since| now.saturating_duration_since(since) < SELDOM) {
            return Ok(None);
        }
        slot.anew = Some(now);
        slot.take(now, read.await).map(Some)
    }
}

impl<T> Slot<T> {
    fn take(&mut self, now: Instant, read: Result<T, Failure>) -> Result<Arc<T>, Failure> {
        match read {
            Ok(value) => {
                let value = Arc::new(value);
                self.value = Some((now, value.clone()));
                self.failed = None;
                Ok(value)
            }
            Err(failure) => {
                self.failed = Some((now, failure.clone()));
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn says(number: u32) -> Result<u32, Failure> {
        Ok(number)
    }

    async fn fails() -> Result<u32, Failure> {
        Err(Failure::Busy)
    }

    #[tokio::test]
    async fn it_is_asked_seldom() {
        let kept = Kept::default();
        let mut now = Instant::now();
        assert_eq!(kept.get(now, fails()).await, Err(Failure::Busy));
        assert_eq!(kept.get(now, says(1)).await, Err(Failure::Busy), "it has just failed");
        now += PAUSE;
        let first = kept.get(now, says(1)).await.unwrap();
        assert_eq!(*kept.get(now, says(2)).await.unwrap(), 1);
        let second = kept.newer(now, &first, says(3)).await.unwrap().unwrap();
        assert_eq!(*second, 3, "at once, the first time");
        assert_eq!(
            *kept.newer(now, &first, fails()).await.unwrap().unwrap(),
            3,
            "somebody has asked meanwhile"
        );
        assert_eq!(kept.newer(now, &second, says(4)).await, Ok(None));
        now += SELDOM;
        assert_eq!(*kept.newer(now, &second, says(5)).await.unwrap().unwrap(), 5);
        now += GOOD;
        assert_eq!(*kept.get(now, says(6)).await.unwrap(), 6);
    }
}
