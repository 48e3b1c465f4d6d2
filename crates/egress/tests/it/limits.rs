//! Hard limits hold, whatever a program or a host does.

use std::time::Duration;

use cofferdam_domain::egress::{BodyLimit, EgressLimits, EgressPolicy, Refusal, Scheme};
use cofferdam_egress::DoorwayOptions;
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use crate::{
    host::{Authority, Host},
    inside::{fetch, get, request, say},
    scene::{SOON, Scene, quick, rule},
};

fn limited(host: &Host, limits: EgressLimits, authority: &Authority) -> Scene {
    let rules = vec![rule("a.example", Scheme::Http, host.address)];
    Scene::with(
        EgressPolicy { rules, limits, ..EgressPolicy::default() },
        DoorwayOptions::default(),
        authority,
    )
}

async fn plain_get(scene: &Scene) -> Result<Response<bytes::Bytes>, hyper::Error> {
    let stream = scene.connect("a.example", 80).await;
    fetch(stream, false, request("GET", "a.example", "/", false, "")).await
}

#[tokio::test]
async fn requests_are_counted() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = limited(&host, EgressLimits { requests: 3, ..EgressLimits::default() }, &authority);
    for number in 0..5 {
        let answer = plain_get(&scene).await.unwrap();
        let expected = if number < 3 { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status(), expected);
    }
    assert_eq!(host.got().len(), 3);
    scene.log.wait_for(Refusal::Limit).await;
}

#[tokio::test]
async fn bytes_are_counted_in_both_directions() {
    let authority = Authority::new();
    let host = Host::answering(None, |_| Response::new(Full::from(vec![b'x'; 1 << 20]))).await;
    let scene = limited(&host, EgressLimits { bytes_in: 300_000, ..EgressLimits::default() }, &authority);
    assert!(plain_get(&scene).await.is_err(), "cut in the middle");
    assert_eq!(plain_get(&scene).await.unwrap().headers()["cofferdam-refused"], "limit");
    assert_eq!(host.accepted(), 1);

    let host = Host::echoing(None).await;
    let scene = limited(&host, EgressLimits { bytes_out: 100_000, ..EgressLimits::default() }, &authority);
    let body = "y".repeat(200_000);
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request("POST", "a.example", "/", false, &body)).await;
    assert!(answer.is_err() || answer.unwrap().headers()["cofferdam-refused"] == "limit");
    assert!(host.got().iter().all(|got| got.body.len() < 100_000));
}

#[tokio::test]
async fn bodies_are_limited_while_they_are_sent() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let mut small = rule("a.example", Scheme::Http, host.address);
    small.body_limit = BodyLimit(1000);
    let scene = Scene::new(vec![small], &authority);
    // Announced: refused at once.
    let stream = scene.connect("a.example", 80).await;
    let answer =
        fetch(stream, false, request("POST", "a.example", "/", false, &"y".repeat(1001))).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "body");
    assert_eq!(host.accepted(), 0);
    // Not announced: cut when it is reached.
    let chunk = format!("258\r\n{}\r\n", "y".repeat(600));
    let text = format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}0\r\n\r\n"
    );
    let answer = say(scene.connect("a.example", 80).await, text.as_bytes()).await;
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    assert!(host.got().iter().all(|got| got.body.len() <= 1000));
}

#[tokio::test]
async fn thousands_of_connections_are_turned_away_and_the_next_one_is_served() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let scene = limited(&host, EgressLimits { connections: 20, ..EgressLimits::default() }, &authority);
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(scene.connect_to_proxy().await);
    }
    // Each has been taken once it is answered.
    for stream in &mut open {
        stream.write_all(b"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
    }
    for _ in 0..2000 {
        let mut stream = scene.connect_to_proxy().await;
        assert!(!matches!(stream.read(&mut [0; 1]).await, Ok(1..)));
    }
    let refused = scene.log.wait_for(Refusal::Limit).await;
    assert_eq!(refused.count, 1);
    assert!(scene.log.refused.lock().unwrap().len() < 50, "a burst does not fill the log");
    drop(open);
    let answer = loop {
        let stream = scene.connect_to_proxy().await;
        let text = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        let answer = say(stream, text).await;
        // Until the door has seen that the others are gone.
        if !answer.is_empty() {
            break answer;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

static PIECE: [u8; 4096] = [b'x'; 4096];

/// A host that answers without end, and says when nobody has taken anything for a while (`false`), and when it cannot
/// say any more (`true`).
async fn endless(told: mpsc::UnboundedSender<bool>) -> Host {
    Host::talking(move |mut stream| {
        let told = told.clone();
        async move {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") && stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0)
            {
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 68719476736\r\n\r\n").await.ok();
            loop {
                let written = match timeout(Duration::from_millis(500), stream.write(&PIECE)).await {
                    Ok(written) => written,
                    Err(_) => {
                        told.send(false).ok();
                        stream.write(&PIECE).await
                    }
                };
                if written.is_err() {
                    told.send(true).ok();
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_program_that_does_not_read_is_left() {
    let authority = Authority::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let host = endless(told).await;
    let rules = vec![rule("a.example", Scheme::Http, host.address)];
    let options = DoorwayOptions { patience: quick(), ..DoorwayOptions::default() };
    let scene = Scene::with(EgressPolicy { rules, ..EgressPolicy::default() }, options, &authority);
    let mut stream = scene.connect("a.example", 80).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    let left = async { while tells.recv().await != Some(true) {} };
    timeout(SOON, left).await.expect("the door hangs up on the host");
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Set in the process that is measured.
const MEASURED: &str = "COFFERDAM_TEST_MEASURED";
/// As many as are permitted at the same time; half of them wait for the others.
const READ_NOTHING: usize = 512;
/// Requests of one door under way at the same time.
const FLIGHTS: usize = 256;
/// Bytes that all of them may take, with the test's own ends of their connections.
const LITTLE: u64 = 24 << 20;

#[tokio::test]
async fn programs_that_do_not_read_take_little_memory() {
    if std::env::var_os(MEASURED).is_none() {
        // Alone in a process of its own, so that only this is measured.
        let name = "limits::programs_that_do_not_read_take_little_memory";
        let mut alone = tokio::process::Command::new(std::env::current_exe().unwrap());
        let alone = alone.args(["--exact", name, "--nocapture"]).env(MEASURED, "1").kill_on_drop(true);
        let output = alone.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        return;
    }
    let authority = Authority::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let host = endless(told).await;
    let scene = limited(&host, EgressLimits::default(), &authority);
    let before = resident();
    let mut streams = Vec::new();
    for _ in 0..READ_NOTHING {
        let mut stream = scene.connect("a.example", 80).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
        streams.push(stream);
    }
    for _ in 0..FLIGHTS {
        assert_eq!(timeout(SOON, tells.recv()).await.expect("it stalls"), Some(false));
    }
    let taken = resident() - before;
    eprintln!("{READ_NOTHING} connections take {taken} bytes");
    assert!(taken < LITTLE, "{taken} bytes for {READ_NOTHING} connections");
}

#[tokio::test]
async fn many_requests_side_by_side_all_pass() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["h2"]))).await;
    let scene =
        std::sync::Arc::new(Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority));
    let mut all = tokio::task::JoinSet::new();
    for number in 0..200 {
        let scene = scene.clone();
        all.spawn(
            async move { get(&scene, "a.example", &format!("/{number}"), number % 2 == 0).await.status() },
        );
    }
    assert!(all.join_all().await.into_iter().all(|status| status == StatusCode::OK));
    assert_eq!((host.got().len(), scene.log.passes()), (200, 200));
}
