//! What is known of each kind of span, in the words of the convention.

use cofferdam_domain::{
    Answer, EvidenceRun, Finding, Outcome, PullRequest, SelfReview, Severity, Side, Source, Stage,
    StopReason, ToolOutcome, ToolStatus, Verdict,
    egress::{HostName, Operation, Passed, Refused},
    event::{ModelFailure, ModelInfo},
    evidence::Exit,
    message::Family,
    policy::LimitKind,
};

use crate::{Content, Span, Value, names};

/// The longest name that others gave something and that is told.
const LONGEST_NAME: usize = 128;

/// The provider, by the convention's name if it has one.
pub(crate) fn provider(info: &ModelInfo) -> String {
    match info.family {
        Family::Gemini => "gcp.gemini".to_owned(),
        Family::Scripted => "scripted".to_owned(),
        Family::Anthropic | Family::OpenaiResponses | Family::OpenaiChat => short(&info.provider),
    }
}

/// The model, by the name under which it is asked.
pub(crate) fn model(info: &ModelInfo) -> String {
    match info.family {
        // The name of a recording is a path, or what somebody wrote into it.
        Family::Scripted => "recording".to_owned(),
        Family::Anthropic | Family::OpenaiResponses | Family::OpenaiChat | Family::Gemini => {
            short(&info.name)
        }
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect()
}

/// Which way a task came in, as a stable name.
pub(crate) const fn source(source: Source) -> &'static str {
    match source {
        Source::Cli => "cli",
        Source::Demo => "demo",
        Source::Api => "api",
        Source::Web => "web",
        Source::Forge => "forge",
        Source::Chat => "chat",
        Source::Hook => "hook",
        Source::Schedule => "schedule",
    }
}

/// What came of a model call.
pub(crate) fn answer(span: &mut Span, answer: &Answer, cost: f64, content: Content) {
    let Answer { stop, usage, model, .. } = answer;
    let reason = finish_reason(stop);
    span.with(names::RESPONSE_MODEL, short(model))
        .with(names::FINISH_REASONS, Value::Texts(vec![reason.to_owned()]))
        .with(names::INPUT_TOKENS, usage.prompt())
        .with(names::OUTPUT_TOKENS, usage.output)
        .with(names::CACHE_READ_TOKENS, usage.cache_read)
        .with(names::CACHE_WRITE_TOKENS, usage.cache_write)
        .with(names::REASONING_TOKENS, usage.reasoning)
        .with(names::COST, cost);
    if let Some(text) = content.answer(answer, reason) {
        span.with(names::OUTPUT_MESSAGES, text);
    }
}

/// Why an answer ended, in the convention's words.
const fn finish_reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn => "stop",
        StopReason::ToolUse => "tool_call",
        StopReason::MaxTokens | StopReason::ContextFull => "length",
        StopReason::Refusal { .. } => "content_filter",
        StopReason::Other { .. } => names::OTHER,
    }
}

/// Why a model could not be asked.
pub(crate) const fn model_failure(kind: ModelFailure) -> &'static str {
    match kind {
        ModelFailure::ContextOverflow => "context_overflow",
        ModelFailure::Unauthorised => "unauthorised",
        ModelFailure::Rejected => "rejected",
        ModelFailure::Unavailable => "unavailable",
    }
}

/// What came of a tool call.
pub(crate) fn outcome(span: &mut Span, outcome: &ToolOutcome, content: Content) {
    let status = status(outcome.status);
    span.with(names::TOOL_STATUS, status);
    if let Some(text) = content.text(&outcome.text) {
        span.with(names::TOOL_RESULT, text);
    }
    if outcome.status != ToolStatus::Ok {
        span.fail(status, content.text(&outcome.text));
    }
}

/// How a tool call ended, as a stable name.
pub(crate) const fn status(status: ToolStatus) -> &'static str {
    match status {
        ToolStatus::Ok => "ok",
        ToolStatus::Error => "error",
        ToolStatus::TimedOut => "timeout",
        ToolStatus::Refused => "refused",
    }
}

/// The name of a piece of the worker's own work.
pub(crate) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Repository => "repository",
        Stage::Sandbox => "sandbox",
        Stage::Collect => "collect",
        Stage::Examine => "gate",
        Stage::Evidence { side: Side::Base } => "evidence base",
        Stage::Evidence { side: Side::Head } => "evidence head",
        Stage::SelfReview => "self_review",
        Stage::Push => "push",
        Stage::PullRequest => "pull_request",
        Stage::Merge => "merge",
        Stage::Close => "close",
    }
}

/// What the gate saw.
pub(crate) fn examined(span: &mut Span, findings: &[Finding], verdict: Verdict) {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    span.with(names::VERDICT, self::verdict(verdict))
        .with(names::BLOCKING, count(Severity::Blocking))
        .with(names::WARNINGS, count(Severity::Warning))
        .with(names::NOTES, count(Severity::Note));
}

