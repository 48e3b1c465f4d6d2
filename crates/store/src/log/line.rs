//! A session as a write sees it: where its log ends, what its row says, and what an append does to both. No I/O.

use cofferdam_domain::{
    BlobRef, LetterId, MemoryId, MemoryProposal, Notice, NoticeKind, OrgId, Owner, PullRequestState, Seq,
    SessionId, SessionState, Timestamp, WaitingFor, WorkerId, memory,
};

use crate::{
    Letter, MOST_CRASHES, Placement, Proposed, Spending, StoreError, Ticket, Writer,
    chain::{Entry, Head, Stamp},
    sql::{Row, invalid},
    summary::{Effect, Summary},
};

/// Milliseconds of a day.
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

/// What must still be so when a worker's events are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    /// The claim's, where a worker writes.
    pub(crate) fence: Option<u64>,
    pub(crate) after: Seq,
}

impl Guard {
    /// What `writer` stands for when it writes to this session.
    pub(crate) fn of(session: SessionId, writer: Writer<'_>) -> Option<Self> {
        match writer {
            // A claim of another session is no claim of this one: no fence ever gets that high.
            Writer::Worker { claim, after } => {
                let fence = if claim.session == session { claim.fence } else { u64::MAX };
                Some(Self { fence: Some(fence), after })
            }
            Writer::Reader { after } => Some(Self { fence: None, after }),
            Writer::Anybody => None,
        }
    }

    /// Why the events may not be written, if so.
    pub(crate) fn refuses(self, line: &Line) -> Option<StoreError> {
        let (session, last) = (line.id, line.head.seq);
        if self.fence.is_some_and(|fence| fence != line.fence) {
            Some(StoreError::Fenced { session, fence: line.fence })
        } else if self.after < last {
            Some(StoreError::Behind { session, last: last.0 })
        } else if self.after > last {
            let what = format!(
                "the log of {session} ends at event {}, who writes to it has seen {}",
                last.0, self.after.0
            );
            Some(StoreError::Corrupt { what })
        } else {
            None
        }
    }
}

/// A row of `sessions`.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: SessionId,
    pub(crate) owner: Owner,
    pub(crate) placement: Placement,
    pub(crate) created: Timestamp,
    pub(crate) head: Head,
    pub(crate) summary: Summary,
    pub(crate) fence: u64,
    pub(crate) wanted: bool,
    pub(crate) not_before: Timestamp,
    pub(crate) crashes: u32,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) holder: Option<String>,
    pub(crate) since: Timestamp,
    pub(crate) archived: bool,
    pub(crate) forgotten: bool,
}

/// What an event wants remembered, with its place.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) seq: Seq,
    pub(crate) org: OrgId,
    pub(crate) proposed: Proposed,
}

/// What was written at the end of a log.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    /// The stamps of the new events, in order.
    pub(crate) stamps: Vec<Stamp>,
    /// What they say was spent.
    pub(crate) spent: Spending,
    /// The content that they refer to, and whether it may expire before them.
    pub(crate) blobs: Vec<(BlobRef, bool)>,
    /// Whether a worker may take the session now that could not before.
    pub(crate) stirs: bool,
    /// What people outside are to be told.
    pub(crate) letters: Vec<Letter>,
    /// What people are to decide about, before it may be remembered.
    pub(crate) proposals: Vec<Proposal>,
}

impl Line {
    /// Of a session that has no events yet.
    pub(crate) fn new(id: SessionId, ticket: Ticket, at: Timestamp) -> Self {
        Self {
            id,
            owner: ticket.owner,
            placement: ticket.placement,
            created: at,
            head: Head::START,
            summary: Summary::default(),
            fence: 0,
            wanted: false,
            not_before: Timestamp(0),
            crashes: 0,
            worker: None,
            holder: None,
            since: Timestamp(0),
            archived: false,
            forgotten: false,
        }
    }

    /// The line in a row with all columns of `sessions`.
    pub(crate) fn decode(row: &Row) -> Result<Self, StoreError> {
        Self::read(row).map_err(|error| {
            let id = row.text("id").unwrap_or_default();
            StoreError::Corrupt { what: format!("the row of session {id:?} cannot be read: {error}") }
        })
    }

