//! Hosts that do not behave: clear, bounded, written down.

use cofferdam_domain::egress::{EgressPolicy, Refusal, Scheme};
use cofferdam_egress::DoorwayOptions;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    host::{Authority, Host},
    inside::{fetch, get, request},
    scene::{Scene, quick, rule},
};

fn scene(host: &Host, scheme: Scheme, authority: &Authority) -> Scene {
    let policy =
        EgressPolicy { rules: vec![rule("a.example", scheme, host.address)], ..EgressPolicy::default() };
    Scene::with(policy, DoorwayOptions { patience: quick(), ..DoorwayOptions::default() }, authority)
}

async fn read_head(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") && stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
}

/// A host that answers every request with these bytes and then does as told.
async fn saying(bytes: &'static [u8], then_wait: bool) -> Host {
    Host::talking(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(bytes).await.ok();
        if then_wait {
            std::future::pending::<()>().await;
        }
    })
    .await
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_such() {
    let authority = Authority::new();
    for (bytes, waits) in [
        (&b"SSH-2.0-x\r\n\r\n"[..], false),
        (b"", false),
        (b"", true),
        (b"HTTP/1.1 200 OK\r\nX: ", true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", true),
    ] {
        let host = saying(bytes, waits).await;
        let scene = scene(&host, Scheme::Http, &authority);
        let stream = scene.connect("a.example", 80).await;
        let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{bytes:?}: {answer:?}");
        let code = answer.headers()["cofferdam-refused"].to_str().unwrap();
        assert!(["unreachable", "protocol"].contains(&code), "{code}");
    }
}

#[tokio::test]
async fn a_host_that_stalls_in_its_answer_is_left() {
    let authority = Authority::new();
    let host = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", true).await;
    let scene = scene(&host, Scheme::Http, &authority);
    let stream = scene.connect("a.example", 80).await;
    assert!(fetch(stream, false, request("GET", "a.example", "/", false, "")).await.is_err());
    scene.log.wait_for(Refusal::Unreachable).await;
}

#[tokio::test]
async fn an_endless_head_is_left() {
    let authority = Authority::new();
    let host = Host::talking(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.ok();
        while stream.write_all(b"X-Filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    })
    .await;
    let scene = scene(&host, Scheme::Http, &authority);
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "unreachable");
}

#[tokio::test]
async fn a_host_must_be_who_it_says() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let wrong_name = Host::echoing(Some(authority.vouch("b.example", &["h2"]))).await;
    let wrong_voucher = Host::echoing(Some(stranger.vouch("a.example", &["h2"]))).await;
    let no_tls = Host::echoing(None).await;
    for host in [wrong_name, wrong_voucher, no_tls] {
        let scene = scene(&host, Scheme::Https, &authority);
        let answer = get(&scene, "a.example", "/", true).await;
        assert_eq!(answer.headers()["cofferdam-refused"], "unreachable", "{answer:?}");
        assert!(host.got().is_empty());
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = scene(&host, Scheme::Http, &authority);
    drop(host);
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "unreachable");
}

#[tokio::test]
async fn redirects_are_passed_on_and_judged_anew() {
    let authority = Authority::new();
    let host = Host::answering(None, |_| {
        let mut answer = http::Response::new(http_body_util::Full::default());
        *answer.status_mut() = StatusCode::FOUND;
        answer.headers_mut().insert("location", "http://169.254.169.254/latest".parse().unwrap());
        answer.headers_mut().insert("alt-svc", "h3=\":443\"".parse().unwrap());
        answer
    })
    .await;
    let scene = scene(&host, Scheme::Http, &authority);
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert!(!answer.headers().contains_key("alt-svc"));
    assert_eq!(host.accepted(), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let authority = Authority::new();
    // Answers one request a connection, and does not say that it will close it.
    let host = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let scene = scene(&host, Scheme::Http, &authority);
    for _ in 0..5 {
        let stream = scene.connect("a.example", 80).await;
        let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
        assert_eq!(answer.body(), "ok", "{answer:?}");
    }
    assert_eq!(host.accepted(), 5);
}
