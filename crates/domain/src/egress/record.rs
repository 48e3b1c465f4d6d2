//! What the log says about what left, or was kept from leaving.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EgressRule, HostName, Scheme};
use crate::{CallId, Digest, SandboxId, Timestamp};

/// Something that a program in a sandbox tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// A request.
    Http {
        /// Encrypted or not.
        scheme: Scheme,
        /// The method as it came, cut at 32 characters.
        method: String,
        /// The host as it came, cut at 256 characters: untrusted text where the operation was refused.
        host: String,
        /// The port.
        port: u16,
        /// The path as it came, without the query, cut at 1,024 characters.
        path: String,
        /// Whether there was a query. What it said is not kept.
        query: bool,
    },
    /// A connection whose content nobody looks into, or that never became a request.
    Connection {
        /// The host or address as it came.
        host: String,
        /// The port.
        port: u16,
    },
    /// A question for a name's address.
    Name {
        /// The name as it came, cut at 256 characters.
        name: String,
    },
}

impl fmt::Display for Operation {
    /// For people: `GET https://example.com/a?…`. As untrusted as what it is about.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { scheme, method, host, port, path, query } => {
                write!(f, "{method} {}://{host}", scheme.as_str())?;
                if *port != scheme.port() {
                    write!(f, ":{port}")?;
                }
                write!(f, "{path}{}", if *query { "?…" } else { "" })
            }
            Self::Connection { host, port } => write!(f, "connection to {host} port {port}"),
            Self::Name { name } => write!(f, "name {name}"),
        }
    }
}

/// The door let something pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// From which sandbox.
    pub sandbox: SandboxId,
    /// What.
    pub operation: Operation,
    /// By which rule.
    pub rule: String,
    /// The credential that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Tool calls that were running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallId>,
}

/// The door let something not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// From which sandbox.
    pub sandbox: SandboxId,
    /// What.
    pub operation: Operation,
    /// Why, as a stable name.
    pub code: Refusal,
    /// Why, for people and for the program that asked.
    pub reason: String,
    /// The access that would permit it, if that can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Box<EgressRule>>,
    /// How often the same has been refused since it was last written down; 1 for the first time.
    pub count: u32,
    /// Tool calls that were running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallId>,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No rule is about the host and port.
    Host,
    /// A rule is about the host, but not with this method.
    Method,
    /// A rule is about the host, but not this path.
    Path,
    /// A query where none may be.
    Query,
    /// A body larger than the rule permits.
    Body,
    /// The name resolves to an address where the host may not be.
    Address,
    /// The name does not resolve, or the host does not answer.
    Unreachable,
    /// Not in canonical form: ambiguous framing, odd characters, an address in place of a name.
    Malformed,
    /// The names in CONNECT, SNI and Host differ.
    Mismatch,
    /// Neither HTTP nor TLS, or a version or extension of them that is not for here.
    Protocol,
    /// An upgrade that no rule lists.
    Upgrade,
    /// An encoding that nobody could look into.
    Encoding,
    /// A name that no rule is about. The question was answered here; it has gone nowhere.
    Name,
    /// The credential is missing, expired or unknown: a person must act.
    Credential,
    /// The answer contained the credential.
    Reflected,
    /// Not an operation that reads a package from a registry.
    Registry,
    /// A package that is denied, or may come from another registry only.
    Package,
    /// A version that is too young.
    CoolDown,
    /// A registry's index that cannot be read, so that nothing is known of what it lists.
    Index,
    /// An artefact that is not the one that its registry's index names.
    Digest,
    /// Something that was planted, and that nobody has a reason to send or to ask for.
    Canary,
    /// The request contained a secret that the door holds, or what looks like one.
    Secret,
    /// A rule permits it, and a person has to as well: it could change the world outside, and the session has read what anybody may have
    /// written and holds what not everybody may see.
    Mixed,
    /// A hard limit of the session.
    Limit,
    /// The sandbox is frozen, or the session is over.
    Closed,
}

impl Refusal {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Method => "method",
            Self::Path => "path",
            Self::Query => "query",
            Self::Body => "body",
            Self::Address => "address",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Protocol => "protocol",
            Self::Upgrade => "upgrade",
            Self::Encoding => "encoding",
            Self::Name => "name",
            Self::Credential => "credential",
            Self::Reflected => "reflected",
            Self::Registry => "registry",
            Self::Package => "package",
            Self::CoolDown => "cool_down",
            Self::Index => "index",
            Self::Digest => "digest",
            Self::Canary => "canary",
            Self::Secret => "secret",
            Self::Mixed => "mixed",
            Self::Limit => "limit",
            Self::Closed => "closed",
        }
    }
}

/// A package came through the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The kind of registry: `cargo`, `pip`, `npm`, `apt`, `go`, `maven`.
    pub registry: String,
    /// From where.
    pub host: HostName,
    /// Its name.
    pub name: String,
    /// Its version, as far as the path tells.
    pub version: String,
    /// Of the artefact's bytes.
    pub digest: Digest,
    /// The artefact's bytes.
    pub size: u64,
    /// When the version was published, where the registry says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
    /// Whether it came from the cache rather than from the registry.
    pub cached: bool,
    /// Whether it is what the registry's index, or a checksum database, names by its digest. Not all have one, and what is not what they
    /// name does not come through.
    #[serde(default)]
    pub compared: bool,
}

/// An agent asks that something be permitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessAsk {
    /// The call that asked; names the request.
    pub call: CallId,
    /// What should be permitted, exactly.
    pub rule: EgressRule,
    /// Why, in the agent's words.
    pub reason: String,
}

impl AccessAsk {
    /// What a decision about it is bound to: the digest of the rule's JSON, whose fields stand in the order of its
    /// declaration, so that there is one text for each rule.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // A rule is texts and numbers: it can always be written.
        serde_json::to_vec(&self.rule).map_or(Digest::ZERO, |json| Digest::of(&json))
    }
}

/// What was decided about an [`AccessAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The request.
    pub call: CallId,
    /// The digest of the rule's canonical JSON: what was decided about is exactly what was asked.
    pub rule: Digest,
    /// Whether it is granted.
    pub granted: bool,
    /// Who decided, as text for people.
    pub by: String,
    /// Until when it holds, if not to the end of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
