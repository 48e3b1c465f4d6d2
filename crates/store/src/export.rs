//! A session's log outside of its store: the exact texts that were hashed, one event a line, to be checked by whoever has nothing else.
//!
//! The first line says whose log it is. What an export alone cannot show, that nothing was left off at its end or made anew, a signed checkpoint
//! shows: it says which hash the log had at a place.

use std::io::{self, BufRead};

use async_trait::async_trait;
use cofferdam_domain::{Digest, EventId, Seq, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    CheckpointError, StoreError,
    chain::{Found, Head, Stamp},
    checkpoint::pinned,
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    cofferdam_export: u32,
    session: SessionId,
}

/// What an export was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedExport {
    /// Whose log.
    pub session: SessionId,
    /// Its events.
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
    /// A line is no event.
    #[error("line {line} of the export cannot be read")]
    Line {
        /// Counted from 1.
        line: u64,
    },
    /// An event is not what was written.
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
    let encoded = |text: serde_json::Result<String>| {
        text.map_err(|source| E::from(StoreError::Encode { event: "an exported event", source }))
    };
    let mut after = Seq::START;
    let mut page = store.exported(session, after, PAGE).await?;
    line(&encoded(serde_json::to_string(&Title { cofferdam_export: FORMAT, session }))?)?;
    while let Some(last) = page.last() {
        after = last.seq;
        for event in &page {
            line(&encoded(serde_json::to_string(event))?)?;
        }
        page = store.exported(session, after, PAGE).await?;
    }
    Ok(())
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
    if title.cofferdam_export != FORMAT {
        return Err(ExportError::Title);
    }
    let session = title.session;
    let pin = checkpoint.map(|(public, text)| pinned(public, text, session)).transpose()?;
    let mut head = Head::START;
    let mut held = pin.is_none();
    let mut number = 1;
    while let Some(line) = next_line(&mut from)? {
        number += 1;
        let event: ExportedEvent =
            serde_json::from_slice(&line).map_err(|_| ExportError::Line { line: number })?;
        let ExportedEvent { seq, id, at, schema, previous, hash, body } = event;
        let found = Found { stamp: Stamp { seq, id, at, previous, hash }, schema, text: body };
        let checked = found.check(session, head).map_err(|error| {
            let what = if let StoreError::Corrupt { what } = error { what } else { error.to_string() };
            ExportError::Changed { what }
        })?;
        head = Head { seq: checked.seq, id: checked.id, at: checked.at, hash: checked.hash };
        held |= pin == Some((head.seq, head.hash));
    }
    if !held {
        return Err(CheckpointError::Changed { what: format!("session {session}") }.into());
    }
    Ok(CheckedExport { session, events: head.seq.0, head: head.hash, pinned: pin.map(|(seq, _)| seq) })
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
