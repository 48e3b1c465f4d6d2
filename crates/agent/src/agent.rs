//! The state of a session's loop: everything that the log says, in the form in which the next decision needs
//! it.

use std::{collections::VecDeque, sync::Arc};

use cofferdam_domain::{
    Cost, EventBody, Holdings, Message, Outcome, Part, SessionId, SessionState, Spent, Usage,
    event::{ModelRole, NudgeReason},
    policy::LimitKind,
    tool::Finish,
};

use crate::{
    access::Accesses, advice::Advice, alarms::Watchman, attempts::Choice, calls::Calls, clock::WorkClock,
    compaction::Pressure, conversation::Conversation, draft::Draft, ending::Failure, facts::Facts,
    history::Restore, memory::Remembered, people::People, recall::Recall, remarks::Remarks,
    self_review::FreshLooks, strand::Strand, stuck::Watch, subagents::Subagents,
};

/// So many oddities are kept in words.
const MOST_ODDITIES: usize = 32;

/// The loop of one session: a fold over its log. Copying it is cheap.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(crate) session: SessionId,
    /// The sessions in which the events to come happened, as far as they are copies of other sessions'.
    pub(crate) origins: VecDeque<SessionId>,
    /// Queued, working or delivering; kept when the session ends, so that it can go on from there.
    pub(crate) phase: SessionState,
    pub(crate) fence: u64,
    pub(crate) cancelled: bool,
    pub(crate) outcome: Option<Outcome>,
    /// Whether, and how, an ended session goes on when it is claimed.
    pub(crate) reopens: Option<Reopening>,
    pub(crate) failure: Option<Failure>,
    pub(crate) clock: WorkClock,
    pub(crate) facts: Facts,
    /// What is known of the task's own repository.
    pub(crate) strand: Strand,
    /// The same of the others, in the order in which the task names them.
    pub(crate) beside: Vec<Strand>,
    /// From which repository the session is seen: the task's own, but for as long as something concerns another one. That one's strand stands in the
    /// place of the first then, and the other way round.
    pub(crate) here: Part,
    /// What the agent has asked to be let out.
    pub(crate) accesses: Accesses,
    /// What advises it.
    pub(crate) advice: Advice,
    /// What was noted before it began, and what it wants noted.
    pub(crate) memory: Remembered,
    /// Why the sandbox was frozen, until a person releases it or gives it up.
    pub(crate) frozen: Option<Arc<str>>,
    /// Holds every event against the policy's rules.
    pub(crate) watchman: Watchman,
    /// Why the sandbox is to be frozen: an alarm says so.
    pub(crate) to_freeze: Option<Arc<str>>,
    pub(crate) people: People,
    /// What has come into it, by its labels.
    pub(crate) holdings: Holdings,
    /// Whether it is chosen, where it is one of several attempts.
    pub(crate) choice: Choice,
    /// What reviewers have remarked that is to be answered.
    pub(crate) remarks: Remarks,
    /// What the next sandbox begins with, if not with what the one before has left.
    pub(crate) restore: Option<Restore>,
    /// The last checkpoint: under which session it is kept, if not under this one, and its name.
    pub(crate) checkpoint: Option<(Option<SessionId>, Arc<str>)>,
    /// The model that a fork is to go on with, until it is fixed.
    pub(crate) other_model: Option<Arc<str>>,

    pub(crate) steps: u32,
    pub(crate) usage: Usage,
    pub(crate) cost: Cost,
    /// What was spent in events that count no more.
    pub(crate) dropped: Spent,
    /// What had been spent when the turn began: each has the whole budget.
    pub(crate) turn_began: Spent,

    pub(crate) conversation: Option<Conversation>,
    pub(crate) draft: Draft,
    pub(crate) asked: Option<Asked>,
    pub(crate) calls: Calls,
    /// The sessions that work for this one.
    pub(crate) subagents: Subagents,
    /// Fresh looks at its change before delivery.
    pub(crate) looks: FreshLooks,
    pub(crate) pressure: Pressure,
    /// What the platform remembers itself for when the conversation is cut.
    pub(crate) recall: Recall,
    /// A message has arrived that the model has not been shown.
    pub(crate) unread: bool,
    /// It is from somebody whose words count like the task's.
    pub(crate) follow_up: bool,
    /// A tool was started at some time, so the workspace may differ from the base.
    pub(crate) touched: bool,

    pub(crate) watch: Watch,
    pub(crate) manners: Manners,
    /// What the agent is to be told before the model is asked again.
    pub(crate) due: Option<NudgeReason>,
    /// The limit that is to be declared reached.
    pub(crate) stop: Option<LimitKind>,
    /// The limit that was reached in this stretch of work.
    pub(crate) limit: Option<LimitKind>,
    pub(crate) wrap: WrapUp,
    /// The agent was told that a limit is near.
    pub(crate) warned: bool,
    /// What ends the work as soon as its step is over.
    pub(crate) finish: Option<Finish>,
    pub(crate) gate_rounds: u32,

    pub(crate) oddities: Vec<String>,
}

