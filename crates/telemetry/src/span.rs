//! Spans: what happened from when to when, as part of what.
//!
//! All ids follow from the log. So several workers, one after another, contribute to one trace, and whoever makes a span again makes the same
//! one: sending it twice does no harm.

use std::fmt;

use cofferdam_domain::{Digest, EventId, SessionId, Timestamp, TraceParent};

/// Which trace: that of a session has the bits of the session's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Which span of a trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// A session's. Its id is a UUID version 7, whose last 62 bits are random, as W3C Trace Context wants the last 56 to be.
    #[must_use]
    pub const fn of(session: SessionId) -> Self {
        Self(session.as_u128().to_be_bytes())
    }
}

impl SpanId {
    /// That of the whole session.
    #[must_use]
    pub fn of_session(session: SessionId) -> Self {
        Self::derived(b"session", session.as_u128())
    }

    /// That of what began with an event; `role` tells the spans that begin with the same one apart.
    #[must_use]
    pub fn of_event(role: &'static str, event: EventId) -> Self {
        Self::derived(role.as_bytes(), event.as_u128())
    }

    fn derived(role: &[u8], of: u128) -> Self {
        let digest = Digest::of(&[b"cofferdam span\0", role, b"\0", &of.to_be_bytes()].concat());
        let mut id = [0; 8];
        id.copy_from_slice(&digest.as_bytes()[..8]);
        Self(id)
    }
}

/// Bytes as lower-case hexadecimal digits.
fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

/// What happened from when to when.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// In which session.
    pub trace: TraceId,
    /// Which.
    pub id: SpanId,
    /// What it is a part of; `None` for the session itself.
    pub parent: Option<SpanId>,
    /// What it is called. Has few values: no ids in it.
    pub name: String,
    /// Whether others were asked.
    pub kind: Kind,
    /// When it began.
    pub begin: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// What else is known.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it was no success, if it was none.
    pub failure: Option<Failure>,
    /// What it has to do with in other traces.
    pub links: Vec<Link>,
}

impl Span {
    /// The same with something more that is known.
    pub(crate) fn with(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// It was no success, for this reason.
    pub(crate) fn fail(&mut self, code: &'static str, text: Option<String>) -> &mut Self {
        self.failure = Some(Failure { code, text });
        self
    }
}

/// Whether others were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It happened here.
    Internal,
    /// Somebody else was asked over a network.
    Client,
}

/// What is known of a span.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// A number.
    Number(i64),
    /// A number with a fraction.
    Fraction(f64),
    /// Yes or no.
    Truth(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Fraction(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

/// Why something was no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable name, one of few: `error.type`.
    pub code: &'static str,
    /// In words: content, which is not told by default.
    pub text: Option<String>,
}

/// A span of another trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Which trace.
    pub trace: TraceId,
    /// Which of its spans.
    pub span: SpanId,
    /// W3C trace flags.
    pub flags: u8,
}

impl From<TraceParent> for Link {
    fn from(parent: TraceParent) -> Self {
        Self {
            trace: TraceId(parent.trace().to_be_bytes()),
            span: SpanId(parent.span().to_be_bytes()),
            flags: parent.flags(),
        }
    }
}
