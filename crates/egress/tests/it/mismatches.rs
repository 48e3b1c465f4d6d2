//! One connection is for one host: what names another is refused, and nobody is dialled.

use std::net::SocketAddr;

use cofferdam_domain::egress::{Operation, Refusal, Scheme};
use http::StatusCode;

use crate::{
    host::{Authority, Host},
    inside::{fetch, request, say, start_tls},
    scene::{Scene, rule},
};

async fn two_hosts(authority: &Authority) -> (Host, Scene) {
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2", "http/1.1"]))).await;
    let rules =
        vec![rule("a.example", Scheme::Https, host.address), rule("b.example", Scheme::Https, host.address)];
    (host, Scene::new(rules, authority))
}

#[tokio::test]
async fn sni_must_be_the_host_that_was_looked_up() {
    let authority = Authority::new();
    let (host, scene) = two_hosts(&authority).await;
    for named in ["b.example", "evil.example"] {
        let stream = scene.connect("a.example", 443).await;
        let stream = start_tls(&scene, stream, named, &["h2"]).await.unwrap();
        let answer = fetch(stream, true, request("GET", named, "/", true, "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(answer.headers()["cofferdam-refused"], "mismatch");
    }
    assert_eq!(host.accepted(), 0);
    let refused = scene.log.wait_for(Refusal::Mismatch).await;
    assert_eq!(refused.operation, Operation::Connection { host: "a.example".into(), port: 443 });
}

#[tokio::test]
async fn host_and_authority_must_be_the_connections() {
    let authority = Authority::new();
    let (host, scene) = two_hosts(&authority).await;
    for two in [true, false] {
        for named in ["b.example", "a.example:8443", "evil.example"] {
            let stream = scene.connect("a.example", 443).await;
            let protocols: &[&str] = if two { &["h2"] } else { &[] };
            let stream = start_tls(&scene, stream, "a.example", protocols).await.unwrap();
            let answer = fetch(stream, two, request("GET", named, "/", two, "")).await.unwrap();
            assert_eq!(answer.headers()["cofferdam-refused"], "mismatch", "{named}");
        }
        // In HTTP/2, a Host field beside the authority.
        let stream =
            start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &["h2"]).await.unwrap();
        let mut fronted = request("GET", "a.example", "/", true, "");
        fronted.headers_mut().insert("host", "b.example".parse().unwrap());
        let answer = fetch(stream, true, fronted).await.unwrap();
        assert_eq!(answer.headers()["cofferdam-refused"], "mismatch");
    }
    assert_eq!(host.accepted(), 0);
}

#[tokio::test]
async fn connect_names_the_host_for_all_that_follows() {
    let authority = Authority::new();
    let (host, scene) = two_hosts(&authority).await;
    let tunnel = async |target: &str, host: &str| {
        let mut stream = scene.connect_to_proxy().await;
        let ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        (stream, String::from_utf8(answer.to_vec()).unwrap())
    };
    // To the host that was named: passes.
    let (mut stream, answer) = tunnel("a.example:443", "a.example:443").await;
    assert_eq!(answer, "HTTP/1.1 200");
    let mut rest = [0; 7];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut rest).await.unwrap();
    let stream = start_tls(&scene, stream, "a.example", &["h2"]).await.unwrap();
    let answer = fetch(stream, true, request("GET", "a.example", "/", true, "")).await.unwrap();
    assert_eq!((answer.status(), host.accepted()), (StatusCode::OK, 1));
    // Another in the TLS.
    let (mut stream, _) = tunnel("a.example:443", "a.example").await;
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut rest).await.unwrap();
    let stream = start_tls(&scene, stream, "b.example", &["h2"]).await.unwrap();
    let answer = fetch(stream, true, request("GET", "b.example", "/", true, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "mismatch");
    for (target, named) in [
        ("a.example:443", "b.example:443"),
        ("evil.example:443", "evil.example:443"),
        ("127.0.0.1:443", "127.0.0.1:443"),
        ("[::1]:443", "[::1]:443"),
        ("a.example", "a.example"),
        ("a.example:8443", "a.example:8443"),
        ("allowed@a.example:443", "a.example"),
        ("a.example.:443", "a.example."),
        ("2130706433:443", "2130706433"),
        ("0x7f.1:443", "0x7f.1"),
    ] {
        assert_eq!(tunnel(target, named).await.1, "HTTP/1.1 403", "{target} {named}");
    }
    assert_eq!(host.accepted(), 1);
}

#[tokio::test]
async fn addresses_are_nobody() {
    let authority = Authority::new();
    let (host, scene) = two_hosts(&authority).await;
    for destination in
        ["192.0.2.1:443", "127.0.0.1:443", "169.254.169.254:80", "[::1]:443", "198.18.99.99:443"]
    {
        let destination: SocketAddr = destination.parse().unwrap();
        let stream = scene.connect_to(destination).await;
        let answer = say(stream, b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("cofferdam-refused: address"),
            "{answer}"
        );
    }
    let stream = scene.connect_to(host.address).await;
    let stream = start_tls(&scene, stream, "a.example", &[]).await.unwrap();
    let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "address");
    assert_eq!(host.accepted(), 0);
}

#[tokio::test]
async fn other_protocols_end() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let options = cofferdam_egress::DoorwayOptions { patience: crate::scene::quick(), ..Default::default() };
    let policy = cofferdam_domain::egress::EgressPolicy {
        rules: vec![rule("a.example", Scheme::Http, host.address)],
        ..Default::default()
    };
    let scene = Scene::with(policy, options, &authority);
    for beginning in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x05\x01\x00",
        b"\x16\x03\x01\x00",
        b"",
        b"EHLO x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let stream = scene.connect("a.example", 80).await;
        let answer = say(stream, beginning).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 403") || answer.as_bytes()[0] == 21,
            "{answer:?}"
        );
    }
    assert_eq!(host.accepted(), 0);
    scene.log.wait_for(Refusal::Protocol).await;
}