    fn read(row: &Row) -> sqlx::Result<Self> {
        let placement = if row.is("queued")? {
            Placement::Queued { priority: i16::try_from(row.int("priority")?).unwrap_or_default() }
        } else {
            Placement::Direct
        };
        let updated = row.time("updated")?;
        Ok(Self {
            id: row.parsed("id")?,
            owner: Owner {
                org: row.parsed("org")?,
                project: row.parsed("project")?,
                user: row.parsed("owner")?,
            },
            placement,
            created: row.time("created")?,
            head: Head {
                seq: row.seq("last")?,
                id: row.parsed("head_id")?,
                at: updated,
                hash: row.digest("head_hash")?,
            },
            summary: summary(row)?,
            fence: row.count("fence")?,
            wanted: row.is("wanted")?,
            not_before: row.time("not_before")?,
            crashes: u32::try_from(row.int("crashes")?).unwrap_or(u32::MAX),
            worker: row.parsed_or_null("worker")?,
            holder: row.text_or_null("holder")?,
            since: row.time("since")?,
            archived: row.is("archived")?,
            forgotten: row.is("forgotten")?,
        })
    }

    /// Whether a worker may take it from the queue.
    pub(crate) fn is_ready(&self) -> bool {
        let queued = matches!(self.placement, Placement::Queued { .. });
        queued && self.wanted && self.worker.is_none() && self.not_before.0 == 0
    }

    /// Its priority; 0 where it has none.
    pub(crate) const fn priority(&self) -> i16 {
        match self.placement {
            Placement::Direct => 0,
            Placement::Queued { priority } => priority,
        }
    }

    /// Who takes turns with whom.
    pub(crate) fn lane(&self) -> String {
        format!("{}/{}", self.owner.org, self.owner.user)
    }

    /// Puts events at the end of the log.
    pub(crate) fn extend(&mut self, at: Timestamp, entries: &[Entry]) -> Extension {
        let was_ready = self.is_ready();
        let mut extension = Extension::default();
        for entry in entries {
            let stamp = self.head.stamp(self.id, at, &entry.text);
            self.head = stamp.head();
            extension.count(&entry.effect, &self.summary);
            self.summary.apply(&entry.effect);
            self.want(&entry.effect, stamp.at);
            if entry.effect == Effect::Forked {
                // Of what was copied they were told before.
                extension.letters.clear();
                extension.proposals.clear();
            }
            let letter = entry.notice.as_ref().and_then(|notice| self.letter(notice, &entry.effect, stamp));
            extension.letters.extend(letter);
            let proposal = entry.remember.as_ref().and_then(|remember| self.proposal(remember, stamp));
            extension.proposals.extend(proposal);
            extension.blobs.extend(entry.blobs.iter().map(|blob| (*blob, entry.passing)));
            extension.stamps.push(stamp);
        }
        extension.stirs = self.is_ready() && !was_ready || self.not_before.0 > 0;
        extension
    }

    /// What people outside are to be told of an event. Nothing of a session that somebody began at a terminal: there they see it.
    fn letter(&self, notice: &Notice, effect: &Effect, stamp: Stamp) -> Option<Letter> {
        let Placement::Queued { .. } = self.placement else { return None };
        let pull_request = self.summary.pull_request.as_ref().map(|(number, _)| *number);
        let kind = if notice.kind == NoticeKind::Failed && self.crashes >= MOST_CRASHES {
            NoticeKind::DeadLetter
        } else if notice.kind == NoticeKind::Ended
            && pull_request.is_some()
            && *effect == Effect::Ended("stopped")
        {
            // What there was when the limit was reached can be looked at.
            NoticeKind::PullRequest
        } else {
            notice.kind
        };
        Some(Letter {
            id: LetterId::generate(),
            kind,
            owner: self.owner,
            session: Some(self.id),
            seq: stamp.seq,
            at: stamp.at,
            title: self.summary.title.clone(),
            text: notice.text.clone(),
            pull_request,
        })
    }

