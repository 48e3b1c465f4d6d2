//! What this process counts: of the events that its worker writes or hears of, and of what only the worker itself knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cofferdam_domain::{
    Answer, CallId, Event, EventBody, EvidenceRun, Finding, PullRequestState, SessionId, Stage, Timestamp,
    Verdict,
    alarm::BUILT_IN,
    event::{ModelFailure, ModelInfo},
};

use crate::{Label, Names, Page, describe, histogram::Histogram};

/// Models that are told apart.
const MOST_MODELS: usize = 32;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Counter {
    Taken,
    GivenBack,
    LeasesLost,
    StoreFailures,
    Ended,
    Steps,
    ModelCalls,
    Tokens,
    Cost,
    ToolCalls,
    Allowed,
    Refused,
    Packages,
    Frozen,
    Alarms,
    Verdicts,
    Findings,
    Evidence,
    PullRequests,
    Limits,
}

impl Counter {
    const ALL: [Self; 20] = [
        Self::Taken,
        Self::GivenBack,
        Self::LeasesLost,
        Self::StoreFailures,
        Self::Ended,
        Self::Steps,
        Self::ModelCalls,
        Self::Tokens,
        Self::Cost,
        Self::ToolCalls,
        Self::Allowed,
        Self::Refused,
        Self::Packages,
        Self::Frozen,
        Self::Alarms,
        Self::Verdicts,
        Self::Findings,
        Self::Evidence,
        Self::PullRequests,
        Self::Limits,
    ];

    /// Its name and what it counts.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Taken => {
                ("cofferdam_sessions_taken_total", "Sessions that this worker took from the queue")
            }
            Self::GivenBack => {
                ("cofferdam_sessions_given_back_total", "Sessions that this worker let go, by why")
            }
            Self::LeasesLost => (
                "cofferdam_leases_lost_total",
                "Times that this worker was silent for too long and lost its sessions",
            ),
            Self::StoreFailures => {
                ("cofferdam_store_failures_total", "Times that the store could not be asked")
            }
            Self::Ended => ("cofferdam_sessions_ended_total", "Sessions that ended here, by outcome"),
            Self::Steps => ("cofferdam_steps_total", "Model answers that became steps or summaries"),
            Self::ModelCalls => {
                ("cofferdam_model_calls_total", "Model calls, retries within them not counted")
            }
            Self::Tokens => ("cofferdam_model_tokens_total", "Tokens, as providers counted them"),
            Self::Cost => {
                ("cofferdam_model_cost_microdollars_total", "Millionths of a US dollar for model calls")
            }
            Self::ToolCalls => ("cofferdam_tool_calls_total", "Tool calls that ended"),
            Self::Allowed => ("cofferdam_egress_allowed_total", "Requests that an egress door let out"),
            Self::Refused => {
                ("cofferdam_egress_refused_total", "Requests that an egress door refused, by why")
            }
            Self::Packages => {
                ("cofferdam_packages_fetched_total", "Packages that came through an egress door")
            }
            Self::Frozen => ("cofferdam_sandboxes_frozen_total", "Sandboxes that were frozen"),
            Self::Alarms => ("cofferdam_alarms_total", "Rules over sessions' events that were met"),
            Self::Verdicts => ("cofferdam_gate_verdicts_total", "Changes that the gate examined, by verdict"),
            Self::Findings => ("cofferdam_gate_findings_total", "Findings of the gate, by severity"),
            Self::Evidence => {
                ("cofferdam_evidence_runs_total", "Runs of repositories' tests, by tree and result")
            }
            Self::PullRequests => {
                ("cofferdam_pull_requests_total", "Pull requests brought up to date, merged or closed")
            }
            Self::Limits => ("cofferdam_limits_reached_total", "Hard limits that sessions reached"),
        }
    }
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timing {
    Sandbox,
    Model,
    Append,
}

impl Timing {
    const ALL: [Self; 3] = [Self::Sandbox, Self::Model, Self::Append];

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Sandbox => ("cofferdam_sandbox_seconds", "Time to make a session's sandbox"),
            Self::Model => ("cofferdam_model_call_seconds", "Time of model calls, retries included"),
            Self::Append => ("cofferdam_append_seconds", "Time until the store has what a worker writes"),
        }
    }
}

type Labels = Vec<(&'static str, Label)>;

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<(Counter, Labels), u64>,
    times: BTreeMap<(Timing, Labels), Histogram>,
    /// Sessions that the worker has.
    held: BTreeSet<SessionId>,
    /// Sandboxes that are being made, and since when.
    making: BTreeMap<SessionId, Timestamp>,
    /// Tool calls that run, and of which tools.
    running: BTreeMap<(SessionId, CallId), Label>,
}

/// Why a worker let a session go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBack {
    /// It has ended, or waits for a person.
    Done,
    /// Somebody else is to go on.
    HandedOver,
    /// Something of the machine's failed.
    Failed,
    /// Another worker has it.
    Overtaken,
    /// It was deleted.
    Deleted,
}

