//! When to try again: exponential backoff with jitter, and what the provider asks for where it asks.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use crate::config::RetryConfig;

/// How long to wait after try number `failed` (counted from 1) failed.
pub(crate) fn delay(config: &RetryConfig, failed: u32, asked: Option<Duration>) -> Duration {
    let longest = Duration::from_millis(config.longest_delay_ms);
    let doubled =
        Duration::from_millis(config.first_delay_ms).saturating_mul(1 << failed.saturating_sub(1).min(20));
    // Half of it is left to chance, so that sessions which failed together do not come back together.
    let own = doubled.min(longest).mul_f64(0.5 + 0.5 * fastrand::f64());
    match asked {
        // Not a moment earlier than asked, and a little apart.
        Some(asked) => asked.min(longest).max(own).mul_f64(1.0 + 0.1 * fastrand::f64()).min(longest),
        None => own,
    }
}

/// What `retry-after-ms` (OpenAI) or `retry-after` (RFC 9110, 10.2.3: seconds or a date) asks for.
pub(crate) fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok();
    if let Some(millis) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let after = text("retry-after")?;
    match number(after) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => Some(httpdate::parse_http_date(after).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(reqwest::header::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn all_three_forms_are_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        assert_eq!(asked(&headers("retry-after-ms", "1500"), now), Some(Duration::from_millis(1500)));
        assert_eq!(asked(&headers("retry-after", "2.5"), now), Some(Duration::from_millis(2500)));
        assert_eq!(
            asked(&headers("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), now),
            Some(Duration::from_secs(10))
        );
        for nonsense in ["-1", "soon", "NaN", "1e300", ""] {
            assert_eq!(asked(&headers("retry-after", nonsense), now), None, "{nonsense}");
        }
    }

    #[test]
    fn waits_grow_are_bounded_and_honour_what_is_asked() {
        let config = RetryConfig { first_delay_ms: 100, longest_delay_ms: 1000, ..RetryConfig::default() };
        for (failed, at_most) in [(1, 100), (2, 200), (3, 400), (9, 1000), (4_000_000, 1000)] {
            let waited = delay(&config, failed, None);
            assert!(waited <= Duration::from_millis(at_most) && waited >= Duration::from_millis(at_most / 2));
        }
        let asked = delay(&config, 1, Some(Duration::from_millis(600)));
        assert!(asked >= Duration::from_millis(600) && asked <= Duration::from_millis(660));
        assert_eq!(delay(&config, 1, Some(Duration::from_secs(3600))), Duration::from_secs(1));
    }
}
