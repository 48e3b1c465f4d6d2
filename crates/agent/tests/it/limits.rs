//! Budgets: the warning, the last answer, the draft; and failures of the model.

use cofferdam_domain::{
    Budget, Cost, EventBody, Outcome, SessionState, Stage, Timestamp, Usage,
    event::{ModelFailure, NudgeReason},
    policy::LimitKind,
};

use crate::{
    script::{self, Reply, call, finish, fixed, read, says, with_budget},
    world::{World, failing_at},
};

fn limit(world: &World) -> Option<LimitKind> {
    let limit =
        |body: &EventBody| if let EventBody::LimitReached { limit, .. } = body { Some(*limit) } else { None };
    world.events.iter().find_map(|event| limit(&event.body))
}

fn endless(budget: Budget) -> World {
    let mut step = 0;
    World::new(with_budget(budget), move |_, _, _| {
        step += 1;
        read(&step.to_string())
    })
}

#[test]
fn each_limit_lands_softly() {
    let all = Budget::default();
    let cases = [
        (Budget { steps: 10, ..all }, LimitKind::Steps),
        (Budget { tokens: 5_000, ..all }, LimitKind::Tokens),
        (Budget { cost: Cost(5_000), ..all }, LimitKind::Cost),
        (Budget { wall_ms: 400, ..all }, LimitKind::Wall),
    ];
    for (budget, expected) in cases {
        let mut world = endless(budget);
        assert!(matches!(world.run(), Outcome::Stopped { .. }), "{expected:?}");
        assert_eq!(limit(&world), Some(expected));
        assert!(world.agent.is_draft() && world.agent.pull_request().unwrap().draft);
        let names = world.names().join(" ");
        assert!(names.contains("limit_reached nudged model_asked model_answered work_finished"), "{names}");
        assert_eq!(world.count("nudged"), 2, "a warning before, and the last word: {expected:?}");
    }
}

#[test]
fn the_last_answer_may_finish_and_nothing_else() {
    let replies = vec![read("a"), says(vec![call("edit", "x"), call("finish", "done"), call("read", "y")])];
    let mut world = World::scripted(with_budget(Budget { steps: 1, ..Budget::default() }), replies);
    let Outcome::Stopped { limit } = world.run() else { panic!() };
    assert_eq!(limit, "the limit of 1 steps was reached");
    assert_eq!(world.count("tool_started"), 2, "the read before and finish");
    assert_eq!(world.agent.finish().unwrap().title, "Title");
    assert!(world.agent.is_draft());
}

#[test]
fn finishing_with_the_last_step_is_no_limit() {
    let budget = Budget { steps: 2, ..Budget::default() };
    let mut world = World::scripted(with_budget(budget), vec![read("a"), finish("done")]);
    assert_eq!(world.run(), Outcome::Succeeded);
    assert_eq!(limit(&world), None);
}

#[test]
fn a_budget_of_nothing_asks_nobody() {
    let mut world = endless(Budget { steps: 0, ..Budget::default() });
    assert!(matches!(world.run(), Outcome::Stopped { .. }));
    assert_eq!(world.count("model_asked"), 0);
}

#[test]
fn without_time_left_calls_that_wait_are_not_run() {
    let mut world = World::scripted(
        with_budget(Budget { wall_ms: 1_000, ..Budget::default() }),
        vec![says(vec![call("edit", "1"), call("edit", "2")])],
    );
    world.tools = Box::new(|call| (script::carry_out(call), 2_000));
    assert!(matches!(world.run(), Outcome::Stopped { .. }));
    assert_eq!(limit(&world), Some(LimitKind::Wall));
    assert_eq!(world.count("tool_started"), 2, "the first edit, and finish in the last answer");
    assert!(world.last_message(1).contains("Not run: a limit was reached"));
}

#[test]
fn the_deadline_is_known_while_the_agent_works() {
    let mut world = World::scripted(with_budget(Budget { wall_ms: 5_000, ..Budget::default() }), vec![]);
    assert_eq!(world.agent.deadline(), None);
    world.claim();
    let claimed = world.events[1].at;
    assert_eq!(world.agent.deadline(), Some(Timestamp(claimed.0 + 5_000)));
    world.go_on();
    assert_eq!(world.agent.deadline(), None);
}

