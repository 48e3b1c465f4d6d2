//! Hosts that pass through as they are, and WebSockets once they are open.

use cofferdam_domain::egress::{EgressPolicy, EgressRule, Inspection, Operation, Refusal, Scheme};
use cofferdam_egress::DoorwayOptions;
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    host::{Authority, Host},
    inside::{fetch, request, say, start_tls},
    scene::{SOON, Scene, rule},
};

fn pass_through(host: &str, at: std::net::SocketAddr) -> EgressRule {
    let rule = rule(host, Scheme::Https, at);
    EgressRule {
        inspection: Inspection::PassThrough,
        query: false,
        body_limit: Default::default(),
        methods: vec![cofferdam_domain::egress::Method::GET, cofferdam_domain::egress::Method::HEAD],
        ..rule
    }
}

#[tokio::test]
async fn what_passes_through_ends_at_the_host_itself() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2"]))).await;
    let scene = Scene::new(vec![pass_through("a.example", host.address)], &authority);
    let stream =
        start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &["h2"]).await.unwrap();
    let answer = fetch(stream, true, request("DELETE", "a.example", "/", true, "")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let passed = scene.log.passed.lock().unwrap().clone();
    assert_eq!(passed[0].operation, Operation::Connection { host: "a.example".into(), port: 443 });
    // Another name in the TLS goes nowhere; plain HTTP neither.
    let stream =
        start_tls(&scene, scene.connect("a.example", 443).await, "b.example", &["h2"]).await.unwrap();
    let answer = fetch(stream, true, request("GET", "b.example", "/", true, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "mismatch");
    let plain = say(
        scene.connect("a.example", 443).await,
        b"GET / HTTP/1.1\r\nHost: a.example:443\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(plain.starts_with("HTTP/1.1 403"), "{plain}");
    assert_eq!(host.accepted(), 1);
}

#[tokio::test]
async fn the_name_of_what_passes_through_is_no_canary() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("billing.a.example", &["http/1.1"]))).await;
    let canary = toml::from_str("[[canaries]]\nname = \"billing\"\nhost = \"billing.a.example\"").unwrap();
    let policy = EgressPolicy { rules: vec![pass_through("*.a.example", host.address)], ..canary };
    let scene = Scene::with(policy, DoorwayOptions::default(), &authority);
    for (name, reached) in [("billing.a.example", 0), ("other.a.example", 1)] {
        let mut stream = scene.connect_to_proxy().await;
        stream.write_all(format!("CONNECT {name}:443 HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        // Whoever is there cannot show a certificate for the other one.
        drop(start_tls(&scene, stream, name, &["http/1.1"]).await);
        assert_eq!(host.accepted(), reached, "{name}");
    }
    assert!(scene.log.codes().contains(&Refusal::Canary));
}

#[tokio::test]
async fn what_passes_through_ends_with_the_door() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["http/1.1"]))).await;
    let scene = Scene::new(vec![pass_through("a.example", host.address)], &authority);
    let mut stream =
        start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &[]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 1]).await.is_ok());
    scene.door.close("frozen");
    say(stream, b"GET /again HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(host.got().len(), 1);
}

/// A host that agrees to everything and gives back what it gets.
async fn web_socket_host() -> Host {
    Host::talking(|mut stream| async move {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") && stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
        assert!(!String::from_utf8_lossy(&seen).to_ascii_lowercase().contains("extensions"));
        let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(agreed.as_bytes()).await.ok();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.ok();
    })
    .await
}

const OPEN: &str = "GET /socket HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame as a client sends it (RFC 6455, section 5.2), with a short text.
fn frame(first: u8, text: &str) -> Vec<u8> {
    let mask = [7, 11, 13, 17];
    let length = 0x80 | u8::try_from(text.len()).unwrap();
    let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [first, length].into_iter().chain(mask).chain(masked).collect()
}

/// An open WebSocket in a scene with canaries.
async fn web_socket() -> (Scene, Host, tokio::net::TcpStream) {
    let authority = Authority::new();
    let host = web_socket_host().await;
    let listed = EgressRule { web_socket: true, ..rule("a.example", Scheme::Http, host.address) };
    let canary = toml::from_str("[[canaries]]\nname = \"old key\"\nvalue = \"hunter2-hunter2\"").unwrap();
    let policy = EgressPolicy { rules: vec![listed], ..canary };
    let scene = Scene::with(policy, DoorwayOptions::default(), &authority);
    let mut stream = scene.connect("a.example", 80).await;
    let compressed = OPEN.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    stream.write_all(compressed.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("sec-websocket-accept: s3pp"), "{head}");
    assert!(!head.contains("extensions"), "{head}");
    (scene, host, stream)
}

