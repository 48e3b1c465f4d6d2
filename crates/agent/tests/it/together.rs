//! Sessions on several repositories: each change is delivered like the only one, and nothing leaves before the gate lets all of them out.

use cofferdam_agent::replay;
use cofferdam_domain::{
    Event, EventBody, Outcome, Part, PullRequestState, Stage, Verdict,
    event::{Moved, NudgeReason},
};

use crate::{
    script::{finish, fixed, read, task, with_others},
    world::{Flight, World},
};

const SECOND: Part = Part(1);

/// A session on two repositories.
fn two() -> World {
    let mut replies = vec![read("a"), finish("done")].into_iter();
    World::on(with_others(task(), 1), fixed(), move |_, _, _| {
        replies.next().unwrap_or_else(|| finish("done"))
    })
}

/// The names of what has come of the delivery, with the part that each is about.
fn delivered(events: &[Event]) -> Vec<(u8, &'static str)> {
    let all = events.iter().map(|event| event.body.in_part());
    let delivery = all.skip_while(|(_, body)| !matches!(body, EventBody::WorkFinished { .. })).skip(1);
    delivery
        .filter(|(_, body)| !matches!(body, EventBody::StageStarted { .. }))
        .map(|(part, body)| (part.0, body.name()))
        .collect()
}

fn names_of(world: &World, part: Part) -> Vec<&'static str> {
    let all = world.events.iter().map(|event| event.body.in_part());
    all.filter(|(of, _)| *of == part).map(|(_, body)| body.name()).collect()
}

#[test]
fn all_are_examined_then_tested_then_published_and_name_each_other() {
    let mut world = two();
    assert_eq!(world.run(), Outcome::Succeeded);
    let expected = [
        (0, "objects_received"),
        (0, "examined"),
        (1, "objects_received"),
        (1, "examined"),
        (0, "evidence_run"),
        (0, "evidence_run"),
        (1, "evidence_run"),
        (1, "evidence_run"),
        (0, "pushed"),
        (0, "pull_request_opened"),
        (1, "pushed"),
        (1, "pull_request_opened"),
        // Its text names the second one now.
        (0, "pull_request_opened"),
        (0, "session_ended"),
    ];
    assert_eq!(delivered(&world.events), expected);
    let numbers: Vec<_> =
        world.agent.pull_requests().iter().map(|(part, request)| (*part, request.number)).collect();
    assert_eq!(numbers, [(Part::FIRST, 1), (SECOND, 2)]);
    let seen = world.agent.seen_from(SECOND).unwrap();
    assert_eq!(seen.pull_request().map(|request| request.number), Some(2));
    assert_eq!(seen.evidence().len(), 2);
    assert!(world.agent.seen_from(Part(2)).is_none());
    assert!(world.said(0).contains("- `1/`: "), "{}", world.said(0));
    assert_eq!(replay(&world.events).map(|done| done.events), Ok(world.events.len() as u64));
}

#[test]
fn what_is_unchanged_gets_no_pull_request() {
    for unchanged in [Part::FIRST, SECOND] {
        let mut world = two();
        world.unchanged = vec![unchanged];
        assert_eq!(world.run(), Outcome::Succeeded);
        let seen = world.agent.seen_from(unchanged).unwrap();
        assert!(seen.pull_request().is_none() && seen.evidence().is_empty());
        assert_eq!(world.agent.pull_requests().len(), 1);
        assert_eq!(
            world
                .events
                .iter()
                .filter(|event| event.body.in_part().1.name() == "pull_request_opened")
                .count(),
            1
        );
    }
    let mut world = two();
    world.changed = false;
    assert_eq!(world.run(), Outcome::NothingToDo);
}

#[test]
fn one_that_is_held_holds_all() {
    let mut world = two();
    world.verdicts = vec![Verdict::Publish, Verdict::Hold];
    let Outcome::Held { reason } = world.run() else { panic!() };
    assert!(reason.contains("1/a.rs"), "{reason}");
    assert!(!delivered(&world.events).iter().any(|(_, name)| ["pushed", "evidence_run"].contains(name)));
}

#[test]
fn findings_of_all_go_back_together_with_the_paths_that_the_agent_has() {
    let mut world = two();
    world.verdicts = vec![Verdict::SendBack, Verdict::SendBack, Verdict::Publish];
    assert_eq!(world.run(), Outcome::Succeeded);
    let told: Vec<&str> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Nudged { reason: NudgeReason::GateFindings, text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 1, "both at once");
    assert!(told[0].contains("\"repo/a.rs\":3") && told[0].contains("\"1/a.rs\":3"), "{}", told[0]);
    for part in [Part::FIRST, SECOND] {
        assert_eq!(names_of(&world, part).iter().filter(|name| **name == "examined").count(), 2);
        assert_eq!(names_of(&world, part).iter().filter(|name| **name == "pushed").count(), 1);
    }
}

