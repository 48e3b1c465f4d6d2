//! The line that a session has in a list, folded from its events. No I/O.

use std::collections::BTreeSet;

use cofferdam_domain::{
    CallId, EventBody, PullRequestState, SessionId, SessionState, Verdict, WaitingFor, event::NudgeReason,
};
use serde::{Deserialize, Serialize};

/// The longest title, in characters.
const MAX_TITLE: usize = 200;

/// As much of a repository's name as a list shows and an index takes, in characters.
const MAX_REPOSITORY: usize = 600;
/// The longest id of a commit: SHA-256 in hexadecimal.
const MAX_COMMIT: usize = 64;

/// What a list shows of a session beside times and places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How far the work has come; never [`SessionState::Waiting`].
    pub(crate) phase: SessionState,
    /// What it waits for.
    pub(crate) waits: Waits,
    pub(crate) repository: String,
    pub(crate) title: String,
    pub(crate) outcome: Option<String>,
    /// Millionths of a dollar.
    pub(crate) cost: u64,
    /// In and out.
    pub(crate) tokens: u64,
    pub(crate) steps: u32,
    /// The number on the forge, and where it stands.
    pub(crate) pull_request: Option<(u64, PullRequestState)>,
    /// The commit that was pushed last.
    pub(crate) pushed: Option<String>,
    /// The session that it works for.
    pub(crate) parent: Option<SessionId>,
    /// The first of the attempts that it is one of.
    pub(crate) group: Option<SessionId>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            phase: SessionState::Queued,
            waits: Waits::default(),
            repository: String::new(),
            title: String::new(),
            outcome: None,
            cost: 0,
            tokens: 0,
            steps: 0,
            pull_request: None,
            pushed: None,
            parent: None,
            group: None,
        }
    }
}

/// All that a session waits for. It may be several things at once, each of which is settled by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Waits {
    pause: bool,
    budget: bool,
    plan: bool,
    /// To be chosen among several attempts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    choice: bool,
    /// The questions that are open: step and index of their calls.
    answers: BTreeSet<(u32, u16)>,
    /// The requests for access that are open, in the same way. The session goes on meanwhile, so it does not wait for them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    accesses: BTreeSet<(u32, u16)>,
}

impl Waits {
    /// The one that people are told of.
    pub(crate) fn shown(&self) -> Option<WaitingFor> {
        let Self { pause, budget, plan, choice, answers, accesses: _ } = self;
        [
            (*pause, WaitingFor::Pause),
            (*budget, WaitingFor::Budget),
            (*plan, WaitingFor::Plan),
            (!answers.is_empty(), WaitingFor::Answer),
            (*choice, WaitingFor::Choice),
        ]
        .into_iter()
        .find_map(|(does, what)| does.then_some(what))
    }
}

/// What one event changes in a [`Summary`], and whether somebody is to work on the session because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The task is known.
    Accepted {
        repository: String,
        title: String,
        parent: Option<SessionId>,
        group: Option<SessionId>,
    },
    /// Somebody has taken the session; one that was further along already stays there. A budget is looked at anew.
    Claimed,
    /// The model has answered.
    Answered {
        step: u32,
        cost: u64,
        tokens: u64,
    },
    /// It waits from here on until somebody continues it.
    Paused,
    /// It waits from here on for the answer to a question.
    Asked(CallId),
    /// Here it is.
    Told(CallId),
    /// It asks for access, and goes on.
    AccessAsked(CallId),
    /// Somebody decided about that.
    AccessDecided(CallId),
    /// It waits from here on for a decision about a plan.
    Planned,
    /// Here it is.
    Decided,
    /// It waits from here on for the next day.
    Broke,
    /// It is one of several attempts, and waits from here on to be chosen.
    Ready,
    /// One of them was chosen, this or another.
    Chosen,
    /// Whatever it waited for, but for a plan, it goes on; after the end too.
    Continued,
    /// Whatever it waited for, it goes on; after the end too.
    GoesOn,
    /// Somebody wrote: if it has ended, it goes on with that.
    Message,
    /// Somebody wants something done beside the agent's work.
    Deed,
    /// The gate sent the change back: the agent is at work again.
    SentBack,
    /// The agent has finished.
    Finished,
    /// The pull request stands on the forge.
    Pushed {
        commit: String,
    },
    Opened {
        number: u64,
    },
    /// A person merged or closed it.
    Closed(PullRequestState),
    /// All before this was copied from another session, which has spent it and whose pull request it is.
    Forked,
    /// The session is over, with this outcome in one word.
    Ended(&'static str),
}