#[tokio::test]
async fn web_sockets_open_where_a_rule_lists_them() {
    let (scene, _host, mut stream) = web_socket().await;
    for message in [frame(0x81, "first"), frame(0x01, "in "), frame(0x89, "ping"), frame(0x80, "pieces")] {
        stream.write_all(&message).await.unwrap();
        let mut back = vec![0; message.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message);
    }
    assert_eq!(scene.log.codes(), []);
}

#[tokio::test]
async fn a_message_with_a_canary_does_not_leave() {
    for said in [
        vec![frame(0x81, "k=hunter2-hunter2")],
        vec![frame(0x82, "aHVudGVyMi1odW50ZXIy")],
        vec![frame(0x01, "hunter2-"), frame(0x80, "hunter2")],
        vec![frame(0x89, "hunter2-hunter2")],
    ] {
        let (scene, _host, mut stream) = web_socket().await;
        let last = said.last().unwrap().clone();
        for frame in said {
            stream.write_all(&frame).await.unwrap();
        }
        let mut back = Vec::new();
        // Reset or closed: it is over either way.
        stream.read_to_end(&mut back).await.ok();
        assert!(!back.ends_with(&last), "{back:?}");
        scene.log.wait_for(Refusal::Canary).await;
    }
}

#[tokio::test]
async fn an_open_web_socket_says_nothing_more_once_it_is_held_back() {
    let (scene, _host, mut stream) = web_socket().await;
    let message = frame(0x81, "before");
    stream.write_all(&message).await.unwrap();
    stream.read_exact(&mut vec![0; message.len()]).await.unwrap();
    scene.door.hold_back(Some("of what came together"));
    let late = frame(0x81, "after");
    stream.write_all(&late).await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.ok();
    assert!(!back.ends_with(&late), "{back:?}");
    scene.log.wait_for(Refusal::Mixed).await;
}

#[tokio::test]
async fn what_passes_through_is_over_once_it_is_held_back() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["http/1.1"]))).await;
    let scene = Scene::new(vec![pass_through("a.example", host.address)], &authority);
    let mut stream =
        start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &[]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 1]).await.is_ok());
    scene.door.hold_back(Some("of what came together"));
    say(stream, b"GET /again HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(host.got().len(), 1);
    // Requests are seen from now on, and told apart.
    let stream =
        start_tls(&scene, scene.connect("a.example", 443).await, "a.example", &["h2"]).await.unwrap();
    let answer = fetch(stream, true, request("GET", "a.example", "/", true, "")).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "mixed");
    assert_eq!(host.got().len(), 1);
}

#[tokio::test]
async fn what_is_being_sent_is_cut_off_once_it_is_held_back() {
    let authority = Authority::new();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let told = std::sync::Mutex::new(Some(told));
    let host = Host::talking(move |mut stream| {
        let told = told.lock().unwrap().take();
        async move {
            let Some(told) = told else { return };
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                told.send(String::from_utf8_lossy(&buffer[..read]).into_owned()).ok();
            }
        }
    })
    .await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    let mut stream = scene.connect("a.example", 80).await;
    let head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    // More than is read before the door decides.
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..4 {
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    assert!(heard.recv().await.unwrap().starts_with("POST / "));
    scene.door.hold_back(Some("of what came together"));
    stream.write_all(b"6\r\nsecret\r\n0\r\n\r\n").await.unwrap();
    scene.log.wait_for(Refusal::Mixed).await;
    // The host's end of it is closed then, and has told all that it got.
    drop((scene, stream));
    let mut told = String::new();
    while let Ok(Some(piece)) = tokio::time::timeout(SOON, heard.recv()).await {
        told.push_str(&piece);
    }
    assert!(told.contains("xxx") && !told.contains("secret"), "{} bytes", told.len());
}

#[tokio::test]
async fn what_is_no_web_socket_does_not_pass_for_one() {
    let (scene, _host, mut stream) = web_socket().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.ok();
    assert_eq!(back, b"");
    scene.log.wait_for(Refusal::Protocol).await;
}

#[tokio::test]
async fn other_changes_of_protocol_are_refused() {
    let authority = Authority::new();
    let host = web_socket_host().await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Http, host.address)], &authority);
    let h2c = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    for text in [OPEN, h2c] {
        let mut stream = scene.connect("a.example", 80).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 403");
    }
    // Nor may anything be said before the answer.
    let early =
        say(scene.connect("a.example", 80).await, format!("{OPEN}GET / HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert!(!early.contains("101"), "{early}");
    assert_eq!(host.accepted(), 0);
    scene.log.wait_for(Refusal::Upgrade).await;
}