#[test]
fn whoever_was_quicker_in_one_does_not_keep_the_other_from_its_pull_request() {
    for overtaken in [Part::FIRST, SECOND] {
        let mut world = two();
        world.overtaken = Some(overtaken);
        assert_eq!(world.run(), Outcome::Succeeded);
        assert_eq!(world.count("work_finished"), 2, "a turn builds on theirs");
        let other = if overtaken == SECOND { Part::FIRST } else { SECOND };
        let until = world.events.iter().position(|event| matches!(&event.body, EventBody::Nudged { .. }));
        let before = &world.events[..until.unwrap()];
        assert!(delivered(before).contains(&(other.0, "pull_request_opened")));
        assert_eq!(world.agent.pull_requests().len(), 2);
        assert_eq!(replay(&world.events).err(), None);
    }
}

#[test]
fn whatever_the_moment_of_the_crash_each_gets_one_pull_request() {
    let make = || {
        let mut world = two();
        world.verdicts = vec![Verdict::Publish, Verdict::SendBack, Verdict::Publish];
        world.tools = Box::new(|call| (crate::script::carry_out(call), 10));
        world.model =
            Box::new(|request, _, _| if request.messages.len() < 2 { read("a") } else { finish("done") });
        world
    };
    let mut whole = make();
    assert_eq!(whole.run(), Outcome::Succeeded);
    let log = whole.events.clone();
    for cut in 1..=log.len() {
        let mut world = make();
        world.resume(&log[..cut]);
        if world.agent.outcome().is_none() {
            assert_eq!(world.run(), Outcome::Succeeded, "cut after {cut}");
        }
        for part in [Part::FIRST, SECOND] {
            assert_eq!(
                names_of(&world, part).iter().filter(|name| **name == "pushed").count(),
                1,
                "cut after {cut}"
            );
        }
        let opened = names_of(&world, SECOND).iter().filter(|name| **name == "pull_request_opened").count();
        assert_eq!(opened, 1, "cut after {cut}");
        let replayed = replay(&world.events);
        assert_eq!(replayed.map(|done| done.events), Ok(world.events.len() as u64), "cut after {cut}");
    }
}

#[test]
fn a_merge_is_of_the_pull_request_whose_head_was_looked_at_and_closing_of_all() {
    let mut world = two();
    world.run();
    let mut merging = World::on(with_others(task(), 1), fixed(), |_, _, _| finish("done"));
    merging.resume(&world.events);
    merging.arrives(EventBody::MergeAsked { by: "ann".into(), commit: "c2-1".into() });
    merging.claim();
    assert!(
        matches!(merging.in_flight[..], [Flight::Beside(SECOND, Stage::Merge)]),
        "{:?}",
        merging.in_flight
    );
    merging.complete(0);
    assert!(!merging.agent.closing());
    let states: Vec<PullRequestState> =
        merging.agent.pull_requests().into_iter().map(|(_, request)| request.state).collect();
    assert_eq!(states, [PullRequestState::Open, PullRequestState::Merged { commit: "c3".into() }]);

    merging.arrives(EventBody::CloseAsked { by: "ann".into() });
    merging.claim();
    assert!(matches!(merging.in_flight[..], [Flight::Stage(Stage::Close)]), "what is merged stays so");
}

#[test]
fn a_later_turn_begins_with_what_others_have_made_of_each_branch() {
    let mut world = two();
    world.run();
    world.write("Once more.");
    world.claim();
    while !world.in_flight.iter().any(|flight| matches!(flight, Flight::Stage(Stage::Sandbox))) {
        world.complete(0);
    }
    world.complete_first(|flight| matches!(flight, Flight::Stage(Stage::Sandbox)));
    let moved = Moved { branch: "c8".into(), start: "c8".into(), merged: None };
    let EventBody::SandboxReady { sandbox, level, .. } = world.last("sandbox_ready").clone() else {
        panic!()
    };
    world.happen(vec![EventBody::SandboxReady { sandbox, level, moved: Some(moved) }.about_part(SECOND)]);
    let seen = world.agent.seen_from(SECOND).unwrap();
    assert_eq!((seen.start(), seen.published()), (Some("c8"), Some("c8")));
    assert_eq!(world.agent.published(), Some("c2"), "the other one is where it was");
    assert_eq!(world.go_on(), Outcome::Succeeded);
}

#[test]
fn events_about_a_repository_that_there_is_not_are_left_out() {
    let mut world = two();
    world.run();
    for part in [Part::FIRST, Part(2), Part(255)] {
        world.arrives(EventBody::Beside { part, body: Box::new(EventBody::NothingChanged) });
    }
    world.arrives(EventBody::PauseAsked { by: "ann".into() }.about_part(SECOND));
    assert_eq!(world.agent.oddities().len(), 4);
}