impl Summary {
    /// The state that people see.
    pub(crate) fn state(&self) -> SessionState {
        if self.waiting().is_some() { SessionState::Waiting } else { self.phase }
    }

    /// What it waits for, if it does.
    pub(crate) fn waiting(&self) -> Option<WaitingFor> {
        if self.phase == SessionState::Ended { None } else { self.waits.shown() }
    }

    /// How many requests for access wait for a decision.
    pub(crate) fn accesses(&self) -> u32 {
        u32::try_from(self.waits.accesses.len()).unwrap_or(u32::MAX)
    }

    /// Folds one more event in. Returns whether it changed anything.
    pub(crate) fn apply(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::None => return false,
            Effect::Accepted { repository, title, parent, group } => {
                self.parent = *parent;
                self.group = *group;
                self.phase = SessionState::Queued;
                self.repository.clone_from(repository);
                self.title.clone_from(title);
            }
            Effect::Claimed => return self.claim(),
            Effect::Answered { step, cost, tokens } => {
                self.steps = self.steps.max(*step);
                self.cost = self.cost.saturating_add(*cost);
                self.tokens = self.tokens.saturating_add(*tokens);
            }
            Effect::Paused => self.waits.pause = true,
            Effect::Asked(call) => {
                self.waits.answers.insert((call.step, call.index));
            }
            Effect::Told(call) => return self.waits.answers.remove(&(call.step, call.index)),
            Effect::AccessAsked(call) => {
                self.waits.accesses.insert((call.step, call.index));
            }
            Effect::AccessDecided(call) => return self.waits.accesses.remove(&(call.step, call.index)),
            Effect::Planned => self.waits.plan = true,
            Effect::Decided => self.waits.plan = false,
            Effect::Broke => self.waits.budget = true,
            Effect::Ready => self.waits.choice = true,
            Effect::Chosen => self.waits.choice = false,
            Effect::Message if self.phase == SessionState::Ended => self.go_on(),
            // What was ready is not what there will be.
            Effect::Message => return std::mem::take(&mut self.waits.choice),
            Effect::Continued => {
                let Waits { plan, choice, accesses, .. } = std::mem::take(&mut self.waits);
                self.waits = Waits { plan, choice, accesses, ..Waits::default() };
                self.go_on();
            }
            Effect::GoesOn => {
                self.waits = Waits::default();
                self.go_on();
            }
            Effect::Deed => self.waits = Waits::default(),
            Effect::SentBack => self.phase = SessionState::Working,
            Effect::Finished => self.phase = SessionState::Delivering,
            Effect::Pushed { commit } => self.pushed = Some(commit.clone()),
            Effect::Opened { number } => self.pull_request = Some((*number, PullRequestState::Open)),
            Effect::Closed(state) => {
                if let Some((_, stands)) = &mut self.pull_request {
                    stands.clone_from(state);
                }
            }
            Effect::Forked => {
                let (repository, title) =
                    (std::mem::take(&mut self.repository), std::mem::take(&mut self.title));
                let Self { steps, parent, group, .. } = *self;
                *self = Self { repository, title, steps, parent, group, ..Self::default() };
            }
            Effect::Ended(word) => {
                self.phase = SessionState::Ended;
                self.waits = Waits::default();
                self.outcome = Some((*word).to_owned());
            }
        }
        true
    }

    fn claim(&mut self) -> bool {
        let budget = std::mem::take(&mut self.waits.budget);
        if self.phase == SessionState::Queued {
            self.phase = SessionState::Working;
            return true;
        }
        budget
    }

    fn go_on(&mut self) {
        if self.phase == SessionState::Ended {
            self.phase = SessionState::Queued;
            self.outcome = None;
        }
    }
}

