//! Short ways to write answers, outcomes and what a session is given.

use cofferdam_domain::{
    Also, Answer, Block, Budget, Digest, Label, Policy, Source, StopReason, Task, ToolCall, ToolOutcome,
    ToolSpec, ToolStatus, Usage, Wishes,
    egress::EgressRule,
    event::{EditFormat, Fixed, ModelFailure, ModelInfo},
    foreign::ForeignCall,
    message::Family,
    money::Prices,
    policy::Questions,
    tool::{Finish, FinishOutcome, PlanItem, PlanState, ToolEffect},
};

/// What the model does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer(Answer),
    Fail(ModelFailure),
}

/// An answer with these blocks; its stop reason follows from them. Usage is left to the world.
pub(crate) fn says(blocks: Vec<Block>) -> Reply {
    let calls = blocks.iter().any(|block| matches!(block, Block::ToolCall(_)));
    stops(blocks, if calls { StopReason::ToolUse } else { StopReason::EndTurn })
}

pub(crate) fn stops(blocks: Vec<Block>, stop: StopReason) -> Reply {
    Reply::Answer(Answer { blocks, stop, usage: Usage::default(), model: "m".into(), cost: None })
}

pub(crate) fn refuses() -> Reply {
    stops(vec![], StopReason::Refusal { explanation: "policy".into() })
}

pub(crate) fn text(text: &str) -> Block {
    Block::text(text)
}

/// A call whose provider id is the same every time, as some providers give it.
pub(crate) fn call(name: &str, arguments: &str) -> Block {
    Block::ToolCall(ToolCall {
        provider_id: "id".into(),
        name: name.into(),
        arguments: arguments.into(),
        opaque: None,
    })
}

/// One call of `finish` with this outcome: `done`, `nothing_to_do` or `gave_up`.
pub(crate) fn finish(outcome: &str) -> Reply {
    says(vec![call("finish", outcome)])
}

/// One `read` of `path`.
pub(crate) fn read(path: &str) -> Reply {
    says(vec![call("read", path)])
}

pub(crate) fn outcome(status: ToolStatus, text: &str, effect: Option<ToolEffect>) -> ToolOutcome {
    ToolOutcome { status, text: text.into(), images: vec![], whole: None, label: Label::SANDBOX, effect }
}

/// A call that a person is to approve; with the arguments `made`, one that was made, and with `cut`, one that may have been.
fn foreign(call: &ToolCall) -> ToolOutcome {
    let exact =
        ForeignCall { server: "s".into(), tool: "t".into(), digest: Digest::of(b"exact"), outside: true };
    if call.arguments == "cut" {
        return outcome(ToolStatus::TimedOut, "Cut short", None);
    }
    if call.arguments == "made" {
        return outcome(ToolStatus::Ok, "made", Some(ToolEffect::Foreign(exact)));
    }
    let effect = ToolEffect::Approval { call: exact, question: "May s/t be called?".into() };
    outcome(ToolStatus::Refused, "somebody is asked", Some(effect))
}

