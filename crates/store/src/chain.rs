//! The chain: an event's place, id, time and hash follow from the event before it. No I/O.

use cofferdam_domain::{
    BlobRef, Digest, Event, EventBody, EventId, MemoryProposal, Notice, Seq, SessionId, Timestamp,
    event::{SCHEMA, hash},
    tool::ToolEffect,
};

use crate::{StoreError, summary::Effect};

/// The longest body that is accepted, in bytes of JSON. Larger content belongs in a blob.
const MAX_BODY: usize = 16 << 20;

/// Where a log ends: all that the next event needs to know of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) seq: Seq,
    pub(crate) id: EventId,
    pub(crate) at: Timestamp,
    pub(crate) hash: Digest,
}

impl Head {
    /// Of a log without events.
    pub(crate) const START: Self =
        Self { seq: Seq::START, id: EventId::from_u128(0), at: Timestamp(0), hash: Digest::ZERO };

    /// The stamp of the next event: its time is no earlier and its id no smaller than those of the event
    /// before, whatever the clocks of the machines that wrote them say.
    pub(crate) fn stamp(self, session: SessionId, at: Timestamp, text: &str) -> Stamp {
        let seq = self.seq.next();
        let id = EventId::generate().max(EventId::from_u128(self.id.as_u128().saturating_add(1)));
        let at = at.max(self.at);
        Stamp { seq, id, at, previous: self.hash, hash: hash(session, seq, id, at, self.hash, text) }
    }
}

/// All of an event but its session and body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) seq: Seq,
    pub(crate) id: EventId,
    pub(crate) at: Timestamp,
    pub(crate) previous: Digest,
    pub(crate) hash: Digest,
}

impl Stamp {
    /// Where the log ends once this event is in it.
    pub(crate) const fn head(self) -> Head {
        Head { seq: self.seq, id: self.id, at: self.at, hash: self.hash }
    }

    /// The whole event.
    pub(crate) const fn event(self, session: SessionId, body: EventBody) -> Event {
        let Self { seq, id, at, previous, hash } = self;
        Event { seq, id, session, at, body, previous, hash }
    }
}

/// A body on its way into the log.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The JSON text that is hashed and stored.
    pub(crate) text: String,
    /// What it changes in the session's row.
    pub(crate) effect: Effect,
    /// The content that it refers to.
    pub(crate) blobs: Vec<BlobRef>,
    /// Whether that may expire before the event.
    pub(crate) passing: bool,
    /// What people outside are told of it.
    pub(crate) notice: Option<Notice>,
    /// What it wants remembered.
    pub(crate) remember: Option<MemoryProposal>,
}

impl Entry {
    /// Fixes the body's text.
    pub(crate) fn new(body: &EventBody) -> Result<Self, StoreError> {
        let text = serde_json::to_string(body)
            .map_err(|source| StoreError::Encode { event: body.name(), source })?;
        if text.len() > MAX_BODY {
            return Err(StoreError::TooLarge { what: body.name(), size: text.len(), limit: MAX_BODY });
        }
        Ok(Self {
            text,
            effect: Effect::of(body),
            blobs: body.blobs(),
            passing: body.is_passing(),
            notice: Notice::of(body),
            remember: remember(body),
        })
    }
}

/// What an event wants remembered.
fn remember(body: &EventBody) -> Option<MemoryProposal> {
    let EventBody::ToolFinished { outcome, .. } = body else { return None };
    match &outcome.effect {
        Some(ToolEffect::Remember(proposal)) => Some(proposal.clone()),
        Some(_) | None => None,
    }
}

/// A row of the log as it was found, not yet believed.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) stamp: Stamp,
    pub(crate) schema: i64,
    pub(crate) text: String,
}

impl Found {
    /// The event, if it follows `head` and is what was written.
    pub(crate) fn check(self, session: SessionId, head: Head) -> Result<Event, StoreError> {
        let Self { stamp, schema, text } = self;
        let seq = stamp.seq.0;
        let corrupt = |what: &str| StoreError::Corrupt { what: format!("event {seq} of {session} {what}") };
        if stamp.seq != head.seq.next() {
            return Err(corrupt(&format!("stands where event {} should be", head.seq.next().0)));
        }
        if schema != i64::from(SCHEMA) {
            return Err(corrupt(&format!("has schema {schema}, this version of Cofferdam reads {SCHEMA}")));
        }
        if stamp.previous != head.hash {
            return Err(corrupt("does not continue from the event before it"));
        }
        if stamp.hash != hash(session, stamp.seq, stamp.id, stamp.at, stamp.previous, &text) {
            return Err(corrupt("does not have the hash that it was written with"));
        }
        if stamp.at < head.at || stamp.id <= head.id {
            return Err(corrupt("is older than the event before it"));
        }
        let body = serde_json::from_str(&text)
            .map_err(|error| corrupt(&format!("cannot be read by this version of Cofferdam: {error}")))?;
        Ok(stamp.event(session, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_ids_never_go_back() {
        let session = SessionId::generate();
        let late = EventId::from_u128(EventId::generate().as_u128() | 0xffff << 100);
        let head = Head { seq: Seq(4), id: late, at: Timestamp(900), hash: Digest::of(b"x") };
        let stamp = head.stamp(session, Timestamp(7), "{}");
        assert_eq!((stamp.seq, stamp.at, stamp.previous), (Seq(5), Timestamp(900), head.hash));
        assert!(stamp.id > late);
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_with_its_size() {
        let body = EventBody::CancelAsked { by: "x".repeat(MAX_BODY) };
        let error = Entry::new(&body).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { what: "cancel_asked", .. }), "{error}");
    }
}