impl Effect {
    /// Whether somebody is to work on the session from here on, for one that the queue hands out; `None` where the event does not say.
    /// `after` is the summary with this effect in it.
    pub(crate) fn wants(&self, after: &Summary) -> Option<bool> {
        match self {
            Self::Accepted { .. } | Self::GoesOn | Self::Deed | Self::Forked | Self::Chosen => Some(true),
            Self::Told(_)
            | Self::Decided
            | Self::Continued
            | Self::Paused
            | Self::Asked(_)
            | Self::Planned => Some(after.waiting().is_none()),
            // An attempt that was ready is not any more.
            Self::Message
                if after.phase == SessionState::Queued
                    || after.phase == SessionState::Delivering && after.group.is_some() =>
            {
                Some(after.waiting().is_none())
            }
            // The next day it goes on by itself.
            Self::Broke => Some(after.waiting() == Some(WaitingFor::Budget)),
            // Whoever worked on an attempt has to see whether all are through, before they let go of it.
            Self::Ended(_) if after.group.is_some() => None,
            Self::Ended(_) => Some(false),
            Self::None
            | Self::Claimed
            | Self::Answered { .. }
            | Self::AccessAsked(_)
            | Self::AccessDecided(_)
            | Self::Message
            | Self::Ready
            | Self::SentBack
            | Self::Finished
            | Self::Pushed { .. }
            | Self::Opened { .. }
            | Self::Closed(_) => None,
        }
    }

