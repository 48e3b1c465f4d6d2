//! What a step costs must not grow with the conversation.

use cofferdam_domain::{
    Answer, Block, EventBody, Label, Policy, SandboxId, SessionId, Source, Stage, StopReason, Task,
    Timestamp, ToolCall, ToolOutcome, ToolStatus, Usage,
    event::{EditFormat, Fixed, ModelInfo, Repository},
    message::Family,
};

use crate::{Action, Agent, conversation::tests::hashed};

fn begin() -> Agent {
    let mut agent = Agent::new(SessionId::from_u128(1));
    let task = Task::new("Fix it.".into(), "/r".into(), None, "ann".into(), Source::Cli).unwrap();
    let model = ModelInfo {
        provider: "p".into(),
        name: "m".into(),
        family: Family::Scripted,
        context_window: 100_000_000,
        max_output: 1_000,
        prices: None,
        edits: EditFormat::Replace,
        images: false,
        transcript: None,
    };
    let fixed = Fixed {
        policy: Policy::default(),
        model,
        system: "s".repeat(4_000),
        tools: vec![],
        foreign: cofferdam_domain::foreign::Foreign::default(),
        version: "0".into(),
        rules: 0,
        routes: Default::default(),
    };
    let repository = Repository {
        base_commit: "c".into(),
        base_tree: "t".into(),
        base_branch: "main".into(),
        notes: vec![],
        cones: vec![],
        contents: None,
        submodules: Vec::new(),
        tests: None,
        public: false,
        shared: false,
    };
    for body in [
        EventBody::TaskAccepted { task },
        EventBody::Claimed { worker: "w".into(), fence: 1 },
        EventBody::PolicyFixed(Box::new(fixed)),
        EventBody::StageStarted { stage: Stage::Repository },
        EventBody::RepositoryReady(repository),
        EventBody::StageStarted { stage: Stage::Sandbox },
        EventBody::SandboxReady { sandbox: SandboxId::from_u128(1), level: "none".into(), moved: None },
    ] {
        agent.apply(Timestamp(0), &body);
    }
    agent
}

/// Does one step of one call whose result has 2,000 bytes.
fn step(agent: &mut Agent) {
    while let Some(action) = agent.next().pop() {
        let bodies = match action {
            Action::AskModel { step, compaction, request } => {
                let call = ToolCall {
                    provider_id: format!("id{step}"),
                    name: "read".into(),
                    arguments: step.to_string(),
                    opaque: None,
                };
                let answer = Answer {
                    blocks: vec![Block::ToolCall(call)],
                    stop: StopReason::ToolUse,
                    usage: Usage::default(),
                    model: "m".into(),
                    cost: None,
                };
                vec![
                    EventBody::ModelAsked { step, request: request.digest, compaction },
                    EventBody::ModelAnswered { step, answer, millis: 1 },
                ]
            }
            Action::RunTool { call, tool } => {
                let outcome = ToolOutcome {
                    status: ToolStatus::Ok,
                    text: format!("{call}{}", "x".repeat(2_000)),
                    images: vec![],
                    whole: None,
                    label: Label::SANDBOX,
                    effect: None,
                };
                vec![
                    EventBody::ToolStarted { call, tool: tool.name },
                    EventBody::ToolFinished { call, outcome, millis: 1 },
                ]
            }
            Action::Append(body) => vec![*body],
            Action::Fix | Action::Stage(_) | Action::Beside(..) => {
                panic!("nothing else is wanted: {action:?}")
            }
        };
        let ended_step = bodies.iter().any(|body| matches!(body, EventBody::ToolFinished { .. }));
        for body in bodies {
            agent.apply(Timestamp(0), &body);
        }
        if ended_step {
            return;
        }
    }
}

#[test]
fn a_step_hashes_its_own_bytes_only() {
    let mut agent = begin();
    let mut cost = Vec::new();
    for _ in 0..150 {
        let before = hashed();
        step(&mut agent);
        cost.push(hashed() - before);
    }
    assert_eq!(agent.step(), 150);
    let (early, late) = (cost[10], cost[149]);
    assert!(late <= early + 64, "step 11 hashed {early} bytes, step 150 {late}");
    assert!(late < 3 * 2_400, "{late}");
}

#[test]
fn a_copy_shares_what_was_said() {
    let mut agent = begin();
    (0..150).for_each(|_| step(&mut agent));
    let ask = |agent: &Agent| match agent.next().pop() {
        Some(Action::AskModel { request, .. }) => request,
        other => panic!("{other:?}"),
    };
    let request = ask(&agent);
    let references = |place| std::sync::Arc::strong_count(request.messages.get(place).unwrap());
    let before: Vec<usize> = (0..290).map(references).collect();
    let copies = (0..5).map(|_| (agent.clone(), ask(&agent))).collect::<Vec<_>>();
    // Only the last few messages have one reference more for each copy; all others lie in chunks that are shared.
    let touched = (0..290).filter(|place| references(*place) != before[*place]).count();
    assert!(copies.len() == 5 && touched < 32, "{touched}");
}