#[test]
fn a_night_without_a_worker_costs_no_time() {
    let budget = Budget { wall_ms: 5_000, ..Budget::default() };
    let mut world = World::scripted(with_budget(budget), vec![read("a"), read("b")]);
    world.claim();
    while world.agent.step() < 2 {
        world.complete(0);
    }
    world.wait(8 * 60 * 60 * 1_000);
    world.claim();
    assert!(world.agent.spent().wall_ms < 100 && world.agent.deadline().is_some());
    let late = EventBody::Claimed { worker: "old".into(), fence: 1 };
    let mut agent = world.agent.clone();
    agent.apply(Timestamp(u64::MAX / 2), &late);
    assert!(agent.deadline().is_some(), "a claim that does not count stops no clock");
    assert_eq!(world.go_on(), Outcome::Succeeded);
}

#[test]
fn cost_and_tokens_add_up() {
    let usage = Usage { input: 1_000, output: 100, ..Usage::default() };
    let Reply::Answer(mut answer) = finish("done") else { panic!() };
    answer.usage = usage;
    let mut world = World::scripted(fixed(), vec![Reply::Answer(answer)]);
    world.run();
    assert_eq!(world.agent.spent().usage, usage);
    assert_eq!(world.agent.spent().cost, Cost(1_500));
    assert_eq!(world.agent.spent().steps, 1);
}

#[test]
fn a_model_that_cannot_be_asked_fails_the_session_until_somebody_mends_it() {
    for kind in [ModelFailure::Unauthorised, ModelFailure::Unavailable, ModelFailure::Rejected] {
        let mut world = World::new(fixed(), failing_at(2, kind, vec![read("a")]));
        let Outcome::Failed { reason } = world.run() else { panic!() };
        assert!(reason.contains("It did not work.") && reason.contains("cofferdam resume ses_"), "{reason}");
        assert!(world.agent.resumable());

        world.claim();
        assert_eq!(world.state(), SessionState::Working);
        assert_eq!(world.requests[1].0.digest, world.requests[2].0.digest, "the same is asked again");
        assert_eq!(world.go_on(), Outcome::Succeeded);
    }
}

#[test]
fn other_ends_are_final() {
    let mut world = World::scripted(fixed(), vec![]);
    world.fail_stage = Some(Stage::Repository);
    assert!(matches!(world.run(), Outcome::Failed { reason } if reason == "it is not there"));
    assert!(!world.agent.resumable());
    let before = world.events.len();
    world.claim();
    assert_eq!((world.events.len(), world.state()), (before + 1, SessionState::Ended));
    assert!(world.agent.oddities().is_empty());
}

#[test]
fn a_last_answer_that_fails_does_not_fail_the_work() {
    let budget = Budget { steps: 2, ..Budget::default() };
    for kind in [ModelFailure::Unavailable, ModelFailure::ContextOverflow] {
        let mut world = World::new(with_budget(budget), failing_at(3, kind, vec![read("a"), read("b")]));
        assert!(matches!(world.run(), Outcome::Stopped { .. }));
        assert!(world.agent.pull_request().is_some());
    }
}

#[test]
fn cancelling_ends_everything_at_once() {
    for steps in 0..25 {
        let mut world = World::scripted(fixed(), vec![read("a"), read("b")]);
        world.claim();
        for _ in 0..steps {
            if world.agent.outcome().is_none() {
                world.complete(0);
            }
        }
        let published = world.agent.pull_request().is_some();
        world.happen(vec![EventBody::CancelAsked { by: "ann".into() }]);
        let expected = if published { Outcome::Succeeded } else { Outcome::Cancelled };
        assert_eq!(world.agent.outcome(), Some(&expected));
        assert!(
            world.agent.next().is_empty() && !world.agent.resumable() && world.agent.oddities().is_empty()
        );
    }
}

#[test]
fn a_session_that_nobody_claimed_can_be_cancelled() {
    let mut world = World::scripted(fixed(), vec![]);
    assert!(world.agent.next().is_empty());
    world.happen(vec![EventBody::CancelAsked { by: "ann".into() }]);
    assert_eq!(world.agent.outcome(), Some(&Outcome::Cancelled));
}

#[test]
fn warnings_come_once() {
    let mut world = endless(Budget { steps: 20, ..Budget::default() });
    world.run();
    let told = |event: &&cofferdam_domain::Event| {
        matches!(event.body, EventBody::Nudged { reason: NudgeReason::WrapUp, .. })
    };
    assert_eq!(world.events.iter().filter(told).count(), 2);
}
