//! Events as lines for people.

mod delivery;
mod incident;

use std::{collections::BTreeMap, time::Duration};

use cofferdam_domain::{
    About, Answer, Block, CallId, Event, EventBody, EvidenceRun, Finding, Memories, Memory, MemoryProposal,
    Outcome, Part, Severity, Side, Stage, Task, Timestamp, ToolOutcome, ToolStatus, Verdict,
    amount::{counted, duration},
    egress::Refused,
    event::{Fixed, Instruction, Instructions, NudgeReason},
    evidence::Exit,
    policy::LimitKind,
    tool::{FinishOutcome, PlanState, ToolEffect},
};

use super::{call, egress, interaction, outside, tokens};
use crate::terminal::{Style, Terminal, cut_line, excerpt, inert};

/// How much is shown of long texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Their beginnings.
    Brief,
    /// All of them.
    Full,
}

/// Renders the events of one session in order.
pub(crate) struct Timeline {
    terminal: Terminal,
    detail: Detail,
    start: Option<Timestamp>,
    /// The tools of the calls: several run side by side, and their results say which they are of.
    tools: BTreeMap<CallId, String>,
    evidence_missing: bool,
    /// The directories of the session's repositories, where there are several.
    directories: Vec<String>,
    egress: egress::Passages,
}

impl Timeline {
    /// A timeline that starts with the next event it is given.
    pub(crate) const fn new(terminal: Terminal, detail: Detail) -> Self {
        Self {
            terminal,
            detail,
            start: None,
            tools: BTreeMap::new(),
            evidence_missing: false,
            directories: Vec::new(),
            egress: egress::Passages::new(),
        }
    }

    /// The lines for one event; empty when it says nothing to people.
    pub(crate) fn lines(&mut self, event: &Event) -> Vec<String> {
        if let EventBody::ToolStarted { call, tool } = &event.body {
            self.tools.insert(*call, tool.clone());
        }
        // It is the same for both sides, and found out for each.
        if matches!(event.body, EventBody::EvidenceMissing { .. })
            && std::mem::replace(&mut self.evidence_missing, true)
        {
            return Vec::new();
        }
        let start = *self.start.get_or_insert(event.at);
        let clock = self.terminal.paint(
            Style::Dim,
            &format!("{:>9}", duration(Duration::from_millis(event.at.millis_since(start)))),
        );
        if let EventBody::TaskAccepted { task } = &event.body {
            self.directories = task.directories();
        }
        let texts = self.texts(&event.body);
        let mut lines = Vec::new();
        for text in texts {
            for (index, line) in text.lines().enumerate() {
                if lines.is_empty() && index == 0 {
                    lines.push(format!("{clock}  {line}"));
                } else {
                    lines.push(format!("{:>9}  {line}", ""));
                }
            }
        }
        lines
    }

    /// What concerns another one of the repositories, with its name.
    fn beside(&mut self, part: Part, body: &EventBody) -> Vec<String> {
        let name = part.beside().and_then(|place| self.directories.get(place + 1));
        let name = name.map_or_else(|| format!("repository {part}"), |name| inert(name));
        // Read from a log, which may hold anything: one within another says nothing.
        if matches!(body, EventBody::Beside { .. }) {
            return Vec::new();
        }
        let texts = self.texts(body).into_iter();
        texts
            .map(|text| format!("{} {text}", self.terminal.paint(Style::Dim, &format!("[{name}]"))))
            .collect()
    }

