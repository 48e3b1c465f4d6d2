//! A session in a list.

use cofferdam_domain::{Seq, SessionId, SessionState, Timestamp, WaitingFor};
use cofferdam_store::SessionRow;
use serde::Deserialize;

/// What a list shows of a session.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    /// Which.
    pub(crate) id: SessionId,
    /// Where it stands.
    pub(crate) state: SessionState,
    /// What it waits for.
    pub(crate) waiting: Option<WaitingFor>,
    /// How it ended, in one word.
    pub(crate) outcome: Option<String>,
    /// Whether a worker has it.
    pub(crate) claimed: bool,
    /// Its repository, as asked.
    pub(crate) repository: String,
    /// The first line of its prompt.
    pub(crate) title: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// When its last event was written.
    pub(crate) updated: Timestamp,
    /// The place of its last event.
    pub(crate) events: Seq,
    /// The session that it works for.
    #[serde(default)]
    pub(crate) parent: Option<SessionId>,
    /// Whether a worker takes it by itself.
    #[serde(default = "queued")]
    pub(crate) queued: bool,
}

/// What a server has is queued.
const fn queued() -> bool {
    true
}

impl From<SessionRow> for Line {
    fn from(row: SessionRow) -> Self {
        let queued = matches!(row.placement, cofferdam_store::Placement::Queued { .. });
        Self {
            id: row.id,
            state: row.state,
            waiting: row.waiting,
            outcome: row.outcome,
            claimed: row.claimed,
            repository: row.repository,
            title: row.title,
            created: row.created,
            updated: row.updated,
            events: row.last,
            parent: row.parent,
            queued,
        }
    }
}
