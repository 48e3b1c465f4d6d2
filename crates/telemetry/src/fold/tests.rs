//! What a log becomes.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_domain::{
    Answer, Block, Digest, EvidenceRun, Label, Outcome, PullRequest, PullRequestState, SandboxId, Source,
    StopReason, Task, ToolCall, ToolOutcome, ToolStatus, Verdict,
    egress::{Operation, Passed, Refusal, Refused, Scheme},
    event::{EditFormat, Fixed, Repository},
    evidence::Exit,
    message::Family,
    money::Prices,
    policy::Policy,
    tool::{Finish, FinishOutcome, ToolSpec},
};
use proptest::prelude::*;

use super::*;
use crate::{SpanId, TraceId, Value};

const SESSION: SessionId = SessionId::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);
/// Stands in every text that somebody wrote.
const PLANTED: &str = "planted-7f3a";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CALL: CallId = CallId { step: 1, index: 0 };

/// One event a second.
fn log(bodies: Vec<EventBody>) -> Vec<Event> {
    let event = |(place, body)| Event {
        seq: cofferdam_domain::Seq(place + 1),
        id: EventId::from_u128(u128::from(place) + 1000),
        session: SESSION,
        at: Timestamp(1_800_000_000_000 + place * 1000),
        body,
        previous: Digest::ZERO,
        hash: Digest::ZERO,
    };
    (0_u64..).zip(bodies).map(event).collect()
}

fn spans(bodies: Vec<EventBody>, content: Content) -> Vec<Span> {
    let mut fold = Fold::new(SESSION, content);
    log(bodies).iter().flat_map(|event| fold.fold(event)).collect()
}

/// Each span as `parent > name from-to failure`, in seconds.
fn lines(spans: &[Span]) -> Vec<String> {
    let names: BTreeMap<SpanId, &str> = spans.iter().map(|span| (span.id, span.name.as_str())).collect();
    let second = |at: Timestamp| (at.0 - 1_800_000_000_000) / 1000;
    spans
        .iter()
        .map(|span| {
            let parent = span.parent.map_or("", |parent| names.get(&parent).copied().unwrap_or("?"));
            let failure = span.failure.as_ref().map_or(String::new(), |failure| format!(" {}", failure.code));
            format!("{parent} > {} {}-{}{failure}", span.name, second(span.begin), second(span.end))
        })
        .collect()
}

fn accepted() -> EventBody {
    let task = Task::new(PLANTED.into(), format!("/{PLANTED}"), None, PLANTED.into(), Source::Api).unwrap();
    EventBody::TaskAccepted { task: task.traced(TRACE.parse().ok()) }
}

fn claimed() -> EventBody {
    EventBody::Claimed { worker: "host:1".into(), fence: 1 }
}

fn fixed() -> EventBody {
    let model = ModelInfo {
        provider: "anthropic".into(),
        name: "claude-sonnet-4-5".into(),
        family: Family::Anthropic,
        context_window: 200_000,
        max_output: 8_000,
        prices: Some(Prices { input: 3_000_000, output: 15_000_000, ..Prices::default() }),
        edits: EditFormat::Replace,
        images: false,
        transcript: None,
    };
    let shell = ToolSpec {
        name: "shell".into(),
        description: String::new(),
        parameters: serde_json::json!({}),
        parallel: false,
        read_only: false,
    };
    let system = PLANTED.to_owned();
    let version = String::new();
    EventBody::PolicyFixed(Box::new(Fixed {
        policy: Policy::default(),
        model,
        system,
        tools: vec![shell],
        foreign: cofferdam_domain::foreign::Foreign::default(),
        version,
        rules: 0,
        routes: Default::default(),
    }))
}

fn asked(step: u32) -> EventBody {
    EventBody::ModelAsked { step, request: Digest::ZERO, compaction: false }
}

fn answered(step: u32) -> EventBody {
    let call = ToolCall {
        provider_id: PLANTED.into(),
        name: "shell".into(),
        arguments: format!("{{\"command\":\"{PLANTED}\"}}"),
        opaque: None,
    };
    let usage = Usage { input: 100, cache_read: 1000, cache_write: 10, output: 20, reasoning: 5 };
    let answer = Answer {
        blocks: vec![Block::text(PLANTED), Block::ToolCall(call)],
        stop: StopReason::ToolUse,
        usage,
        model: "claude-sonnet-4-5-20260101".into(),
        cost: None,
    };
    EventBody::ModelAnswered { step, answer, millis: 900 }
}

