//! Logs that earlier versions of the program wrote: they fold, every decision and every request in them comes out again byte for byte, and
//! where one is cut, today's agent goes on with it.
//!
//! The files in `tests/logs` are never written anew. A version that says something otherwise to the model, or decides otherwise, adds a set of its own,
//! in a folder with the number of the rules by which its sessions began; those without are in none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cofferdam_agent::Agent;
use cofferdam_domain::{Digest, Event, EventBody, effective::effective, event, tool::ToolEffect};

use crate::{script, world::World};

/// Each log, with the name of its file from the folder of all.
fn logs() -> Vec<(String, Vec<Event>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let within = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let (later, mut paths): (Vec<_>, Vec<_>) = within(&folder).into_iter().partition(|path| path.is_dir());
    paths.extend(later.iter().flat_map(|folder| within(folder)));
    paths.sort();
    let log = |text: String| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |path: &Path| path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (named(path), log(fs::read_to_string(path).unwrap()))).collect()
}

#[test]
fn they_fold_and_come_out_the_same() {
    let logs = logs();
    assert!(logs.len() >= 7);
    for (name, log) in &logs {
        let agent = Agent::of(log[0].session, log);
        assert_eq!(agent.oddities(), [] as [String; 0], "{name}");
        let replayed = cofferdam_agent::replay(log).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(replayed.requests >= 5, "{name}: {replayed:?}");
    }
    let bodies = logs.iter().flat_map(|(_, log)| log.iter().map(|event| event.body.name()));
    let met: std::collections::BTreeSet<&str> = bodies.collect();
    for name in ["compacted", "forked", "rolled_back", "limit_reached", "message_received", "checkpointed"] {
        assert!(met.contains(name), "no log has {name}");
    }
    for name in ["delegated", "question_answered", "beside"] {
        assert!(met.contains(name), "no log has {name}");
    }
}

#[test]
fn each_is_of_the_rules_that_its_folder_says() {
    for (name, log) in logs() {
        let of_folder = name.strip_prefix("rules-").and_then(|rest| rest.split_once('/'));
        let rules: u16 = of_folder.map_or(0, |(number, _)| number.parse().unwrap());
        assert!(rules < cofferdam_agent::RULES, "{name} is of today");
        let fixed = log.iter().filter_map(|event| match &event.body {
            EventBody::PolicyFixed(fixed) => Some(fixed.rules),
            _ => None,
        });
        for found in fixed {
            assert_eq!(found, rules, "{name}");
        }
    }
}

#[test]
fn what_needed_nobody_when_they_began_needs_nobody_today() {
    let mut acted = 0;
    for (name, log) in logs() {
        let mut agent = Agent::new(log[0].session);
        for event in &log {
            agent.apply(event.at, &event.body);
            assert!(agent.mixture().is_none(), "{name}: event {}", event.seq.0);
            if let EventBody::ToolFinished { outcome, .. } = &event.body
                && let Some(ToolEffect::Foreign(made)) = &outcome.effect
            {
                acted += u32::from(made.outside);
            }
        }
    }
    assert!(acted > 0, "no log has a call that acts outside");
}

#[test]
fn what_they_say_is_written_with_the_same_bytes_today() {
    for (name, log) in logs() {
        let mut previous = Digest::ZERO;
        for Event { seq, id, session, at, body, hash, .. } in log {
            let text = serde_json::to_string(&body).unwrap();
            assert_eq!(event::hash(session, seq, id, at, previous, &text), hash, "{name}: event {}", seq.0);
            previous = hash;
        }
    }
}

#[test]
fn cut_anywhere_they_are_gone_on_with() {
    for (name, log) in logs() {
        let part =
            |wanted: fn(&EventBody) -> bool| log.iter().map(|event| &event.body).find(|body| wanted(body));
        let Some(EventBody::TaskAccepted { task }) =
            part(|body| matches!(body, EventBody::TaskAccepted { .. }))
        else {
            panic!("{name} has no task")
        };
        let Some(EventBody::PolicyFixed(fixed)) = part(|body| matches!(body, EventBody::PolicyFixed(_)))
        else {
            panic!("{name} has no policy")
        };
        // A fork begins with all that it takes over at once.
        let forked = log.iter().position(|event| matches!(event.body, EventBody::Forked { .. }));
        for cut in (forked.map_or(1, |place| place + 1)..log.len()).step_by(2) {
            let mut world = World::on(task.clone(), (**fixed).clone(), |_, _, compaction| {
                if compaction { script::says(vec![script::text("Notes.")]) } else { script::finish("done") }
            });
            world.session = log[0].session;
            world.resume(&log[..cut]);
            let over = effective(&log[..cut]).last().is_some_and(|last| {
                matches!(last.body, EventBody::SessionEnded { .. } | EventBody::Checkpointed { .. })
            }) && world.agent.outcome().is_some();
            if over && !world.agent.goes_on() {
                continue;
            }
            world.claim();
            while world.agent.outcome().is_none() {
                if world.agent.waiting().is_some() {
                    world.come_to_rest();
                    world.happen(vec![EventBody::ContinueAsked { by: "ann".into() }]);
                } else {
                    world.complete(0);
                }
            }
            let replayed = cofferdam_agent::replay(&world.events);
            assert!(replayed.is_ok(), "{name}, cut after {cut}: {replayed:?}");
        }
    }
}
