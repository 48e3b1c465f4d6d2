//! Whom of those that a provider knows the server lets in, and as whom.

use cofferdam_domain::{Owner, Rank};
use cofferdam_server::{Admit, OpenIdSettings, Who};
use reqwest::Method;
use serde_json::{Value, json};

use super::liar::{Liar, Sent, header, signed};
use crate::harness::{Kind, Setup, Somebody, World, answer, json as with_json};

on_every_store!(
    members_are_known_by_verified_addresses_and_then_by_subject,
    rules_admit_those_whom_they_name,
    whoever_was_removed_stays_out_until_somebody_asks_them_back,
    links_are_for_emergencies_where_there_is_another_way,
);

async fn world(kind: Kind, openid: OpenIdSettings) -> Option<World> {
    World::of(Setup { openid: Some(openid), ..Setup::on(kind) }).await
}

/// Signs somebody in of whom the provider says this. Gives the status, and who they are then.
async fn sign_in(world: &World, liar: &Liar, says: &Value) -> (u16, Value) {
    let mut sent = Sent::off(world).await;
    let mut claims = liar.claims(world, &sent.asked["nonce"]);
    for name in ["email", "email_verified", "name"] {
        claims.as_object_mut().unwrap().remove(name);
    }
    for (name, value) in says.as_object().unwrap() {
        claims[name] = value.clone();
    }
    liar.tell(|told| told.token = Some(signed(&header(1), &claims, 1)));
    let (status, _) = sent.back(world).await;
    (status, if status == 200 { sent.jar.whoami(world).await.1 } else { Value::Null })
}

async fn member(world: &World, name: &str, rank: Rank) -> Somebody {
    let user = world.store.create_user(name, None, world.now()).await.unwrap();
    world.store.set_rank(Owner::LOCAL.org, user, Some(rank), world.now()).await.unwrap();
    Somebody { org: Owner::LOCAL.org, user, token: String::new() }
}

async fn members_are_known_by_verified_addresses_and_then_by_subject(kind: Kind) {
    let liar = Liar::start().await;
    let Some(world) = world(kind, OpenIdSettings { admit: vec![], ..liar.settings() }).await else { return };
    let admin = world.local(Rank::Admin).await;
    let ann = member(&world, "Ann@example.com", Rank::Member).await;
    for says in [
        json!({ "sub": "1" }),
        json!({ "sub": "1", "email": "ann@example.com" }),
        json!({ "sub": "1", "email": "ann@example.com", "email_verified": false }),
        json!({ "sub": "1", "email": "bob@example.com", "email_verified": true }),
        json!({ "sub": "1", "name": "Ann@example.com" }),
    ] {
        assert_eq!(sign_in(&world, &liar, &says).await.0, 403, "{says}");
    }
    let says = json!({ "sub": "1", "email": "ann@example.com", "email_verified": true });
    let (_, me) = sign_in(&world, &liar, &says).await;
    assert_eq!((&me["user"], &me["rank"]), (&json!(ann.user.to_string()), &json!("member")));
    // From now on by subject: the address may be anybody's.
    let (_, me) = sign_in(&world, &liar, &json!({ "sub": "1", "email": "new@example.com" })).await;
    assert_eq!(me["user"], json!(ann.user.to_string()));
    assert_eq!(
        sign_in(&world, &liar, &json!({ "sub": "2", "email": "ann@example.com", "email_verified": true }))
            .await
            .0,
        403
    );
    // What the id token leaves out is asked for.
    let bob = member(&world, "bob@example.com", Rank::Viewer).await;
    liar.tell(|told| {
        told.userinfo = Some(json!({ "sub": "3", "email": "bob@example.com", "email_verified": true }))
    });
    let (_, me) = sign_in(&world, &liar, &json!({ "sub": "3" })).await;
    assert_eq!(me["user"], json!(bob.user.to_string()));
    let (_, audit) = world.get(&admin, "/audit?limit=100").await;
    let count = |action: &str| {
        audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count()
    };
    assert_eq!((count("sign_in.refused"), count("member.bound"), count("signed_in")), (6, 2, 3));
    world.end().await;
}

