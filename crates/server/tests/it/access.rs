//! Who gets in, and with what rights.

use std::time::Duration;

use cofferdam_domain::{Owner, Rank};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::json;

use crate::harness::{Kind, Somebody, World, answer, is_problem, json as with_json};

on_every_store!(
    a_link_signs_in_once,
    no_session_is_fixed_from_outside,
    other_sites_do_nothing_with_a_cookie,
    signing_out_ends_it,
    tokens_end,
    each_rank_does_what_it_may,
    a_token_of_one_project_sees_no_other,
    the_last_admin_stays,
);

/// Uses a link as a browser does that shows the server's own page. Gives the cookie as it is sent back.
async fn sign_in(world: &World, path: &str) -> Response {
    let origin = format!("http://{}", world.address);
    world
        .plain(Method::POST, path)
        .header("origin", origin)
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .unwrap()
}

fn cookie(response: &Response) -> String {
    let field = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(field.contains("; HttpOnly; SameSite=Strict"), "{field}");
    field.split(';').next().unwrap().to_owned()
}

async fn link(world: &World) -> String {
    let desk = world.server.desk(Owner::LOCAL.org, Owner::LOCAL.user, "ann".to_owned());
    let link = desk.link(Owner::LOCAL.user).await.unwrap();
    let url = link.url.expose().to_owned();
    url.strip_prefix(&format!("http://{}", world.address)).unwrap().to_owned()
}

async fn a_link_signs_in_once(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let path = link(&world).await;
    // What looks into messages opens links: that uses nothing up.
    world.plain(Method::GET, &path).send().await.unwrap();
    let crossed =
        world.plain(Method::POST, &path).header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(crossed.status(), StatusCode::FORBIDDEN);
    let signed = sign_in(&world, &path).await;
    assert_eq!(signed.status(), StatusCode::SEE_OTHER);
    let cookie = cookie(&signed);
    let whoami = world.plain(Method::GET, "/api/v1/whoami").header("cookie", &cookie);
    let (status, me) = answer(whoami).await;
    assert_eq!((status, &me["rank"]), (StatusCode::OK, &json!("admin")));
    assert_eq!(sign_in(&world, &path).await.status(), StatusCode::FORBIDDEN);
    let old = link(&world).await;
    world.pass(Duration::from_secs(16 * 60));
    assert_eq!(sign_in(&world, &old).await.status(), StatusCode::FORBIDDEN);
    for odd in ["/sign-in/x", "/sign-in/cfl_0", "/sign-in/%2e%2e%2fapi", "/sign-in/cfd_1"] {
        assert_eq!(sign_in(&world, odd).await.status(), StatusCode::FORBIDDEN, "{odd}");
    }
    world.end().await;
}

async fn no_session_is_fixed_from_outside(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let given = format!("cofferdam=cfc_{}", "0".repeat(72));
    let path = link(&world).await;
    let origin = format!("http://{}", world.address);
    let request = world.plain(Method::POST, &path).header("origin", origin).header("cookie", &given);
    let fresh = cookie(&request.send().await.unwrap());
    assert_ne!(fresh, given);
    for (value, expected) in [(&given, 401), (&fresh, 200)] {
        let whoami = world.plain(Method::GET, "/api/v1/whoami").header("cookie", value).send().await.unwrap();
        assert_eq!(whoami.status(), expected);
    }
    // Two cookies of that name: somebody has put one there.
    let both = format!("{fresh}; {given}");
    let whoami = world.plain(Method::GET, "/api/v1/whoami").header("cookie", both).send().await.unwrap();
    is_problem(whoami, 401).await;
    world.end().await;
}

