//! From finished work to the pull request, or to another end.

use cofferdam_domain::{
    EventBody, Outcome, SessionState, Stage, Verdict, event::NudgeReason, evidence::Exit,
};

use crate::{
    script::{finish, fixed, read},
    world::{World, is_stage},
};

fn world(outcome: &str) -> World {
    World::scripted(fixed(), vec![read("a"), finish(outcome)])
}

#[test]
fn what_the_agent_says_and_what_changed_decide_the_end() {
    let mut done = world("done");
    done.changed = false;
    assert_eq!(done.run(), Outcome::NothingToDo);

    let mut nothing = world("nothing_to_do");
    nothing.changed = false;
    assert_eq!(nothing.run(), Outcome::NothingToDo);

    let mut gave_up = world("gave_up");
    gave_up.changed = false;
    assert_eq!(gave_up.run(), Outcome::Failed { reason: "Summary".into() });

    let mut partial = world("gave_up");
    assert!(matches!(partial.run(), Outcome::Failed { reason } if reason.contains("draft pull request 1")));
    assert!(partial.agent.pull_request().unwrap().draft);
}

#[test]
fn a_change_that_breaks_passing_tests_is_a_draft() {
    for (base, head, draft) in [(1, 0, false), (0, 0, false), (1, 1, false), (0, 1, true)] {
        let mut world = world("done");
        world.tests = Some((Exit::Code(base), Exit::Code(head)));
        assert_eq!(world.run(), Outcome::Succeeded);
        assert_eq!(world.agent.is_draft(), draft, "{base} {head}");
    }
}

#[test]
fn without_a_test_command_the_change_is_published_all_the_same() {
    let mut world = world("done");
    world.tests = None;
    assert_eq!(world.run(), Outcome::Succeeded);
    assert_eq!(world.agent.evidence_missing(), Some("no test command"));
}

#[test]
fn evidence_may_come_in_any_order() {
    let mut world = world("done");
    world.claim();
    while world.in_flight.len() < 2 || world.state() == SessionState::Working {
        world.complete(0);
    }
    world.complete(1);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(world.agent.evidence().len(), 2);
}

#[test]
fn a_held_change_is_not_pushed() {
    let mut world = world("done");
    world.verdicts = vec![Verdict::Hold];
    let Outcome::Held { reason } = world.run() else { panic!() };
    assert_eq!(reason, "secret in a.rs: a key");
    assert_eq!(world.count("pushed"), 0);
}

#[test]
fn the_gate_sends_back_as_often_as_policy_allows_and_then_holds() {
    let mut world = World::new(fixed(), {
        let mut step = 0;
        move |_, _, _| {
            step += 1;
            if step % 2 == 0 { finish("done") } else { read(&step.to_string()) }
        }
    });
    world.verdicts = vec![Verdict::SendBack];
    assert!(matches!(world.run(), Outcome::Held { .. }));
    assert_eq!(
        (world.count("examined"), world.count("work_finished"), world.agent.gate_rounds_left()),
        (3, 3, 0)
    );
    assert_eq!(world.count("sandbox_ready"), 3, "each stretch has a sandbox of its own");
}

#[test]
fn a_change_that_was_sent_back_and_mended_is_published() {
    let mut world = World::scripted(fixed(), vec![read("a"), finish("done"), read("b"), finish("done")]);
    world.verdicts = vec![Verdict::SendBack, Verdict::Publish];
    assert_eq!(world.run(), Outcome::Succeeded);
    assert!(world.last_message(2).contains("secret \\\"a.rs\\\":3: a key"), "{}", world.last_message(2));
    let sent_back =
        |body: &EventBody| matches!(body, EventBody::Nudged { reason: NudgeReason::GateFindings, .. });
    assert_eq!(world.events.iter().filter(|event| sent_back(&event.body)).count(), 1);
    assert_eq!(world.requests[0].0.epoch, world.requests[3].0.epoch, "the conversation goes on");
}

#[test]
fn work_that_a_limit_ended_is_not_sent_back() {
    let mut fixed = fixed();
    fixed.policy.budget.steps = 2;
    let mut world = World::scripted(fixed, vec![read("a"), read("b"), finish("done")]);
    world.verdicts = vec![Verdict::SendBack];
    assert!(matches!(world.run(), Outcome::Held { .. }));
}

#[test]
fn a_stage_that_cannot_be_done_ends_the_session() {
    for stage in [Stage::Collect, Stage::Examine, Stage::Push, Stage::PullRequest] {
        let mut world = world("done");
        world.fail_stage = Some(stage);
        assert!(matches!(world.run(), Outcome::Failed { .. }), "{stage:?}");
    }
    let mut world = world("done");
    world.claim();
    world.fail_stage = Some(Stage::Repository);
    world.complete_first(is_stage(Stage::Repository));
    assert!(
        matches!(world.agent.outcome(), Some(Outcome::Failed { .. })),
        "the model need not be waited for"
    );
}