    #[expect(clippy::too_many_lines, reason = "a line for each kind of event")]
    fn texts(&mut self, body: &EventBody) -> Vec<String> {
        let terminal = self.terminal;
        let paint = |style, text: &str| terminal.paint(style, text);
        match body {
            EventBody::TaskAccepted { task } => self.task(task),
            EventBody::Claimed { worker, fence } if *fence > 1 => {
                vec![paint(Style::Warn, &format!("taken up again by {} (claim {fence})", inert(worker)))]
            }
            EventBody::PolicyFixed(fixed) => vec![paint(Style::Dim, &describe_model(fixed))],
            EventBody::RepositoryReady(repository) => {
                let short = repository.base_commit.get(..12).unwrap_or(&repository.base_commit);
                let mut lines = vec![format!("base {} at {short}", inert(&repository.base_branch))];
                lines.extend(repository.notes.iter().map(|note| paint(Style::Warn, &inert(note))));
                lines
            }
            EventBody::InstructionsFound(found) => instructions(terminal, found),
            EventBody::MemoriesRecalled(found) => recalled(terminal, found),
            EventBody::AttemptReady { .. } => {
                vec![paint(Style::Bold, "ready, to be chosen among the attempts")]
            }
            EventBody::AttemptChosen { by, .. } => {
                vec![paint(Style::Good, &format!("chosen among the attempts by {}", inert(by)))]
            }
            EventBody::AttemptPassedOver { by, chosen, .. } => {
                vec![paint(Style::Warn, &format!("{chosen} was chosen instead, by {}", inert(by)))]
            }
            EventBody::SandboxReady { level, .. } => vec![paint(Style::Dim, &format!("sandbox: {level}"))],
            EventBody::ModelAnswered { step, answer, millis } => self.answer(*step, answer, *millis),
            EventBody::ToolFinished { call, outcome, millis } => self.outcome(*call, outcome, *millis),
            EventBody::EgressAllowed(passed) => self.egress.passed(self.terminal, self.detail, passed),
            EventBody::EgressRefused(refused) => egress::refused(self.terminal, refused, self.cause(refused)),
            EventBody::PackageFetched(fetched) => egress::fetched(self.terminal, self.detail, fetched),
            EventBody::AccessAsked(ask) => egress::asked(self.terminal, ask),
            EventBody::AccessDecided(access) => egress::decided(self.terminal, access),
            EventBody::MessageReceived { from, text, about, .. } => {
                self.message(from, text, about.as_deref())
            }
            EventBody::Checkpointed { .. } | EventBody::CheckpointStored { .. }
                if self.detail == Detail::Brief =>
            {
                Vec::new()
            }
            EventBody::PauseAsked { .. }
            | EventBody::ContinueAsked { .. }
            | EventBody::QuestionAsked { .. }
            | EventBody::QuestionAnswered { .. }
            | EventBody::PlanProposed { .. }
            | EventBody::PlanDecided { .. }
            | EventBody::Checkpointed { .. }
            | EventBody::CheckpointStored { .. }
            | EventBody::RolledBack { .. }
            | EventBody::Forked { .. }
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. }
            | EventBody::BudgetExceeded { .. }
            | EventBody::MergeAsked { .. }
            | EventBody::CloseAsked { .. }
            | EventBody::Overtaken { .. }
            | EventBody::Delegated { .. }
            | EventBody::MergeFailed { .. } => {
                interaction::texts(terminal, body, &|text, most| self.cut(text, most))
            }
            EventBody::StageFailed { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::Nudged { .. }
            | EventBody::ToolLost { .. }
            | EventBody::AlarmRaised { .. }
            | EventBody::FilesDeleted { .. }
            | EventBody::SandboxFrozen { .. }
            | EventBody::SandboxReleased { .. }
            | EventBody::Compacted { .. }
            | EventBody::LimitReached { .. }
            | EventBody::CancelAsked { .. } => self.incident(body),
            EventBody::Beside { part, body } => self.beside(*part, body),
            EventBody::SelfReviewed(_)
            | EventBody::WorkFinished { .. }
            | EventBody::ObjectsReceived(_)
            | EventBody::NothingChanged
            | EventBody::Examined { .. }
            | EventBody::EvidenceRun(_)
            | EventBody::EvidenceMissing { .. }
            | EventBody::Pushed { .. }
            | EventBody::PullRequestOpened(_)
            | EventBody::SessionEnded { .. }
            | EventBody::PullRequestClosed { .. } => self.delivery(body),
            EventBody::Claimed { .. }
            | EventBody::StageStarted { .. }
            | EventBody::ModelAsked { .. }
            | EventBody::ToolStarted { .. } => Vec::new(),
        }
    }

