//! Going back, and going on from another session's log.

use cofferdam_agent::{Agent, Restore, replay};
use cofferdam_domain::{
    Budget, Event, EventBody, Outcome, Seq, SessionId, SessionState,
    effective::{Fork, effective, fork},
    egress::{Access, AccessPolicy},
};

use crate::{
    script::{call, fixed, read, says, with_budget},
    world::{World, is_stage, sealed, session},
};

/// The session that is a fork.
pub(crate) const OTHER: SessionId = SessionId::from_u128(43);

fn checkpoint(step: u32) -> EventBody {
    EventBody::Checkpointed { step, snapshot: format!("snp_{step}") }
}

/// A session at its third step, with checkpoints after the first and the second.
fn three_steps() -> World {
    let mut world =
        World::scripted(fixed(), vec![read("1"), says(vec![call("edit", "2")]), read("3"), read("4")]);
    world.claim();
    for step in 1..=2 {
        while world.agent.step() <= step {
            world.complete(0);
        }
        world.happen(vec![checkpoint(step)]);
    }
    world
}

/// The place of the first event that `wanted` picks.
fn place(world: &World, wanted: impl Fn(&EventBody) -> bool) -> u64 {
    world.events.iter().find(|event| wanted(&event.body)).unwrap().seq.0
}

fn first_checkpoint(world: &World) -> u64 {
    place(world, |body| matches!(body, EventBody::Checkpointed { step: 1, .. }))
}

#[test]
fn what_was_taken_back_is_forgotten_but_for_what_it_cost() {
    let mut world = three_steps();
    let before = world.agent.spent();
    world.roll_back(first_checkpoint(&world), Some("Use the other file."));
    let restore = Restore::Snapshot { kept_by: session(), name: "snp_1".into() };
    assert_eq!(world.agent.restore(), Some(&restore));
    assert_eq!(world.agent.step(), 2);
    assert_eq!((world.agent.spent().steps, world.agent.spent().cost), (before.steps, before.cost));
    let text = world.said(world.requests.len() - 1);
    assert!(text.contains("Use the other file.") && text.contains("was taken back to this point"), "{text}");
    assert!(text.contains("<1>") && !text.contains("edited"), "{text}");
    world.complete_first(is_stage(cofferdam_domain::Stage::Sandbox));
    assert_eq!(world.agent.restore(), None, "the sandbox has it");
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(replay(&world.events).map(|done| done.events), Ok(world.events.len() as u64));
    assert_eq!(world.count("pull_request_opened"), 1);
}

#[test]
fn a_turn_has_its_whole_budget_whatever_was_spent_in_vain_before_it() {
    let edits = (0..7).map(|number| says(vec![call("edit", &number.to_string())]));
    let mut world = World::scripted(with_budget(Budget { steps: 8, ..Budget::default() }), edits.collect());
    world.claim();
    let began = world.events.len() as u64;
    while world.agent.step() < 7 {
        world.complete(0);
    }
    world.roll_back(began, None);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(world.count("nudged"), 1, "a limit is near");
    world.write("And the other file.");
    world.claim();
    // Another worker takes the turn up.
    let mut again = World::scripted(world.fixed.clone(), vec![]);
    again.resume(&world.events);
    assert_eq!(again.agent.spent(), world.agent.spent());
    assert_eq!(again.run(), Outcome::Succeeded);
    assert_eq!(again.count("nudged"), 1, "it is far again");
    assert_eq!(replay(&again.events).map(|done| done.events), Ok(again.events.len() as u64));
}

#[test]
fn every_place_can_be_gone_back_to() {
    let mut whole = three_steps();
    whole.happen(vec![checkpoint(3)]);
    let log = whole.events.clone();
    for to in 1..=log.len() as u64 {
        for instruction in [None, Some("Start over.")] {
            let mut world = three_steps();
            world.resume(&log);
            world.roll_back(to, instruction);
            assert_eq!(world.go_on(), Outcome::Succeeded, "to {to}");
            assert_eq!(
                replay(&world.events).map(|done| done.events),
                Ok(world.events.len() as u64),
                "to {to}"
            );
            assert_eq!((world.count("pushed"), world.count("pull_request_opened")), (1, 1));
        }
    }
}

#[test]
fn a_session_that_has_ended_can_be_taken_back_while_nothing_is_published() {
    let mut world = three_steps();
    world.verdicts = vec![cofferdam_domain::Verdict::Hold];
    assert!(matches!(world.go_on(), Outcome::Held { .. }));
    world.verdicts = vec![cofferdam_domain::Verdict::Publish];
    world.roll_back(first_checkpoint(&world), Some("Without the key."));
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(replay(&world.events).map(|done| done.events), Ok(world.events.len() as u64));
}

