//! What people and the agent have to settle with each other while the work goes on: pauses, questions, plans, budgets, a terminal in the
//! sandbox.
//!
//! While something is open nothing starts and nothing is decided. What is under way comes to its end, and then the session needs no worker.

use std::sync::Arc;

use cofferdam_domain::{
    CallId, Digest, EventBody, SessionState, Timestamp, ToolCall, ToolSpec, ToolStatus, WaitingFor,
    event::{Fixed, PlanDecision},
    policy::Questions,
};

use crate::{Agent, answer::PROPOSE_PLAN, wording};

/// The tool that calls tools of other programs, where those are not shown one by one.
const CALL_TOOL: &str = "call_tool";
/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// What is open between people and the agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct People {
    paused: bool,
    /// When a budget was found used up.
    budget: Option<Timestamp>,
    /// When somebody let the session go on all the same.
    waived: Option<Timestamp>,
    questions: Arc<Vec<Question>>,
    /// Calls that somebody has approved and that were not made yet.
    approved: Arc<Vec<Digest>>,
    plan: PlanFirst,
    /// Who works in the sandbox.
    terminal: Option<Arc<str>>,
}

/// A question of the agent's.
#[derive(Debug, Clone)]
struct Question {
    call: CallId,
    text: String,
    /// The call that it is about, where the answer permits one.
    about: Option<Digest>,
    /// Whether the log has it: else it is the next decision.
    recorded: bool,
    /// Whether it was answered, or will not be.
    closed: bool,
}

/// Whether a plan is needed, and how far it is.
#[derive(Debug, Clone, Default)]
enum PlanFirst {
    /// None is needed.
    #[default]
    No,
    /// The agent may only look.
    Wanted,
    /// The agent has one.
    Proposed(Arc<Proposal>),
    /// It is approved.
    Approved(Arc<str>),
}

#[derive(Debug, Clone)]
struct Proposal {
    call: CallId,
    text: String,
    digest: Digest,
    /// Whether the log has it: else it is the next decision.
    recorded: bool,
}

impl People {
    /// A plan is needed before anything may be changed.
    pub(crate) fn want_plan(&mut self) {
        self.plan = PlanFirst::Wanted;
    }

    /// Whether only such tools may be called as leave the sandbox as it is.
    pub(crate) const fn planning(&self) -> bool {
        matches!(self.plan, PlanFirst::Wanted | PlanFirst::Proposed(_))
    }

    /// What is to be said of the plan right after the task.
    pub(crate) fn about_plan(&self) -> Option<&str> {
        match &self.plan {
            PlanFirst::No => None,
            PlanFirst::Wanted | PlanFirst::Proposed(_) => Some(wording::PLAN_FIRST),
            PlanFirst::Approved(said) => Some(said),
        }
    }

    fn waiting(&self) -> Option<WaitingFor> {
        let asked = self.questions.iter().any(|question| question.recorded && !question.closed);
        let proposed = matches!(&self.plan, PlanFirst::Proposed(proposal) if proposal.recorded);
        match (self.paused, proposed, asked, self.budget) {
            (true, _, _, _) => Some(WaitingFor::Pause),
            (_, true, _, _) => Some(WaitingFor::Plan),
            (_, _, true, _) => Some(WaitingFor::Answer),
            (_, _, _, Some(_)) => Some(WaitingFor::Budget),
            (false, false, false, None) => None,
        }
    }

    /// The day on which a budget was used up is over.
    pub(crate) fn another_day(&mut self, now: Timestamp) {
        self.budget.take_if(|since| since.0 / DAY < now.0 / DAY);
    }

    /// Whoever takes a session that waits for a budget sees anew whether there is one: it may have been raised.
    pub(crate) const fn look_into_purse(&mut self) {
        self.budget = None;
    }

    /// Somebody takes the session up again from another place. If they have said what to do, that stands in the place of every answer.
    pub(crate) fn let_go(&mut self, instructed: bool) {
        self.paused = false;
        self.budget = None;
        self.terminal = None;
        if instructed {
            Arc::make_mut(&mut self.questions).iter_mut().for_each(|question| question.closed = true);
            if self.planning() {
                self.plan = PlanFirst::Wanted;
            }
        }
    }