fn started(call: CallId, tool: &str) -> EventBody {
    EventBody::ToolStarted { call, tool: tool.into() }
}

fn finished(call: CallId, status: ToolStatus) -> EventBody {
    let outcome = ToolOutcome {
        status,
        text: PLANTED.into(),
        images: Vec::new(),
        whole: None,
        label: Label::SANDBOX,
        effect: None,
    };
    EventBody::ToolFinished { call, outcome, millis: 10 }
}

fn http(host: &str) -> Operation {
    let (method, path) = ("GET".to_owned(), format!("/{PLANTED}"));
    Operation::Http { scheme: Scheme::Https, method, host: host.into(), port: 443, path, query: true }
}

fn passed() -> EventBody {
    EventBody::EgressAllowed(Passed {
        sandbox: SandboxId::from_u128(1),
        operation: http("docs.example.com"),
        rule: "docs".into(),
        credential: None,
        calls: vec![CALL],
    })
}

fn refused(host: &str) -> EventBody {
    EventBody::EgressRefused(Box::new(Refused {
        sandbox: SandboxId::from_u128(1),
        operation: http(host),
        code: Refusal::Host,
        reason: PLANTED.into(),
        ask: None,
        count: 3,
        calls: vec![CALL],
    }))
}

fn stage(stage: Stage) -> EventBody {
    EventBody::StageStarted { stage }
}

fn ended(outcome: Outcome) -> EventBody {
    EventBody::SessionEnded { outcome }
}

fn evidence(side: Side) -> EventBody {
    let output = cofferdam_domain::BlobRef { digest: Digest::ZERO, size: 0 };
    let (tree, command) = (String::new(), PLANTED.to_owned());
    EventBody::EvidenceRun(EvidenceRun {
        side,
        tree,
        command,
        exit: Exit::Code(1),
        output,
        millis: 5,
        tests: None,
    })
}

fn opened() -> EventBody {
    let text = || PLANTED.to_owned();
    EventBody::PullRequestOpened(Box::new(PullRequest {
        number: 7,
        session: SESSION,
        repository: text(),
        branch: text(),
        base_branch: text(),
        base_commit: text(),
        head_commit: text(),
        title: text(),
        body: text(),
        draft: false,
        state: PullRequestState::Open,
        opened: Timestamp(0),
    }))
}

fn whole() -> Vec<EventBody> {
    let repository = Repository {
        base_commit: String::new(),
        base_tree: String::new(),
        base_branch: PLANTED.into(),
        notes: vec![],
        cones: vec![],
        contents: None,
        submodules: Vec::new(),
        tests: None,
        public: false,
        shared: false,
    };
    let finish = Finish {
        outcome: FinishOutcome::Done,
        title: PLANTED.into(),
        summary: PLANTED.into(),
        replies: Vec::new(),
        remarks: Vec::new(),
    };
    vec![
        accepted(),
        fixed(),
        claimed(),
        stage(Stage::Repository),
        asked(1),
        EventBody::RepositoryReady(repository),
        stage(Stage::Sandbox),
        answered(1),
        EventBody::SandboxReady { sandbox: SandboxId::from_u128(1), level: PLANTED.into(), moved: None },
        started(CALL, "shell"),
        passed(),
        refused("evil.example"),
        finished(CALL, ToolStatus::Ok),
        asked(2),
        answered(2),
        started(CallId { step: 2, index: 0 }, PLANTED),
        finished(CallId { step: 2, index: 0 }, ToolStatus::Error),
        EventBody::WorkFinished { finish, limit: None },
        stage(Stage::Examine),
        EventBody::Examined { findings: Vec::new(), verdict: Verdict::Publish },
        stage(Stage::Evidence { side: Side::Base }),
        evidence(Side::Base),
        stage(Stage::Push),
        EventBody::Pushed { branch: PLANTED.into(), commit: String::new() },
        stage(Stage::PullRequest),
        opened(),
        ended(Outcome::Succeeded),
    ]
}

