//! Requests for access, decisions about them, and frozen sandboxes.

use cofferdam_domain::{
    CallId, Digest, EventBody, Outcome, SandboxId, Timestamp,
    egress::{Access, AccessPolicy, EgressPolicy},
};

use cofferdam_agent::replay;

use crate::{
    script::{call, finish, fixed, read, says},
    world::{World, is_model, is_tool},
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
