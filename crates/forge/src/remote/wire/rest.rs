//! How long a forge wants to be left alone, and that it is.
//!
//! Sources: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api> (also on secondary limits),
//! <https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers>, RFC 9110, section 10.2.3.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cofferdam_domain::{Digest, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::remote::LimitSeen;

/// The longest that a forge is left alone before it is asked again, whatever it says.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// For a limit without a time: "wait for at least one minute before retrying" (GitHub).
const UNTOLD: Duration = Duration::from_secs(60);

/// Until when each budget of requests is used up. A budget belongs to a credential.
#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<Digest, Timestamp>);

impl Rests {
    /// Until when nothing may be asked.
    pub(super) fn of(&self, budget: &Digest, now: Timestamp) -> Option<Timestamp> {
        self.0.get(budget).copied().filter(|until| *until > now)
    }

    pub(super) fn note(&mut self, budget: Digest, until: Timestamp, now: Timestamp) {
        self.0.retain(|_, until| *until > now);
        self.0.insert(budget, until);
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn after(now: Timestamp, rest: Duration) -> Timestamp {
    let rest = u64::try_from(rest.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_add(rest))
}

/// When it may be asked again, as it says in `retry-after`.
pub(super) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(after(now, Duration::from_secs(seconds)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(after(now, date.saturating_sub(Duration::from_millis(now.0))))
}

/// GitHub's names and GitLab's.
fn number(headers: &HeaderMap, names: [&str; 2]) -> Option<u64> {
    let text = names.into_iter().find_map(|name| headers.get(name))?;
    text.to_str().ok()?.trim().parse().ok()
}

const REMAINING: [&str; 2] = ["x-ratelimit-remaining", "ratelimit-remaining"];
const LIMIT: [&str; 2] = ["x-ratelimit-limit", "ratelimit-limit"];
const RESET: [&str; 2] = ["x-ratelimit-reset", "ratelimit-reset"];

/// How much of a budget is left.
pub(super) fn left(budget: &str, headers: &HeaderMap) -> Option<LimitSeen> {
    let reset = number(headers, RESET).and_then(|seconds| seconds.checked_mul(1000));
    Some(LimitSeen {
        budget: budget.to_owned(),
        left: number(headers, REMAINING)?,
        of: number(headers, LIMIT),
        again: reset.map(Timestamp),
    })
}

/// How many seconds are to be between two looks at the same
/// (<https://docs.github.com/en/rest/activity/events#about-github-events>).
pub(super) fn seldom(headers: &HeaderMap) -> Option<u64> {
    number(headers, ["x-poll-interval"; 2]).map(|seconds| seconds.min(LONGEST.as_secs()))
}

/// When there will be requests again, if there are none left.
pub(super) fn used_up(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    if number(headers, REMAINING)? > 0 {
        return None;
    }
    let reset = number(headers, RESET).map(Duration::from_secs);
    let rest = reset.map_or(UNTOLD, |at| at.saturating_sub(Duration::from_millis(now.0)));
    Some(after(now, rest))
}

/// When it may be asked again after it refused, if it refused because it was asked too much.
pub(super) fn refused(headers: &HeaderMap, too_many: bool, words: &str, now: Timestamp) -> Option<Timestamp> {
    let untold = || {
        let words = words.to_ascii_lowercase();
        let limited = too_many || words.contains("rate limit") || words.contains("abuse detection");
        limited.then(|| after(now, UNTOLD))
    };
    asked(headers, now).or_else(|| used_up(headers, now)).or_else(untold)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(784_111_777_000);

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_forge_says_when_it_may_be_asked_again() {
        let in_seconds = |seconds: u64| Some(Timestamp(NOW.0 + seconds * 1000));
        let refused = |all: &[(&'static str, &str)], words| refused(&headers(all), false, words, NOW);
        assert_eq!(refused(&[("retry-after", "30")], ""), in_seconds(30));
        assert_eq!(refused(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], ""), in_seconds(60));
        assert_eq!(refused(&[("retry-after", "99999999999999999999")], ""), None);
        assert_eq!(refused(&[("retry-after", "86400")], ""), in_seconds(3600));
        assert_eq!(
            refused(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111877")], ""),
            in_seconds(100)
        );
        assert_eq!(refused(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "1")], ""), in_seconds(0));
        assert_eq!(refused(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "784111877")], ""), None);
        assert_eq!(refused(&[], "You have exceeded a secondary rate limit."), in_seconds(60));
        assert_eq!(refused(&[], "Resource not accessible by integration"), None);
        assert_eq!(super::refused(&headers(&[]), true, "", NOW), in_seconds(60));
    }

    #[test]
    fn each_budget_rests_for_itself() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let mut rests = Rests::default();
        rests.note(one, Timestamp(10), Timestamp(1));
        assert_eq!(rests.of(&one, Timestamp(9)), Some(Timestamp(10)));
        assert_eq!((rests.of(&one, Timestamp(10)), rests.of(&other, Timestamp(9))), (None, None));
        rests.note(other, Timestamp(20), Timestamp(10));
        assert_eq!(rests.0.len(), 1);
    }
}
