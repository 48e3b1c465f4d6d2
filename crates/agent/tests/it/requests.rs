//! Requests: their digest, what they share, what they cost.

use std::sync::Arc;

use cofferdam_domain::{EventBody, Outcome};

use crate::{
    script::{fixed, read},
    world::{Flight, World},
};

#[test]
fn one_session_is_one_epoch_with_one_key() {
    let mut world = World::scripted(fixed(), (0..5).map(|step| read(&step.to_string())).collect());
    assert_eq!(world.run(), Outcome::Succeeded);
    for (request, _) in &world.requests {
        assert_eq!(
            (request.epoch, request.cache_key.as_str()),
            (0, world.agent.session().to_string().as_str())
        );
        assert_eq!(&*request.system, "You work.");
    }
}

#[test]
fn requests_share_their_messages() {
    let mut world = World::scripted(fixed(), vec![read("a"), read("b")]);
    world.run();
    for pair in world.requests.windows(2) {
        let [(before, _), (after, _)] = pair else { panic!() };
        assert!(
            before.messages.iter().zip(after.messages.iter()).all(|(one, other)| Arc::ptr_eq(one, other))
        );
    }
}

#[test]
fn the_digest_covers_system_tools_and_every_message() {
    let digest = |change: fn(&mut cofferdam_domain::event::Fixed), prompt: &str| {
        let mut given = fixed();
        change(&mut given);
        let mut world = World::scripted(given, vec![]);
        world.claim();
        world.write(prompt);
        world.complete_first(crate::world::is_model);
        world.go_on();
        let last = world.requests.last().unwrap();
        last.0.digest
    };
    let same = digest(|_| (), "hello");
    assert_eq!(same, digest(|_| (), "hello"));
    assert_ne!(same, digest(|_| (), "hello!"));
    assert_ne!(same, digest(|given| given.system.push('.'), "hello"));
    assert_ne!(same, digest(|given| given.tools[0].description.push('.'), "hello"));
    assert_ne!(
        same,
        digest(|given| given.tools[8].parameters = serde_json::json!({"type": "object", "a": 1}), "hello")
    );
}

#[test]
fn the_event_names_the_request_that_was_sent() {
    let mut world = World::scripted(fixed(), vec![read("a")]);
    world.claim();
    let Some(Flight::Model { request, .. }) =
        world.in_flight.iter().find(|flight| crate::world::is_model(flight))
    else {
        panic!()
    };
    let asked = world.events.iter().find_map(|event| {
        if let EventBody::ModelAsked { request, .. } = &event.body { Some(*request) } else { None }
    });
    assert_eq!(asked, Some(request.digest));
}