    /// The worker was lost, and with it whoever was in the sandbox.
    pub(crate) fn cut(&mut self) -> Option<Arc<str>> {
        self.terminal.take()
    }
}

impl Agent {
    /// What the session waits for, if it waits for a person. It needs no worker then, but for what is still under way.
    #[must_use]
    pub fn waiting(&self) -> Option<WaitingFor> {
        let over =
            self.outcome.is_some() || self.cancelled || self.failure.is_some() || self.frozen.is_some();
        let over = over || self.passed_over().is_some();
        if over { None } else { self.people.waiting().or_else(|| self.choice.waiting()) }
    }

    /// The same for somebody who takes it up at this time: another day has another budget, and one of today may have been raised.
    #[must_use]
    pub fn waits_at(&self, now: Timestamp) -> Option<WaitingFor> {
        let mut then = self.clone();
        then.people.another_day(now);
        if then.rules() >= 2 {
            then.people.look_into_purse();
        }
        then.waiting()
    }

    /// Whether somebody has let the session go on today in spite of a budget that is used up.
    #[must_use]
    pub fn spends_anyway(&self, now: Timestamp) -> bool {
        self.people.waived.is_some_and(|since| since.0 / DAY == now.0 / DAY)
    }

    /// Whether a person works in the sandbox.
    #[must_use]
    pub const fn taken_over(&self) -> bool {
        self.people.terminal.is_some()
    }

    /// Whether a plan has to be approved before anything may be changed.
    #[must_use]
    pub const fn planning(&self) -> bool {
        self.people.planning()
    }

    /// The agent's questions that wait for an answer, in the order in which they were asked.
    pub fn questions(&self) -> impl Iterator<Item = &str> {
        let open = |question: &&Question| question.recorded && !question.closed;
        self.people.questions.iter().filter(open).map(|question| question.text.as_str())
    }

    /// The agent's plan that waits for a decision.
    #[must_use]
    pub fn proposal(&self) -> Option<&str> {
        match &self.people.plan {
            PlanFirst::Proposed(proposal) if proposal.recorded => Some(&proposal.text),
            PlanFirst::No | PlanFirst::Wanted | PlanFirst::Proposed(_) | PlanFirst::Approved(_) => None,
        }
    }

    /// Whether nothing is under way: no model call, no tool call, no stage.
    #[must_use]
    pub fn idle(&self) -> bool {
        let asked = self.asked.as_ref().is_some_and(|asked| asked.running);
        let stages = self.strands().any(|strand| strand.stages.any_to_wait_for());
        !asked && !self.calls.any_running_here() && !stages
    }

    /// Whether something of the worker's own work is.
    pub(crate) fn any_stage_under_way(&self) -> bool {
        self.strands().any(|strand| strand.stages.any_under_way())
    }

    /// Whether nothing may start or be decided.
    pub(crate) fn held(&self) -> bool {
        self.waiting().is_some() || self.taken_over()
    }

    /// The question or the plan that is to be written down next.
    pub(crate) fn decide_on_people(&self) -> Option<EventBody> {
        if let Some(question) = self.people.questions.iter().find(|question| !question.recorded) {
            return Some(EventBody::QuestionAsked { call: question.call, question: question.text.clone() });
        }
        match &self.people.plan {
            PlanFirst::Proposed(proposal) if !proposal.recorded => {
                let Proposal { call, text, digest, .. } = Proposal::clone(proposal);
                Some(EventBody::PlanProposed { call, text, digest })
            }
            PlanFirst::No | PlanFirst::Wanted | PlanFirst::Proposed(_) | PlanFirst::Approved(_) => None,
        }
    }

    /// The digests of calls that people have approved and that were not made yet, each for one call.
    #[must_use]
    pub fn approved(&self) -> &[Digest] {
        &self.people.approved
    }

    /// The same, to be kept.
    pub(crate) fn shared_approvals(&self) -> Arc<Vec<Digest>> {
        Arc::clone(&self.people.approved)
    }