/// What the tools of these tests do: `finish`, `ask`, `plan`, `edit`, `request_access` have their effects, `fail` fails, `same`
/// returns the same every time, all others return their arguments.
pub(crate) fn carry_out(call: &ToolCall) -> ToolOutcome {
    let ok = |text: &str, effect| outcome(ToolStatus::Ok, text, effect);
    match call.name.as_str() {
        "foreign" => foreign(call),
        "finish" => {
            let kind = match call.arguments.as_str() {
                "done" => FinishOutcome::Done,
                "nothing_to_do" => FinishOutcome::NothingToDo,
                "gave_up" => FinishOutcome::GaveUp,
                _ => return outcome(ToolStatus::Error, "no such outcome", None),
            };
            let finish = Finish {
                outcome: kind,
                title: "Title".into(),
                summary: "Summary".into(),
                replies: Vec::new(),
                remarks: Vec::new(),
            };
            ok("The work is over.", Some(ToolEffect::Finish(finish)))
        }
        "ask" => ok("Nobody is there.", Some(ToolEffect::Question { text: call.arguments.clone() })),
        "plan" => {
            let items = vec![PlanItem { text: call.arguments.clone(), state: PlanState::Pending }];
            ok("noted", Some(ToolEffect::Plan { items }))
        }
        "request_access" => {
            let rule = EgressRule { name: "asked".into(), ..rule(&call.arguments) };
            let effect = ToolEffect::Access { rule: Box::new(rule), reason: "to build".into() };
            ok("Recorded.", Some(effect))
        }
        "propose_plan" => ok("Proposed.", Some(ToolEffect::Proposal { text: call.arguments.clone() })),
        "edit" => ok("edited", Some(ToolEffect::Edited { paths: vec![call.arguments.clone()] })),
        "fail" => outcome(ToolStatus::Error, &format!("cannot {}", call.arguments), None),
        "same" => ok("the same", None),
        _ => ok(&format!("<{}>", call.arguments), None),
    }
}

/// A rule that lets everything of a host be read.
fn rule(host: &str) -> EgressRule {
    serde_json::from_value(serde_json::json!({ "name": "x", "host": host })).unwrap()
}

pub(crate) fn task() -> Task {
    Task::new("Fix the bug\nin a.rs".into(), "/repo".into(), None, "ann".into(), Source::Cli).unwrap()
}

/// The same, about so many repositories more.
pub(crate) fn with_others(task: Task, others: usize) -> Task {
    let also = |number: usize| Also { repository: format!("/others/{number}"), base: None };
    task.and_also((1..=others).map(also).collect()).unwrap()
}

/// The same, with a plan to be approved first.
pub(crate) fn planned_task() -> Task {
    task().with(Wishes { plan_first: true, ..Wishes::default() }).unwrap()
}

/// What a session with such a task is given.
pub(crate) fn planned() -> Fixed {
    let mut fixed = fixed();
    let propose = ToolSpec { name: "propose_plan".into(), ..fixed.tools.last().unwrap().clone() };
    fixed.tools.push(propose);
    fixed
}

/// What a session is given when a test does not say otherwise: `read` and `poll` may run beside others, the
/// rest not.
pub(crate) fn fixed() -> Fixed {
    let tool = |name: &str| ToolSpec {
        name: name.into(),
        description: format!("Does {name}."),
        parameters: serde_json::json!({"type": "object"}),
        parallel: ["read", "poll"].contains(&name),
        read_only: ["read", "ask", "propose_plan", "finish"].contains(&name),
    };
    Fixed {
        policy: Policy::default(),
        model: ModelInfo {
            provider: "p".into(),
            name: "m".into(),
            family: Family::Scripted,
            context_window: 200_000,
            max_output: 8_000,
            prices: Some(Prices { input: 1_000_000, output: 5_000_000, ..Prices::default() }),
            edits: EditFormat::Replace,
            images: false,
            transcript: None,
        },
        system: "You work.".into(),
        tools: ["read", "poll", "edit", "shell", "plan", "ask", "fail", "same", "request_access", "finish"]
            .map(tool)
            .to_vec(),
        foreign: cofferdam_domain::foreign::Foreign::default(),
        version: "0".into(),
        rules: cofferdam_agent::RULES,
        routes: Default::default(),
    }
}

pub(crate) fn with_budget(budget: Budget) -> Fixed {
    let mut fixed = fixed();
    fixed.policy.budget = budget;
    fixed
}

pub(crate) fn with_questions(questions: Questions) -> Fixed {
    let mut fixed = fixed();
    fixed.policy.questions = questions;
    fixed
}

/// A model with this context window in tokens.
pub(crate) fn with_window(window: u64) -> Fixed {
    let mut fixed = fixed();
    fixed.model.context_window = window;
    fixed
}
