//! Rules: which operations may leave.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Canary, HostPattern, PathPattern, Watch};

/// What may leave the sandboxes of a session. By default nothing may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressPolicy {
    /// What is permitted. A request passes by the first rule that permits it.
    pub rules: Vec<EgressRule>,
    /// Reading from package registries, as found in the package managers' own configuration.
    pub registries: Registries,
    /// What becomes of an agent's request for access to something that no rule permits.
    pub access: AccessPolicy,
    /// Hard limits on all that passes in one session.
    pub limits: EgressLimits,
    /// What nobody has a reason to send or to ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<Canary>,
    /// What else requests are looked through for.
    #[serde(skip_serializing_if = "is_default")]
    pub watch: Watch,
}

impl EgressPolicy {
    /// Whether nothing was said about it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing at all may leave, so that sandboxes need no door.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.rules.is_empty() && !self.registries.enabled && self.access == AccessPolicy::Refuse
    }
}

/// One kind of operation that is permitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Names it in the log; unique in its policy.
    pub name: String,
    /// Encrypted or not.
    #[serde(default)]
    pub scheme: Scheme,
    /// Which host, or which hosts below one.
    pub host: HostPattern,
    /// Which port; by default the scheme's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Which methods.
    #[serde(default = "reading")]
    pub methods: Vec<Method>,
    /// Which paths; by default all.
    #[serde(default = "everything")]
    pub paths: Vec<PathPattern>,
    /// Whether a query (`?…`) may be sent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query: bool,
    /// Bytes of a request's body at most.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body_limit: BodyLimit,
    /// Whether the connection may become a WebSocket (RFC 6455).
    #[serde(default, skip_serializing_if = "is_default")]
    pub web_socket: bool,
    /// How far the door looks into it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inspection: Inspection,
    /// Where the host may be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub addresses: Addresses,
    /// The name of the credential that the door adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

fn reading() -> Vec<Method> {
    vec![Method::GET, Method::HEAD]
}

fn everything() -> Vec<PathPattern> {
    vec![PathPattern::everything()]
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl EgressRule {
    /// The rule that says nothing but a name and a host: reading, over TLS, at public addresses.
    #[must_use]
    pub fn new(name: impl Into<String>, host: HostPattern) -> Self {
        Self {
            name: name.into(),
            scheme: Scheme::default(),
            host,
            port: None,
            methods: reading(),
            paths: everything(),
            query: false,
            body_limit: BodyLimit::default(),
            web_socket: false,
            inspection: Inspection::default(),
            addresses: Addresses::default(),
            credential: None,
        }
    }

    /// The port that it is about.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.port())
    }
}

/// The two schemes that leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// TLS.
    #[default]
    Https,
    /// Plain.
    Http,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Scheme {
    /// The port that is meant when none is named (RFC 9110, section 4.2).
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }

    /// As in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// A request method: upper-case letters, at most 16 (RFC 9110, section 9; extension methods included).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(std::borrow::Cow<'static, str>);

impl Method {
    /// Reads.
    pub const GET: Self = Self(std::borrow::Cow::Borrowed("GET"));
    /// Reads only what is about it.
    pub const HEAD: Self = Self(std::borrow::Cow::Borrowed("HEAD"));
    /// Sends.
    pub const POST: Self = Self(std::borrow::Cow::Borrowed("POST"));

    /// As on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it only reads, by what it means (RFC 9110, section 9.2.1).
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self.as_str(), "GET" | "HEAD")
    }
}

/// The text is no method that may leave.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a method: 1 to 16 upper-case letters are expected (and CONNECT and TRACE are not for rules)")]
pub struct InvalidMethod;

impl FromStr for Method {
    type Err = InvalidMethod;