#[test]
fn a_session_is_a_trace() {
    let spans = spans(whole(), Content::Left);
    assert_eq!(
        lines(&spans),
        [
            "invoke_agent cofferdam > queue 0-2",
            "invoke_agent cofferdam > repository 3-5",
            "step > chat claude-sonnet-4-5 4-7",
            "invoke_agent cofferdam > sandbox 6-8",
            "execute_tool shell > egress GET 10-10",
            "execute_tool shell > egress GET 11-11 host",
            "step > execute_tool shell 9-12",
            "invoke_agent cofferdam > step 4-12",
            "step > chat claude-sonnet-4-5 13-14",
            "step > execute_tool _OTHER 15-16 error",
            "invoke_agent cofferdam > step 13-16",
            "invoke_agent cofferdam > gate 18-19",
            "invoke_agent cofferdam > evidence base 20-21",
            "invoke_agent cofferdam > push 22-23",
            "invoke_agent cofferdam > pull_request 24-25",
            " > invoke_agent cofferdam 0-26",
        ]
    );
    assert!(spans.iter().all(|span| span.trace == TraceId::of(SESSION)));
    let root = spans.last().unwrap();
    assert_eq!(root.id, SpanId::of_session(SESSION));
    assert_eq!(root.links.len(), 1, "whoever asked is linked to");
    assert_eq!(root.links[0].trace.to_string(), TRACE[3..35]);
    let known =
        |span: &Span, name| span.attributes.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let chat = &spans[2];
    assert_eq!(known(chat, "gen_ai.provider.name"), Value::from("anthropic"));
    assert_eq!(known(chat, "gen_ai.response.model"), Value::from("claude-sonnet-4-5-20260101"));
    assert_eq!(known(chat, "gen_ai.usage.input_tokens"), Value::Number(1110));
    assert_eq!(known(chat, "gen_ai.usage.cache_read.input_tokens"), Value::Number(1000));
    assert_eq!(known(chat, "gen_ai.usage.output_tokens"), Value::Number(20));
    assert_eq!(known(chat, "gen_ai.response.finish_reasons"), Value::Texts(vec!["tool_call".into()]));
    assert_eq!(known(chat, "cofferdam.cost.usd"), Value::Fraction(0.0006));
    assert_eq!(known(root, "cofferdam.cost.usd"), Value::Fraction(0.0012));
    assert_eq!(known(root, "cofferdam.outcome"), Value::from("succeeded"));
    assert_eq!(known(&spans[5], "server.address"), Value::from("evil.example"));
}

#[test]
fn nothing_that_somebody_wrote_is_told_unless_it_may_be() {
    let mut bodies = whole();
    bodies.insert(11, refused(&format!("{PLANTED} as a host")));
    bodies.insert(
        12,
        EventBody::ModelFailed {
            step: 1,
            kind: cofferdam_domain::event::ModelFailure::Rejected,
            message: PLANTED.into(),
        },
    );
    bodies.insert(13, EventBody::StageFailed { stage: Stage::Repository, reason: PLANTED.into() });
    bodies.pop();
    bodies.push(ended(Outcome::Failed { reason: PLANTED.into() }));
    let left = format!("{:?}", spans(bodies.clone(), Content::Left));
    assert!(!left.contains(PLANTED), "{left}");
    let told = format!("{:?}", spans(bodies, Content::Told));
    for name in [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "url.path",
        "cofferdam.evidence.command",
    ] {
        assert!(told.contains(name), "{name}");
    }
    assert!(told.matches(PLANTED).count() > 8, "{told}");
}

#[test]
fn what_a_dead_worker_had_begun_is_over_when_it_was_last_heard_of() {
    let call = CallId { step: 1, index: 0 };
    let bodies = vec![
        accepted(),
        fixed(),
        claimed(),
        stage(Stage::Sandbox),
        asked(1),
        claimed(),
        asked(1),
        answered(1),
        started(call, "shell"),
        claimed(),
        EventBody::ToolLost { call },
        ended(Outcome::Cancelled),
    ];
    assert_eq!(
        lines(&spans(bodies, Content::Left)),
        [
            "invoke_agent cofferdam > queue 0-2",
            "step > chat claude-sonnet-4-5 4-4 worker_lost",
            "invoke_agent cofferdam > sandbox 3-4 worker_lost",
            "step > chat claude-sonnet-4-5 6-7",
            "step > execute_tool shell 8-10 worker_lost",
            "invoke_agent cofferdam > step 4-10",
            " > invoke_agent cofferdam 0-11",
        ]
    );
}