    /// What a session proposes. Nobody but its own worker makes such an event; what could be no memory is none here either.
    fn proposal(&self, remember: &MemoryProposal, stamp: Stamp) -> Option<Proposal> {
        memory::check(&remember.text).ok()?;
        let repository =
            if remember.everywhere { None } else { Some(memory::place(&self.summary.repository)?) };
        let proposed = Proposed {
            id: MemoryId::generate(),
            session: self.id,
            project: self.owner.project,
            repository,
            text: remember.text.clone(),
            at: stamp.at,
            private: remember.private,
        };
        Some(Proposal { seq: stamp.seq, org: self.owner.org, proposed })
    }

    fn want(&mut self, effect: &Effect, at: Timestamp) {
        let Some(wanted) = effect.wants(&self.summary) else { return };
        self.wanted = wanted;
        let queued = matches!(self.placement, Placement::Queued { .. });
        let next_day = queued && wanted && *effect == Effect::Broke;
        self.not_before = if next_day { self::next_day(at) } else { Timestamp(0) };
    }
}

/// When the next day begins (UTC), and with it the day's budgets.
pub(crate) const fn next_day(at: Timestamp) -> Timestamp {
    Timestamp((at.0 / DAY + 1).saturating_mul(DAY))
}

impl Extension {
    /// Counts what an event says was spent. `before` is the summary without it.
    fn count(&mut self, effect: &Effect, before: &Summary) {
        match effect {
            // Whoever works for another session is none that somebody asked for.
            Effect::Accepted { parent, .. } => self.spent.sessions += u64::from(parent.is_none()),
            Effect::Answered { step: _, cost, tokens } => {
                self.spent.cost = self.spent.cost.saturating_add(*cost);
                self.spent.tokens = self.spent.tokens.saturating_add(*tokens);
            }
            // One that is brought up to date is not another one.
            Effect::Opened { number }
                if before.pull_request.as_ref().is_none_or(|(known, _)| known != number) =>
            {
                self.spent.pull_requests += 1;
            }
            // What was copied was spent before, by another session.
            Effect::Forked => self.spent = Spending { sessions: 1, ..Spending::default() },
            Effect::None
            | Effect::Claimed
            | Effect::Paused
            | Effect::Asked(_)
            | Effect::Told(_)
            | Effect::AccessAsked(_)
            | Effect::AccessDecided(_)
            | Effect::Planned
            | Effect::Decided
            | Effect::Broke
            | Effect::Ready
            | Effect::Chosen
            | Effect::Continued
            | Effect::GoesOn
            | Effect::Message
            | Effect::Deed
            | Effect::SentBack
            | Effect::Finished
            | Effect::Pushed { .. }
            | Effect::Opened { .. }
            | Effect::Closed(_)
            | Effect::Ended(_) => {}
        }
    }
}

/// What a row of `sessions` shows in a list.
fn summary(row: &Row) -> sqlx::Result<Summary> {
    let state = |text: &str| serde_json::from_str::<PullRequestState>(text).ok();
    let pull_request =
        row.count_or_null("pull_request")?.zip(row.named_or_null("pull_request_state", state)?);
    let summary = Summary {
        phase: row.named("phase", SessionState::named)?,
        waits: row.named("waits", |text| serde_json::from_str(text).ok())?,
        repository: row.text("repository")?,
        title: row.text("title")?,
        outcome: row.text_or_null("outcome")?,
        cost: row.count("cost")?,
        tokens: row.count("tokens")?,
        steps: u32::try_from(row.int("steps")?).unwrap_or(u32::MAX),
        pull_request,
        pushed: row.text_or_null("pushed")?,
        parent: row.parsed_or_null("parent")?,
        group: row.parsed_or_null("attempt_of")?,
    };
    let shown = row.named("state", SessionState::named)?;
    let waiting = row.named_or_null("waiting", WaitingFor::named)?;
    if (shown, waiting) == (summary.state(), summary.waiting()) {
        Ok(summary)
    } else {
        Err(invalid("state", "it does not follow from the columns beside it"))
    }
}
