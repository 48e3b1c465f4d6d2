//! Pauses, questions, plans, budgets, terminals, and what happens after the end.

use cofferdam_agent::replay;
use cofferdam_domain::{
    BlobRef, CallId, Digest, EventBody, Label, Outcome, PullRequestState, SessionState, Stage, WaitingFor,
    event::{Moved, PlanDecision},
    foreign::{ForeignKind, ForeignTool, Permit},
    policy::Questions,
};

use crate::{
    script::{call, finish, fixed, planned, planned_task, read, says, text, with_questions},
    world::{World, is_model, is_stage, is_tool},
};

fn pause() -> EventBody {
    EventBody::PauseAsked { by: "ann".into() }
}

fn go_on() -> EventBody {
    EventBody::ContinueAsked { by: "ann".into() }
}

fn replays(world: &World) {
    assert_eq!(replay(&world.events).map(|done| done.events), Ok(world.events.len() as u64));
}

fn waits_for(world: &mut World, what: WaitingFor) {
    world.come_to_rest();
    assert_eq!(
        (world.agent.waiting(), world.state()),
        (Some(what), SessionState::Waiting),
        "{:?}",
        world.names()
    );
}

#[test]
fn a_paused_session_finishes_what_runs_and_goes_on_where_it_was() {
    let edits = || vec![says(vec![call("read", "1"), call("edit", "2")]), read("3")];
    let mut world = World::scripted(fixed(), edits());
    world.claim();
    while !world.in_flight.iter().any(is_tool) {
        world.complete(0);
    }
    world.happen(vec![pause()]);
    waits_for(&mut world, WaitingFor::Pause);
    assert_eq!((world.count("tool_finished"), world.count("tool_started")), (1, 1), "the second call waits");
    assert!(world.agent.deadline().is_none());
    let worked = world.agent.spent().wall_ms;
    world.wait(1_000_000);
    world.write("By the way.");
    world.happen(vec![go_on()]);
    world.claim();
    assert!(world.agent.spent().wall_ms < worked + 1_000);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(1).contains("By the way."));
    replays(&world);
}

#[test]
fn a_pause_while_the_model_is_asked_keeps_its_answer() {
    let mut world = World::scripted(fixed(), vec![read("1")]);
    world.claim();
    world.happen(vec![pause()]);
    waits_for(&mut world, WaitingFor::Pause);
    assert_eq!((world.count("model_answered"), world.count("tool_started")), (1, 0));
    // Continued before the worker has let go.
    world.happen(vec![go_on()]);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    replays(&world);
}

#[test]
fn a_cancelled_session_does_not_wait() {
    let mut world = World::scripted(fixed(), vec![read("1")]);
    world.claim();
    world.happen(vec![pause()]);
    waits_for(&mut world, WaitingFor::Pause);
    world.happen(vec![EventBody::CancelAsked { by: "ann".into() }]);
    assert_eq!(world.agent.outcome(), Some(&Outcome::Cancelled));
    replays(&world);
}

#[test]
fn a_message_is_seen_before_the_next_model_call() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    world.claim();
    while !world.in_flight.iter().any(is_model) || world.agent.step() < 2 {
        world.complete(0);
    }
    world.write("Not that file!");
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(2).contains("Not that file!"), "the work did not end over it");
    replays(&world);
}

#[test]
fn a_question_is_answered_by_a_person() {
    let asks = vec![says(vec![call("ask", "Which?"), call("edit", "1")])];
    let mut world = World::scripted(with_questions(Questions::Wait), asks);
    world.claim();
    waits_for(&mut world, WaitingFor::Answer);
    assert_eq!(world.count("tool_started"), 1, "what was asked for beside it is not done");
    let EventBody::QuestionAsked { call, question } = world.last("question_asked").clone() else { panic!() };
    assert_eq!(question, "Which?");
    let answer = |call, text: &str| EventBody::QuestionAnswered { call, by: "bob".into(), text: text.into() };
    world.happen(vec![answer(CallId { step: 9, index: 0 }, "To another one.")]);
    waits_for(&mut world, WaitingFor::Answer);
    world.happen(vec![answer(call, "The second."), answer(call, "No, the first.")]);
    world.claim();
    assert_eq!(world.go_on(), Outcome::Succeeded);
    let told = world.last_message(1);
    assert!(told.contains("The second.") && told.contains("Which?") && told.contains("bob"), "{told}");
    assert!(!told.contains("No, the first.") && !told.contains("another one"), "the first answer counts");
    replays(&world);
}