    /// A call was made, or lost: what had been approved for it is used up. Of which call one was lost is not known for sure, so all is.
    pub(crate) fn use_approval(&mut self, made: Option<Digest>) {
        if self.people.approved.is_empty() {
            return;
        }
        let approved = Arc::make_mut(&mut self.people.approved);
        match made {
            Some(made) => {
                if let Some(at) = approved.iter().position(|digest| *digest == made) {
                    approved.remove(at);
                }
            }
            None => approved.clear(),
        }
    }

    /// A call has ended, and nothing says whether another program was sent it. If it was to be, no approval is left that it may have used up.
    pub(crate) fn ended_untold(&mut self, tool: &ToolCall, status: ToolStatus) {
        let Some(fixed) = &self.facts.fixed else { return };
        let foreign = &fixed.foreign;
        let by_name = foreign.tools.iter().any(|known| known.called == tool.name);
        // What is refused is not sent.
        if status != ToolStatus::Refused && (by_name || foreign.searched && tool.name == CALL_TOOL) {
            self.use_approval(None);
        }
    }

    /// The agent asks, where people answer; or a call needs that they approve it.
    pub(crate) fn question_wanted(&mut self, call: CallId, text: &str, about: Option<Digest>) {
        let question = Question { call, text: text.to_owned(), about, recorded: false, closed: false };
        Arc::make_mut(&mut self.people.questions).push(question);
        self.calls.drop_waiting(wording::CALL_BEFORE_ANSWER);
    }

    /// The agent proposes a plan, where one is wanted.
    pub(crate) fn plan_wanted(&mut self, call: CallId, text: &str) {
        if self.people.planning() {
            let digest = Digest::of(text.as_bytes());
            let proposal = Proposal { call, text: text.to_owned(), digest, recorded: false };
            self.people.plan = PlanFirst::Proposed(Arc::new(proposal));
            self.calls.drop_waiting(wording::CALL_BEFORE_ANSWER);
        }
    }

    pub(crate) fn question_asked(&mut self, call: CallId, text: &str) -> bool {
        let questions = Arc::make_mut(&mut self.people.questions);
        match questions.iter_mut().find(|question| question.call == call) {
            Some(known) if known.recorded => return false,
            Some(known) => known.recorded = true,
            None => {
                let text = text.to_owned();
                questions.push(Question { call, text, about: None, recorded: true, closed: false });
            }
        }
        true
    }

    /// Only the first answer counts.
    pub(crate) fn question_answered(&mut self, call: CallId, by: &str, text: &str) -> bool {
        let seed = self.seed();
        let open = Arc::make_mut(&mut self.people.questions)
            .iter_mut()
            .find(|question| question.call == call && question.recorded && !question.closed);
        if let Some(question) = open {
            question.closed = true;
            let approves = text.trim().eq_ignore_ascii_case("approve");
            let said = match question.about {
                None => wording::answered(&question.text, by, text, &seed),
                Some(digest) if approves => {
                    Arc::make_mut(&mut self.people.approved).push(digest);
                    wording::CALL_APPROVED.to_owned()
                }
                Some(_) => wording::call_refused(by, text, &seed),
            };
            self.hear(said);
        }
        true
    }

    pub(crate) fn plan_proposed(&mut self, call: CallId, text: &str, digest: Digest) -> bool {
        let fits = self.people.planning();
        if fits {
            let proposal = Proposal { call, text: text.to_owned(), digest, recorded: true };
            self.people.plan = PlanFirst::Proposed(Arc::new(proposal));
        }
        fits
    }

    /// A decision about anything but the plan that is proposed now is none.
    pub(crate) fn plan_decided(&mut self, digest: Digest, by: &str, decision: &PlanDecision) -> bool {
        let PlanFirst::Proposed(proposal) = &self.people.plan else { return true };
        if !proposal.recorded || proposal.digest != digest {
            return true;
        }
        let seed = self.seed();
        match decision {
            PlanDecision::Approved { text } => {
                let plan = text.as_deref().unwrap_or(&proposal.text);
                let said: Arc<str> = wording::plan_approved(by, plan, text.is_some(), &seed).into();
                self.people.plan = PlanFirst::Approved(Arc::clone(&said));
                self.refit();
                self.hear(said);
            }
            PlanDecision::Rejected { text } => {
                self.people.plan = PlanFirst::Wanted;
                self.hear(wording::plan_rejected(by, text, &seed));
            }
        }
        true
    }

