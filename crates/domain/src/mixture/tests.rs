//! When what outsiders may have written and what is not public have come together.

use serde_json::{Value, json};

use super::*;
use crate::{Also, Digest, Policy, Source, ToolOutcome, ToolStatus, message::Family};

const CALL: CallId = CallId { step: 2, index: 0 };
const SANDBOX: SandboxId = SandboxId::from_u128(7);

fn body(event: Value) -> EventBody {
    serde_json::from_value(event).unwrap()
}

fn task() -> Task {
    Task::new("Fix it.".into(), "https://forge.example/a/b".into(), None, "ann".into(), Source::Api).unwrap()
}

fn fixed(rules: u16, policy: Value) -> EventBody {
    let policy: Policy = serde_json::from_value(policy).unwrap();
    EventBody::PolicyFixed(Box::new(Fixed {
        policy,
        model: crate::event::ModelInfo {
            provider: "p".into(),
            name: "m".into(),
            family: Family::Scripted,
            context_window: 1,
            max_output: 1,
            prices: None,
            edits: crate::event::EditFormat::Replace,
            images: false,
            transcript: None,
        },
        system: String::new(),
        tools: Vec::new(),
        foreign: crate::foreign::Foreign::default(),
        version: "0".into(),
        rules,
        routes: Default::default(),
    }))
}

fn repository(public: bool) -> EventBody {
    body(json!({
        "event": "repository_ready", "base_commit": "c", "base_tree": "t", "base_branch": "main", "public": public,
    }))
}

fn called(label: Label) -> Vec<EventBody> {
    let outcome = ToolOutcome {
        status: ToolStatus::Ok,
        text: "x".into(),
        images: vec![],
        whole: None,
        label,
        effect: None,
    };
    vec![
        EventBody::ToolStarted { call: CALL, tool: "docs__get\u{202e}".into() },
        EventBody::ToolFinished { call: CALL, outcome, millis: 1 },
    ]
}

fn passed(sandbox: SandboxId, rule: &str, credential: Option<&str>) -> EventBody {
    EventBody::EgressAllowed(Passed {
        sandbox,
        operation: crate::egress::Operation::Name { name: "a.example".into() },
        rule: rule.into(),
        credential: credential.map(str::to_owned),
        calls: Vec::new(),
    })
}

/// A session on a repository with these events after the first ones.
fn session(public: bool, then: Vec<EventBody>) -> Holdings {
    let ready = EventBody::SandboxReady { sandbox: SANDBOX, level: "x".into(), moved: None };
    let first =
        vec![EventBody::TaskAccepted { task: task() }, fixed(2, json!({})), repository(public), ready];
    fold(first.into_iter().chain(then))
}

fn fold(events: impl IntoIterator<Item = EventBody>) -> Holdings {
    let mut holdings = Holdings::default();
    for (at, event) in (1..).zip(events) {
        holdings.apply(Timestamp(at), &event);
    }
    holdings
}

const PAGE: Label = Label { integrity: Integrity::Untrusted, audience: Audience::Public };

#[test]
fn a_repository_is_private_unless_its_forge_says_otherwise() {
    assert!(session(false, vec![]).mixture().is_none(), "nothing was read");
    let mixture = session(false, called(PAGE)).mixture().unwrap();
    assert_eq!((mixture.private.at, mixture.untrusted.at), (Timestamp(1), Timestamp(6)));
    let why = mixture.in_words();
    assert!(
        why.contains("call_2_0") && why.contains("docs__get\\u{202e}") && why.contains("its repository"),
        "{why}"
    );
    for label in [Label::SANDBOX, PAGE, Label::REQUESTER] {
        assert!(session(true, called(label)).mixture().is_none(), "{label:?}");
    }
    let mixture = session(true, called(PRIVATE)).mixture().unwrap();
    assert!(mixture.private.what.contains("docs__get"), "{mixture:?}");
}

#[test]
fn every_repository_of_the_session_counts() {
    let also = vec![Also { repository: "https://forge.example/a/c".into(), base: None }];
    let both = || {
        let task = task().and_also(also.clone()).unwrap();
        vec![EventBody::TaskAccepted { task }, fixed(2, json!({})), repository(true)]
    };
    let read = || called(Label::SANDBOX);
    assert!(fold(both().into_iter().chain(read())).mixture().is_some());
    let beside = |public| repository(public).about_part(Part(1));
    assert!(fold(both().into_iter().chain([beside(false)]).chain(read())).mixture().is_some());
    assert!(fold(both().into_iter().chain([beside(true)]).chain(read())).mixture().is_none());
}

#[test]
fn what_a_credential_or_a_private_network_answers_is_private() {
    let with = |sandbox, credential| session(true, vec![passed(sandbox, "docs", credential)]);
    assert!(with(SANDBOX, None).mixture().is_none());
    assert!(with(SandboxId::from_u128(8), Some("lab")).mixture().is_none(), "that of another program");
    let why = with(SANDBOX, Some("lab")).mixture().unwrap().in_words();
    assert!(why.contains("\"lab\""), "{why}");
    assert_eq!(with(SANDBOX, Some("lab")).label(), PRIVATE);
    let rule =
        json!({"egress": {"rules": [{"name": "wiki", "host": "wiki.example", "addresses": "private"}]}});
    let events = |name| {
        vec![
            EventBody::TaskAccepted { task: task() },
            fixed(2, rule.clone()),
            repository(true),
            passed(SANDBOX, name, None),
        ]
    };
    assert!(fold(events("other")).mixture().is_none());
    assert!(fold(events("wiki")).mixture().unwrap().private.what.contains("wiki"));
}