async fn other_sites_do_nothing_with_a_cookie(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let cookie = cookie(&sign_in(&world, &link(&world).await).await);
    let project = |headers: &[(&'static str, String)]| {
        let body = json!({ "name": format!("p{}", world.now().0) });
        let mut request =
            with_json(world.plain(Method::POST, "/api/v1/projects"), &body).header("cookie", &cookie);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request
    };
    let own = ("origin", format!("http://{}", world.address));
    assert_eq!(project(std::slice::from_ref(&own)).send().await.unwrap().status(), 201);
    for headers in [
        vec![],
        vec![("origin", "null".to_owned())],
        vec![("origin", "http://evil.example".to_owned())],
        vec![("origin", format!("http://localhost:{}", world.address.port() ^ 1))],
        vec![own.clone(), ("sec-fetch-site", "cross-site".to_owned())],
        vec![own, ("sec-fetch-site", "same-site".to_owned())],
    ] {
        is_problem(project(&headers).send().await.unwrap(), 403).await;
    }
    world.end().await;
}

async fn signing_out_ends_it(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let cookie = cookie(&sign_in(&world, &link(&world).await).await);
    let origin = format!("http://{}", world.address);
    let out = world.plain(Method::POST, "/sign-out").header("cookie", &cookie).header("origin", origin);
    assert_eq!(out.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    let whoami = world.plain(Method::GET, "/api/v1/whoami").header("cookie", &cookie).send().await.unwrap();
    is_problem(whoami, 401).await;
    world.end().await;
}

async fn tokens_end(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (admin, member) = (world.local(Rank::Admin).await, world.local(Rank::Member).await);
    assert_eq!(world.get(&member, "/whoami").await.0, StatusCode::OK);
    // Malformed ones, and ones of another kind.
    for token in ["", "x", "cfd_", &member.token[..70], &member.token.replace("cfd_", "cfc_")] {
        let wrong = Somebody { token: token.to_owned(), ..world.local(Rank::Viewer).await };
        let whoami = world.ask(&wrong, Method::GET, "/api/v1/whoami").send().await.unwrap();
        is_problem(whoami, 401).await;
    }
    // Revoked, by an admin.
    let (_, tokens) = world.get(&admin, "/tokens").await;
    let user = member.user.to_string();
    let tokens = tokens["tokens"].as_array().unwrap();
    let id = tokens.iter().find(|token| token["user"] == user).unwrap()["id"].as_str().unwrap().to_owned();
    let revoked = world.ask(&admin, Method::DELETE, &format!("/api/v1/tokens/{id}")).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.get(&member, "/whoami").await.0, StatusCode::UNAUTHORIZED);
    // Expired.
    let viewer = world.local(Rank::Viewer).await;
    assert_eq!(world.get(&viewer, "/whoami").await.0, StatusCode::OK);
    world.pass(Duration::from_secs(31 * 24 * 60 * 60));
    assert_eq!(world.get(&viewer, "/whoami").await.0, StatusCode::UNAUTHORIZED);
    world.end().await;
}

async fn each_rank_does_what_it_may(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let viewer = world.local(Rank::Viewer).await;
    let member = world.local(Rank::Member).await;
    let (session, _) = world.finished(&member).await;
    let one = format!("/sessions/{session}");
    for path in [&one, "/sessions", &format!("{one}/events"), &format!("{one}/diff"), "/projects", "/usage"] {
        assert_eq!(world.get(&viewer, path).await.0, StatusCode::OK, "{path}");
    }
    let task = json!({ "prompt": "x", "repository": "/srv/a" });
    assert_eq!(world.post(&viewer, "/sessions", &task).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.post(&member, "/sessions", &task).await.0, StatusCode::CREATED);
    let text = json!({ "text": "and the tests" });
    assert_eq!(world.post(&viewer, &format!("{one}/messages"), &text).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.post(&member, &format!("{one}/messages"), &text).await.0, StatusCode::ACCEPTED);
    // What is an admin's.
    for who in [&viewer, &member] {
        assert_eq!(world.post(who, "/projects", &json!({ "name": "p" })).await.0, StatusCode::FORBIDDEN);
        let invite = json!({ "name": "bob", "rank": "admin" });
        assert_eq!(world.post(who, "/members", &invite).await.0, StatusCode::FORBIDDEN);
        assert_eq!(world.get(who, "/audit").await.0, StatusCode::FORBIDDEN);
        let put = with_json(world.ask(who, Method::PUT, "/api/v1/credentials/x"), &json!({ "secret": "s" }));
        assert_eq!(answer(put).await.0, StatusCode::FORBIDDEN);
        let more = json!({ "name": "t", "rank": "admin", "days": 1 });
        assert_eq!(world.post(who, "/tokens", &more).await.0, StatusCode::FORBIDDEN);
    }
    world.end().await;
}

async fn a_token_of_one_project_sees_no_other(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let admin = world.local(Rank::Admin).await;
    let (session, _) = world.finished(&admin).await;
    let (_, project) = world.post(&admin, "/projects", &json!({ "name": "other" })).await;
    let wish = json!({ "name": "t", "rank": "admin", "days": 1, "project": project["id"] });
    let (status, made) = world.post(&admin, "/tokens", &wish).await;
    assert_eq!(status, StatusCode::CREATED);
    let limited = Somebody { token: made["token"].as_str().unwrap().to_owned(), ..admin };
    assert_eq!(world.get(&limited, &format!("/sessions/{session}")).await.0, StatusCode::NOT_FOUND);
    let (_, page) = world.get(&limited, "/sessions").await;
    assert_eq!(page["sessions"], json!([]));
    let (status, made) =
        world.post(&limited, "/sessions", &json!({ "prompt": "x", "repository": "/srv/a" })).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (_, own) = world.get(&limited, &format!("/sessions/{}", made["id"].as_str().unwrap())).await;
    assert_eq!(own["project"], project["id"]);
    world.end().await;
}

async fn the_last_admin_stays(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let there = world.elsewhere().await;
    let demote = with_json(
        world.ask(&there, Method::PUT, &format!("/api/v1/members/{}", there.user)),
        &json!({ "rank": "viewer" }),
    );
    assert_eq!(answer(demote).await.0, StatusCode::CONFLICT);
    let remove = world.ask(&there, Method::DELETE, &format!("/api/v1/members/{}", there.user));
    assert_eq!(answer(remove).await.0, StatusCode::CONFLICT);
    world.end().await;
}