    pub(crate) fn pause_asked(&mut self) -> bool {
        self.people.paused = true;
        true
    }

    /// Whatever the session waits for, except for a decision about a plan, which has to be made.
    pub(crate) fn continue_asked(&mut self) -> bool {
        self.people.paused = false;
        if self.people.budget.take().is_some() {
            self.people.waived = Some(self.clock.now());
        }
        let mut closed = Vec::new();
        let open = |question: &&mut Question| question.recorded && !question.closed;
        for question in Arc::make_mut(&mut self.people.questions).iter_mut().filter(open) {
            question.closed = true;
            closed.push(match question.about {
                None => wording::unanswered(&question.text),
                Some(_) => wording::CALL_NOT_APPROVED.to_owned(),
            });
        }
        closed.into_iter().for_each(|said| self.draft.say(said));
        true
    }

    pub(crate) fn budget_exceeded(&mut self) -> bool {
        self.people.budget = Some(self.clock.now());
        true
    }

    pub(crate) fn terminal_opened(&mut self, by: &str) -> bool {
        self.people.terminal = Some(by.into());
        true
    }

    pub(crate) fn terminal_closed(&mut self) -> bool {
        let Some(by) = self.people.terminal.take() else { return false };
        self.touched = true;
        self.draft.say(wording::terminal_closed(&by));
        true
    }

    /// Somebody with a right to has said something that the work must not end before.
    pub(crate) fn hear(&mut self, said: impl Into<Arc<str>>) {
        self.unread = true;
        self.take_back_finish();
        let said = said.into();
        self.recall.hear(&said);
        self.draft.say(said);
    }

    /// What is to be done about the task, as the model is told first of all, and what advises on it, and was noted before, once that is known.
    pub(crate) fn opening(&self) -> Option<String> {
        let asked = self.what_was_asked()?;
        let told = [Some(asked), self.lasting_advice(), self.lasting_memories()];
        Some(told.into_iter().flatten().collect::<Vec<_>>().join("\n\n"))
    }

    fn what_was_asked(&self) -> Option<String> {
        let (task, fixed) = (self.facts.task.as_ref()?, self.facts.fixed.as_ref()?);
        if let Some(parent) = &task.parent {
            return Some(wording::piece_of_work(task, parent, &self.seed()));
        }
        let several = wording::side_by_side(task);
        let task = wording::task(task, fixed.policy.questions, &self.seed());
        let task = several.map_or_else(|| task.clone(), |several| format!("{task}\n\n{several}"));
        Some(match self.people.about_plan() {
            Some(plan) => format!("{task}\n\n{plan}"),
            None => task,
        })
    }

    /// The tools that the model is offered now.
    pub(crate) fn offered(&self, fixed: &Fixed) -> Vec<ToolSpec> {
        let planning = self.people.planning();
        let offered = |tool: &&ToolSpec| {
            if planning { tool.read_only } else { tool.name != PROPOSE_PLAN }
        };
        fixed.tools.iter().filter(offered).cloned().collect()
    }

    /// The model, or what it is offered, is another one.
    pub(crate) fn refit(&mut self) {
        let Some(fixed) = self.facts.fixed.clone() else { return };
        let (tools, model) = (self.offered(&fixed), self.model_at_work(&fixed));
        if let Some(conversation) = &mut self.conversation {
            conversation.refit(&fixed, model, tools);
        }
    }

    /// Whether questions are put to people.
    pub(crate) fn asks_people(&self) -> bool {
        self.facts.fixed.as_ref().is_some_and(|fixed| fixed.policy.questions == Questions::Wait)
    }

    /// Lets the clock stand while the session waits.
    pub(crate) fn keep_time(&mut self, held_before: bool) {
        let working = self.phase == SessionState::Working && self.outcome.is_none();
        match (held_before, self.held()) {
            (false, true) => self.clock.stop(),
            (true, false) if working => self.clock.start(),
            (true, false) | (true, true) | (false, false) => {}
        }
    }
}
