//! How single spans begin and end.

use cofferdam_domain::{
    Answer, CallId, Outcome, SandboxId, SessionId, Stage, Task, Timestamp, ToolOutcome, WaitingFor,
    egress::{Operation, Passed, Refused},
    event::{Fixed, ModelFailure},
};

use super::{Fold, Spent};
use crate::{Content, Kind, Link, Span, SpanId, TraceId, describe, names};

/// What was under way when its worker died.
const LOST: &str = "worker_lost";
/// What was under way when somebody took the session back, or it ended.
const DROPPED: &str = "dropped";

impl Fold {
    /// A span that begins with the event and is below the turn. `role` tells it from others that begin with the same event.
    pub(super) fn open(&self, role: &'static str, name: impl Into<String>) -> Span {
        let (begin, event) = self.now;
        Span {
            trace: TraceId::of(self.session),
            id: SpanId::of_event(role, event),
            parent: Some(self.turn.as_ref().map_or_else(|| self.root(), |turn| turn.id)),
            name: name.into(),
            kind: Kind::Internal,
            begin,
            end: begin,
            attributes: Vec::new(),
            failure: None,
            links: Vec::new(),
        }
    }

    fn root(&self) -> SpanId {
        SpanId::of_session(self.session)
    }

    /// A span is over with the event.
    fn close(&mut self, span: Option<Span>, end: Timestamp, describe: impl FnOnce(&mut Span, Content)) {
        if let Some(mut span) = span {
            span.end = end.max(span.begin);
            describe(&mut span, self.content);
            if let Some((_, step)) = self.step.as_mut().filter(|(_, step)| span.parent == Some(step.id)) {
                step.end = step.end.max(span.end);
            }
            self.done.push(span);
        }
    }

    fn agent(&self, role: &'static str) -> Span {
        let mut span = self.open(role, format!("{} cofferdam", names::INVOKE_AGENT));
        span.with(names::OPERATION, names::INVOKE_AGENT)
            .with(names::AGENT_NAME, "cofferdam")
            .with(names::AGENT_VERSION, env!("CARGO_PKG_VERSION"))
            .with(names::CONVERSATION, self.session.to_string());
        if let Some(info) = &self.model {
            span.with(names::PROVIDER, describe::provider(info))
                .with(names::REQUEST_MODEL, describe::model(info));
        }
        span
    }

    pub(super) fn accepted(&mut self, task: &Task) {
        let mut root = self.agent("session");
        (root.id, root.parent) = (self.root(), None);
        root.with(names::SOURCE, describe::source(task.source));
        if task.wishes.plan_first {
            root.with(names::PLAN_FIRST, true);
        }
        if let Some(prompt) = self.content.prompt(&task.prompt) {
            root.with(names::INPUT_MESSAGES, prompt);
        }
        root.links.extend(task.trace.map(Link::from));
        self.turn = Some(root);
        self.queue = Some(self.open("queue", "queue"));
    }

    /// All before are copies of what is told in another trace.
    pub(super) fn forked(&mut self, from: SessionId) {
        let before = self.turn.take();
        *self = Self { now: self.now, model: self.model.take(), ..Self::new(self.session, self.content) };
        let mut root = self.agent("session");
        (root.id, root.parent) = (self.root(), None);
        root.links.push(Link { trace: TraceId::of(from), span: SpanId::of_session(from), flags: 1 });
        if let Some(source) =
            before.and_then(|span| span.attributes.into_iter().find(|(name, _)| *name == names::SOURCE))
        {
            root.attributes.push(source);
        }
        self.turn = Some(root);
        self.queue = Some(self.open("queue", "queue"));
    }

    /// A worker has the session. Whatever was under way before has died with another one.
    pub(super) fn claimed(&mut self) {
        let queue = self.queue.take();
        self.close(queue, self.now.0, |_, _| ());
        self.cut(self.last, LOST);
    }

    /// Nothing comes of what is under way. Tool calls stay: the log says of each what became of it.
    fn cut(&mut self, end: Timestamp, code: &'static str) {
        let chat = self.chat.take();
        for span in
            chat.into_iter().chain(std::mem::take(&mut self.stages).into_iter().map(|(_, _, span)| span))
        {
            self.close(Some(span), end, |span, _| {
                span.fail(code, None);
            });
        }
    }

    pub(super) fn fixed(&mut self, fixed: &Fixed) {
        self.tools = fixed.tools.iter().map(|tool| tool.name.clone()).collect();
        if let (Some(turn), None) = (&mut self.turn, &self.model) {
            turn.with(names::PROVIDER, describe::provider(&fixed.model))
                .with(names::REQUEST_MODEL, describe::model(&fixed.model));
        }
        self.model = Some(fixed.model.clone());
    }