#[test]
fn who_continues_leaves_the_question_to_the_agent() {
    let mut world = World::scripted(with_questions(Questions::Wait), vec![says(vec![call("ask", "Which?")])]);
    world.claim();
    waits_for(&mut world, WaitingFor::Answer);
    world.happen(vec![go_on()]);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(1).contains("stays without an answer"));
    replays(&world);
}

#[test]
fn a_call_is_approved_by_the_one_word_and_once() {
    for (said, approved) in [("approve", 1), (" Approve\n", 1), ("approve it", 0), ("no", 0)] {
        // Whatever policy says of questions: an approval is waited for.
        let asks =
            vec![says(vec![call("foreign", "x"), call("edit", "1")]), says(vec![call("foreign", "made")])];
        let mut world = World::scripted(with_questions(Questions::Proceed), asks);
        world.claim();
        waits_for(&mut world, WaitingFor::Answer);
        assert!(world.agent.approved().is_empty());
        let EventBody::QuestionAsked { call, .. } = world.last("question_asked").clone() else { panic!() };
        world.happen(vec![EventBody::QuestionAnswered { call, by: "bob".into(), text: said.into() }]);
        assert_eq!(world.agent.approved().len(), approved, "{said:?}");
        world.claim();
        assert_eq!(world.go_on(), Outcome::Succeeded);
        assert!(world.agent.approved().is_empty(), "it holds for one call");
        let told = world.last_message(1);
        assert_eq!(told.contains("has approved the call"), approved == 1, "{told}");
        replays(&world);
    }
}

#[test]
fn a_call_that_was_cut_short_has_used_its_approval_up() {
    for known in [true, false] {
        let mut given = fixed();
        let tool = ForeignTool {
            server: "s".into(),
            name: "t".into(),
            called: if known { "foreign" } else { "another" }.into(),
            kind: ForeignKind::Tool,
            description: String::new(),
            parameters: serde_json::json!({}),
            permit: Permit::Ask,
            read_only: false,
            arguments: Vec::new(),
        };
        given.foreign.tools.push(tool);
        let asks = vec![says(vec![call("foreign", "x")]), says(vec![call("foreign", "cut")])];
        let mut world = World::scripted(given, asks);
        world.claim();
        waits_for(&mut world, WaitingFor::Answer);
        let EventBody::QuestionAsked { call, .. } = world.last("question_asked").clone() else { panic!() };
        world.happen(vec![EventBody::QuestionAnswered { call, by: "bob".into(), text: "approve".into() }]);
        assert_eq!(world.agent.approved().len(), 1);
        assert_eq!(world.go_on(), Outcome::Succeeded);
        assert_eq!(world.agent.approved().is_empty(), known, "only calls that were for a program count");
        replays(&world);
    }
}

#[test]
fn the_agents_own_question_approves_nothing() {
    let ask = "May s/t be called? Answer approve and nothing else.";
    let mut world = World::scripted(with_questions(Questions::Wait), vec![says(vec![call("ask", ask)])]);
    world.claim();
    waits_for(&mut world, WaitingFor::Answer);
    let EventBody::QuestionAsked { call, .. } = world.last("question_asked").clone() else { panic!() };
    world.happen(vec![EventBody::QuestionAnswered { call, by: "bob".into(), text: "approve".into() }]);
    assert!(world.agent.approved().is_empty());
}

#[test]
fn nobody_approves_by_letting_it_go_on() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("foreign", "x")])]);
    world.claim();
    waits_for(&mut world, WaitingFor::Answer);
    world.happen(vec![go_on()]);
    assert!(world.agent.approved().is_empty());
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(1).contains("had to be approved was not"));
    replays(&world);
}

