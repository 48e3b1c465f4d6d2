//! What is not meant for the server, not understood or too much is refused clearly, and nothing is lost by it.

use std::time::Duration;

use cofferdam_domain::Rank;
use cofferdam_server::Limits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Kind, LONG, World, answer, call, is_problem, json as with_json, question};

on_every_store!(
    other_hosts_are_refused,
    heads_are_bounded,
    slow_clients_are_let_go,
    bodies_are_strict_and_bounded,
    queries_and_cursors_are_strict,
    odd_paths_lead_nowhere,
    what_does_not_fit_is_a_conflict,
);

/// The status of what is answered to these bytes; 0 when the connection is closed without an answer.
async fn raw(world: &World, bytes: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    // A server that has answered already may have closed its side.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap().ok();
    let line = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    line.split(' ').nth(1).map_or(0, |status| status.parse().unwrap_or(0))
}

async fn other_hosts_are_refused(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let port = world.address.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 401),
        (format!("localhost:{port}"), 401),
        (format!("LOCALHOST:{port}"), 401),
        ("127.0.0.1".to_owned(), 421),
        ("rebound.example".to_owned(), 421),
        (format!("rebound.example:{port}"), 421),
        (format!("localhost:{port}@rebound.example"), 421),
        (format!("localhost:{port}.rebound.example"), 421),
        (String::new(), 421),
    ] {
        let request = format!("GET /api/v1/whoami HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(raw(&world, request.as_bytes()).await, status, "{host:?}");
    }
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    for (head, status) in [
        ("GET /api/v1/whoami HTTP/1.1\r\n".to_owned(), 400),
        (format!("GET /api/v1/whoami HTTP/1.1\r\n{own}Host: rebound.example\r\n"), 400),
        (format!("GET http://rebound.example/api/v1/whoami HTTP/1.1\r\n{own}"), 421),
        (format!("GET /api/v1/whoami HTTP/1.1\r\n{own}X-Forwarded-Host: rebound.example\r\n"), 401),
    ] {
        let request = format!("{head}Connection: close\r\n\r\n");
        assert_eq!(raw(&world, request.as_bytes()).await, status, "{head}");
    }
    // Whoever watches over it does not know its name.
    assert_eq!(
        raw(&world, b"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n").await,
        200
    );
    world.end().await;
}

async fn heads_are_bounded(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let host = format!("Host: {}\r\nConnection: close\r\n", world.address);
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert_eq!(raw(&world, format!("GET / HTTP/1.1\r\n{host}{many}\r\n").as_bytes()).await, 431);
    let long = "x".repeat(1 << 20);
    let status = raw(&world, format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n").as_bytes()).await;
    assert_eq!(status, 431);
    let status = raw(&world, format!("GET /{long} HTTP/1.1\r\n{host}\r\n").as_bytes()).await;
    assert!(matches!(status, 414 | 431), "{status}");
    assert_eq!(raw(&world, b"\x16\x03\x01\x02\0\x01\0\x01").await, 400, "TLS on a plain port");
    world.end().await;
}

async fn slow_clients_are_let_go(kind: Kind) {
    let short = Duration::from_millis(200);
    let Some(world) =
        World::with(kind, Limits { head_time: short, body_time: short, ..Limits::default() }).await
    else {
        return;
    };
    let who = world.local(Rank::Member).await;
    // A head that never ends.
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // A body that never ends.
    let head = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{",
        world.address, who.token
    );
    assert_eq!(raw(&world, head.as_bytes()).await, 408);
    world.end().await;
}

async fn bodies_are_strict_and_bounded(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let send = |kind: &'static str, body: Vec<u8>| {
        world.ask(&who, Method::POST, "/api/v1/sessions").header("content-type", kind).body(body).send()
    };
    let good = json!({ "prompt": "x", "repository": "/srv/a" }).to_string();
    assert_eq!(send("application/json; charset=utf-8", good.clone().into()).await.unwrap().status(), 201);
    for (kind, body, status) in [
        ("text/plain", good.clone(), 415),
        ("application/x-www-form-urlencoded", "prompt=x&repository=/srv/a".to_owned(), 415),
        ("application/json", String::new(), 400),
        ("application/json", "{".to_owned(), 400),
        ("application/json", "[]".to_owned(), 400),
        ("application/json", "null".to_owned(), 400),
        ("application/json", good.replace("prompt", "promt"), 400),
        ("application/json", good.replace('}', ", \"surplus\": 1}"), 400),
        ("application/json", good.replace('}', ", \"prompt\": \"y\"}"), 400),
        ("application/json", good.replace('}', ", \"priority\": 1e99}"), 400),
        ("application/json", format!("{good}{good}"), 400),
        ("application/json", "[".repeat(100_000), 400),
        ("application/json", json!({ "prompt": " ", "repository": "/srv/a" }).to_string(), 422),
        ("application/json", json!({ "prompt": "a\0b", "repository": "/srv/a" }).to_string(), 422),
        ("application/json", json!({ "prompt": "x", "repository": "../a" }).to_string(), 422),
        (
            "application/json",
            json!({ "prompt": "x", "repository": "/srv/a", "base": "--upload-pack=x" }).to_string(),
            422,
        ),
        (
            "application/json",
            json!({ "prompt": "x", "repository": "/srv/a", "model": "other/one" }).to_string(),
            422,
        ),
        (
            "application/json",
            json!({ "prompt": "x", "repository": "/srv/a", "policy": "none" }).to_string(),
            422,
        ),
        (
            "application/json",
            json!({ "prompt": "x".repeat(3 << 20), "repository": "/srv/a" }).to_string(),
            413,
        ),
        (
            "application/json",
            json!({ "prompt": "x".repeat(600 << 10), "repository": "/srv/a" }).to_string(),
            422,
        ),
    ] {
        let shown: String = body.chars().take(80).collect();
        let response = send(kind, body.into()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{kind} {shown}");
        is_problem(response, status).await;
    }
    assert_eq!(send("application/json", b"{\"prompt\":\"\xff\"}".to_vec()).await.unwrap().status(), 400);
    // One that does not say how long it is.
    let chunks = (0..4).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    let endless = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request =
        world.ask(&who, Method::POST, "/api/v1/sessions").header("content-type", "application/json");
    is_problem(request.body(endless).send().await.unwrap(), 413).await;
    let (_, page) = world.get(&who, "/sessions").await;
    assert_eq!(page["sessions"].as_array().unwrap().len(), 1, "only the good one was made");
    world.end().await;
}

async fn queries_and_cursors_are_strict(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.session(&who, Vec::new()).await.to_string());
    }
    // Pages, one after another, have everything once.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = world.get(&who, &format!("/sessions?limit=2{cursor}")).await;
        assert_eq!(status, StatusCode::OK);
        seen.extend(
            page["sessions"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.reverse();
    assert_eq!(seen, made);
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "cursor=",
        "cursor=x",
        "cursor=00",
        "state=paused",
        "nonsense=1",
        "limit=1&limit=2",
        "project=x",
        "archived=1",
    ] {
        let response =
            world.ask(&who, Method::GET, &format!("/api/v1/sessions?{query}")).send().await.unwrap();
        is_problem(response, 400).await;
    }
    let log = format!("/api/v1/sessions/{}/events", made[0]);
    for query in ["after=-1", "after=x", "limit=1001", "after=18446744073709551615"] {
        is_problem(world.ask(&who, Method::GET, &format!("{log}?{query}")).send().await.unwrap(), 400).await;
    }
    world.end().await;
}

