//! A session's log, or an organisation's audit log, outside of its store: exactly what was hashed, one event or entry a line, to be checked by
//! whoever has nothing else.
//!
//! The first line says whose log it is. What an export alone cannot show, that nothing was left off at its end or made anew, a signed checkpoint
//! shows: it says which hash the log had at a place.

use std::{
    fmt,
    io::{self, BufRead},
};

use async_trait::async_trait;
use cofferdam_domain::{AuditId, Digest, EventId, OrgId, Seq, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    CheckpointError, StoreError,
    chain::{Found, Head, Stamp},
    checkpoint::pinned,
    records::audit::End,
};

/// The longest line that may be an event, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// The version of the format.
const FORMAT: u32 = 1;

/// Events read at once.
const PAGE: u32 = 200;

/// Gives logs out as they are kept. Implemented by every store.
#[async_trait]
pub trait Export: Send + Sync {
    /// Events after `after` as they are kept, at most `limit`, each checked against the one before it.
    ///
    /// # Errors
    /// As [`crate::Store::read`].
    async fn exported(
        &self,
        session: SessionId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<ExportedEvent>, StoreError>;

    /// Entries of an organisation's audit log after `after` as they are kept, at most `limit`, each checked against the one before it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming the first that does not fit, or when the store cannot be read.
    async fn exported_audit(
        &self,
        org: OrgId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<ExportedEntry>, StoreError>;
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEvent {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// When it was written.
    pub at: Timestamp,
    /// How its body is to be read.
    pub schema: i64,
    /// The hash of the event before it.
    pub previous: Digest,
    /// Its own.
    pub hash: Digest,
    /// The text that was hashed: JSON.
    pub body: String,
}

/// An entry of an audit log as it is kept. Every field is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedEntry {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: AuditId,
    /// When it was written.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it: JSON.
    pub detail: String,
    /// The hash of the entry before it.
    pub previous: Digest,
    /// Its own.
    pub hash: Digest,
}

/// Whose log an export has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    /// A session's.
    Session(SessionId),
    /// What was written down about an organisation.
    Audit(OrgId),
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => write!(f, "session {session}"),
            Self::Audit(org) => write!(f, "the audit log of {org}"),
        }
    }
}

/// The first line. It has one of the two.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    cofferdam_export: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organisation: Option<OrgId>,
}

impl Title {
    const fn of(exported: Exported) -> Self {
        let (session, organisation) = match exported {
            Exported::Session(session) => (Some(session), None),
            Exported::Audit(org) => (None, Some(org)),
        };
        Self { cofferdam_export: FORMAT, session, organisation }
    }

    const fn exported(&self) -> Option<Exported> {
        match (self.cofferdam_export, self.session, self.organisation) {
            (FORMAT, Some(session), None) => Some(Exported::Session(session)),
            (FORMAT, None, Some(org)) => Some(Exported::Audit(org)),
            _ => None,
        }
    }
}

/// What an export was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedExport {
    /// Whose log.
    pub of: Exported,
    /// Its events or entries.
    pub events: u64,
    /// The hash of the last one.
    pub head: Digest,
    /// The place up to which a checkpoint vouches for it, if one was given.
    pub pinned: Option<Seq>,
}

/// Why an export is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is none.
    #[error("this is no export: its first line does not say whose log it is")]
    Title,
    /// A line is no event and no entry.
    #[error("line {line} of the export cannot be read")]
    Line {
        /// Counted from 1.
        line: u64,
    },
    /// Something is not what was written.
    #[error("the export was changed: {what}")]
    Changed {
        /// Which, and how that shows.
        what: String,
    },
    /// The checkpoint does not hold for it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It cannot be read.
    #[error("the export cannot be read")]
    Read(#[from] io::Error),
}