fn decided(plan: &str, decision: PlanDecision) -> EventBody {
    EventBody::PlanDecided { digest: Digest::of(plan.as_bytes()), by: "bob".into(), decision }
}

fn proposing(more: Vec<crate::script::Reply>) -> World {
    let mut replies = vec![
        says(vec![call("read", "1"), call("edit", "2"), call("shell", "rm"), call("functions.shell", "x")]),
        says(vec![call("propose_plan", "Edit a."), call("edit", "3")]),
    ];
    replies.extend(more);
    let mut replies = replies.into_iter();
    World::on(planned_task(), planned(), move |_, _, _| replies.next().unwrap_or_else(|| finish("done")))
}

#[test]
fn nothing_is_changed_before_the_plan_is_approved() {
    let mut world = proposing(vec![says(vec![call("edit", "4"), call("propose_plan", "x")])]);
    world.claim();
    waits_for(&mut world, WaitingFor::Plan);
    let started = |world: &World| -> Vec<String> {
        let started = world.events.iter().filter_map(|event| match &event.body {
            EventBody::ToolStarted { tool, .. } => Some(tool.clone()),
            _ => None,
        });
        started.collect()
    };
    assert_eq!(started(&world), ["read", "propose_plan"], "whatever the model calls");
    let first = &world.requests[0].0;
    assert!(first.tools.iter().all(|tool| tool.read_only) && world.last_message(0).contains("propose_plan"));
    // A decision about another text is none, and to continue is none either.
    let approved = |text: Option<&str>| PlanDecision::Approved { text: text.map(str::to_owned) };
    world.happen(vec![decided("Edit b.", approved(None)), go_on()]);
    waits_for(&mut world, WaitingFor::Plan);
    world.happen(vec![decided("Edit a.", approved(Some("Edit a, and\ntest it.")))]);
    world.claim();
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(started(&world), ["read", "propose_plan", "edit", "finish"]);
    let request = &world.requests[2].0;
    assert!(request.tools.iter().any(|tool| tool.name == "edit"));
    assert!(request.tools.iter().all(|tool| tool.name != "propose_plan"));
    assert!(world.last_message(2).contains("Edit a, and\\ntest it."), "word for word");
    replays(&world);
}

#[test]
fn a_rejected_plan_is_made_anew() {
    let mut world = proposing(vec![says(vec![call("edit", "4"), call("propose_plan", "Edit c.")])]);
    world.claim();
    waits_for(&mut world, WaitingFor::Plan);
    world.happen(vec![decided("Edit a.", PlanDecision::Rejected { text: "Leave a alone.".into() })]);
    waits_for(&mut world, WaitingFor::Plan);
    assert!(world.last_message(2).contains("Leave a alone."));
    world.happen(vec![decided("Edit c.", PlanDecision::Approved { text: None })]);
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert!(world.last_message(3).contains("Edit c."));
    replays(&world);
}

#[test]
fn the_approved_plan_outlives_a_compaction() {
    let long = || says(vec![call("read", &"x".repeat(12_000))]);
    let mut replies = vec![says(vec![call("propose_plan", "Edit exactly this.")])];
    replies.extend(std::iter::repeat_with(long).take(9));
    let mut replies = replies.into_iter();
    let mut given = planned();
    given.model.context_window = 20_000;
    let mut world = World::on(planned_task(), given, move |_, _, compaction| {
        if compaction {
            says(vec![text("A summary.")])
        } else {
            replies.next().unwrap_or_else(|| finish("done"))
        }
    });
    world.claim();
    waits_for(&mut world, WaitingFor::Plan);
    world.happen(vec![decided("Edit exactly this.", PlanDecision::Approved { text: None })]);
    world.go_on();
    assert!(world.count("compacted") > 0);
    let last = serde_json::to_string(world.requests.last().unwrap().0.messages.get(0).unwrap()).unwrap();
    assert!(last.contains("Edit exactly this.") && last.contains("A summary."), "{last}");
    replays(&world);
}

