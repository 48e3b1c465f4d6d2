//! Crashes: the log is cut after every event, and another worker goes on.

use cofferdam_domain::{EventBody, Outcome, Stage, Verdict};

use crate::{
    script::{call, finish, fixed, read, says},
    world::{World, is_model, is_stage, is_tool},
};

/// A session with parallel calls, a round with the gate, a nudge and a message.
fn eventful() -> World {
    let mut world = World::new(fixed(), |request, _, _| {
        // What is answered depends only on what is asked, so that a second worker gets the same.
        match request.messages.len() {
            1 => says(vec![call("read", "1"), call("read", "2"), call("edit", "3")]),
            3 => says(vec![]),
            5 => read("4"),
            7 => finish("done"),
            9 => says(vec![call("shell", "5")]),
            _ => finish("done"),
        }
    });
    world.verdicts = vec![Verdict::SendBack, Verdict::Publish];
    world
}

#[test]
fn whatever_the_moment_of_the_crash_the_session_ends_with_one_pull_request() {
    let mut whole = eventful();
    assert_eq!(whole.run(), Outcome::Succeeded);
    let log = whole.events.clone();
    for cut in 1..=log.len() {
        let mut world = eventful();
        world.resume(&log[..cut]);
        let outcome = if world.agent.outcome().is_some() { Outcome::Succeeded } else { world.run() };
        assert_eq!(outcome, Outcome::Succeeded, "cut after {cut}");
        assert_eq!(world.count("pull_request_opened"), 1);
        assert_eq!(world.count("pushed"), 1);
        let replayed = cofferdam_agent::replay(&world.events);
        assert_eq!(replayed.map(|done| done.events), Ok(world.events.len() as u64), "cut after {cut}");
    }
}

#[test]
fn a_call_that_was_cut_short_is_lost_and_the_model_is_told() {
    let mut world =
        World::scripted(fixed(), vec![says(vec![call("read", "1"), call("read", "2"), call("edit", "3")])]);
    world.claim();
    while !world.in_flight.iter().any(is_tool) {
        world.complete(0);
    }
    world.complete_first(is_tool);
    world.claim();
    assert_eq!(world.count("tool_lost"), 1);
    world.go_on();
    let message = world.last_message(1);
    assert!(message.contains("<1>") && message.contains("outcome of this call is unknown"), "{message}");
    assert!(message.contains("<3>") || message.contains("edited"), "what had not begun is run: {message}");
    assert!(message.contains("The sandbox was started anew"));
    assert_eq!(world.count("sandbox_ready"), 2);
}

#[test]
fn a_model_call_that_was_cut_short_is_made_again_byte_for_byte() {
    let mut world = World::scripted(fixed(), vec![read("a")]);
    world.claim();
    while world.agent.step() < 2 {
        world.complete(0);
    }
    world.write("Meanwhile, a message.");
    world.claim();
    let (before, again) = (&world.requests[1].0, &world.requests[2].0);
    assert_eq!(before.digest, again.digest);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    let last = world.requests.last().unwrap().0.messages.last().unwrap();
    let text = serde_json::to_string(last).unwrap();
    assert!(text.contains("Meanwhile") && text.contains("sandbox was started anew"), "{text}");
}

#[test]
fn a_crash_before_anything_ran_needs_no_words() {
    let mut world = World::scripted(fixed(), vec![read("a")]);
    world.claim();
    world.complete_first(is_stage(Stage::Repository));
    world.complete_first(is_stage(Stage::Sandbox));
    world.claim();
    assert!(world.in_flight.iter().any(is_model) && world.in_flight.iter().any(is_stage(Stage::Sandbox)));
    world.go_on();
    assert!(!world.last_message(world.requests.len() - 1).contains("anew"));
}

#[test]
fn an_old_worker_is_not_listened_to() {
    let mut world = World::scripted(fixed(), vec![read("a")]);
    world.claim();
    world.claim();
    let mut agent = world.agent.clone();
    let late = EventBody::Claimed { worker: "old".into(), fence: 1 };
    agent.apply(world.events[1].at, &late);
    assert_eq!(agent.oddities().len(), 1);
    assert_eq!(crate::world::show(&agent.next()), crate::world::show(&world.agent.next()));
}