    fn task(&self, task: &Task) -> Vec<String> {
        let (terminal, paint) = (self.terminal, |style, text: &str| self.terminal.paint(style, text));
        let mut lines = vec![
            format!("{} {}", paint(Style::Bold, "task"), self.cut(&task.prompt, 200)),
            paint(Style::Dim, &format!("{} · asked by {}", inert(&task.repository), inert(&task.requester))),
        ];
        lines.extend(task.playbook.as_ref().map(|playbook| {
            let text = format!("by the playbook {}, {}", inert(&playbook.name), playbook.digest);
            paint(Style::Dim, &text)
        }));
        lines.extend(task.origin.as_ref().map(|origin| outside::asked(terminal, origin)).unwrap_or_default());
        lines
    }

    fn message(&self, from: &str, text: &str, about: Option<&About>) -> Vec<String> {
        let (terminal, paint) = (self.terminal, |style, text: &str| self.terminal.paint(style, text));
        let mut lines = vec![format!("{} {}", paint(Style::Bold, &inert(from)), self.cut(text, 400))];
        let about = about.as_ref().map(|about| outside::about(terminal, about, &|text| self.cut(text, 200)));
        lines.extend(about.unwrap_or_default());
        lines
    }

    fn cut(&self, text: &str, most: usize) -> String {
        match self.detail {
            Detail::Brief => excerpt(text, most),
            Detail::Full => inert(text),
        }
    }

    fn answer(&self, step: u32, answer: &Answer, millis: u64) -> Vec<String> {
        let mut lines = vec![self.terminal.paint(
            Style::Dim,
            &format!(
                "step {step} · {} in ({} cached), {} out · {}",
                tokens(answer.usage.prompt()),
                tokens(answer.usage.cache_read),
                tokens(answer.usage.output),
                duration(Duration::from_millis(millis))
            ),
        )];
        for block in &answer.blocks {
            match block {
                Block::Text { text } => lines.push(self.cut(text, 400)),
                Block::Reasoning(reasoning) if !reasoning.text.is_empty() => {
                    lines.push(
                        self.terminal.paint(Style::Dim, &format!("… {}", self.cut(&reasoning.text, 160))),
                    );
                }
                Block::ToolCall(call) => lines.push(format!(
                    "→ {} {}",
                    self.terminal.paint(Style::Bold, &inert(&call.name)),
                    match self.detail {
                        Detail::Brief => call::describe(call),
                        Detail::Full => inert(&call.arguments),
                    }
                )),
                Block::Reasoning(_) | Block::ToolResult(_) | Block::Image(_) => {}
            }
        }
        lines
    }