#[test]
fn a_budget_that_is_used_up_waits_for_a_person_or_the_next_day() {
    let exceeded = || EventBody::BudgetExceeded { what: "the day's budget is used up".into() };
    for rules in [1, 2] {
        let mut world = World::scripted(fixed(), vec![read("1"), read("2")]);
        world.fixed.rules = rules;
        world.claim();
        world.happen(vec![exceeded()]);
        waits_for(&mut world, WaitingFor::Budget);
        world.happen(vec![go_on()]);
        assert!(!world.in_flight.is_empty());
        world.happen(vec![exceeded()]);
        waits_for(&mut world, WaitingFor::Budget);
        world.claim();
        if rules >= 2 {
            assert!(!world.in_flight.is_empty(), "whoever takes it looks whether there is more now");
            world.happen(vec![exceeded()]);
            waits_for(&mut world, WaitingFor::Budget);
        } else {
            assert!(world.in_flight.is_empty(), "it is still the same day");
        }
        world.wait(24 * 60 * 60 * 1000);
        world.claim();
        assert_eq!(world.go_on(), Outcome::Succeeded);
        replays(&world);
    }
}

#[test]
fn the_agent_waits_while_a_person_works_in_the_sandbox() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("read", "1"), call("edit", "2")])]);
    world.claim();
    while !world.in_flight.iter().any(is_tool) {
        world.complete(0);
    }
    let opened = || EventBody::TerminalOpened { by: "bob".into() };
    world.happen(vec![opened()]);
    world.come_to_rest();
    assert!(world.agent.taken_over() && world.agent.waiting().is_none() && world.count("tool_started") == 1);
    let recording = BlobRef { digest: Digest::ZERO, size: 0 };
    world.happen(vec![EventBody::TerminalClosed { by: "bob".into(), recording }, opened()]);
    world.come_to_rest();
    // The worker is lost with the terminal.
    world.claim();
    assert!(!world.agent.taken_over());
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!(world.last_message(1).matches("has worked in the sandbox").count(), 2);
    replays(&world);
}

#[test]
fn somebody_who_writes_after_the_end_begins_a_new_turn() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    world.fixed.policy.budget.steps = 3;
    assert_eq!(world.run(), Outcome::Succeeded);
    assert!(!world.agent.resumable() && !world.agent.keeps_workspace());
    world.write("Also the other file.");
    assert!(world.agent.resumable() && world.in_flight.is_empty(), "somebody has to claim it");
    world.model = {
        let mut replies = vec![says(vec![call("edit", "2")]), finish("done")].into_iter();
        Box::new(move |_, _, _| replies.next().unwrap())
    };
    world.claim();
    assert_eq!((world.agent.start(), world.agent.published()), (Some("c2"), Some("c2")));
    assert_eq!(world.go_on(), Outcome::Succeeded, "it has the whole budget again");
    assert_eq!((world.count("pushed"), world.count("pull_request_opened")), (2, 2));
    let told = world.last_message(2);
    assert!(told.contains("Also the other file.") && told.contains("goes on in a new sandbox"), "{told}");
    assert_eq!(world.agent.spent().steps, 4);
    replays(&world);
}

#[test]
fn a_new_turn_that_changes_nothing_leaves_the_pull_request() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    assert_eq!(world.run(), Outcome::Succeeded);
    world.write("Thank you.");
    world.changed = false;
    world.claim();
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!((world.count("nothing_changed"), world.count("pull_request_opened")), (1, 1));
    replays(&world);
}