    fn from_str(text: &str) -> Result<Self, InvalidMethod> {
        let letters =
            !text.is_empty() && text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if letters && text != "CONNECT" && text != "TRACE" {
            Ok(Self(text.to_owned().into()))
        } else {
            Err(InvalidMethod)
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Bytes of a request's body at most. Rules that only read need none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BodyLimit(pub u64);

/// How far the door looks into what passes by a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inspection {
    /// Into every request: TLS ends at the door.
    #[default]
    Full,
    /// Not at all: the TLS of the program inside reaches the host itself. Such a rule is about a host alone; that
    /// nobody saw what was sent is said in the log.
    PassThrough,
}

/// Where the host of a rule may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// At public addresses only, whatever its name resolves to.
    #[default]
    Public,
    /// Also at private ones (a mirror in the company's network); never at loopback, link-local or metadata
    /// addresses.
    Private,
    /// At exactly this address, which the administrator knows; names are not asked about.
    At(SocketAddr),
}

/// Reading from package registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registries {
    /// Whether registries may be read.
    pub enabled: bool,
    /// Versions younger than this many days are refused, where the registry says how old they are; 0 for none.
    pub cool_down_days: u32,
    /// Packages that are refused: `npm:left-pad`, `cargo:*-sys`, with `*` for any text.
    pub deny: Vec<String>,
    /// Packages that exist only at the given registry host, so that nobody can publish one of the same name
    /// elsewhere: `npm:@company/*` → host.
    pub only_from: std::collections::BTreeMap<String, String>,
    /// Registries beside those that the package managers' configuration on the worker's host names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<RegistryPlace>,
}

/// Where a registry, or a part of one, is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryPlace {
    /// Its kind: `cargo`, `pip`, `npm`, `apt`, `go`, `maven`.
    pub kind: String,
    /// What is there: `whole`, `index`, `files`, or `sums` (a checksum database of Go modules).
    #[serde(default = "whole")]
    pub part: String,
    /// The URL below which it is, without a query.
    pub url: String,
    /// Where its host may be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub addresses: Addresses,
    /// The name of the credential that the door adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

fn whole() -> String {
    "whole".to_owned()
}

/// What becomes of an agent's request for access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessPolicy {
    /// It is refused at once.
    #[default]
    Refuse,
    /// It is recorded, and a person may grant it for this session.
    Ask,
}

/// Hard limits on all that passes the door in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressLimits {
    /// Requests.
    pub requests: u64,
    /// Bytes sent: heads and bodies.
    pub bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Connections open at the same time, from all sandboxes of the session.
    pub connections: u32,
    /// Refusals after which the session's sandbox is frozen for a person to look at; 0 for never.
    pub refusals_before_freeze: u32,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            requests: 50_000,
            bytes_out: 64 << 20,
            bytes_in: 16 << 30,
            connections: 512,
            refusals_before_freeze: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_letters() {
        for text in ["GET", "PROPFIND", "MKCALENDAR", "UPDATEREDIRECTRE"] {
            assert_eq!(text.parse::<Method>().map(|method| method.to_string()).as_deref(), Ok(text));
        }
        for text in
            ["", "get", "GET ", "G\0T", "M-SEARCH", "CONNECT", "TRACE", "GET\r\n", "UPDATEREDIRECTREF"]
        {
            assert_eq!(text.parse::<Method>(), Err(InvalidMethod), "{text:?}");
        }
        assert_eq!("GET".parse(), Ok(Method::GET));
    }

    #[test]
    fn a_rule_is_written_as_short_as_it_can_be_read() {
        let text = r#"{"name":"docs","host":"docs.example.com"}"#;
        let rule: EgressRule = serde_json::from_str(text).unwrap();
        assert_eq!(rule, EgressRule::new("docs", "docs.example.com".parse().unwrap()));
        assert_eq!(
            serde_json::to_string(&rule).unwrap(),
            r#"{"name":"docs","scheme":"https","host":"docs.example.com","methods":["GET","HEAD"],"paths":["/**"]}"#
        );
        let addresses = |text: &str| serde_json::from_str::<Addresses>(text).unwrap();
        assert_eq!(addresses(r#""private""#), Addresses::Private);
        assert_eq!(addresses(r#"{"at":"127.0.0.1:8443"}"#), Addresses::At("127.0.0.1:8443".parse().unwrap()));
    }

    #[test]
    fn nothing_leaves_by_default() {
        assert!(EgressPolicy::default().is_closed());
        assert_eq!(serde_json::from_str::<EgressPolicy>("{}").unwrap(), EgressPolicy::default());
    }
}
