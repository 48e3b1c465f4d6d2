//! Replay: a log that the agent decided is accepted, one that was tampered with is not.

use cofferdam_agent::{Replayed, replay};
use cofferdam_domain::{Digest, Event, EventBody, Outcome, Seq, Timestamp, Verdict};

use crate::{
    script::{call, finish, read, says, with_window},
    world::{World, sealed},
};

/// A log with every kind of decision in it but a lost call.
fn log() -> Vec<Event> {
    let mut world = World::new(with_window(20_000), |_, step, compaction| match (compaction, step) {
        (true, _) => says(vec![crate::script::text("A summary.")]),
        (false, 3) => says(vec![]),
        (false, 12 | 14) => finish("done"),
        (false, step) => says(vec![call("read", &format!("{step}{}", "x".repeat(9_000)))]),
    });
    world.verdicts = vec![Verdict::SendBack, Verdict::Publish];
    world.fixed.policy.budget.steps = 15;
    assert_eq!(world.run(), Outcome::Succeeded);
    for name in ["nudged", "compacted", "work_finished", "session_ended"] {
        assert!(world.count(name) > 0, "{name}");
    }
    world.events
}

/// The events with new places.
fn renumbered(bodies: impl IntoIterator<Item = (Timestamp, EventBody)>) -> Vec<Event> {
    let numbered = bodies.into_iter().zip(1..);
    numbered.map(|((at, body), seq)| sealed(Seq(seq), at, Digest::ZERO, body)).collect()
}

fn bodies(log: &[Event]) -> Vec<(Timestamp, EventBody)> {
    log.iter().map(|event| (event.at, event.body.clone())).collect()
}

fn is_decision(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::Nudged { .. }
            | EventBody::ToolLost { .. }
            | EventBody::Compacted { .. }
            | EventBody::LimitReached { .. }
            | EventBody::WorkFinished { .. }
            | EventBody::SessionEnded { .. }
    )
}

fn is_effect(body: &EventBody) -> bool {
    matches!(body, |EventBody::StageStarted { .. }| EventBody::ModelAsked { .. }
        | EventBody::ToolStarted { .. })
}

#[test]
fn accepts_what_the_agent_decided_and_counts() {
    let log = log();
    let Replayed { events, decisions, effects, requests } = replay(&log).unwrap();
    assert_eq!(events, log.len() as u64);
    assert_eq!(decisions, log.iter().filter(|event| is_decision(&event.body)).count() as u64);
    assert_eq!(effects, log.iter().filter(|event| is_effect(&event.body)).count() as u64);
    assert!(requests >= 12 && requests < effects);
    assert_eq!(replay(&[]), Ok(Replayed::default()));
}

#[test]
fn accepts_every_beginning_of_a_log() {
    let log = log();
    for end in 0..log.len() {
        assert_eq!(replay(&log[..end]).map(|done| done.events), Ok(end as u64));
    }
}

#[test]
fn refuses_a_log_with_a_decision_or_an_effect_dropped() {
    let log = log();
    for place in 0..log.len() - 1 {
        let body = &log[place].body;
        if !is_decision(body) && !is_effect(body) {
            continue;
        }
        let mut rest = bodies(&log);
        rest.remove(place);
        let refused = replay(&renumbered(rest)).expect_err(body.name());
        assert!(refused.seq.0 > place as u64, "{refused}");
    }
}

#[test]
fn refuses_a_log_with_a_decision_and_what_follows_it_swapped() {
    let log = log();
    let mut swaps = 0;
    for place in 0..log.len() - 1 {
        let (first, second) = (&log[place].body, &log[place + 1].body);
        if is_decision(first) && (is_decision(second) || is_effect(second)) {
            let mut swapped = bodies(&log);
            swapped.swap(place, place + 1);
            let refused = replay(&renumbered(swapped)).expect_err(first.name());
            assert_eq!(refused.seq.0, place as u64 + 1, "{refused}");
            swaps += 1;
        }
    }
    assert!(swaps > 3);
}

/// Changes what an event decides or starts. Whether there was anything to change.
fn alter(body: &mut EventBody) -> bool {
    if let EventBody::Nudged { text, .. } | EventBody::ToolStarted { tool: text, .. } = body {
        text.push('!');
    } else if let EventBody::Compacted { replaced, .. } = body {
        *replaced -= 2;
    } else if let EventBody::WorkFinished { finish, .. } = body {
        finish.title.push('!');
    } else if let EventBody::SessionEnded { outcome } = body {
        *outcome = Outcome::NothingToDo;
    } else if let EventBody::ModelAsked { request, .. } = body {
        *request = Digest::ZERO;
    } else {
        return false;
    }
    true
}

#[test]
fn refuses_a_log_with_a_decision_or_a_request_altered() {
    let log = log();
    let mut altered = 0;
    for place in 0..log.len() {
        let mut changed = bodies(&log);
        if alter(&mut changed[place].1) {
            let refused = replay(&renumbered(changed)).expect_err(log[place].body.name());
            assert_eq!((refused.seq.0, refused.event), (place as u64 + 1, log[place].body.name()));
            altered += 1;
        }
    }
    assert!(altered > 20);
}

#[test]
fn refuses_a_log_whose_facts_were_altered_after_the_fact() {
    let log = log();
    let place = log.iter().position(|event| matches!(event.body, EventBody::ToolFinished { .. })).unwrap();
    let mut changed = bodies(&log);
    if let EventBody::ToolFinished { outcome, .. } = &mut changed[place].1 {
        outcome.text.push('!');
    }
    let refused = replay(&renumbered(changed)).unwrap_err();
    assert_eq!(refused.event, "model_asked", "the next request shows it: {refused}");
}

#[test]
fn names_what_would_have_followed() {
    let mut world = World::scripted(crate::script::fixed(), vec![read("a")]);
    world.run();
    let mut rest = bodies(&world.events);
    let place = rest.iter().position(|(_, body)| matches!(body, EventBody::WorkFinished { .. })).unwrap();
    rest.remove(place);
    let refused = replay(&renumbered(rest)).unwrap_err();
    assert!(refused.to_string().contains("the agent would append work_finished"), "{refused}");
}