#[test]
fn what_is_published_is_not_taken_back() {
    let mut world = three_steps();
    let to = first_checkpoint(&world);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    world.roll_back(to, Some("Nevertheless."));
    assert_eq!(world.agent.pull_request().map(|request| request.number), Some(1));
    // It is a message like another.
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(world.requests.len() - 1).contains("Nevertheless."));
    assert_eq!(replay(&world.events).map(|done| done.events), Ok(world.events.len() as u64));
}

/// The log of a fork.
pub(crate) fn copied(world: &World, at: u64, how: Fork) -> Vec<Event> {
    let mut log: Vec<Event> = Vec::new();
    for body in fork(&world.events, Seq(at), how).unwrap() {
        let (seq, at) = log.last().map_or((Seq(1), world.events[0].at), |event| (event.seq.next(), event.at));
        log.push(sealed(seq, at, cofferdam_domain::Digest::ZERO, body));
    }
    log.into_iter().map(|event| Event { session: OTHER, ..event }).collect()
}

/// A world on the log of a fork.
fn forked(world: &World, at: u64, how: Fork) -> World {
    let mut fork = World::scripted(fixed(), vec![says(vec![call("edit", "5")])]);
    fork.session = OTHER;
    fork.resume(&copied(world, at, how));
    fork.unclaimed();
    fork
}

#[test]
fn a_fork_goes_on_from_every_place() {
    let mut whole = three_steps();
    whole.happen(vec![checkpoint(3)]);
    for at in 1..=whole.events.len() as u64 {
        let mut fork = forked(&whole, at, Fork { by: "bob".into(), ..Fork::default() });
        assert_eq!(fork.run(), Outcome::Succeeded, "at {at}");
        assert_eq!(replay(&fork.events).map(|done| done.events), Ok(fork.events.len() as u64), "at {at}");
    }
}

#[test]
fn a_fork_begins_with_the_other_sessions_files_and_may_have_another_model() {
    let whole = three_steps();
    let how = Fork {
        by: "bob".into(),
        model: Some("p/other".into()),
        instruction: Some("Try the other way.".into()),
        attempt: None,
    };
    let at = place(&whole, |body| matches!(body, EventBody::Checkpointed { step: 2, .. }));
    let mut fork = forked(&whole, at, how);
    assert_eq!(fork.agent.other_model(), Some("p/other"));
    let restore = Restore::Snapshot { kept_by: session(), name: "snp_2".into() };
    assert_eq!(fork.agent.restore(), Some(&restore));
    fork.fixed.model.name = "other".into();
    fork.claim();
    assert_eq!(fork.agent.fixed().map(|fixed| fixed.model.name.as_str()), Some("other"));
    assert_eq!((fork.agent.other_model(), fork.agent.state()), (None, SessionState::Working));
    assert_eq!(fork.go_on(), Outcome::Succeeded);
    let asked = fork.said(0);
    assert!(asked.contains("Try the other way.") && asked.contains("edited"), "{asked}");
    assert_eq!(replay(&fork.events).map(|done| done.events), Ok(fork.events.len() as u64));
}

#[test]
fn nothing_that_was_permitted_is_kept_in_a_fork() {
    let mut given = fixed();
    given.policy.egress.access = AccessPolicy::Ask;
    let asks = vec![says(vec![call("request_access", "a.example")]), says(vec![call("foreign", "x")])];
    let mut world = World::scripted(given, asks);
    world.claim();
    world.come_to_rest();
    let ask = world.agent.accesses().next().unwrap().ask.clone();
    let granted = Access { call: ask.call, rule: ask.digest(), granted: true, by: "ann".into(), until: None };
    let EventBody::QuestionAsked { call: asking, .. } = world.last("question_asked").clone() else {
        panic!()
    };
    let approved = EventBody::QuestionAnswered { call: asking, by: "ann".into(), text: "approve".into() };
    world.happen(vec![EventBody::AccessDecided(granted), approved]);
    assert_eq!((world.agent.approved().len(), world.agent.accesses().count()), (1, 1));
    let at = world.events.len() as u64;
    let mut fork = forked(&world, at, Fork { by: "bob".into(), ..Fork::default() });
    world.roll_back(at, None);
    for (world, accesses) in [(&mut fork, 0), (&mut world, 1)] {
        assert_eq!((world.agent.approved().len(), world.agent.accesses().count()), (0, accesses));
    }
    assert_eq!((fork.run(), world.go_on()), (Outcome::Succeeded, Outcome::Succeeded));
    for world in [fork, world] {
        assert_eq!(replay(&world.events).map(|done| done.events), Ok(world.events.len() as u64));
    }
}

#[test]
fn a_whole_log_folds_as_its_events_that_count() {
    let mut world = three_steps();
    world.roll_back(first_checkpoint(&world), None);
    let whole = Agent::of(session(), &world.events);
    let mut piece_by_piece = Agent::new(session());
    for event in effective(&world.events) {
        piece_by_piece.apply(event.at, &event.body);
    }
    assert_eq!(crate::world::show(&whole.next()), crate::world::show(&piece_by_piece.next()));
    assert_eq!(whole.oddities(), [] as [String; 0]);
}