#[test]
fn what_tests_were_answered_is_in_what_is_said_of_them() {
    let tests = SandboxId::from_u128(8);
    let looked = || {
        body(json!({
            "event": "self_reviewed", "round": 1, "session": crate::SessionId::from_u128(3), "commit": "c", "refuted": false, "summary": "x",
            "spent": crate::Spent::default(),
        }))
    };
    let after = |rules, answered: EventBody| {
        let ready = EventBody::SandboxReady { sandbox: SANDBOX, level: "x".into(), moved: None };
        let first =
            [EventBody::TaskAccepted { task: task() }, fixed(rules, json!({})), repository(true), ready];
        let looked_before = fold(first.clone().into_iter().chain([answered.clone()]));
        assert!(
            looked_before.private().is_none() && looked_before.untrusted().is_none(),
            "nobody has said anything yet"
        );
        fold(first.into_iter().chain([answered, looked()]))
    };
    let why = after(3, passed(tests, "docs", Some("lab"))).mixture().unwrap().in_words();
    assert!(why.contains("of tests that were answered"), "{why}");
    assert_eq!(after(3, passed(tests, "docs", Some("lab"))).label(), PRIVATE);
    assert_eq!(after(3, passed(tests, "docs", None)).label(), Label::SANDBOX, "everybody gets that");
    assert_eq!(after(2, passed(tests, "docs", Some("lab"))).label(), Label::SANDBOX, "as it was then");
}

#[test]
fn notes_know_whether_they_may_be_of_something_private() {
    assert!(!session(true, vec![]).exceeds_repository() && !session(false, vec![]).exceeds_repository());
    assert!(!session(true, called(Label::SANDBOX)).exceeds_repository());
    assert!(session(true, called(PRIVATE)).exceeds_repository());
    assert!(
        session(false, called(PRIVATE)).exceeds_repository(),
        "who may read the one need not see the other"
    );
    let beside = |public| {
        let also = vec![Also { repository: "https://forge.example/a/c".into(), base: None }];
        let task = EventBody::TaskAccepted { task: task().and_also(also).unwrap() };
        fold([task, fixed(3, json!({})), repository(true), repository(public).about_part(Part(1))])
    };
    assert!(beside(false).exceeds_repository() && !beside(true).exceeds_repository());
    let recalled = |private| {
        let memory = json!({
            "id": crate::MemoryId::from_u128(1), "repository": "https://forge.example/a/b", "text": "x", "at": 1, "private": private,
            "source": {"source": "person", "by": "ann"},
        });
        session(true, vec![body(json!({"event": "memories_recalled", "memories": [memory]}))])
    };
    assert!(recalled(true).private().is_some() && recalled(true).exceeds_repository(), "it goes on");
    assert!(recalled(false).private().is_none());
}

#[test]
fn messages_advice_and_notes_have_their_labels() {
    let message =
        |label| EventBody::MessageReceived { from: "eve".into(), text: "x".into(), label, about: None };
    assert!(session(true, vec![message(Label::REQUESTER)]).untrusted().is_none());
    let why = session(false, vec![message(Label::SANDBOX)]).mixture().unwrap();
    assert_eq!(&*why.untrusted.what, "a message from \"eve\"");
    let text = |giver: &str| json!({"path": "AGENTS.md", "kind": "agents", "giver": giver, "applies": {"when": "always"}, "digest": Digest::ZERO, "size": 1});
    let found =
        |giver| session(true, vec![body(json!({"event": "instructions_found", "files": [text(giver)]}))]);
    assert!(found("repository").untrusted().is_some() && found("repository").private().is_none());
    assert!(found("organisation").untrusted().is_none() && found("organisation").private().is_some());
    assert!(
        session(true, vec![body(json!({"event": "memories_recalled", "memories": []}))])
            .untrusted()
            .is_none()
    );
}

#[test]
fn a_subagent_holds_what_its_session_does_and_says_what_it_has_read() {
    let parent =
        json!({"session": crate::SessionId::from_u128(1), "call": CALL, "kind": "explore", "depth": 1});
    let task = task().delegated(serde_json::from_value(parent).unwrap());
    let events = vec![EventBody::TaskAccepted { task }, fixed(2, json!({})), repository(true)];
    let holdings = fold(events);
    assert!(holdings.mixture().is_some());
    assert_eq!(holdings.label(), Label::SANDBOX);
}

#[test]
fn earlier_sessions_and_those_that_may_are_let_be() {
    let events = |rules, policy| {
        let first = vec![EventBody::TaskAccepted { task: task() }, fixed(rules, policy), repository(false)];
        fold(first.into_iter().chain(called(Label::SANDBOX)))
    };
    assert!(events(1, json!({})).mixture().is_none());
    assert!(!events(2, json!({})).mixture().unwrap().let_be);
    assert!(events(2, json!({"mixed": "allow"})).mixture().unwrap().let_be);
    assert!(!events(3, json!({})).mixture().unwrap().door, "as it was then");
    let today = events(4, json!({})).mixture().unwrap();
    assert!(today.door && today.consequence().contains("access"), "{today:?}");
}