#[test]
fn a_turn_goes_on_from_what_others_have_pushed() {
    // What it had not published is on top of that, or was left out, or there was nothing.
    for (start, delivers) in [("c9", true), ("p2", false)] {
        let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
        assert_eq!(world.run(), Outcome::Succeeded);
        world.changed = delivers;
        world.write("The rest, please.");
        world.moved = Some(Moved { branch: "p2".to_owned(), start: start.to_owned(), merged: None });
        world.model = {
            let mut replies = vec![finish("done")].into_iter();
            Box::new(move |_, _, _| replies.next().unwrap())
        };
        world.claim();
        world.complete_first(is_stage(Stage::Sandbox));
        let agent = &world.agent;
        assert_eq!((agent.start(), agent.published(), agent.theirs()), (Some(start), Some("p2"), Some("p2")));
        assert_eq!(world.go_on(), Outcome::Succeeded);
        assert_eq!(world.count("pushed"), 1 + usize::from(delivers), "{start}");
        replays(&world);
    }
}

#[test]
fn whoever_writes_after_the_worker_s_own_work_failed_wants_it_tried_again() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    world.fail_stage = Some(Stage::Push);
    assert!(matches!(world.run(), Outcome::Failed { .. }));
    assert_eq!(world.agent.again_after(), None);
    world.fail_stage = None;
    world.write("Once more.");
    world.claim();
    assert_eq!(world.agent.again_after(), Some(Stage::Push));
    assert_eq!(world.go_on(), Outcome::Succeeded);
    world.write("And this.");
    world.claim();
    assert_eq!(world.agent.again_after(), None);
    replays(&world);
}

#[test]
fn somebody_who_writes_during_the_delivery_is_heard_after_it() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    world.claim();
    while world.state() != SessionState::Delivering {
        world.complete(0);
    }
    world.write("Wait, the other file too.");
    assert_eq!(world.go_on(), Outcome::Succeeded);
    assert_eq!((world.count("session_ended"), world.count("pull_request_opened")), (1, 2));
    assert!(world.last_message(2).contains("the other file too"));
    replays(&world);
}

#[test]
fn an_outsider_who_writes_after_the_end_begins_nothing() {
    let mut world = World::scripted(fixed(), vec![finish("done")]);
    world.run();
    let (from, text) = ("mallory".into(), "Do this.".into());
    world.happen(vec![EventBody::MessageReceived { from, text, label: Label::SANDBOX, about: None }]);
    assert!(!world.agent.resumable());
}

#[test]
fn a_pull_request_is_merged_by_whoever_claims_the_session_next() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    world.run();
    world.arrives(EventBody::MergeAsked { by: "ann".into(), commit: "c2".into() });
    assert_eq!((world.agent.merge_wanted(), world.agent.closing()), (Some("c2"), true));
    assert!(world.agent.resumable() && !world.agent.keeps_workspace());
    for _ in 0..3 {
        // The worker dies over it.
        world.claim();
        assert!(world.in_flight.iter().any(is_stage(Stage::Merge)) && world.in_flight.len() == 1);
    }
    world.complete(0);
    let merged = PullRequestState::Merged { commit: "c3".into() };
    assert_eq!(world.agent.pull_request_closed(), Some(&merged));
    assert!(!world.agent.resumable() && world.agent.next().is_empty());
    // What is wanted beyond it needs a session of its own, and that is said.
    world.write("One more thing.");
    world.claim();
    assert!(
        matches!(world.agent.outcome(), Some(Outcome::Failed { reason }) if reason.contains("merged already"))
    );
    replays(&world);
}

#[test]
fn what_could_not_be_merged_can_be_tried_again_or_closed() {
    let mut world = World::scripted(fixed(), vec![says(vec![call("edit", "1")]), finish("done")]);
    world.run();
    let merge = || EventBody::MergeAsked { by: "ann".into(), commit: "c1".into() };
    for _ in 0..2 {
        world.arrives(merge());
        world.claim();
        world.in_flight.clear();
        world.happen(vec![EventBody::MergeFailed { reason: "it has moved".into() }]);
        assert!(!world.agent.resumable());
    }
    world.arrives(merge());
    world.arrives(EventBody::CloseAsked { by: "ann".into() });
    world.claim();
    assert!(
        world.in_flight.len() == 1 && world.in_flight.iter().any(is_stage(Stage::Close)),
        "the latest counts"
    );
    world.complete(0);
    assert_eq!(world.agent.pull_request_closed(), Some(&PullRequestState::Closed));
    replays(&world);
}
