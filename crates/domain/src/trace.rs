//! Whose trace a task belongs to: the header `traceparent` of W3C Trace Context
//! (<https://www.w3.org/TR/trace-context/#traceparent-header>).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A place in somebody else's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// The trace.
    #[must_use]
    pub const fn trace(self) -> u128 {
        self.trace
    }

    /// The span that asked.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.span
    }

    /// The flags, of which the lowest says that the trace is recorded.
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.flags
    }
}

/// The text is no `traceparent`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not a traceparent: expected 00-<32 hexadecimal digits>-<16>-<2>, in lower case, with ids that are not zero"
)]
pub struct InvalidTraceParent;

/// The length of version 0; later versions may have more after another hyphen.
const LENGTH: usize = 55;

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let known = text.get(..LENGTH).ok_or(InvalidTraceParent)?;
        let more = text.get(LENGTH..).unwrap_or_default();
        let parts: Vec<&str> = known.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return Err(InvalidTraceParent) };
        let version = digits(version, 2)?;
        let fits = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => (more.is_empty() || more.starts_with('-')) && text.len() <= 512,
        };
        let parent = Self {
            trace: digits(trace, 32)?,
            span: u64::try_from(digits(span, 16)?).map_err(|_| InvalidTraceParent)?,
            flags: u8::try_from(digits(flags, 2)?).map_err(|_| InvalidTraceParent)?,
        };
        if fits && parent.trace != 0 && parent.span != 0 { Ok(parent) } else { Err(InvalidTraceParent) }
    }
}

/// So many hexadecimal digits in lower case.
fn digits(text: &str, count: usize) -> Result<u128, InvalidTraceParent> {
    let plain = text.len() == count && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !plain {
        return Err(InvalidTraceParent);
    }
    u128::from_str_radix(text, 16).map_err(|_| InvalidTraceParent)
}

impl fmt::Display for TraceParent {
    /// As version 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_what_the_recommendation_permits_is_one() {
        let parent: TraceParent = GOOD.parse().unwrap();
        assert_eq!(
            (parent.trace(), parent.span(), parent.flags()),
            (0x4bf92f3577b34da6a3ce929d0e0e4736, 0x00f067aa0ba902b7, 1)
        );
        assert_eq!(parent.to_string(), GOOD);
        // A later version, whose first part reads the same.
        assert_eq!(format!("cc{}-what-comes", &GOOD[2..]).parse(), Ok(parent));
        for bad in [
            String::new(),
            GOOD.to_uppercase(),
            format!("{GOOD}-"),
            format!("ff{}", &GOOD[2..]),
            format!("01{}x", &GOOD[2..]),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("4bf92f35", "+bf92f35"),
            GOOD.replace('-', "_"),
            format!("{}é", &GOOD[..54]),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(InvalidTraceParent), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f-]{0,60}|.{0,80}") {
            if let Ok(parent) = text.parse::<TraceParent>() {
                prop_assert_eq!(parent.to_string().parse(), Ok(parent));
            }
        }
    }
}