async fn rules_admit_those_whom_they_name(kind: Kind) {
    let liar = Liar::start().await;
    let admit = [
        (Who::Email("Boss@example.com".to_owned()), Rank::Admin),
        (Who::Group("auditors".to_owned()), Rank::Viewer),
        (Who::Domain("Example.com".to_owned()), Rank::Member),
    ];
    let admit = admit.map(|(who, rank)| Admit { who, rank }).to_vec();
    let Some(world) = world(kind, OpenIdSettings { admit, ..liar.settings() }).await else { return };
    for (number, says, expected) in [
        (
            1,
            json!({ "email": "boss@example.com", "email_verified": true, "name": "The boss" }),
            Some(("admin", "The boss")),
        ),
        (
            2,
            json!({ "email": "ann@example.com", "email_verified": true }),
            Some(("member", "ann@example.com")),
        ),
        (
            3,
            json!({ "groups": ["auditors"], "email": "ann@example.com", "email_verified": true, "name": "\u{202e}x" }),
            Some(("viewer", "ann@example.com")),
        ),
        (4, json!({ "groups": "auditors" }), Some(("viewer", "4"))),
        (5, json!({ "groups": ["auditor"], "email": "ann@example.com" }), None),
        (6, json!({ "email": "a@sub.example.com", "email_verified": true }), None),
        (7, json!({ "email": "a@evil-example.com", "email_verified": true }), None),
        (8, json!({ "email": "a@example.com.evil.example", "email_verified": true }), None),
        (9, json!({ "email": "a@evil.example@example.com", "email_verified": true }), None),
    ] {
        let mut says = says;
        says["sub"] = json!(format!("{number}"));
        let (status, me) = sign_in(&world, &liar, &says).await;
        match expected {
            Some((rank, name)) => {
                assert_eq!((&me["rank"], &me["name"]), (&json!(rank), &json!(name)), "{says}")
            }
            None => assert_eq!(status, 403, "{says}"),
        }
    }
    world.end().await;
}

async fn whoever_was_removed_stays_out_until_somebody_asks_them_back(kind: Kind) {
    let liar = Liar::start().await;
    let Some(world) = world(kind, liar.settings()).await else { return };
    let admin = world.local(Rank::Admin).await;
    let says = json!({ "sub": "1", "email": "ann@example.com", "email_verified": true });
    let (_, me) = sign_in(&world, &liar, &says).await;
    let path = format!("/api/v1/members/{}", me["user"].as_str().unwrap());
    assert_eq!(answer(world.ask(&admin, Method::DELETE, &path)).await.0, 204);
    assert_eq!(sign_in(&world, &liar, &says).await.0, 403, "the rule does not let them in again");
    let again = member(&world, "ann@example.com", Rank::Viewer).await;
    let (_, me) = sign_in(&world, &liar, &says).await;
    assert_eq!((&me["user"], &me["rank"]), (&json!(again.user.to_string()), &json!("viewer")));
    world.end().await;
}

async fn links_are_for_emergencies_where_there_is_another_way(kind: Kind) {
    let liar = Liar::start().await;
    let Some(world) = world(kind, OpenIdSettings { only: true, ..liar.settings() }).await else { return };
    let admin = world.local(Rank::Admin).await;
    let new = json!({ "name": "bob@example.com", "rank": "viewer" });
    let (status, invited) = answer(with_json(world.ask(&admin, Method::POST, "/api/v1/members"), &new)).await;
    assert_eq!((status.as_u16(), &invited["link"]), (201, &Value::Null), "{invited}");
    let path = format!("/api/v1/members/{}/link", invited["user"].as_str().unwrap());
    assert_eq!(answer(world.ask(&admin, Method::POST, &path)).await.0, 409);
    let (_, me) =
        sign_in(&world, &liar, &json!({ "sub": "1", "email": "bob@example.com", "email_verified": true }))
            .await;
    assert_eq!(me["user"], invited["user"]);
    let page = world.plain(Method::GET, "/sign-in").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("/sign-in/openid") && !page.contains("administrator gave you"), "{page}");
    let desk = world.server.desk(admin.org, admin.user, "root".to_owned());
    assert!(desk.link(admin.user).await.is_ok(), "on the machine itself");
    world.end().await;
}