/// What a fresh look at the change came to.
pub(crate) fn self_reviewed(span: &mut Span, review: &SelfReview) {
    let came_to = match (&review.failed, review.refuted) {
        (Some(_), _) => "not_done",
        (None, true) => "refuted",
        (None, false) => "not_refuted",
    };
    span.with(names::VERDICT, came_to);
}

/// What the gate decides, as a stable name.
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Publish => "publish",
        Verdict::SendBack => "send_back",
        Verdict::Hold => "hold",
    }
}

/// What a finding means, as a stable name.
pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Blocking => "blocking",
    }
}

/// A hard limit, as a stable name.
pub(crate) const fn limit(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Steps => "steps",
        LimitKind::Tokens => "tokens",
        LimitKind::Cost => "cost",
        LimitKind::Wall => "time",
        LimitKind::Stuck => "stuck",
        LimitKind::Model => "model",
    }
}

/// What a run of the tests showed. Tests that fail are no failure of the run: on the base they often should.
pub(crate) fn evidence(span: &mut Span, run: &EvidenceRun, content: Content) {
    let EvidenceRun { side, exit, command, tests, .. } = run;
    span.with(names::SIDE, self::side(*side)).with(names::EXIT, self::exit(*exit));
    if let Some(tests) = tests {
        span.with(names::TESTS_PASSED, tests.passed.len()).with(names::TESTS_FAILED, tests.failed.len());
    }
    if let Some(command) = content.text(command) {
        span.with(names::COMMAND, command);
    }
    if *exit == Exit::TimedOut {
        span.fail("timeout", None);
    }
}

/// The tree that the tests ran on, as a stable name.
pub(crate) const fn side(side: Side) -> &'static str {
    match side {
        Side::Base => "base",
        Side::Head => "head",
    }
}

fn exit(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => code.to_string(),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::TimedOut => "timeout".to_owned(),
    }
}

/// The pull request that stands now.
pub(crate) fn pull_request(span: &mut Span, pull_request: &PullRequest) {
    span.with(names::PULL_REQUEST, pull_request.number).with(names::DRAFT, pull_request.draft);
}

/// How a session ended.
pub(crate) fn ended(span: &mut Span, outcome: &Outcome, content: Content) {
    span.with(names::OUTCOME, outcome.name());
    match outcome {
        Outcome::Failed { reason } => {
            span.fail("failed", content.text(reason));
        }
        Outcome::Succeeded
        | Outcome::Reviewed
        | Outcome::Answered
        | Outcome::NothingToDo
        | Outcome::Stopped { .. }
        | Outcome::Held { .. }
        | Outcome::PassedOver { .. }
        | Outcome::Cancelled => {}
    }
}

/// What the egress door let out.
pub(crate) fn passed(span: &mut Span, passed: &Passed, content: Content) {
    operation(span, &passed.operation, content);
    span.with(names::EGRESS_VERDICT, "allowed")
        .with(names::EGRESS_RULE, short(&passed.rule))
        .with(names::SANDBOX, passed.sandbox.to_string());
    if let Some(credential) = &passed.credential {
        span.with(names::EGRESS_CREDENTIAL, short(credential));
    }
}

/// What it did not let out.
pub(crate) fn refused(span: &mut Span, refused: &Refused, content: Content) {
    operation(span, &refused.operation, content);
    span.with(names::EGRESS_VERDICT, "refused")
        .with(names::EGRESS_COUNT, refused.count)
        .with(names::SANDBOX, refused.sandbox.to_string())
        .fail(refused.code.as_str(), content.text(&refused.reason));
}

/// The name of a span about the egress door.
pub(crate) fn operation_name(operation: &Operation) -> String {
    match operation {
        Operation::Http { method, .. } => format!("egress {}", known_method(method)),
        Operation::Connection { .. } => "egress CONNECT".to_owned(),
        Operation::Name { .. } => "egress name".to_owned(),
    }
}

fn operation(span: &mut Span, operation: &Operation, content: Content) {
    let (host, port) = match operation {
        Operation::Http { scheme, method, host, port, path, .. } => {
            span.with(names::METHOD, known_method(method)).with(names::SCHEME, scheme.as_str());
            if let Some(path) = content.text(path) {
                span.with(names::URL_PATH, path);
            }
            (host, Some(*port))
        }
        Operation::Connection { host, port } => (host, Some(*port)),
        Operation::Name { name } => (name, None),
    };
    // What is no name of a host is text that a program in the sandbox made up.
    let named = host.parse::<HostName>().is_ok() || host.parse::<std::net::IpAddr>().is_ok();
    span.with(names::SERVER_ADDRESS, if named { host.as_str() } else { names::OTHER });
    if let Some(port) = port {
        span.with(names::SERVER_PORT, u32::from(port));
    }
}

/// A method that there is (RFC 9110, RFC 5789), or the convention's word for any other.
fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or(names::OTHER)
}