    /// The calls that ran while something was refused.
    fn cause(&self, refused: &Refused) -> Option<String> {
        let names: Vec<String> = refused.calls.iter().take(3).map(|call| self.name(*call)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// A call as its result refers to it: its tool, and which one it is where its step has several.
    fn name(&self, call: CallId) -> String {
        let tool = self.tools.get(&call).map_or_else(|| call.to_string(), |tool| inert(tool));
        let several = self.tools.keys().any(|other| other.step == call.step && *other != call);
        if several { format!("{tool} #{}", u64::from(call.index) + 1) } else { tool }
    }

    fn outcome(&self, call: CallId, outcome: &ToolOutcome, millis: u64) -> Vec<String> {
        let (problem, style) = match outcome.status {
            ToolStatus::Ok => ("", Style::Dim),
            ToolStatus::Error => ("error: ", Style::Warn),
            ToolStatus::TimedOut => ("timed out: ", Style::Warn),
            ToolStatus::Refused => ("refused: ", Style::Bad),
        };
        if let Some(ToolEffect::Plan { items }) = &outcome.effect {
            return items
                .iter()
                .map(|item| {
                    let mark = match item.state {
                        PlanState::Pending => "[ ]",
                        PlanState::InProgress => "[>]",
                        PlanState::Done => "[x]",
                    };
                    format!("  {mark} {}", excerpt(&item.text, 120))
                })
                .collect();
        }
        if let Some(ToolEffect::Remember(proposal)) = &outcome.effect {
            return vec![self.terminal.paint(Style::Warn, &proposed(proposal))];
        }
        let text = match self.detail {
            Detail::Full => inert(&outcome.text),
            Detail::Brief => outline(&outcome.text, 3),
        };
        let time = duration(Duration::from_millis(millis));
        vec![self.terminal.paint(style, &format!("← {} ({time}) {problem}{text}", self.name(call)))]
    }

    fn findings(&self, findings: &[Finding], verdict: Verdict) -> Vec<String> {
        let decided = match verdict {
            Verdict::Publish => self.terminal.paint(Style::Good, "gate: may be published"),
            Verdict::SendBack => self.terminal.paint(Style::Warn, "gate: back to the agent"),
            Verdict::Hold => self.terminal.paint(Style::Bad, "gate: held for a person"),
        };
        let mut lines = vec![format!("{decided}, {}", counted(findings.len() as u64, "finding"))];
        lines.extend(findings.iter().map(|finding| {
            let style = match finding.severity {
                Severity::Note => Style::Dim,
                Severity::Warning => Style::Warn,
                Severity::Blocking => Style::Bad,
            };
            let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
            let place = format!("{}{line}", inert(&finding.path));
            self.terminal.paint(style, &format!("  {} {place} {}", finding.rule, inert(&finding.why)))
        }));
        lines
    }

    fn evidence(&self, run: &EvidenceRun) -> String {
        let side = match run.side {
            Side::Base => "base",
            Side::Head => "head",
        };
        let (text, style) = match run.exit {
            Exit::Code(0) => ("passed".to_owned(), Style::Good),
            Exit::Code(code) => (format!("failed with status {code}"), Style::Bad),
            Exit::Signal(signal) => (format!("killed by signal {signal}"), Style::Bad),
            Exit::TimedOut => ("timed out".to_owned(), Style::Bad),
        };
        let counts = run
            .tests
            .as_ref()
            .map(|tests| format!(", {} passed, {} failed", tests.passed.len(), tests.failed.len()))
            .unwrap_or_default();
        format!(
            "evidence on {side}: `{}` {}{counts} ({})",
            inert(&run.command),
            self.terminal.paint(style, &text),
            duration(Duration::from_millis(run.millis))
        )
    }

    fn ended(&self, outcome: &Outcome) -> String {
        let (text, style) = describe_outcome(outcome);
        self.terminal.paint(style, &text)
    }
}

/// An outcome in words, and how it should look.
pub(super) fn describe_outcome(outcome: &Outcome) -> (String, Style) {
    match outcome {
        Outcome::Succeeded => ("succeeded".to_owned(), Style::Good),
        Outcome::Reviewed => ("reviewed".to_owned(), Style::Good),
        Outcome::Answered => ("answered".to_owned(), Style::Good),
        Outcome::NothingToDo => ("nothing to do".to_owned(), Style::Good),
        Outcome::Failed { reason } => (format!("failed: {}", inert(reason)), Style::Bad),
        Outcome::Stopped { limit } => (format!("stopped by a limit: {}", inert(limit)), Style::Warn),
        Outcome::Held { reason } => (format!("held for a person: {}", inert(reason)), Style::Warn),
        Outcome::PassedOver { chosen } => (format!("passed over: {chosen} was chosen"), Style::Warn),
        Outcome::Cancelled => ("cancelled".to_owned(), Style::Warn),
    }
}

/// What advises agents, and what of it is left out.
fn instructions(terminal: Terminal, found: &Instructions) -> Vec<String> {
    let file = |file: &Instruction| {
        let style = if file.hidden > 0 { Style::Warn } else { Style::Dim };
        terminal.paint(style, &format!("advice: {}", cut_line(&inert(&file.told()), 400)))
    };
    let notice =
        |notice: &String| terminal.paint(Style::Warn, &format!("advice left out: {}", inert(notice)));
    found.files.iter().map(file).chain(found.notices.iter().map(notice)).collect()
}

/// What the session wants remembered: whoever decides has its exact words in another place.
fn proposed(proposal: &MemoryProposal) -> String {
    let about = if proposal.everywhere { "all repositories" } else { "this repository" };
    let text = excerpt(&proposal.text, 400);
    format!("proposes to remember about {about} (`cofferdam memory list`): {text}")
}

/// What was noted before, with its date and where it comes from.
fn recalled(terminal: Terminal, found: &Memories) -> Vec<String> {
    let memory = |memory: &Memory| {
        let (at, from) = (memory.at.utc(), inert(&memory.source.words()));
        terminal.paint(Style::Dim, &format!("remembered ({at}, {from}): {}", excerpt(&memory.text, 400)))
    };
    let more = (found.left_out > 0)
        .then(|| terminal.paint(Style::Dim, &format!("{} more memories found no room", found.left_out)));
    found.memories.iter().map(memory).chain(more).collect()
}

fn describe_model(fixed: &Fixed) -> String {
    let model = format!("model {}/{}", fixed.model.provider, inert(&fixed.model.name));
    if fixed.model.family == cofferdam_domain::message::Family::Scripted {
        format!("{model}: a recording, not a live model")
    } else {
        model
    }
}

/// The first non-empty line of a text, which says how a command ended, and the last ones; inert, each cut.
fn outline(text: &str, last: usize) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.collect();
    let mut skipped = rest.len().saturating_sub(last);
    let mut shown = vec![cut_line(first, 160)];
    // One line is as short as the word that it is left out.
    if skipped > 1 {
        shown.push(format!("… {skipped} lines …"));
    } else {
        skipped = 0;
    }
    shown.extend(rest[skipped..].iter().map(|line| cut_line(line, 160)));
    shown.join("\n")
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Repository => "preparing the repository",
        Stage::Sandbox => "making the sandbox",
        Stage::Collect => "taking the change out of the sandbox",
        Stage::Examine => "examining the change",
        Stage::Evidence { .. } => "running the tests",
        Stage::SelfReview => "having the change looked at afresh",
        Stage::Push => "pushing the branch",
        Stage::PullRequest => "opening the pull request",
        Stage::Merge => "merging the pull request",
        Stage::Close => "closing the pull request",
    }
}

const fn nudge_name(reason: NudgeReason) -> &'static str {
    match reason {
        NudgeReason::RepeatedCall => "repeated call",
        NudgeReason::RepeatedError => "repeated error",
        NudgeReason::PingPong => "going back and forth",
        NudgeReason::NoProgress => "no progress",
        NudgeReason::Silent => "no tool call",
        NudgeReason::Truncated => "answer cut at its limit",
        NudgeReason::Refused => "answer refused",
        NudgeReason::WrapUp => "wrap up",
        NudgeReason::GateFindings => "gate findings",
        NudgeReason::SelfReview => "findings of a fresh look",
        NudgeReason::FollowUp => "a new turn",
    }
}

const fn limit_name(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Steps => "steps",
        LimitKind::Tokens => "tokens",
        LimitKind::Cost => "cost",
        LimitKind::Wall => "time",
        LimitKind::Stuck => "the agent went in circles",
        LimitKind::Model => "the model failed or refused",
    }
}

const fn finish_name(outcome: FinishOutcome) -> &'static str {
    match outcome {
        FinishOutcome::Done => "the agent is done:",
        FinishOutcome::NothingToDo => "the agent found nothing to do:",
        FinishOutcome::GaveUp => "the agent gave up:",
    }
}