async fn odd_paths_lead_nowhere(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Admin).await;
    for path in [
        "/api/v1/sessions/x",
        "/api/v1/sessions/..%2f..%2fetc%2fpasswd",
        "/api/v1/sessions/%00",
        "/api/v1/sessions/%ff",
        "/api/v1/sessions/ses_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "/api/v1/policies/..%2fx",
        "/api/v2/sessions",
        "/api/v1/sessions/",
        "//api/v1/sessions",
    ] {
        is_problem(world.ask(&who, Method::GET, path).send().await.unwrap(), 404).await;
    }
    for name in ["A", "-a", "..", "a%2fb", "%20"] {
        let put = with_json(world.ask(&who, Method::PUT, &format!("/api/v1/policies/{name}")), &json!({}));
        assert!(matches!(put.send().await.unwrap().status().as_u16(), 404 | 405 | 422), "{name}");
    }
    is_problem(world.ask(&who, Method::PATCH, "/api/v1/sessions").send().await.unwrap(), 405).await;
    world.end().await;
}

async fn what_does_not_fit_is_a_conflict(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let session = world.session(&who, Vec::new()).await;
    let path = |what: &str| format!("/sessions/{session}/{what}");
    let conflict = |what: &'static str, body: Value| {
        let (world, who) = (&world, &who);
        let path = path(what);
        async move {
            let (status, problem) = world.post(who, &path, &body).await;
            assert_eq!(status, StatusCode::CONFLICT, "{what}: {problem}");
        }
    };
    conflict("continue", json!({})).await;
    conflict("release", json!({})).await;
    conflict("freeze", json!({})).await;
    conflict("merge", json!({ "commit": "1".repeat(40) })).await;
    conflict("close", json!({})).await;
    conflict("archive", json!({ "archived": true })).await;
    conflict("plan", json!({ "digest": format!("sha256:{}", "0".repeat(64)), "approve": true })).await;
    assert_eq!(world.post(&who, &path("pause"), &json!({})).await.0, StatusCode::ACCEPTED);
    conflict("pause", json!({})).await;
    // An answer to nothing, and a second one.
    let reply = json!({ "call": call(), "text": "this one" });
    assert_eq!(world.post(&who, &path("answers"), &reply).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    world.append(session, question()).await;
    assert_eq!(world.post(&who, &path("answers"), &reply).await.0, StatusCode::ACCEPTED);
    conflict("answers", reply).await;
    // Places that are none.
    for to in [0, 999] {
        let (status, _) = world.post(&who, &path("rollback"), &json!({ "to": to })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{to}");
    }
    assert_eq!(world.post(&who, &path("cancel"), &json!({})).await.0, StatusCode::ACCEPTED);
    conflict("cancel", json!({})).await;
    let delete = world.ask(&who, Method::DELETE, &format!("/api/v1/sessions/{session}"));
    let status = answer(delete).await.0;
    assert!(matches!(status, StatusCode::CONFLICT | StatusCode::FORBIDDEN), "{status}");
    world.end().await;
}
