//! What people outside are told, as admins see it.

use cofferdam_domain::{CallId, EventBody, Rank};
use cofferdam_store::Sent;
use reqwest::{Method, StatusCode};

use crate::harness::{Kind, World};

on_every_store!(letters_show_where_they_stand_to_admins_of_their_organisation,);

async fn letters_show_where_they_stand_to_admins_of_their_organisation(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (ann, ben) = (world.local(Rank::Admin).await, world.local(Rank::Member).await);
    let question = "<b>Which?</b>".to_owned();
    let asked = EventBody::QuestionAsked { call: CallId { step: 1, index: 0 }, question };
    let session = world.session(&ann, vec![asked.clone(), asked]).await;
    let channels = ["ops<i>".to_owned()];
    for _ in 0..2 {
        let delivery = world.store.take("me", &[], 60_000).await.unwrap().unwrap();
        world.store.address(&delivery, &channels).await.unwrap();
    }
    let delivery = world.store.take("me", &channels, 60_000).await.unwrap().unwrap();
    world.store.sent(&delivery, Sent::GivenUp { reason: "the receiver answered 500".into() }).await.unwrap();
    let (status, page) = world.get(&ann, "/letters").await;
    assert_eq!(status, StatusCode::OK);
    let letters = page["letters"].as_array().unwrap();
    let mut states: Vec<_> = letters.iter().map(|letter| letter["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["given_up", "waiting"]);
    assert!(letters.iter().all(|letter| letter["session"] == session.to_string()
        && letter["kind"] == "question"
        && letter["channel"] == "ops<i>"));
    let (_, first) = world.get(&ann, "/letters?limit=1").await;
    let next = first["next"].as_str().unwrap();
    let (_, second) = world.get(&ann, &format!("/letters?limit=1&cursor={next}")).await;
    assert_ne!(first["letters"][0]["id"], second["letters"][0]["id"]);
    for wrong in ["/letters?limit=0", "/letters?limit=201", "/letters?cursor=00", "/letters?kind=x"] {
        assert_eq!(world.get(&ann, wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let told = world.ask(&ann, Method::GET, "/told").send().await.unwrap().text().await.unwrap();
    assert!(told.contains("given up") && told.contains("ops&lt;i&gt;") && !told.contains("<b>"), "{told}");
    // Nobody else's business.
    assert_eq!(world.get(&ben, "/letters").await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.ask(&ben, Method::GET, "/told").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let (_, other) = world.get(&world.elsewhere().await, "/letters").await;
    assert_eq!(other["letters"].as_array().unwrap().len(), 0);
    world.end().await;
}
