//! Sessions that review: the same examination, and nothing is pushed.

use cofferdam_domain::{
    EventBody, Label, Outcome, Stage, Task, UnderReview, Verdict, evidence::Exit, policy::LimitKind,
};

use crate::{
    script::{finish, fixed, read, task},
    world::World,
};

fn reviewing() -> Task {
    task().reviewing(UnderReview {
        number: 7,
        head: "h1".into(),
        reference: "refs/pull/7/head".into(),
        base: "main".into(),
        foreign: true,
    })
}

fn world(outcome: &'static str) -> World {
    let mut step = 0;
    World::on(reviewing(), fixed(), move |_, _, _| {
        step += 1;
        if step % 2 == 1 { read(&step.to_string()) } else { finish(outcome) }
    })
}

#[test]
fn what_is_reviewed_is_examined_and_tested_and_never_pushed() {
    for tests in [Some((Exit::Code(0), Exit::Code(1))), None] {
        let mut world = world("done");
        world.tests = tests;
        assert_eq!(world.run(), Outcome::Reviewed);
        assert_eq!((world.count("objects_received"), world.count("examined")), (1, 1));
        assert_eq!((world.count("pushed"), world.count("pull_request_opened")), (0, 0));
        assert_eq!((world.agent.start(), world.agent.published()), (Some("h1"), Some("h1")));
    }
}

#[test]
fn the_tests_are_run_though_the_agent_called_no_tool() {
    let mut world = World::on(reviewing(), fixed(), |_, _, _| finish("done"));
    assert_eq!(world.run(), Outcome::Reviewed);
    assert_eq!(world.agent.evidence().len(), 2);
}

#[test]
fn one_that_gives_up_or_is_stopped_is_no_review() {
    assert_eq!(world("gave_up").run(), Outcome::Failed { reason: "Summary".into() });
    let mut fixed = fixed();
    fixed.policy.budget.steps = 2;
    let mut world = World::on(reviewing(), fixed, |_, _, _| read("a"));
    let Outcome::Stopped { .. } = world.run() else { panic!("{:?}", world.agent.outcome()) };
    assert_eq!(world.agent.limit(), Some(LimitKind::Steps));
}

#[test]
fn what_cannot_be_read_ends_it() {
    for stage in [Stage::Repository, Stage::Collect, Stage::Examine] {
        let mut world = world("done");
        world.fail_stage = Some(stage);
        assert!(matches!(world.run(), Outcome::Failed { .. }), "{stage:?}");
    }
}

#[test]
fn somebody_who_writes_has_it_reviewed_once_more() {
    let mut world = world("done");
    world.verdicts = vec![Verdict::Publish];
    world.run();
    let (from, text) = ("ann".to_owned(), "Look at the tests too.".to_owned());
    world.arrives(EventBody::MessageReceived { from, text, label: Label::REQUESTER, about: None });
    assert_eq!(world.run(), Outcome::Reviewed);
    assert_eq!((world.count("session_ended"), world.count("pushed")), (2, 0));
    assert_eq!(world.agent.start(), Some("c1"), "what was looked at");
}
