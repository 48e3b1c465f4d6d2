//! Logs that earlier versions of the program wrote: they fold, every decision and every request in them comes out again byte for byte, and
//! where one is cut, today's agent goes on with it.
//!
//! The files in `tests/logs` are never written anew. A version that says something otherwise to the model adds a set of its own.

use std::{fs, path::Path};

use cofferdam_agent::Agent;
use cofferdam_domain::{Digest, Event, EventBody, effective::effective, event};

use crate::{script, world::World};

/// Each log, with the name of its file.
fn logs() -> Vec<(String, Vec<Event>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let log = |text: String| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (named(path), log(fs::read_to_string(path).unwrap()))).collect()
}

#[test]
fn they_fold_and_come_out_the_same() {
    let logs = logs();
    assert!(logs.len() >= 4);
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
            world.run();
            let replayed = cofferdam_agent::replay(&world.events);
            assert!(replayed.is_ok(), "{name}, cut after {cut}: {replayed:?}");
        }
    }
}
