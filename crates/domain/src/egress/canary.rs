//! Canaries: what was planted to be touched by nobody, so that whoever touches it has given itself away.

use serde::{Deserialize, Serialize};

use super::{HostPattern, PathPattern};

/// Bytes of a planted value at least: shorter ones would be found in what has nothing to do with them.
const SHORTEST: usize = 12;
/// And at most.
const LONGEST: usize = 1024;

/// Something that nobody has a reason to send or to ask for. To touch it freezes the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Canary {
    /// A text that must never leave: planted where only somebody who is looking for secrets finds it.
    Value {
        /// Names it in the log.
        name: String,
        /// The text.
        value: String,
    },
    /// A place that nothing refers to.
    Place {
        /// Names it in the log.
        name: String,
        /// Which host, or which hosts below one.
        host: HostPattern,
        /// Which paths there; all if there are none, and then its name may not be asked for either.
        paths: Vec<PathPattern>,
    },
}

impl Canary {
    /// What it is called in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Value { name, .. } | Self::Place { name, .. } => name,
        }
    }
}

/// As it stands in a policy.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<HostPattern>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paths: Vec<PathPattern>,
}

/// The table is no canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCanary {
    /// The log could not show it.
    #[error("a canary has a name of 1 to 64 letters, digits, spaces, `-`, `_` and `.`")]
    Name,
    /// It is both, or neither.
    #[error("a canary is either a `value` or a `host`, with `paths` if it is not the whole host")]
    Kind,
    /// It would be found where it is not, or is no text that stands anywhere.
    #[error("a canary's value has {SHORTEST} to {LONGEST} bytes, without spaces or control characters")]
    Value,
}

impl TryFrom<Written> for Canary {
    type Error = InvalidCanary;

    fn try_from(written: Written) -> Result<Self, InvalidCanary> {
        let Written { name, value, host, paths } = written;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.".contains(&byte);
        if name.trim().is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(InvalidCanary::Name);
        }
        match (value, host) {
            (Some(value), None) if paths.is_empty() => {
                let odd = value.chars().any(|one| one.is_control() || one.is_whitespace());
                if odd || !(SHORTEST..=LONGEST).contains(&value.len()) {
                    return Err(InvalidCanary::Value);
                }
                Ok(Self::Value { name, value })
            }
            (None, Some(host)) => Ok(Self::Place { name, host, paths }),
            (Some(_), _) | (None, None) => Err(InvalidCanary::Kind),
        }
    }
}

impl From<Canary> for Written {
    fn from(canary: Canary) -> Self {
        match canary {
            Canary::Value { name, value } => Self { name, value: Some(value), host: None, paths: Vec::new() },
            Canary::Place { name, host, paths } => Self { name, value: None, host: Some(host), paths },
        }
    }
}

/// What requests are looked through for, beside the canaries of the policy and the secrets that the door holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Whether the platform plants a canary of its own in every sandbox.
    pub plant: bool,
    /// What becomes of a request with a text that has the form of a well-known kind of secret.
    pub shapes: SecretShapes,
}

impl Default for Watch {
    fn default() -> Self {
        Self { plant: true, shapes: SecretShapes::default() }
    }
}

/// What becomes of a request with a text that has the form of a well-known kind of secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretShapes {
    /// Nobody looks.
    #[default]
    Ignore,
    /// It is refused.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Canary, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_canary_is_a_value_or_a_place() {
        for json in [
            r#"{"name":"old key","value":"hunter2hunter2"}"#,
            r#"{"name":"billing","host":"billing.example.com"}"#,
            r#"{"name":"billing","host":"*.example.com","paths":["/admin/**"]}"#,
        ] {
            let canary = read(json).unwrap();
            assert_eq!(serde_json::to_string(&canary).unwrap(), json);
        }
        for (json, wanted) in [
            (r#"{"name":"a","value":"hunter2hunter2","host":"a.example.com"}"#, "either"),
            (r#"{"name":"a","value":"hunter2hunter2","paths":["/x"]}"#, "either"),
            (r#"{"name":"a"}"#, "either"),
            (r#"{"name":"a","value":"hunter2"}"#, "12 to 1024"),
            (r#"{"name":"a","value":"hunter2 hunter2"}"#, "without spaces"),
            (r#"{"name":" ","value":"hunter2hunter2"}"#, "a name of"),
            (r#"{"name":"a","value":"hunter2hunter2","more":1}"#, "unknown field"),
        ] {
            assert!(read(json).unwrap_err().contains(wanted), "{json}");
        }
    }
}
