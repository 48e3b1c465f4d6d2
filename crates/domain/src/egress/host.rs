//! Host names, in the one form that is accepted.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A host's name as it is dialled: lower-case letters, digits and hyphens in labels of at most 63 characters, at
/// most 253 in all (RFC 1123, section 2.1), never an address in any notation, no final dot. Another way of writing the
/// same name is refused, not mended: what is compared with a rule is what is resolved and what the host is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// The text is no host name in the accepted form.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum InvalidHost {
    /// Nothing there.
    #[error("the host name is empty")]
    Empty,
    /// More than 253 characters, or a label of more than 63 or none.
    #[error("the host name has a label or a length that names cannot have")]
    Length,
    /// Something else than lower-case letters, digits, hyphens and dots.
    #[error(
        "a host name has lower-case letters, digits, hyphens and dots only (write others in their xn-- form)"
    )]
    Character,
    /// An address, or what some programs take for one.
    #[error("an address is not a host name: name the host, and say where it is with `addresses`")]
    Address,
    /// A star where none may be.
    #[error("a star may only stand for whole labels at the beginning: *.example.com")]
    Star,
}

impl HostName {
    /// As it stands.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above it, from the nearest to the top: `a.example.com` has `example.com` and `com`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.0.split_once('.'), |(_, rest)| rest.split_once('.')).map(|(_, rest)| rest)
    }

    /// Whether every resolver takes it for the machine it runs on (RFC 6761, section 6.3).
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }
}

/// Looked up by text without a copy.
impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if text.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if text.len() > 253 {
            return Err(InvalidHost::Length);
        }
        let mut last = "";
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(InvalidHost::Length);
            }
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !label.bytes().all(plain) || label.starts_with('-') || label.ends_with('-') {
                return Err(InvalidHost::Character);
            }
            last = label;
        }
        // Whatever ends in a number is an address to some program: decimal, octal or hexadecimal (WHATWG URL, 3.5).
        let hexadecimal =
            last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidHost::Address);
        }
        Ok(Self(text.to_owned()))
    }
}

/// One host, or all hosts below a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one.
    Exactly(HostName),
    /// All below this one, at any depth, but not itself: `*.example.com`.
    Below(HostName),
}

impl HostPattern {
    /// Whether it is about this host.
    #[must_use]
    pub fn matches(&self, host: &HostName) -> bool {
        match self {
            Self::Exactly(name) => name == host,
            Self::Below(name) => is_below(host, name),
        }
    }

    /// Whether it is about every host that the other is about.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exactly(host)) => self.matches(host),
            (Self::Exactly(_), Self::Below(_)) => false,
            (Self::Below(name), Self::Below(lower)) => name == lower || is_below(lower, name),
        }
    }

    /// The name that it names, whether it is about that host or about those below it.
    #[must_use]
    pub const fn name(&self) -> &HostName {
        match self {
            Self::Exactly(name) | Self::Below(name) => name,
        }
    }
}