/// Writes a session's log to `line`, line by line.
///
/// # Errors
/// As [`crate::Store::read`], or what `line` answers.
pub async fn export<E: From<StoreError>>(
    store: &dyn Export,
    session: SessionId,
    mut line: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    line(&encoded(&Title::of(Exported::Session(session)))?)?;
    let mut after = Seq::START;
    loop {
        let page = store.exported(session, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        for event in &page {
            line(&encoded(event)?)?;
        }
    }
}

/// Writes an organisation's audit log to `line`, line by line.
///
/// # Errors
/// As [`Export::exported_audit`], or what `line` answers.
pub async fn export_audit<E: From<StoreError>>(
    store: &dyn Export,
    org: OrgId,
    mut line: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    line(&audit_title(org)?)?;
    let mut after = Seq::START;
    loop {
        let page = store.exported_audit(org, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        for entry in &page {
            line(&entry.line()?)?;
        }
    }
}

/// The first line of an export of an organisation's audit log.
///
/// # Errors
/// None that could happen.
pub fn audit_title(org: OrgId) -> Result<String, StoreError> {
    encoded(&Title::of(Exported::Audit(org)))
}

impl ExportedEntry {
    /// The line of an export that has it.
    ///
    /// # Errors
    /// None that could happen.
    pub fn line(&self) -> Result<String, StoreError> {
        encoded(self)
    }
}

fn encoded(line: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(line).map_err(|source| StoreError::Encode { event: "a line of an export", source })
}

/// Checks an export: every hash and every link, and, if a checkpoint and the public key of who signed it are given, that the log still holds what
/// it held then.
///
/// # Errors
/// Naming the first thing that does not fit.
pub fn check_export(
    mut from: impl BufRead,
    checkpoint: Option<(&[u8], &str)>,
) -> Result<CheckedExport, ExportError> {
    let title = next_line(&mut from)?.ok_or(ExportError::Title)?;
    let title: Title = serde_json::from_slice(&title).map_err(|_| ExportError::Title)?;
    let of = title.exported().ok_or(ExportError::Title)?;
    let pin = checkpoint.map(|(public, text)| pinned(public, text, of)).transpose()?;
    let mut chain = Chain::of(of);
    // Of an audit log there may be a checkpoint from before its first entry.
    let mut held = pin.is_none_or(|pin| pin == chain.end());
    let mut number = 1;
    while let Some(line) = next_line(&mut from)? {
        number += 1;
        chain.add(&line, number)?;
        held |= pin == Some(chain.end());
    }
    if !held {
        return Err(CheckpointError::Changed { what: of.to_string() }.into());
    }
    let (events, head) = chain.end();
    Ok(CheckedExport { of, events: events.0, head, pinned: pin.map(|(seq, _)| seq) })
}

/// As much of a log as has been checked.
enum Chain {
    Session(SessionId, Head),
    Audit(OrgId, End),
}

impl Chain {
    const fn of(exported: Exported) -> Self {
        match exported {
            Exported::Session(session) => Self::Session(session, Head::START),
            Exported::Audit(org) => Self::Audit(org, End::START),
        }
    }

    /// The place and the hash of its last event or entry.
    const fn end(&self) -> (Seq, Digest) {
        match self {
            Self::Session(_, head) => (head.seq, head.hash),
            Self::Audit(_, end) => (end.seq, end.hash),
        }
    }

    /// Puts a line at its end, if it fits there.
    fn add(&mut self, line: &[u8], number: u64) -> Result<(), ExportError> {
        let unreadable = |_| ExportError::Line { line: number };
        let fits = match self {
            Self::Session(session, head) => {
                let event: ExportedEvent = serde_json::from_slice(line).map_err(unreadable)?;
                let ExportedEvent { seq, id, at, schema, previous, hash, body } = event;
                let found = Found { stamp: Stamp { seq, id, at, previous, hash }, schema, text: body };
                found.check(*session, *head).map(|event| {
                    *head = Head { seq: event.seq, id: event.id, at: event.at, hash: event.hash };
                })
            }
            Self::Audit(org, end) => {
                let entry: ExportedEntry = serde_json::from_slice(line).map_err(unreadable)?;
                end.follow(*org, entry)
            }
        };
        fits.map_err(|error| {
            let what = if let StoreError::Corrupt { what } = error { what } else { error.to_string() };
            ExportError::Changed { what }
        })
    }
}

/// The next line without its end; `None` after the last.
fn next_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    io::Read::take(&mut *from, MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() as u64 >= MAX_LINE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok((!line.is_empty()).then_some(line))
}
