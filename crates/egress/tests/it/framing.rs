//! Requests that two servers could read differently: none of them reaches a host, whatever stands behind them.

use cofferdam_domain::egress::{Refusal, Scheme};
use tokio::io::AsyncWriteExt as _;

use crate::{
    host::{Authority, Host},
    inside::{fetch, request, say, start_tls},
    scene::{Scene, rule},
};

/// What would be the second request, if somebody were to see one.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test]
async fn ambiguous_requests_are_refused_before_anybody_is_dialled() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    let post = "POST / HTTP/1.1\r\nHost: a.example\r\n";
    let cases = [
        format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length: 0\r\nContent-Length: 44\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length: 44\r\nContent-Length: 44\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length: 44, 44\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length: +0\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length : 0\r\n\r\n{HIDDEN}"),
        format!("{post}Content-Length:\r\n 0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("{post}Host: b.example\r\n\r\n{HIDDEN}"),
        format!("\r\n{HIDDEN}"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nHost: a.example\n\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
        "GET /#x HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
        "GET \\\\b.example\\a HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
        "GET http://[ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a.example\0.evil.example\r\n\r\n".to_owned(),
        "GET / HTTP/3.0\r\nHost: a.example\r\n\r\n".to_owned(),
    ];
    for case in cases {
        let answer = say(scene.connect("a.example", 80).await, case.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{case:?} gets {answer:?}");
        assert!(answer.contains("cofferdam-refused: malformed\r\n"), "{case:?} gets {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 403 ").count(), 1, "{case:?} gets {answer:?}");
    }
    assert_eq!((host.accepted(), scene.log.passes()), (0, 0));
    assert!(scene.log.codes().iter().all(|code| *code == Refusal::Malformed));
}

#[tokio::test]
async fn forms_that_only_look_equal_are_refused() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    for (target, host_field) in [
        ("/a/../b", "a.example"),
        ("/a/%2e%2e/b", "a.example"),
        ("//a", "a.example"),
        ("/a%00b", "a.example"),
        ("/a\\b", "a.example"),
        ("/a/..%20/b", "a.example"),
        ("/%61", "a.example"),
        ("*", "a.example"),
        ("/", "a.example."),
        ("/", "A.EXAMPLE"),
        ("/", "allowed@a.example"),
        ("/", "a.example:080"),
        ("/", "a.example, b.example"),
        ("/", "127.0.0.1"),
        ("/", "2130706433"),
        ("/", "[::ffff:127.0.0.1]"),
        ("https://a.example/", "a.example"),
        ("ftp://a.example/", "a.example"),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host_field}\r\nConnection: close\r\n\r\n");
        let answer = say(scene.connect("a.example", 80).await, text.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{text:?} gets {answer:?}");
    }
    assert_eq!(host.accepted(), 0);
}

#[tokio::test]
async fn chunks_are_passed_on_only_in_their_one_form() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    let head =
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let good =
        say(scene.connect("a.example", 80).await, format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes()).await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    assert_eq!(host.got().len(), 1);
    for body in
        ["5;ext=1\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n"]
    {
        let answer = say(scene.connect("a.example", 80).await, format!("{head}{body}").as_bytes()).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{body:?} gets {answer:?}");
    }
    assert!(host.got().iter().skip(1).all(|got| got.body.is_empty()), "no body came whole: {:?}", host.got());
    scene.log.wait_for(Refusal::Malformed).await;
}

#[tokio::test]
async fn requests_one_behind_the_other_are_judged_each() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let mut narrow = rule("a.example", Scheme::Http, host.address);
    narrow.paths = vec!["/public".parse().unwrap()];
    let scene = Scene::new(vec![narrow], &authority);
    let text = "GET /public HTTP/1.1\r\nHost: a.example\r\n\r\nGET /private HTTP/1.1\r\nHost: a.example\r\n\r\nGET /public HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    let answer = say(scene.connect("a.example", 80).await, text.as_bytes()).await;
    let codes: Vec<&str> =
        answer.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answer.get(at + 9..at + 12)).collect();
    assert_eq!(codes, ["200", "403", "200"], "{answer}");
    assert!(host.got().iter().all(|got| got.line == "GET /public"), "{:?}", host.got());
}

#[tokio::test]
async fn fields_about_the_connection_do_not_pass() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    let text = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close, x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: x\r\nTE: trailers\r\nX-Kept: 1\r\n\r\n";
    let answer = say(scene.connect("a.example", 80).await, text.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let got = host.got().pop().unwrap();
    let mut names: Vec<&str> = got.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["host", "x-kept"]);
}

#[tokio::test]
async fn fields_that_servers_take_for_others_are_refused_in_every_protocol() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2", "http/1.1"]))).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
    for two in [true, false] {
        for name in [
            "x_forwarded_for",
            "content_length",
            "x-http-method-override",
            "x-http-path-override",
            "x-original-host",
            "x-original-url",
            "x-rewrite-url",
            "x-forwarded-host",
            "x-forwarded-for",
            "forwarded",
        ] {
            let protocols: &[&str] = if two { &["h2"] } else { &["http/1.1"] };
            let stream = scene.connect("a.example", 443).await;
            let stream = start_tls(&scene, stream, "a.example", protocols).await.unwrap();
            let mut request = request("GET", "a.example", "/", two, "");
            request.headers_mut().insert(http::HeaderName::from_static(name), "1".parse().unwrap());
            let answer = fetch(stream, two, request).await.unwrap();
            assert_eq!(answer.headers()["cofferdam-refused"], "malformed", "{name} {two}");
        }
    }
    assert_eq!(host.accepted(), 0);
}

#[tokio::test]
async fn slow_and_endless_heads_end() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let options = cofferdam_egress::DoorwayOptions { patience: crate::scene::quick(), ..Default::default() };
    let policy = cofferdam_domain::egress::EgressPolicy {
        rules: vec![rule("a.example", Scheme::Http, host.address)],
        ..Default::default()
    };
    let scene = Scene::with(policy, options, &authority);
    let slow = say(scene.connect("a.example", 80).await, b"GET / HTTP/1.1\r\nHost: a.example\r\nX: ").await;
    assert!(!slow.contains("200"), "{slow}");
    let mut stream = scene.connect("a.example", 80).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n").await.unwrap();
    let endless = say(stream, "X-Filler: y\r\n".repeat(10_000).as_bytes()).await;
    assert!(endless.is_empty() || endless.starts_with("HTTP/1.1 403"), "{endless}");
    assert_eq!(host.accepted(), 0);
}