    /// The effect of an event.
    pub(crate) fn of(body: &EventBody) -> Self {
        match body {
            EventBody::TaskAccepted { task } => Self::Accepted {
                repository: text(&task.repository, MAX_REPOSITORY),
                title: title(task.title.as_deref().unwrap_or(&task.prompt)),
                parent: task.parent.as_ref().map(|parent| parent.session),
                group: task.attempt.map(|attempt| attempt.group),
            },
            EventBody::Claimed { .. } => Self::Claimed,
            EventBody::ModelAnswered { step, answer, .. } => Self::Answered {
                step: *step,
                cost: answer.cost.unwrap_or_default().0,
                tokens: answer.usage.total(),
            },
            EventBody::PauseAsked { .. } => Self::Paused,
            EventBody::QuestionAsked { call, .. } => Self::Asked(*call),
            EventBody::QuestionAnswered { call, .. } => Self::Told(*call),
            EventBody::AccessAsked(ask) => Self::AccessAsked(ask.call),
            EventBody::AccessDecided(access) => Self::AccessDecided(access.call),
            EventBody::PlanProposed { .. } => Self::Planned,
            EventBody::PlanDecided { .. } => Self::Decided,
            EventBody::BudgetExceeded { .. } => Self::Broke,
            EventBody::AttemptReady { .. } => Self::Ready,
            EventBody::AttemptChosen { .. } | EventBody::AttemptPassedOver { .. } => Self::Chosen,
            EventBody::ContinueAsked { .. } => Self::Continued,
            EventBody::SandboxReleased { .. } | EventBody::RolledBack { .. } => Self::GoesOn,
            EventBody::MessageReceived { .. } => Self::Message,
            EventBody::CancelAsked { .. } | EventBody::MergeAsked { .. } | EventBody::CloseAsked { .. } => {
                Self::Deed
            }
            EventBody::WorkFinished { .. } => Self::Finished,
            EventBody::Examined { verdict: Verdict::SendBack, .. }
            | EventBody::Nudged { reason: NudgeReason::GateFindings | NudgeReason::SelfReview, .. } => {
                Self::SentBack
            }
            EventBody::Pushed { commit, .. } => Self::Pushed { commit: text(commit, MAX_COMMIT) },
            EventBody::PullRequestOpened(pull_request) => Self::Opened { number: pull_request.number },
            EventBody::PullRequestClosed { state } => Self::Closed(state.clone()),
            EventBody::Forked { .. } => Self::Forked,
            EventBody::SessionEnded { outcome } => Self::Ended(outcome.name()),
            // The line is about the task's own repository.
            EventBody::Beside { .. }
            | EventBody::PolicyFixed(_)
            | EventBody::StageStarted { .. }
            | EventBody::StageFailed { .. }
            | EventBody::RepositoryReady(_)
            | EventBody::InstructionsFound(_)
            | EventBody::MemoriesRecalled(_)
            | EventBody::SelfReviewed(_)
            | EventBody::SandboxReady { .. }
            | EventBody::ModelAsked { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::Nudged { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::ToolFinished { .. }
            | EventBody::ToolLost { .. }
            | EventBody::EgressAllowed(_)
            | EventBody::EgressRefused(_)
            | EventBody::PackageFetched(_)
            | EventBody::SandboxFrozen { .. }
            | EventBody::AlarmRaised { .. }
            | EventBody::FilesDeleted { .. }
            | EventBody::Compacted { .. }
            | EventBody::LimitReached { .. }
            | EventBody::ObjectsReceived(_)
            | EventBody::NothingChanged
            | EventBody::Examined { .. }
            | EventBody::EvidenceRun(_)
            | EventBody::EvidenceMissing { .. }
            | EventBody::Checkpointed { .. }
            | EventBody::CheckpointStored { .. }
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. }
            | EventBody::Overtaken { .. }
            | EventBody::Delegated { .. }
            | EventBody::MergeFailed { .. } => Self::None,
        }
    }
}

/// What a column can hold, cut to a bearable length.
fn text(text: &str, most: usize) -> String {
    text.chars().filter(|character| *character != '\0').take(most).collect()
}

/// The first line with something in it, cut to a bearable length.
fn title(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(MAX_TITLE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_after(effects: &[Effect]) -> SessionState {
        let mut summary = Summary::default();
        for effect in effects {
            summary.apply(effect);
        }
        summary.state()
    }

    #[test]
    fn requests_for_access_are_open_until_decided() {
        let call = |index| CallId { step: 1, index };
        let mut summary = Summary::default();
        for (effect, open) in [
            (Effect::Claimed, 0),
            (Effect::AccessAsked(call(0)), 1),
            (Effect::AccessAsked(call(1)), 2),
            (Effect::AccessDecided(call(0)), 1),
            (Effect::AccessDecided(call(0)), 1),
            (Effect::Continued, 1),
            (Effect::Ended("succeeded"), 0),
        ] {
            summary.apply(&effect);
            assert_eq!((summary.accesses(), summary.waiting()), (open, None), "{effect:?}");
        }
    }

    #[test]
    fn a_claim_after_a_crash_does_not_take_a_session_back() {
        assert_eq!(state_after(&[Effect::Claimed]), SessionState::Working);
        assert_eq!(
            state_after(&[Effect::Claimed, Effect::Finished, Effect::Claimed]),
            SessionState::Delivering
        );
        assert_eq!(state_after(&[Effect::Ended("failed"), Effect::Claimed]), SessionState::Ended);
        assert_eq!(
            state_after(&[Effect::Claimed, Effect::Finished, Effect::SentBack]),
            SessionState::Working
        );
    }

    #[test]
    fn what_it_waits_for_is_what_it_goes_on_with() {
        let (one, two) = (CallId { step: 1, index: 0 }, CallId { step: 1, index: 1 });
        let asked = [Effect::Claimed, Effect::Asked(one), Effect::Asked(two)];
        let after = |more: &[Effect]| state_after(&[&asked, more].concat());
        assert_eq!(after(&[]), SessionState::Waiting);
        assert_eq!(after(&[Effect::Told(one), Effect::Told(one)]), SessionState::Waiting);
        assert_eq!(after(&[Effect::Told(two), Effect::Told(one)]), SessionState::Working);
        assert_eq!(after(&[Effect::Continued]), SessionState::Working);
        assert_eq!(after(&[Effect::Planned, Effect::Continued]), SessionState::Waiting);
        assert_eq!(after(&[Effect::Planned, Effect::Continued, Effect::Decided]), SessionState::Working);
        assert_eq!(after(&[Effect::Ended("cancelled")]), SessionState::Ended);
        assert_eq!(state_after(&[Effect::Claimed, Effect::Broke, Effect::Claimed]), SessionState::Working);
        assert_eq!(state_after(&[Effect::Paused, Effect::Claimed]), SessionState::Waiting);
    }

    #[test]
    fn a_message_after_the_end_begins_anew() {
        assert_eq!(state_after(&[Effect::Ended("succeeded"), Effect::Message]), SessionState::Queued);
        assert_eq!(state_after(&[Effect::Ended("succeeded"), Effect::Deed]), SessionState::Ended);
        assert_eq!(state_after(&[Effect::Claimed, Effect::Message]), SessionState::Working);
    }

    #[test]
    fn a_fork_has_spent_nothing_yet() {
        let mut summary = Summary::default();
        for effect in [
            Effect::Accepted { repository: "/r".into(), title: "t".into(), parent: None, group: None },
            Effect::Answered { step: 3, cost: 5, tokens: 70 },
            Effect::Opened { number: 9 },
            Effect::Ended("succeeded"),
            Effect::Forked,
        ] {
            summary.apply(&effect);
        }
        let fresh = Summary { repository: "/r".into(), title: "t".into(), steps: 3, ..Summary::default() };
        assert_eq!(summary, fresh);
    }

    #[test]
    fn the_title_is_the_first_line_with_something_in_it() {
        assert_eq!(title("\n  Fix the parser \nIt fails."), "Fix the parser");
        assert_eq!(title(&"ß".repeat(500)).chars().count(), MAX_TITLE);
    }
}
