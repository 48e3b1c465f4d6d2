//! What people outside are told, and what they sent, as admins see it.

use cofferdam_domain::{CallId, EventBody, OrgId, Rank, Timestamp};
use cofferdam_store::{Arrival, Dealt, Sent};
use reqwest::{Method, StatusCode};

use crate::harness::{Kind, World};

on_every_store!(
    letters_show_where_they_stand_to_admins_of_their_organisation,
    deliveries_show_what_became_of_them_to_admins_of_their_organisation,
);

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

async fn deliveries_show_what_became_of_them_to_admins_of_their_organisation(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (ann, ben) = (world.local(Rank::Admin).await, world.local(Rank::Member).await);
    let session = world.session(&ann, Vec::new()).await;
    let sources = ["work".to_owned()];
    for (id, line) in [("1", "<b>line"), ("2", "x"), ("3", "y")] {
        let arrival = Arrival {
            source: sources[0].clone(),
            id: id.into(),
            event: "issues".into(),
            line: line.into(),
            org: OrgId::from_u128(0),
            at: Timestamp(id.parse().unwrap()),
            body: b"secret words".to_vec(),
        };
        assert!(world.store.arrive(arrival).await.unwrap());
    }
    let what = "<i>begins".to_owned();
    for dealt in [Dealt::Done { session: Some(session), what }, Dealt::GivenUp { reason: "no answer".into() }]
    {
        let taken = world.store.take_arrival("me", &sources, 60_000).await.unwrap().unwrap();
        world.store.dealt(&taken, dealt).await.unwrap();
    }
    let (status, page) = world.get(&ann, "/deliveries").await;
    assert_eq!(status, StatusCode::OK);
    let deliveries = page["deliveries"].as_array().unwrap();
    let shown: Vec<_> =
        deliveries.iter().map(|one| (one["id"].as_str().unwrap(), one["state"].as_str().unwrap())).collect();
    assert_eq!(shown, [("3", "waiting"), ("2", "given_up"), ("1", "done")]);
    assert_eq!(
        (&deliveries[2]["session"], &deliveries[2]["tries"]),
        (&session.to_string().into(), &1.into())
    );
    assert!(!page.to_string().contains("secret words"));
    let (_, first) = world.get(&ann, "/deliveries?limit=2").await;
    let next = first["next"].as_str().unwrap();
    let (_, second) = world.get(&ann, &format!("/deliveries?limit=2&cursor={next}")).await;
    assert_eq!((&second["deliveries"][0]["id"], &second["next"]), (&"1".into(), &serde_json::Value::Null));
    let (_, letters) = world.get(&ann, "/letters?limit=1").await;
    assert_eq!(letters["letters"].as_array().unwrap().len(), 0);
    for wrong in ["?limit=0", "?limit=201", "?cursor=00", "?state=x"] {
        assert_eq!(
            world.get(&ann, &format!("/deliveries{wrong}")).await.0,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let shown = world.ask(&ann, Method::GET, "/deliveries").send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("given up") && shown.contains("no answer"), "{shown}");
    assert!(
        shown.contains("&lt;i&gt;begins") && shown.contains("&lt;b&gt;line") && !shown.contains("<i>begins")
    );
    // Nobody else's business.
    assert_eq!(world.get(&ben, "/deliveries").await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        world.ask(&ben, Method::GET, "/deliveries").send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let (_, other) = world.get(&world.elsewhere().await, "/deliveries").await;
    assert_eq!(other["deliveries"].as_array().unwrap().len(), 0);
    world.end().await;
}