fn is_below(host: &HostName, name: &HostName) -> bool {
    host.0.strip_suffix(&name.0).is_some_and(|rest| rest.ends_with('.'))
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        match text.strip_prefix("*.") {
            // A star over a whole top-level domain is the open door by another name.
            Some(rest) if !rest.contains('.') || rest.contains('*') => Err(InvalidHost::Star),
            Some(rest) => rest.parse().map(Self::Below),
            None if text.contains('*') => Err(InvalidHost::Star),
            None => text.parse().map(Self::Exactly),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(&name.0),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

as_text!(HostName, HostPattern);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> HostName {
        text.parse().unwrap()
    }

    fn pattern(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_taken_as_they_are() {
        for name in [
            "example.com",
            "localhost",
            "a-b.c",
            "xn--bcher-kva.example",
            "0x7f.example",
            "1e100.net",
            "a.0xg",
        ] {
            assert_eq!(host(name).as_str(), name);
        }
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(longest.len(), 253);
        assert_eq!(host(&longest).as_str(), longest);
    }

    #[test]
    fn other_ways_of_writing_a_name_are_refused() {
        use InvalidHost::{Address, Character, Empty, Length};
        for (text, wanted) in [
            ("", Empty),
            (".", Length),
            ("example.com.", Length),
            (".example.com", Length),
            ("a..b", Length),
            ("Example.com", Character),
            ("allowed.test\0.evil.test", Character),
            ("allowed.test@evil.test", Character),
            ("allowed.test:80", Character),
            ("allowed.test/evil", Character),
            ("allowed.test\\evil.test", Character),
            ("allowed.test\r\nhost: evil.test", Character),
            ("allowed.test\t", Character),
            (" allowed.test", Character),
            ("allowed.test#.evil.test", Character),
            ("allowed.test?.evil.test", Character),
            ("allowed%2etest", Character),
            ("bücher.example", Character),
            ("ａllowed.test", Character),
            ("allowed。test", Character),
            ("al\u{200d}lowed.test", Character),
            ("under_score.test", Character),
            ("-a.test", Character),
            ("a-.test", Character),
            ("*.test", Character),
            ("[::1]", Character),
            ("::1", Character),
            ("::ffff:127.0.0.1", Character),
            ("fe80::1%25eth0", Character),
            ("127.0.0.1", Address),
            ("127.1", Address),
            ("2130706433", Address),
            ("0177.0.0.1", Address),
            ("0x7f.0.0.1", Address),
            ("0x7f000001", Address),
            ("127.0.0.0x1", Address),
            ("0x", Address),
            ("1.2.3.4.5", Address),
            ("example.1", Address),
            ("256.256.256.256", Address),
        ] {
            assert_eq!(text.parse::<HostName>(), Err(wanted), "{text:?}");
        }
        assert_eq!(format!("{}.test", "a".repeat(64)).parse::<HostName>(), Err(Length));
        assert_eq!("a.".repeat(126).parse::<HostName>(), Err(Length));
        assert_eq!(format!("{}bb", "a.".repeat(126)).parse::<HostName>(), Err(Length));
    }

    #[test]
    fn patterns_are_about_whole_labels() {
        assert!(pattern("example.com").matches(&host("example.com")));
        assert!(!pattern("example.com").matches(&host("a.example.com")));
        assert!(!pattern("allowed.test").matches(&host("allowed.test.evil.test")));
        assert!(pattern("*.example.com").matches(&host("a.example.com")));
        assert!(pattern("*.example.com").matches(&host("a.b.example.com")));
        assert!(!pattern("*.example.com").matches(&host("example.com")));
        assert!(!pattern("*.example.com").matches(&host("evilexample.com")));
        for text in
            ["*", "*.", "*.com", "*.*.com", "a.*.com", "a*.example.com", "**.example.com", "*example.com"]
        {
            assert_eq!(text.parse::<HostPattern>(), Err(InvalidHost::Star), "{text}");
        }
        assert_eq!("*.0.1".parse::<HostPattern>(), Err(InvalidHost::Address));
    }

    #[test]
    fn parents_go_up() {
        assert_eq!(host("a.b.example").parents().collect::<Vec<_>>(), ["b.example", "example"]);
        assert_eq!(host("localhost").parents().count(), 0);
        assert!(host("localhost").is_localhost() && host("a.localhost").is_localhost());
        assert!(!host("notlocalhost").is_localhost());
    }

    /// Few labels, so that names often meet.
    fn names() -> impl Strategy<Value = String> {
        "[ab]\\.([ab]\\.)?[ab]\\.[ab]"
    }

    fn patterns() -> impl Strategy<Value = HostPattern> {
        (any::<bool>(), names()).prop_map(|(below, name)| {
            let name = host(&name);
            if below { HostPattern::Below(name) } else { HostPattern::Exactly(name) }
        })
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_back_and_is_no_address(text in "[a-zA-Z0-9.*@:x_\\[\\]%/\u{e9}-]{0,24}") {
            if let Ok(name) = text.parse::<HostName>() {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(text.parse::<std::net::IpAddr>().is_err());
                prop_assert_eq!(&text, &text.to_ascii_lowercase());
                prop_assert!(!text.ends_with(['.', '-']));
                prop_assert!(text.rsplit('.').next().unwrap().parse::<u64>().is_err());
            }
            if let Ok(pattern) = text.parse::<HostPattern>() {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }

        #[test]
        fn an_address_is_never_a_name(v4 in any::<u32>(), v6 in any::<u128>()) {
            let [a, b, c, d] = v4.to_be_bytes();
            for text in [
                std::net::Ipv4Addr::from(v4).to_string(),
                std::net::Ipv6Addr::from(v6).to_string(),
                format!("[{}]", std::net::Ipv6Addr::from(v6)),
                v4.to_string(),
                format!("{v4:#x}"),
                format!("0{v4:o}"),
                format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
                format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                format!("{a}.{}", v4 & 0xff_ffff),
                format!("{a}.{b}.{}", v4 & 0xffff),
                format!("::ffff:{a}.{b}.{c}.{d}"),
                format!("{a}.{b}.{c}.{d}."),
            ] {
                prop_assert!(text.parse::<HostName>().is_err(), "{}", text);
            }
        }

        #[test]
        fn covering_is_matching_whatever_the_other_matches(one in patterns(), two in patterns(), name in names()) {
            if one.covers(&two) && two.matches(&host(&name)) {
                prop_assert!(one.matches(&host(&name)));
            }
            prop_assert!(one.covers(&one));
        }
    }
}
