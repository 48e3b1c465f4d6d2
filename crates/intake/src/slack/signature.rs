//! How Slack proves that it is Slack: an HMAC-SHA256 of `v0`, the time and the body, under a secret of the app, for five minutes.
//!
//! Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>.

use cofferdam_domain::Timestamp;
use cofferdam_forge::hook::HookSecrets;
use http::HeaderMap;

use crate::Refused;

/// How old a delivery may be, or how far ahead the clock that signed it, in seconds.
const WINDOW: u64 = 5 * 60;

/// Whether a delivery is Slack's.
pub(super) fn check(
    secrets: &HookSecrets,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Refused> {
    let timestamp = header(headers, "x-slack-request-timestamp")?;
    let signature = header(headers, "x-slack-signature")?;
    let digits = timestamp.len() <= 12 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = timestamp.parse().ok().filter(|_| digits).ok_or_else(|| {
        Refused::Unproved("the delivery's `x-slack-request-timestamp` is no number of seconds".to_owned())
    })?;
    let mut message = format!("v0:{timestamp}:").into_bytes();
    message.extend_from_slice(body);
    let tag =
        signature.strip_prefix("v0=").filter(|tag| tag.len() == 64).and_then(|tag| hex::decode(tag).ok());
    if !secrets.sign(&message, tag.as_deref().unwrap_or_default()) {
        return Err(Refused::Unproved(
            "the delivery's `x-slack-signature` is not made with the signing secret that is configured here: it is under Basic \
             Information of the app"
                .to_owned(),
        ));
    }
    if (now.0 / 1000).abs_diff(seconds) > WINDOW {
        let why = "the delivery is signed for another time than now: more than five minutes away by this machine's clock";
        return Err(Refused::Unproved(why.to_owned()));
    }
    Ok(())
}

fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Refused> {
    let mut all = headers.get_all(name).iter();
    let only = all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok());
    only.ok_or_else(|| Refused::Unproved(format!("the delivery has no usable `{name}` header")))
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Secret;
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: u64 = 1_531_420_618;
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&\
                        user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F\
                        commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn proves(secret: &str, at: &str, signature: &str, body: &str, now: u64) -> bool {
        let secrets = HookSecrets::new(Secret::new(secret), Vec::new()).unwrap();
        let headers = headers(&[("x-slack-request-timestamp", at), ("x-slack-signature", signature)]);
        check(&secrets, &headers, body.as_bytes(), Timestamp(now * 1000)).is_ok()
    }

    #[test]
    fn the_documented_example_proves_for_five_minutes() {
        let at = AT.to_string();
        for now in [AT, AT - WINDOW, AT + WINDOW] {
            assert!(proves(SECRET, &at, SIGNATURE, BODY, now), "{now}");
        }
        for now in [AT - WINDOW - 1, AT + WINDOW + 1, 0] {
            assert!(!proves(SECRET, &at, SIGNATURE, BODY, now), "{now}");
        }
    }

    #[test]
    fn nothing_else_proves() {
        let at = AT.to_string();
        assert!(!proves("another", &at, SIGNATURE, BODY, AT));
        assert!(!proves(SECRET, &at, SIGNATURE, "{}", AT));
        assert!(!proves(SECRET, &(AT + 1).to_string(), SIGNATURE, BODY, AT), "the time is signed too");
        for other in
            ["", "v0=", "v0=00", &SIGNATURE[3..], &format!("v1={}", &SIGNATURE[3..]), &SIGNATURE[..40]]
        {
            assert!(!proves(SECRET, &at, other, BODY, AT), "{other}");
        }
        for other in ["", "-1", "+1531420618", " 1531420618", "99999999999999999999"] {
            assert!(!proves(SECRET, other, SIGNATURE, BODY, AT), "{other}");
        }
        let secrets = HookSecrets::new(Secret::new(SECRET), Vec::new()).unwrap();
        let twice = [
            ("x-slack-request-timestamp", &*at),
            ("x-slack-signature", SIGNATURE),
            ("x-slack-signature", SIGNATURE),
        ];
        let mut map = headers(&twice[..2]);
        map.append(twice[2].0, HeaderValue::from_static(SIGNATURE));
        assert!(check(&secrets, &map, BODY.as_bytes(), Timestamp(AT * 1000)).is_err(), "twice is not once");
        assert!(check(&secrets, &HeaderMap::new(), BODY.as_bytes(), Timestamp(AT * 1000)).is_err());
    }
}
