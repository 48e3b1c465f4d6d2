//! How things are shown to programs. These types are the API's own: what the store and the log have may change without them.

use cofferdam_domain::{
    CallId, Digest, OrgId, ProjectId, PullRequestState, Rank, Seq, SessionId, SessionState, Timestamp,
    UserId, WaitingFor, attempt::Choose,
};
use cofferdam_store::SessionRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// Its id
    #[schema(value_type = String)]
    pub(crate) id: SessionId,
    /// Where it stands
    #[schema(value_type = StateView)]
    pub(crate) state: SessionState,
    /// What it waits for, while its state is `waiting`
    #[schema(value_type = Option<WaitingView>)]
    pub(crate) waiting: Option<WaitingFor>,
    /// How many requests for access wait for a decision; it goes on meanwhile
    pub(crate) access_requests: u32,
    /// How it ended, while its state is `ended`
    pub(crate) outcome: Option<String>,
    /// The first line of its prompt
    pub(crate) title: String,
    /// Its repository, as asked
    pub(crate) repository: String,
    /// The project that it belongs to
    #[schema(value_type = String)]
    pub(crate) project: ProjectId,
    /// Who asked for it
    #[schema(value_type = String)]
    pub(crate) user: UserId,
    /// When it was made, in milliseconds since 1970
    #[schema(value_type = u64)]
    pub(crate) created: Timestamp,
    /// When its last event was written, in milliseconds since 1970
    #[schema(value_type = u64)]
    pub(crate) updated: Timestamp,
    /// The place of its last event, counted from 1
    #[schema(value_type = u64)]
    pub(crate) events: Seq,
    /// What it has cost, in millionths of a US dollar
    pub(crate) cost: u64,
    /// The tokens that it has used, in and out
    pub(crate) tokens: u64,
    /// How many answers the model has given
    pub(crate) steps: u32,
    /// Its pull request, if it has one
    pub(crate) pull_request: Option<PullRequestLine>,
    /// Whether somebody put it away
    pub(crate) archived: bool,
    /// Whether a worker has it
    pub(crate) claimed: bool,
    /// The session that it works for, where it works for another one
    #[schema(value_type = Option<String>)]
    pub(crate) parent: Option<SessionId>,
    /// The first of the attempts that it is one of, where it is one of several
    #[schema(value_type = Option<String>)]
    pub(crate) attempt_of: Option<SessionId>,
}

/// A pull request in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PullRequestLine {
    /// The forge's number for it
    pub(crate) number: u64,
    /// `open`, `merged` or `closed`
    pub(crate) state: &'static str,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionState)]
pub(crate) enum StateView {
    /// Accepted; nobody works on it yet
    Queued,
    /// The agent is at work
    Working,
    /// It waits for a person
    Waiting,
    /// The agent has finished; the change is examined and published
    Delivering,
    /// It ended
    Ended,
}

impl From<Choose> for ChooseView {
    fn from(choose: Choose) -> Self {
        match choose {
            Choose::Ask => Self::Ask,
            Choose::Best => Self::Best,
        }
    }
}

impl From<StateView> for SessionState {
    fn from(view: StateView) -> Self {
        match view {
            StateView::Queued => Self::Queued,
            StateView::Working => Self::Working,
            StateView::Waiting => Self::Waiting,
            StateView::Delivering => Self::Delivering,
            StateView::Ended => Self::Ended,
        }
    }
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WaitingFor)]
#[expect(dead_code, reason = "only describes the values of a type that knows nothing of this API")]
pub(crate) enum WaitingView {
    /// For somebody to continue it
    Pause,
    /// For the answer to a question
    Answer,
    /// For a decision about a plan
    Plan,
    /// For money
    Budget,
    /// For somebody to choose among several attempts
    Choice,
}

/// What somebody may do in an organisation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Rank)]
pub(crate) enum RankView {
    /// See everything
    Viewer,
    /// Ask for work, steer it, decide about what it asks for, merge
    Member,
    /// Decide who belongs to it, what the rules are, what may be spent
    Admin,
}

impl From<RankView> for Rank {
    fn from(view: RankView) -> Self {
        match view {
            RankView::Viewer => Self::Viewer,
            RankView::Member => Self::Member,
            RankView::Admin => Self::Admin,
        }
    }
}

impl From<Rank> for RankView {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Viewer => Self::Viewer,
            Rank::Member => Self::Member,
            Rank::Admin => Self::Admin,
        }
    }
}

impl From<SessionRow> for SessionView {
    fn from(row: SessionRow) -> Self {
        let pull_request =
            row.pull_request.map(|(number, state)| PullRequestLine { number, state: state_name(&state) });
        Self {
            id: row.id,
            state: row.state,
            waiting: row.waiting,
            access_requests: row.accesses,
            outcome: row.outcome,
            title: row.title,
            repository: row.repository,
            project: row.owner.project,
            user: row.owner.user,
            created: row.created,
            updated: row.updated,
            events: row.last,
            cost: row.cost,
            tokens: row.tokens,
            steps: row.steps,
            pull_request,
            archived: row.archived,
            claimed: row.claimed,
            parent: row.parent,
            attempt_of: row.attempt_of,
        }
    }
}

/// Where a pull request stands, in one word.
pub(crate) const fn state_name(state: &PullRequestState) -> &'static str {
    match state {
        PullRequestState::Open => "open",
        PullRequestState::Merged { .. } => "merged",
        PullRequestState::Closed => "closed",
    }
}

/// That something was written into a session's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Written {
    /// The event's place
    #[schema(value_type = u64)]
    pub(crate) seq: Seq,
}

/// A session that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its id
    #[schema(value_type = String)]
    pub(crate) id: SessionId,
    /// All attempts at the task, where there are several; the first of them is the session
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub(crate) attempts: Vec<SessionId>,
}

impl Made {
    /// One session.
    pub(crate) const fn one(id: SessionId) -> Self {
        Self { id, attempts: Vec::new() }
    }

    /// Several attempts.
    pub(crate) const fn several(id: SessionId, attempts: Vec<SessionId>) -> Self {
        Self { id, attempts }
    }
}

/// Who chooses among several attempts.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Choose)]
pub(crate) enum ChooseView {
    /// A person
    Ask,
    /// The platform: the one that is ranked first, once all are through
    Best,
}

/// Somebody, as they are known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Whoami {
    /// The organisation
    #[schema(value_type = String)]
    pub(crate) organisation: OrgId,
    /// The user
    #[schema(value_type = String)]
    pub(crate) user: UserId,
    /// Their name
    pub(crate) name: String,
    /// What they may do
    pub(crate) rank: RankView,
    /// The only project that they may do it in
    #[schema(value_type = Option<String>)]
    pub(crate) project: Option<ProjectId>,
}

/// A request for access.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccessView {
    /// The call that asked
    #[schema(value_type = String)]
    pub(crate) id: CallId,
    /// The digest of the rule: what a decision is about
    #[schema(value_type = String)]
    pub(crate) digest: Digest,
    /// What should be permitted, exactly
    #[schema(value_type = Object)]
    pub(crate) rule: serde_json::Value,
    /// Why, in the agent's words
    pub(crate) reason: String,
    /// What was decided, if anything was
    #[schema(value_type = Option<Object>)]
    pub(crate) decided: Option<serde_json::Value>,
}
