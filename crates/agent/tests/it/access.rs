//! Requests for access, decisions about them, and frozen sandboxes.

use cofferdam_domain::{
    AlarmRule, Alarms, CallId, Consequence, Digest, EventBody, Outcome, SandboxId, Seq, Timestamp,
    egress::{Access, AccessPolicy, EgressPolicy, Operation, Refusal, Refused},
};

use cofferdam_agent::replay;

use crate::{
    script::{call, finish, fixed, read, says},
    world::{World, is_model, is_tool, sealed},
};

fn world(replies: Vec<crate::script::Reply>) -> World {
    let mut fixed = fixed();
    fixed.policy.egress = EgressPolicy { access: AccessPolicy::Ask, ..EgressPolicy::default() };
    World::scripted(fixed, replies)
}

fn want(host: &str) -> crate::script::Reply {
    says(vec![call("request_access", host)])
}

fn decision(world: &World, call: CallId, granted: bool) -> EventBody {
    let request = world.agent.accesses().find(|request| request.ask.call == call).unwrap();
    EventBody::AccessDecided(Access {
        call,
        rule: request.ask.digest(),
        granted,
        by: "ann".into(),
        until: None,
    })
}

const FIRST: CallId = CallId { step: 1, index: 0 };

#[test]
fn what_is_asked_is_written_down_once_and_decided_once() {
    let mut world = world(vec![want("a.example"), want("a.example"), read("x"), read("y")]);
    world.claim();
    for _ in 0..2 {
        world.complete_first(is_model);
        while world.in_flight.iter().all(|flight| !is_tool(flight)) {
            world.complete(0);
        }
        world.complete_first(is_tool);
    }
    assert_eq!(world.count("access_asked"), 1, "the same is not asked twice");
    let denied = decision(&world, FIRST, false);
    world.happen(vec![denied, decision(&world, FIRST, true)]);
    assert!(
        world.agent.accesses().all(|request| request.decided.as_ref().is_some_and(|access| !access.granted))
    );
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(3).contains("denied"), "{}", world.last_message(3));
    replay(&world.events).unwrap();
}

#[test]
fn a_grant_holds_for_the_exact_rule_and_takes_back_the_end_of_the_work() {
    let mut world = world(vec![want("a.example"), finish("done"), read("a"), finish("done")]);
    world.claim();
    while world.count("access_asked") == 0 {
        world.complete(0);
    }
    let EventBody::AccessDecided(granted) = decision(&world, FIRST, true) else { unreachable!() };
    let other = Access { rule: Digest::of(b"another rule"), ..granted.clone() };
    let mut judged = world.agent.clone();
    judged.apply(Timestamp(u64::MAX), &EventBody::AccessDecided(other));
    assert_eq!(judged.oddities().len(), 1, "a decision about other bytes is none");
    assert!(judged.accesses().all(|request| request.decided.is_none()));

    world.complete_first(is_model);
    world.happen(vec![EventBody::AccessDecided(granted)]);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(world.requests.len(), 4, "the work went on after the grant");
    assert!(world.last_message(2).contains("a.example"), "{}", world.last_message(2));
    replay(&world.events).unwrap();
}

#[test]
fn where_policy_lets_nobody_ask_nothing_is_asked() {
    let mut world = World::scripted(fixed(), vec![want("a.example")]);
    assert_eq!(world.run(), Outcome::Succeeded);
    assert_eq!(world.count("access_asked"), 0);
}

fn frozen() -> World {
    let mut world = world(vec![read("a"), read("b")]);
    world.claim();
    while world.in_flight.iter().all(|flight| !is_tool(flight)) {
        world.complete(0);
    }
    let sandbox = SandboxId::from_u128(7);
    world.happen(vec![EventBody::SandboxFrozen { sandbox, reason: "60 requests were refused".into() }]);
    world
}

#[test]
fn a_frozen_session_waits_for_a_person_and_goes_on_when_released() {
    let mut world = frozen();
    assert!(
        matches!(world.agent.outcome(), Some(Outcome::Held { reason }) if reason.contains("60 requests"))
    );
    assert!(world.agent.keeps_workspace() && !world.agent.resumable());
    world.claim();
    assert!(world.agent.outcome().is_some(), "a claim alone releases nothing");
    world.happen(vec![EventBody::SandboxReleased { sandbox: SandboxId::from_u128(7), by: "ann".into() }]);
    assert!(world.agent.resumable());
    world.claim();
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(world.count("tool_lost"), 1, "what was frozen is gone");
    replay(&world.events).unwrap();
}

