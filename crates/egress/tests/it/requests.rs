//! What is permitted arrives, unchanged, by every protocol; what is not is answered in a way that programs understand.

use cofferdam_domain::egress::{EgressPolicy, EgressRule, Operation, Refusal, Scheme};
use http::{StatusCode, Version};

use crate::{
    host::{Authority, Host},
    inside::{fetch, get, request, say, start_tls},
    scene::{Scene, rule},
};

#[tokio::test]
async fn https_passes_by_every_combination_of_protocols() {
    let authority = Authority::new();
    for outside in [["h2"], ["http/1.1"]] {
        let host = Host::echoing(Some(authority.vouch("a.example", &outside))).await;
        let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
        for inside in [true, false] {
            let answer = get(&scene, "a.example", "/x/y?z=1", inside).await;
            assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
            let got = host.got().pop().unwrap();
            assert!(got.line.ends_with("/x/y?z=1"), "{}", got.line);
            let two = outside == ["h2"];
            assert_eq!(got.version == Version::HTTP_2, two);
            assert_eq!(got.headers.get("host").is_some(), !two);
        }
        assert_eq!(host.accepted(), 1, "the connection is used again");
        assert_eq!(scene.log.passes(), 2);
        let passed = scene.log.passed.lock().unwrap().pop().unwrap();
        assert_eq!(passed.rule, "a.example");
        let expected = Operation::Http {
            scheme: Scheme::Https,
            method: "GET".into(),
            host: "a.example".into(),
            port: 443,
            path: "/x/y".into(),
            query: true,
        };
        assert_eq!(passed.operation, expected);
        assert_eq!(scene.log.codes(), []);
    }
}

#[tokio::test]
async fn plain_http_passes() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request("POST", "a.example", "/", false, "hello")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(host.got()[0].body, "hello");
}

#[tokio::test]
async fn a_refusal_is_an_answer_that_says_what_to_ask_for() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2"]))).await;
    let mut narrow = rule("a.example", Scheme::Https, host.address);
    narrow.paths = vec!["/public/**".parse().unwrap()];
    let policy = EgressPolicy {
        rules: vec![narrow],
        access: cofferdam_domain::egress::AccessPolicy::Ask,
        ..EgressPolicy::default()
    };
    let scene = Scene::with(policy, Default::default(), &authority);
    for two in [true, false] {
        let answer = get(&scene, "a.example", "/private/x", two).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(answer.headers()["cofferdam-refused"], "path");
        let document: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(document["code"], "path");
        let ask: EgressRule = serde_json::from_value(document["ask"].clone()).unwrap();
        assert_eq!(ask.host.to_string(), "a.example");
        assert!(document["how"].as_str().unwrap().contains("request_access"));
    }
    assert_eq!(host.accepted(), 0, "nothing was dialled");
    let refused = scene.log.wait_for(Refusal::Path).await;
    assert!(matches!(refused.operation, Operation::Http { path, .. } if path == "/private/x"));
    // What was granted passes.
    let ask = refused.ask.unwrap();
    scene
        .door
        .grant(EgressRule { addresses: cofferdam_domain::egress::Addresses::At(host.address), ..*ask }, None)
        .unwrap();
    assert_eq!(get(&scene, "a.example", "/private/x", true).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_sent() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2"]))).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
    *scene.log.broken.lock().unwrap() = true;
    assert_eq!(get(&scene, "a.example", "/", true).await.status(), StatusCode::FORBIDDEN);
    assert_eq!((host.accepted(), host.got().len()), (0, 0));
}

#[tokio::test]
async fn a_closed_door_refuses_everything_and_ends_what_is_open() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["http/1.1"]))).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
    let open = start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &[]).await.unwrap();
    let waiting = scene.connect("a.example", 443).await;
    scene.door.close("the sandbox is frozen");
    assert_eq!(say(open, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await, "");
    drop(waiting);
    assert_eq!(scene.placeholder("a.example").await, None);
    scene.door.reopen();
    let placeholder = scene.placeholder("a.example").await.unwrap();
    scene.door.close("the sandbox is frozen");
    let stream = scene.connect_to((placeholder, 443).into()).await;
    let stream = start_tls(&scene, stream, "a.example", &[]).await.unwrap();
    let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "closed");
    assert_eq!(host.got().len(), 0);
    scene.door.reopen();
    assert_eq!(get(&scene, "a.example", "/", false).await.status(), StatusCode::OK);
}

/// A program that opens streams and breaks them off (CVE-2023-44487) is cut; others are served meanwhile.
#[tokio::test]
async fn streams_that_are_broken_off_at_once_end_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2"]))).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
    let mut stream =
        start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &["h2"]).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for number in 0..5000_u32 {
        let id = (number * 2 + 1).to_be_bytes();
        // HEADERS, its end and the stream's: GET https / (of the static table) for a.example.
        let block = [&[0x82, 0x87, 0x84, 0x01, 9][..], b"a.example"].concat();
        bytes.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 5]);
        bytes.extend(id);
        bytes.extend(block);
        // RST_STREAM: CANCEL.
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(id);
        bytes.extend([0, 0, 0, 8]);
    }
    // Is cut in the middle.
    stream.write_all(&bytes).await.ok();
    let mut rest = Vec::new();
    tokio::time::timeout(crate::scene::SOON, stream.read_to_end(&mut rest)).await.expect("it ends").ok();
    // GOAWAY (type 7) came before the end.
    assert!(rest.windows(2).any(|pair| pair == [7, 0]), "{} bytes came", rest.len());
    assert!(host.got().len() < 1000, "{} requests arrived", host.got().len());
    assert_eq!(get(&scene, "a.example", "/", true).await.status(), StatusCode::OK);
}