    pub(super) fn stage_started(&mut self, stage: Stage) {
        self.goes_on();
        // Begun again by the same worker: what was begun before came to nothing.
        self.close_stage(stage, |span, _| {
            span.fail(DROPPED, None);
        });
        let mut span = self.open("stage", describe::stage(stage));
        if matches!(stage, Stage::Push | Stage::PullRequest | Stage::Merge | Stage::Close) {
            span.kind = Kind::Client;
        }
        self.stages.push((self.part, stage, span));
    }

    pub(super) fn close_stage(&mut self, stage: Stage, describe: impl FnOnce(&mut Span, Content)) {
        let here = self.part;
        if let Some(place) = self.stages.iter().position(|(part, open, _)| (*part, *open) == (here, stage)) {
            let (_, _, span) = self.stages.remove(place);
            self.close(Some(span), self.now.0, describe);
        }
    }

    pub(super) fn stage_failed(&mut self, stages: &[Stage], reason: &str) {
        for stage in stages {
            self.close_stage(*stage, |span, content| {
                span.fail("failed", content.text(reason));
            });
        }
    }

    pub(super) fn sandbox_ready(&mut self, sandbox: SandboxId) {
        self.close_stage(Stage::Sandbox, |span, _| {
            span.with(names::SANDBOX, sandbox.to_string());
        });
    }

    pub(super) fn model_asked(&mut self, step: u32, compaction: bool) {
        self.goes_on();
        self.cut_chat();
        if !compaction && self.step.as_ref().is_none_or(|(open, _)| *open != step) {
            self.close_step();
            let mut span = self.open("step", "step");
            span.with(names::STEP, step);
            self.step = Some((step, span));
        }
        let mut chat = self.open("chat", names::CHAT);
        if let Some((_, step)) = &self.step {
            chat.parent = Some(step.id);
        }
        chat.kind = Kind::Client;
        chat.with(names::OPERATION, names::CHAT)
            .with(names::CONVERSATION, self.session.to_string())
            .with(names::REQUEST_STREAM, true)
            .with(names::STEP, step);
        if compaction {
            chat.with(names::COMPACTION, true);
        }
        if let Some(info) = &self.model {
            chat.name = format!("{} {}", names::CHAT, describe::model(info));
            chat.with(names::PROVIDER, describe::provider(info))
                .with(names::REQUEST_MODEL, describe::model(info));
        }
        self.chat = Some(chat);
    }

    fn cut_chat(&mut self) {
        let chat = self.chat.take();
        self.close(chat, self.now.0, |span, _| {
            span.fail(DROPPED, None);
        });
    }

    pub(super) fn model_answered(&mut self, answer: &Answer) {
        let prices = self.model.as_ref().and_then(|info| info.prices);
        let cost = answer.cost_by(prices.as_ref());
        self.spent.usage += answer.usage;
        self.spent.cost += cost;
        self.spent.steps += 1;
        if self.content == Content::Told {
            self.asked = answer.tool_calls().cloned().collect();
        }
        let chat = self.chat.take();
        self.close(chat, self.now.0, |span, content| {
            describe::answer(span, answer, dollars(cost.0), content);
        });
    }

    pub(super) fn model_failed(&mut self, kind: ModelFailure, message: &str) {
        let chat = self.chat.take();
        self.close(chat, self.now.0, |span, content| {
            span.fail(describe::model_failure(kind), content.text(message));
        });
    }

    pub(super) fn tool_started(&mut self, call: CallId, tool: &str) {
        // The model may write any name. Those that there are were fixed.
        let name = if self.tools.contains(tool) { tool } else { names::OTHER };
        let mut span = self.open("tool", format!("{} {name}", names::EXECUTE_TOOL));
        if let Some((_, step)) = self.step.as_ref().filter(|(step, _)| *step == call.step) {
            span.parent = Some(step.id);
        }
        span.with(names::OPERATION, names::EXECUTE_TOOL)
            .with(names::TOOL_NAME, name)
            .with(names::TOOL_TYPE, "function")
            .with(names::TOOL_CALL, call.to_string());
        let arguments = self.asked.get(usize::from(call.index)).map(|asked| asked.arguments.as_str());
        if let Some(arguments) = arguments.and_then(|arguments| self.content.text(arguments)) {
            span.with(names::TOOL_ARGUMENTS, arguments);
        }
        let begun_before = self.calls.insert(call, span);
        self.close(begun_before, self.now.0, |span, _| {
            span.fail(DROPPED, None);
        });
    }