#[test]
fn waiting_follow_ups_and_roll_backs_have_spans_of_their_own() {
    let message = EventBody::MessageReceived {
        from: PLANTED.into(),
        text: PLANTED.into(),
        label: Label::SANDBOX,
        about: None,
    };
    let bodies = vec![
        accepted(),
        fixed(),
        claimed(),
        EventBody::PauseAsked { by: PLANTED.into() },
        EventBody::ContinueAsked { by: PLANTED.into() },
        asked(1),
        EventBody::RolledBack { to: cofferdam_domain::Seq(3), by: PLANTED.into(), instruction: None },
        ended(Outcome::Succeeded),
        message,
        claimed(),
        asked(1),
        answered(1),
        ended(Outcome::NothingToDo),
        EventBody::MergeAsked { by: PLANTED.into(), commit: String::new() },
        stage(Stage::Merge),
        EventBody::MergeFailed { reason: PLANTED.into() },
    ];
    assert_eq!(
        lines(&spans(bodies, Content::Left)),
        [
            "invoke_agent cofferdam > queue 0-2",
            "invoke_agent cofferdam > wait 3-4",
            "step > chat claude-sonnet-4-5 5-6 dropped",
            "invoke_agent cofferdam > step 5-6",
            " > invoke_agent cofferdam 0-7",
            "step > chat claude-sonnet-4-5 10-11",
            "invoke_agent cofferdam > step 10-11",
            "invoke_agent cofferdam > invoke_agent cofferdam 8-12",
            "invoke_agent cofferdam > merge 14-15 failed",
        ]
    );
}

#[test]
fn a_fork_tells_only_what_is_its_own() {
    let from = SessionId::from_u128(9);
    let mut bodies = vec![accepted(), fixed(), claimed(), asked(1), answered(1)];
    bodies.push(EventBody::Forked {
        from,
        at: cofferdam_domain::Seq(5),
        by: PLANTED.into(),
        model: None,
        instruction: None,
    });
    bodies.extend([claimed(), asked(2), answered(2), ended(Outcome::Succeeded)]);
    let log = log(bodies);
    let mut fold = Fold::new(SESSION, Content::Left);
    let spans: Vec<Span> =
        log.iter().flat_map(|event| fold.fold(event)).filter(|span| span.end >= log[6].at).collect();
    assert_eq!(
        lines(&spans),
        [
            "invoke_agent cofferdam > queue 5-6",
            "step > chat claude-sonnet-4-5 7-8",
            "invoke_agent cofferdam > step 7-8",
            " > invoke_agent cofferdam 5-9",
        ]
    );
    assert_eq!(
        (spans[3].links[0].trace, spans[3].links[0].span),
        (TraceId::of(from), SpanId::of_session(from))
    );
}

fn bodies() -> impl Strategy<Value = EventBody> {
    let call = (1..4_u32, 0..3_u16).prop_map(|(step, index)| CallId { step, index });
    prop_oneof![
        Just(fixed()),
        Just(claimed()),
        Just(stage(Stage::Sandbox)),
        Just(stage(Stage::Push)),
        Just(EventBody::Pushed { branch: String::new(), commit: String::new() }),
        Just(EventBody::SandboxReady { sandbox: SandboxId::from_u128(1), level: String::new(), moved: None }),
        (1..4_u32).prop_map(asked),
        (1..4_u32).prop_map(answered),
        call.clone().prop_map(|call| started(call, "shell")),
        call.clone().prop_map(|call| finished(call, ToolStatus::Ok)),
        call.prop_map(|call| EventBody::ToolLost { call }),
        Just(passed()),
        Just(EventBody::PauseAsked { by: String::new() }),
        Just(EventBody::ContinueAsked { by: String::new() }),
        Just(EventBody::RolledBack { to: cofferdam_domain::Seq(1), by: String::new(), instruction: None }),
        Just(ended(Outcome::Succeeded)),
    ]
}

proptest! {
    /// However odd a log is: no span twice, none that is over before it began, none below one that is never told, and the same whoever folds.
    #[test]
    fn every_log_has_a_sound_trace(middle in prop::collection::vec(bodies(), 0..60)) {
        let bodies: Vec<EventBody> =
            [vec![accepted(), fixed(), claimed()], middle, vec![ended(Outcome::Succeeded)]].concat();
        let spans = spans(bodies.clone(), Content::Left);
        let ids: BTreeSet<SpanId> = spans.iter().map(|span| span.id).collect();
        prop_assert_eq!(ids.len(), spans.len());
        prop_assert_eq!(spans.iter().filter(|span| span.parent.is_none()).count(), 1);
        for span in &spans {
            prop_assert!(span.begin <= span.end);
            prop_assert!(span.parent.is_none_or(|parent| ids.contains(&parent)), "{:?}", span);
        }
        prop_assert_eq!(spans, self::spans(bodies, Content::Left));
    }
}
