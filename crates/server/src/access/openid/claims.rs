//! What a provider says of somebody.

use serde_json::{Map, Value};

/// The longest subject: OpenID Connect Core 1.0, section 2.
const MAX_SUBJECT: usize = 255;
/// Groups that are looked at.
const MAX_GROUPS: usize = 2000;

/// Claims that are known to be the provider's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Who somebody is at the provider, for ever: 1 to 255 visible ASCII characters.
    pub(super) fn subject(&self) -> Option<&str> {
        let subject = self.text("sub")?;
        let fits = (1..=MAX_SUBJECT).contains(&subject.len())
            && subject.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        fits.then_some(subject)
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A time in seconds since 1970 (RFC 7519, section 2), without what is less than a second.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        value.as_u64().or_else(|| {
            let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds))?;
            format!("{}", seconds.trunc()).parse().ok()
        })
    }

    /// The address that the provider has seen somebody read at, in lower case. What it has not verified is worth nothing: people may write there
    /// whatever they want.
    pub(super) fn verified_email(&self) -> Option<String> {
        let verified = match self.0.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            // Some providers write it as a text.
            Some(Value::String(verified)) => verified == "true",
            Some(_) | None => false,
        };
        address(self.text("email").filter(|_| verified)?)
    }

    /// The groups that a claim lists: texts, or one.
    pub(super) fn groups(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::Array(groups)) => groups.iter().take(MAX_GROUPS).filter_map(Value::as_str).collect(),
            Some(Value::String(group)) => vec![group],
            Some(_) | None => Vec::new(),
        }
    }

    /// What others say of the same person beside this. What is said already stays.
    pub(super) fn complete(&mut self, more: Self) {
        for (name, value) in more.0 {
            self.0.entry(name).or_insert(value);
        }
    }
}

/// An address in the form in which it is compared, if it is a plain one: two parts, visible ASCII, nothing quoted.
pub(super) fn address(text: &str) -> Option<String> {
    let (local, domain) = text.split_once('@')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let fits =
        text.len() <= 254 && !local.is_empty() && local.bytes().all(plain) && domain.split('.').all(label);
    fits.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        Claims(value.as_object().unwrap().clone())
    }

    #[test]
    fn unverified_addresses_are_none() {
        let email = |value: Value| claims(value).verified_email();
        assert_eq!(
            email(json!({ "email": "Ann@Example.com", "email_verified": true })).as_deref(),
            Some("ann@example.com")
        );
        assert!(email(json!({ "email": "a@b.example", "email_verified": "true" })).is_some());
        for none in [
            json!({ "email": "a@b.example" }),
            json!({ "email": "a@b.example", "email_verified": false }),
            json!({ "email": "a@b.example", "email_verified": "false" }),
            json!({ "email": "a@b.example", "email_verified": 1 }),
            json!({ "email_verified": true }),
            json!({ "email": ["a@b.example"], "email_verified": true }),
            json!({ "email": "a@b.example@c.example", "email_verified": true }),
            json!({ "email": "a@b.example\n", "email_verified": true }),
            json!({ "email": "\u{430}@b.example", "email_verified": true }),
            json!({ "email": "@b.example", "email_verified": true }),
            json!({ "email": "a@b..example", "email_verified": true }),
            json!({ "email": "\"a b\"@b.example", "email_verified": true }),
        ] {
            assert_eq!(email(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn what_is_said_first_stays() {
        let mut first = claims(json!({ "sub": "1", "email": "a@b.example" }));
        first.complete(claims(json!({ "email": "c@d.example", "groups": ["x", 1, "y"] })));
        assert_eq!(first.text("email"), Some("a@b.example"));
        assert_eq!(first.groups("groups"), ["x", "y"]);
        assert_eq!(claims(json!({ "groups": "x" })).groups("groups"), ["x"]);
    }

    #[test]
    fn times_and_subjects_are_read_strictly() {
        let times = claims(json!({ "a": 12, "b": 12.9, "c": -1, "d": "12", "e": 1e300 }));
        let read: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|name| times.seconds(name)).collect();
        assert_eq!(read, [Some(12), Some(12), None, None, None]);
        for wrong in
            [json!({}), json!({ "sub": "" }), json!({ "sub": "a\u{0}" }), json!({ "sub": "x".repeat(256) })]
        {
            assert_eq!(claims(wrong).subject(), None);
        }
    }

    proptest! {
        #[test]
        fn an_address_has_one_domain(text in ".{0,40}") {
            if let Some(address) = address(&text) {
                prop_assert_eq!(address.matches('@').count(), 1);
                prop_assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
            }
        }
    }
}