/// How an ended session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reopening {
    /// From where it was.
    GoOn,
    /// With a new turn, because somebody wrote.
    NewTurn,
}

/// What somebody wants done with the pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closing {
    /// To merge it, at this head.
    Merge(Arc<str>),
    /// To close it.
    Close,
}

/// A model call without its answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) compaction: bool,
    /// The last message of a request for a summary, which is no part of the conversation.
    pub(crate) tail: Option<Arc<Message>>,
    /// What another model than the session's own is asked for, if it is.
    pub(crate) asked_of: Option<ModelRole>,
    /// False once it was cut short: then the same is to be asked again.
    pub(crate) running: bool,
}

/// Answers of one manner, one after another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manners {
    pub(crate) silent: u32,
    pub(crate) truncated: u32,
    pub(crate) refused: u32,
}

/// The last answer after a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrapUp {
    /// The agent has not been told that it may give it.
    Untold,
    /// It may give it.
    Told,
    /// It has given it, or could not.
    Over,
}

impl Agent {
    /// The agent of a session whose log is empty.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self {
            session,
            origins: VecDeque::new(),
            phase: SessionState::Queued,
            fence: 0,
            cancelled: false,
            outcome: None,
            reopens: None,
            failure: None,
            clock: WorkClock::new(),
            facts: Facts::default(),
            strand: Strand::default(),
            beside: Vec::new(),
            here: Part::FIRST,
            accesses: Accesses::default(),
            advice: Advice::default(),
            memory: Remembered::default(),
            frozen: None,
            watchman: Watchman::default(),
            to_freeze: None,
            people: People::default(),
            holdings: Holdings::default(),
            choice: Choice::default(),
            remarks: Remarks::default(),
            restore: None,
            checkpoint: None,
            other_model: None,
            steps: 0,
            usage: Usage::default(),
            cost: Cost::default(),
            dropped: Spent::default(),
            turn_began: Spent::default(),
            conversation: None,
            draft: Draft::default(),
            asked: None,
            calls: Calls::default(),
            subagents: Subagents::default(),
            looks: FreshLooks::default(),
            pressure: Pressure::default(),
            recall: Recall::default(),
            unread: false,
            follow_up: false,
            touched: false,
            watch: Watch::default(),
            manners: Manners::default(),
            due: None,
            stop: None,
            limit: None,
            wrap: WrapUp::Untold,
            warned: false,
            finish: None,
            gate_rounds: 0,
            oddities: Vec::new(),
        }
    }

    /// What marks of quoted words hang on, beside the words.
    pub(crate) fn seed(&self) -> [u8; 16] {
        self.origins.front().unwrap_or(&self.session).as_u128().to_be_bytes()
    }

    /// The text of the model's last answer.
    pub(crate) fn last_answer(&self) -> String {
        self.conversation.as_ref().map(Conversation::last_answer).unwrap_or_default()
    }

    pub(crate) fn note_oddity(&mut self, body: &EventBody, why: &str) {
        if self.oddities.len() < MOST_ODDITIES {
            self.oddities.push(format!("{}: {why}", body.name()));
        }
    }
}
