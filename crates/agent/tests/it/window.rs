//! The context window: summaries, overflows, and results that are too long.

use cofferdam_domain::{Outcome, StopReason, ToolStatus, event::ModelFailure, policy::LimitKind};

use crate::{
    script::{self, Reply, call, fixed, outcome, says, stops, text, with_window},
    world::World,
};

/// A world whose reads return `size` bytes each, for `steps` steps; summaries are `summary`.
fn long(window: u64, steps: u32, size: usize, summary: &'static str) -> World {
    let mut world = World::new(with_window(window), move |_, step, compaction| {
        if compaction {
            return says(vec![text(summary)]);
        }
        if step > steps { script::finish("done") } else { script::read(&step.to_string()) }
    });
    results_of(&mut world, size);
    world
}

fn results_of(world: &mut World, size: usize) {
    world.tools = Box::new(move |call| {
        let long = outcome(ToolStatus::Ok, &format!("{}{}", call.arguments, "x".repeat(size)), None);
        (if call.name == "read" { long } else { script::carry_out(call) }, 1)
    });
}

#[test]
fn a_full_window_is_summarised_with_the_same_prefix() {
    let mut world = long(20_000, 20, 8_000, "I read a lot.");
    assert_eq!(world.run(), Outcome::Succeeded);
    let asked: Vec<usize> = (0..world.requests.len()).filter(|at| world.requests[*at].1).collect();
    assert!(asked.len() >= 2, "{}", asked.len());
    assert_eq!(world.count("compacted"), asked.len());
    for at in asked {
        let (before, summary, after) =
            (&world.requests[at - 1].0, &world.requests[at].0, &world.requests[at + 1].0);
        assert_eq!(before.epoch, summary.epoch, "the provider's cache still serves it");
        assert!(summary.messages.starts_with(&before.messages));
        assert_eq!(after.epoch, summary.epoch + 1);
        assert!(size(&world, at + 1) < size(&world, at - 1));
        let first = serde_json::to_string(after.messages.get(0).unwrap()).unwrap();
        assert!(first.contains("Fix the bug") && first.contains("I read a lot."), "{first}");
    }
}

#[test]
fn an_empty_summary_is_replaced_by_advice() {
    let mut world = long(20_000, 10, 8_000, " ");
    assert_eq!(world.run(), Outcome::Succeeded);
    let compacted = world.names().iter().position(|name| *name == "compacted").unwrap();
    assert!(serde_json::to_string(&world.events[compacted].body).unwrap().contains("git status"));
}

/// A world whose step 6 does not fit at first, with results of `size` bytes.
fn overflowing(window: u64, size: usize) -> World {
    let mut overflowed = false;
    let mut world = World::new(with_window(window), move |_, step, compaction| {
        if compaction {
            return says(vec![text("A summary.")]);
        }
        if step == 6 && !overflowed {
            overflowed = true;
            return Reply::Fail(ModelFailure::ContextOverflow);
        }
        if step > 8 { script::finish("done") } else { script::read(&step.to_string()) }
    });
    results_of(&mut world, size);
    assert_eq!(world.run(), Outcome::Succeeded);
    world
}

fn size(world: &World, request: usize) -> usize {
    world.requests[request].0.messages.iter().map(|message| serde_json::to_vec(message).unwrap().len()).sum()
}

#[test]
fn long_results_are_cut_when_a_prompt_does_not_fit() {
    let world = overflowing(200_000, 30_000);
    assert_eq!(world.count("compacted"), 0);
    assert!(size(&world, 5) > 150_000 && size(&world, 6) < 40_000, "{} {}", size(&world, 5), size(&world, 6));
    assert_eq!(world.requests[6].0.epoch, world.requests[5].0.epoch + 1);
}

#[test]
fn a_summary_is_asked_for_when_there_is_too_much_besides() {
    let world = overflowing(20_000, 3_500);
    let names = world.names().join(" ");
    assert!(names.contains("model_failed model_asked model_answered compacted model_asked"), "{names}");
    assert!(world.requests[6].1 && size(&world, 7) < size(&world, 5));
}

#[test]
fn a_prompt_that_never_fits_ends_the_work_or_the_session() {
    let mut world = World::new(fixed(), |_, _, _| Reply::Fail(ModelFailure::ContextOverflow));
    let Outcome::Failed { reason } = world.run() else { panic!() };
    assert!(reason.contains("larger context window"), "{reason}");

    let mut world = World::new(fixed(), |_, step, _| {
        if step > 5 { Reply::Fail(ModelFailure::ContextOverflow) } else { script::read(&step.to_string()) }
    });
    results_of(&mut world, 30_000);
    assert!(matches!(world.run(), Outcome::Stopped { .. }));
    assert_eq!(world.agent.limit(), Some(LimitKind::Model));
    assert!(world.count("model_failed") <= 4, "{:?}", world.names());
}

#[test]
fn results_of_one_step_fit_the_window_together() {
    let mut world = World::scripted(
        with_window(30_000),
        vec![says((0..40).map(|place| call("read", &place.to_string())).collect())],
    );
    results_of(&mut world, 50_000);
    assert_eq!(world.run(), Outcome::Succeeded);
    let message = world.last_message(1);
    assert!(message.len() < 50_000 && message.contains("bytes left out"), "{}", message.len());
    assert_eq!(message.matches("tool_result").count(), 40);
}

#[test]
fn an_answer_that_filled_the_window_is_followed_by_a_summary() {
    let mut replies = (0..8).map(|step| script::read(&step.to_string())).collect::<Vec<_>>();
    replies.push(stops(vec![text("and then")], StopReason::ContextFull));
    replies.push(says(vec![text("A summary.")]));
    let mut world = World::scripted(with_window(3_000), replies);
    results_of(&mut world, 100);
    assert_eq!(world.run(), Outcome::Succeeded);
    assert_eq!(world.count("compacted"), 1);
}

#[test]
fn a_window_that_is_always_full_is_not_summarised_at_every_step() {
    let mut world = long(6_000, 30, 6_000, "s");
    world.run();
    assert!(world.count("compacted") <= 11, "{}", world.count("compacted"));
}

#[test]
fn room_for_the_answer_shrinks_with_the_window() {
    let mut world = long(9_000, 3, 4_000, "s");
    world.run();
    let room: Vec<u32> = world.requests.iter().map(|(request, _)| request.max_output_tokens).collect();
    assert!(room.windows(2).all(|pair| pair[1] <= pair[0]) && room[0] == 8_000, "{room:?}");
    assert!(*room.last().unwrap() < 8_000);
}