    pub(super) fn tool_finished(&mut self, call: CallId, outcome: &ToolOutcome) {
        let span = self.calls.remove(&call);
        self.close(span, self.now.0, |span, content| describe::outcome(span, outcome, content));
    }

    pub(super) fn tool_lost(&mut self, call: CallId) {
        let span = self.calls.remove(&call);
        self.close(span, self.now.0, |span, _| {
            span.fail(LOST, None);
        });
    }

    pub(super) fn passed(&mut self, passed: &Passed) {
        let span = self.egress(&passed.operation, &passed.calls);
        self.close(Some(span), self.now.0, |span, content| describe::passed(span, passed, content));
    }

    pub(super) fn refused(&mut self, refused: &Refused) {
        let span = self.egress(&refused.operation, &refused.calls);
        self.close(Some(span), self.now.0, |span, content| describe::refused(span, refused, content));
    }

    /// Something that a program wanted from the network: below the call that ran, as far as that is known.
    fn egress(&self, operation: &Operation, calls: &[CallId]) -> Span {
        let mut span = self.open("egress", describe::operation_name(operation));
        span.kind = Kind::Client;
        if let Some(call) = calls.iter().find_map(|call| self.calls.get(call)) {
            span.parent = Some(call.id);
        }
        span
    }

    pub(super) fn alarm_raised(&mut self, rule: &str) {
        let span = self.open("alarm", "alarm");
        let rule = rule.to_owned();
        self.close(Some(span), self.now.0, |span, _| {
            span.with(names::RULE, rule).fail("alarm", None);
        });
    }

    pub(super) fn frozen(&mut self, sandbox: SandboxId, reason: &str) {
        let span = self.open("frozen", "sandbox frozen");
        self.close(Some(span), self.now.0, |span, content| {
            span.with(names::SANDBOX, sandbox.to_string()).fail("frozen", content.text(reason));
        });
    }

    /// The session waits for a person from now on.
    pub(super) fn wait(&mut self, waiting: WaitingFor) {
        self.goes_on();
        let mut span = self.open("wait", "wait");
        span.with(names::WAITING_FOR, waiting.name());
        self.wait = Some(span);
    }

    /// It waits no more.
    pub(super) fn goes_on(&mut self) {
        let wait = self.wait.take();
        self.close(wait, self.now.0, |_, _| ());
    }

    pub(super) fn continued(&mut self) {
        self.goes_on();
        self.turn_begins();
    }

    /// Somebody wants more of a session that has ended.
    pub(super) fn turn_begins(&mut self) {
        if self.turn.is_none() {
            self.turn = Some(self.agent("turn"));
        }
    }

    pub(super) fn rolled_back(&mut self) {
        self.end_all(DROPPED);
        self.turn_begins();
    }

    pub(super) fn terminal_closed(&mut self) {
        let terminal = self.terminal.take();
        self.close(terminal, self.now.0, |_, _| ());
    }

    pub(super) fn close_step(&mut self) {
        // It is over with the last of what it consists of, whenever that is noticed.
        if let Some((_, step)) = self.step.take() {
            let end = step.end;
            self.close(Some(step), end, |_, _| ());
        }
    }

    /// Nothing is under way any more.
    fn end_all(&mut self, code: &'static str) {
        self.cut(self.now.0, code);
        for span in std::mem::take(&mut self.calls).into_values() {
            self.close(Some(span), self.now.0, |span, _| {
                span.fail(code, None);
            });
        }
        self.close_step();
        self.goes_on();
        self.terminal_closed();
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) {
        let queue = self.queue.take();
        self.close(queue, self.now.0, |_, _| ());
        self.end_all(DROPPED);
        let Spent { usage, cost, steps } = std::mem::take(&mut self.spent);
        let turn = self.turn.take();
        self.close(turn, self.now.0, |span, content| {
            span.with(names::STEPS, steps)
                .with(names::INPUT_TOKENS, usage.prompt())
                .with(names::OUTPUT_TOKENS, usage.output)
                .with(names::CACHE_READ_TOKENS, usage.cache_read)
                .with(names::CACHE_WRITE_TOKENS, usage.cache_write)
                .with(names::COST, dollars(cost.0));
            describe::ended(span, outcome, content);
        });
    }
}

/// Millionths of a dollar as dollars.
#[expect(clippy::cast_precision_loss, reason = "a cost is far below 2^53 millionths")]
fn dollars(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}