/// Counts what happens in one process.
#[derive(Debug)]
pub struct Tally {
    state: Mutex<State>,
    models: Names,
    /// The tools that there are: a model may ask for any.
    tools: BTreeMap<String, Label>,
}

impl Tally {
    /// Counts from zero. `tools` are the names of the tools that there are.
    pub fn new(tools: impl IntoIterator<Item = String>) -> Self {
        let names = Names::new(usize::MAX);
        let tools = tools.into_iter().map(|tool| (tool.clone(), names.label(&tool))).collect();
        Self { state: Mutex::default(), models: Names::new(MOST_MODELS), tools }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, counter: Counter, labels: &[(&'static str, Label)], more: u64) {
        self.state().add(counter, labels, more);
    }

    fn one(&self, counter: Counter, label: &'static str, word: &'static str) {
        self.add(counter, &[(label, Label::Word(word))], 1);
    }

    /// The worker has taken a session.
    pub fn taken(&self, session: SessionId) {
        self.add(Counter::Taken, &[], 1);
        self.state().held.insert(session);
    }

    /// The worker has let a session go.
    pub fn given_back(&self, session: SessionId, why: GivenBack) {
        let why = match why {
            GivenBack::Done => "done",
            GivenBack::HandedOver => "handed_over",
            GivenBack::Failed => "failed",
            GivenBack::Overtaken => "overtaken",
            GivenBack::Deleted => "deleted",
        };
        self.one(Counter::GivenBack, "why", why);
        self.state().held.remove(&session);
    }

    /// The worker has lost all its sessions.
    pub fn lost(&self) {
        self.add(Counter::LeasesLost, &[], 1);
        self.state().held.clear();
    }

    /// The store could not be asked.
    pub fn store_failed(&self) {
        self.add(Counter::StoreFailures, &[], 1);
    }

    /// The store has what the worker wrote.
    pub fn appended(&self, took: Duration) {
        self.state().time(Timing::Append, Vec::new(), took);
    }

    /// A model call ended.
    pub fn model_called(&self, info: &ModelInfo, result: Result<&Answer, ModelFailure>, took: Duration) {
        let models = vec![
            ("provider", self.models.label(&describe::provider(info))),
            ("model", self.models.label(&describe::model(info))),
        ];
        let with = |label, word| [models.clone(), vec![(label, Label::Word(word))]].concat();
        let word = match result {
            Ok(_) => "ok",
            Err(failure) => describe::model_failure(failure),
        };
        let mut state = self.state();
        state.add(Counter::ModelCalls, &with("result", word), 1);
        if let Ok(answer) = result {
            let usage = answer.usage;
            for (kind, tokens) in [
                ("input", usage.input),
                ("cache_read", usage.cache_read),
                ("cache_write", usage.cache_write),
                ("output", usage.output),
            ] {
                state.add(Counter::Tokens, &with("kind", kind), tokens);
            }
            state.add(Counter::Cost, &models, answer.cost_by(info.prices.as_ref()).0);
        }
        state.time(Timing::Model, models, took);
    }

    /// An event is in the log.
    #[expect(clippy::too_many_lines, reason = "a line for each kind of event")]
    pub fn event(&self, event: &Event) {
        // One of several repositories counts like the only one.
        match event.body.in_part().1 {
            EventBody::Claimed { .. } => self.state().forget(event.session),
            EventBody::StageStarted { stage: Stage::Sandbox } => {
                self.state().making.insert(event.session, event.at);
            }
            EventBody::SandboxReady { .. } => self.state().sandbox_ready(event),
            EventBody::ModelAnswered { .. } => self.add(Counter::Steps, &[], 1),
            EventBody::ToolStarted { call, tool } => {
                let tool = self.tools.get(tool).cloned().unwrap_or(Label::Word("other"));
                self.state().running.insert((event.session, *call), tool);
            }
            EventBody::ToolFinished { call, outcome, .. } => {
                self.tool_ended(event.session, *call, describe::status(outcome.status));
            }
            EventBody::ToolLost { call } => self.tool_ended(event.session, *call, "lost"),
            EventBody::EgressAllowed(_) => self.add(Counter::Allowed, &[], 1),
            EventBody::EgressRefused(refused) => {
                let why = [("why", Label::Word(refused.code.as_str()))];
                self.add(Counter::Refused, &why, refused.count.into());
            }
            EventBody::PackageFetched(fetched) => {
                self.one(Counter::Packages, "from", if fetched.cached { "cache" } else { "registry" });
            }
            EventBody::SandboxFrozen { .. } => self.add(Counter::Frozen, &[], 1),
            EventBody::AlarmRaised { rule, .. } => self.one(Counter::Alarms, "rule", built_in(rule)),
            EventBody::LimitReached { limit, .. } => {
                self.one(Counter::Limits, "limit", describe::limit(*limit))
            }
            EventBody::Examined { findings, verdict } => self.examined(findings, *verdict),
            EventBody::EvidenceRun(run) => self.evidence(run),
            EventBody::PullRequestOpened(_) => self.one(Counter::PullRequests, "what", "opened"),
            EventBody::PullRequestClosed { state } => {
                let what = if matches!(state, PullRequestState::Merged { .. }) { "merged" } else { "closed" };
                self.one(Counter::PullRequests, "what", what);
            }
            EventBody::SessionEnded { outcome } => {
                self.one(Counter::Ended, "outcome", outcome.name());
                self.state().forget(event.session);
            }
            EventBody::Beside { .. }
            | EventBody::TaskAccepted { .. }
            | EventBody::PolicyFixed(_)
            | EventBody::StageStarted { .. }
            | EventBody::StageFailed { .. }
            | EventBody::RepositoryReady(_)
            | EventBody::InstructionsFound(_)
            | EventBody::MemoriesRecalled(_)
            | EventBody::SelfReviewed(_)
            | EventBody::AttemptReady { .. }
            | EventBody::AttemptChosen { .. }
            | EventBody::AttemptPassedOver { .. }
            | EventBody::ModelAsked { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::Nudged { .. }
            | EventBody::AccessAsked(_)
            | EventBody::AccessDecided(_)
            | EventBody::SandboxReleased { .. }
            | EventBody::Compacted { .. }
            | EventBody::MessageReceived { .. }
            | EventBody::PauseAsked { .. }
            | EventBody::ContinueAsked { .. }
            | EventBody::QuestionAsked { .. }
            | EventBody::QuestionAnswered { .. }
            | EventBody::PlanProposed { .. }
            | EventBody::PlanDecided { .. }
            | EventBody::Checkpointed { .. }
            | EventBody::CheckpointStored { .. }
            | EventBody::FilesDeleted { .. }
            | EventBody::RolledBack { .. }
            | EventBody::Forked { .. }
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. }
            | EventBody::BudgetExceeded { .. }
            | EventBody::CancelAsked { .. }
            | EventBody::WorkFinished { .. }
            | EventBody::ObjectsReceived(_)
            | EventBody::NothingChanged
            | EventBody::EvidenceMissing { .. }
            | EventBody::Pushed { .. }
            | EventBody::MergeAsked { .. }
            | EventBody::CloseAsked { .. }
            | EventBody::Overtaken { .. }
            | EventBody::Delegated { .. }
            | EventBody::MergeFailed { .. } => {}
        }
    }

    fn tool_ended(&self, session: SessionId, call: CallId, status: &'static str) {
        let mut state = self.state();
        let tool = state.running.remove(&(session, call)).unwrap_or(Label::Word("other"));
        state.add(Counter::ToolCalls, &[("tool", tool), ("status", Label::Word(status))], 1);
    }

    fn examined(&self, findings: &[Finding], verdict: Verdict) {
        self.one(Counter::Verdicts, "verdict", describe::verdict(verdict));
        for finding in findings {
            self.one(Counter::Findings, "severity", describe::severity(finding.severity));
        }
    }

    fn evidence(&self, run: &EvidenceRun) {
        let result = if run.exit.success() { "passed" } else { "failed" };
        let labels = [("side", Label::Word(describe::side(run.side))), ("result", Label::Word(result))];
        self.add(Counter::Evidence, &labels, 1);
    }

    /// Writes all that was counted.
    pub fn write(&self, page: &mut Page) {
        let state = self.state();
        page.single("cofferdam_worker_sessions", "gauge", "Sessions that this worker has", state.held.len());
        for counter in Counter::ALL {
            let (name, help) = counter.words();
            page.family(name, "counter", help);
            for ((_, labels), count) in state.counts.iter().filter(|((which, _), _)| *which == counter) {
                page.sample(name, labels, count);
            }
        }
        for timing in Timing::ALL {
            let (name, help) = timing.words();
            page.family(name, "histogram", help);
            for ((_, labels), times) in state.times.iter().filter(|((which, _), _)| *which == timing) {
                page.times(name, labels, times);
            }
        }
    }
}

/// The name of a rule that is built in; own ones are all counted together.
fn built_in(rule: &str) -> &'static str {
    BUILT_IN.into_iter().find(|known| *known == rule).unwrap_or("own")
}

impl State {
    fn add(&mut self, counter: Counter, labels: &[(&'static str, Label)], more: u64) {
        let count = self.counts.entry((counter, labels.to_vec())).or_default();
        *count = count.saturating_add(more);
    }

    fn time(&mut self, timing: Timing, labels: Labels, took: Duration) {
        self.times.entry((timing, labels)).or_default().add(took);
    }

    fn sandbox_ready(&mut self, event: &Event) {
        if let Some(since) = self.making.remove(&event.session) {
            let took = Duration::from_millis(event.at.millis_since(since));
            self.time(Timing::Sandbox, Vec::new(), took);
        }
    }

    /// Nothing of a session is under way any more.
    fn forget(&mut self, session: SessionId) {
        self.making.remove(&session);
        self.running.retain(|(of, _), _| *of != session);
    }
}
