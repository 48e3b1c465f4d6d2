//! What is asked of the one who writes events, in either database.

use cofferdam_domain::{SessionId, Timestamp};

use crate::{
    StoreError, Ticket,
    chain::{Entry, Stamp},
    log::line::{Guard, Line},
};

/// The most requests in one transaction: bounds how long each of them waits.
pub(crate) const MAX_BATCH: usize = 64;

/// What is to be written to a session.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) session: SessionId,
    pub(crate) at: Timestamp,
    pub(crate) entries: Vec<Entry>,
    pub(crate) kind: Kind,
}

/// Under what condition.
#[derive(Debug)]
pub(crate) enum Kind {
    /// It is new.
    Create(Ticket),
    /// It is there; under a guard if a worker writes.
    Append(Option<Guard>),
}

/// What became of a write in a transaction that did not fail.
pub(crate) type Answer = Result<Vec<Stamp>, StoreError>;

impl Write {
    /// The line that is to be extended, unless that is refused.
    pub(crate) fn admit(&self, line: Option<Line>) -> Result<Line, StoreError> {
        let session = self.session;
        match (&self.kind, line) {
            (Kind::Create(_), Some(_)) => Err(StoreError::Exists(session)),
            (Kind::Create(ticket), None) => Ok(Line::new(session, *ticket, self.at)),
            (Kind::Append(guard), Some(line)) if !line.forgotten => {
                match guard.and_then(|guard| guard.refuses(&line)) {
                    Some(refusal) => Err(refusal),
                    None => Ok(line),
                }
            }
            (Kind::Append(_), _) => Err(StoreError::UnknownSession(session)),
        }
    }

    /// How much text it brings, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.text.len()).sum()
    }
}
