//! What is asked of the rules, and what they answer. No I/O: the same request and rules give the same decision.

use std::sync::Arc;

use cofferdam_domain::egress::{
    Addresses, BodyLimit, EgressRule, HostName, HostPattern, Inspection, Method, PathPattern, Refusal,
    RequestPath, Scheme,
};

use crate::{problem::LONGEST_NAME, registry::Reading, target::is_sound_query};

/// A request, as the door has read it: every part in its one accepted form, before any of it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Encrypted or not.
    pub scheme: Scheme,
    /// The host.
    pub host: &'a HostName,
    /// The port.
    pub port: u16,
    /// The method.
    pub method: &'a Method,
    /// The path.
    pub path: &'a RequestPath,
    /// What stands behind the question mark, if there is one, also when that is nothing.
    pub query: Option<&'a str>,
    /// Its body.
    pub body: Body,
    /// Whether it wants the connection to become a WebSocket.
    pub upgrade: bool,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes are announced.
    Exactly(u64),
    /// It ends when it ends; whoever sends it on must count.
    Unknown,
}

/// What becomes of a connection before anything is read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// The door reads requests from it, and each is decided.
    Inspect,
    /// It is passed on as it is, as long as it is TLS for this host.
    PassThrough {
        /// By this rule.
        rule: Arc<EgressRule>,
    },
    /// Nothing could be permitted on it.
    Refuse(Refusal, String),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may be sent.
    Allow(Allowed),
    /// It may not.
    Refuse(Denied),
}

/// How a request may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// By which rule, for the log.
    pub rule: Arc<str>,
    /// Where the host may be.
    pub addresses: Addresses,
    /// Bytes of its body at most.
    pub body_limit: u64,
    /// The credential to add.
    pub credential: Option<String>,
    /// What it reads from a package registry, if that is what permits it.
    pub reading: Option<Reading>,
}

/// Why a request may not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The most specific reason: that of the rule that came nearest to permitting it.
    pub code: Refusal,
    /// What was tried and what is permitted there, for people and for the program that asked.
    pub reason: String,
    /// The narrowest rule that would permit it, if that can be asked for.
    pub ask: Option<Box<EgressRule>>,
}

/// Why a rule does not permit a request: the first thing in it that does not fit. In the order in which they are
/// compared, so that the greatest is the nearest miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// It is about other hosts.
    Host,
    /// About another scheme.
    Scheme,
    /// About another port.
    Port,
    /// About whole connections, not about requests.
    PassThrough,
    /// A registry is there, and this would read from it otherwise than by its protocol.
    Registry,
    /// About other methods.
    Method,
    /// About other paths.
    Path,
    /// It permits no query.
    Query,
    /// It permits no WebSocket.
    Upgrade,
    /// The body is too large for it, or may be.
    Body,
}

impl Miss {
    /// What a request is refused as when this is the nearest miss.
    #[must_use]
    pub const fn code(self) -> Refusal {
        match self {
            Self::Host | Self::Scheme | Self::Port | Self::PassThrough => Refusal::Host,
            Self::Registry => Refusal::Registry,
            Self::Method => Refusal::Method,
            Self::Path => Refusal::Path,
            Self::Query => Refusal::Query,
            Self::Upgrade => Refusal::Upgrade,
            Self::Body => Refusal::Body,
        }
    }
}

impl Request<'_> {
    /// Whether a rule permits this.
    ///
    /// # Errors
    /// With the first thing that does not fit.
    pub(crate) fn fits(&self, rule: &EgressRule) -> Result<(), Miss> {
        let checks = [
            (Miss::Host, rule.host.matches(self.host)),
            (Miss::Scheme, rule.scheme == self.scheme),
            (Miss::Port, rule.port() == self.port),
            (Miss::PassThrough, rule.inspection == Inspection::Full),
            (Miss::Method, rule.methods.contains(self.method)),
        ];
        if let Some((miss, _)) = checks.into_iter().find(|(_, fits)| !fits) {
            return Err(miss);
        }
        if !rule.paths.iter().any(|pattern| pattern.matches(self.path)) {
            Err(Miss::Path)
        } else if self.query.is_some() && !rule.query {
            Err(Miss::Query)
        } else if self.upgrade && !rule.web_socket {
            Err(Miss::Upgrade)
        } else if !self.body.fits(rule.body_limit.0) {
            Err(Miss::Body)
        } else {
            Ok(())
        }
    }

    pub(crate) fn query_is_sound(&self) -> bool {
        self.query.is_none_or(is_sound_query)
    }

    /// The narrowest rule that permits exactly this, with the addresses of the rule that came nearest.
    pub(crate) fn narrowest(&self, addresses: Addresses) -> Option<EgressRule> {
        let name = self.to_string().chars().take(LONGEST_NAME).collect::<String>();
        Some(EgressRule {
            scheme: self.scheme,
            port: (self.port != self.scheme.port()).then_some(self.port),
            methods: vec![self.method.clone()],
            paths: vec![PathPattern::exactly(self.path)?],
            query: self.query.is_some(),
            body_limit: BodyLimit(match self.body {
                Body::None => 0,
                Body::Exactly(bytes) => bytes,
                Body::Unknown => UNKNOWN_BODY,
            }),
            web_socket: self.upgrade,
            addresses,
            ..EgressRule::new(name, HostPattern::Exactly(self.host.clone()))
        })
    }
}

/// What is asked for when a program does not say how much it will send.
const UNKNOWN_BODY: u64 = 1 << 20;

impl Body {
    const fn fits(self, limit: u64) -> bool {
        match self {
            Self::None => true,
            Self::Exactly(bytes) => bytes <= limit,
            Self::Unknown => limit > 0,
        }
    }
}

/// The method and the URL without the query, which may hold anything.
impl std::fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}://{}", self.method, self.scheme, self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(self.path.as_str())
    }
}