#[test]
fn a_frozen_session_that_is_given_up_keeps_nothing() {
    let mut world = frozen();
    world.happen(vec![EventBody::CancelAsked { by: "ann".into() }]);
    assert!(!world.agent.keeps_workspace());
    world.happen(vec![EventBody::SandboxReleased { sandbox: SandboxId::from_u128(7), by: "bob".into() }]);
    assert!(!world.agent.resumable(), "given up is given up");
    replay(&world.events).unwrap();
}

/// A session under rules, which has a sandbox and a call that runs in it.
fn watched(alarms: Alarms) -> World {
    let mut fixed = fixed();
    fixed.policy.alarms = Some(alarms);
    let mut world = World::scripted(fixed, vec![read("a"), read("b")]);
    world.claim();
    while world.in_flight.iter().all(|flight| !is_tool(flight)) {
        world.complete(0);
    }
    world
}

fn refused(code: Refusal) -> EventBody {
    EventBody::EgressRefused(Box::new(Refused {
        sandbox: SandboxId::from_u128(7),
        operation: Operation::Name { name: "a.example".into() },
        code,
        reason: "no".into(),
        ask: None,
        count: 1,
        calls: Vec::new(),
    }))
}

#[test]
fn an_alarm_freezes_before_anything_else_and_is_not_raised_again_for_the_same() {
    let mut world = watched(Alarms::default());
    world.happen(vec![refused(Refusal::Canary)]);
    assert!(matches!(world.agent.outcome(), Some(Outcome::Held { reason }) if reason.contains("canary")));
    let names = world.names();
    let end = &names[names.len() - 4..];
    assert_eq!(end, ["egress_refused", "alarm_raised", "sandbox_frozen", "session_ended"]);
    assert!(world.agent.keeps_workspace() && world.agent.is_alarmed());
    world.happen(vec![EventBody::SandboxReleased { sandbox: SandboxId::from_u128(7), by: "ann".into() }]);
    world.claim();
    assert!(!world.agent.is_alarmed());
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!((world.count("alarm_raised"), world.count("sandbox_frozen")), (1, 1));
    replay(&world.events).unwrap();
    // Nobody can leave it out.
    let silent: Vec<EventBody> = world
        .events
        .iter()
        .map(|event| event.body.clone())
        .filter(|body| !matches!(body, EventBody::AlarmRaised { .. } | EventBody::SandboxFrozen { .. }))
        .collect();
    let mut head = Digest::ZERO;
    let silent: Vec<_> = (1..)
        .zip(silent)
        .map(|(seq, body)| {
            let event = sealed(Seq(seq), world.events[0].at, head, body);
            head = event.hash;
            event
        })
        .collect();
    assert_eq!(replay(&silent).unwrap_err().event, "session_ended");
}

#[test]
fn an_alarm_that_only_tells_changes_nothing_else() {
    let rule = AlarmRule {
        name: "first-call".into(),
        event: "tool_finished".into(),
        of: None,
        count: 1,
        seconds: 60,
        then: Consequence::Tell,
    };
    let mut world = watched(Alarms { rules: vec![rule], ..Alarms::default() });
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(world.count("alarm_raised"), world.count("tool_finished"));
    assert_eq!(world.count("sandbox_frozen"), 0);
    replay(&world.events).unwrap();
}

#[test]
fn in_an_older_log_a_worker_froze_the_sandbox() {
    let mut world = world(vec![read("a"), read("b")]);
    world.claim();
    while world.in_flight.iter().all(|flight| !is_tool(flight)) {
        world.complete(0);
    }
    let sandbox = SandboxId::from_u128(7);
    let frozen = EventBody::SandboxFrozen { sandbox, reason: "a canary was touched".into() };
    world.happen(vec![refused(Refusal::Canary), frozen]);
    assert!(matches!(world.agent.outcome(), Some(Outcome::Held { .. })));
    assert_eq!(world.count("alarm_raised"), 0);
    replay(&world.events).unwrap();
}
