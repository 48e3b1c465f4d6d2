//! Package registries through the door: read-only, judged, written down, and the second time for free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cofferdam_domain::{
    Digest,
    egress::{Addresses, EgressLimits, EgressPolicy, Registries, Scheme},
};
use cofferdam_egress::{DoorwayOptions, PackageCache, Part, Registry, RegistryKind};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    host::{Authority, Got, Host},
    inside::{fetch, get, request, start_tls},
    scene::{SOON, Scene},
};

const JAR: &str = "/maven2/org/example/thing/1.0/thing-1.0.jar";

fn registry(host: &Host) -> Registry {
    Registry {
        kind: RegistryKind::Maven,
        part: Part::Whole,
        scheme: Scheme::Https,
        host: "repo.example".parse().unwrap(),
        port: 443,
        base: "/maven2".into(),
        addresses: Addresses::At(host.address),
        credential: None,
    }
}

/// A host that has packages, and no checksums beside them, which the door asks for.
fn without_checksums(
    answer: impl Fn(&Got) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> impl Fn(&Got) -> Response<Full<Bytes>> + Send + Sync + 'static {
    move |got| {
        if is_checksum(got) {
            return Response::builder().status(404).body(Full::default()).unwrap();
        }
        answer(got)
    }
}

fn is_checksum(got: &Got) -> bool {
    got.line.contains(".jar.sha")
}

/// What a host was asked for but checksums.
fn asked_of(host: &Host) -> Vec<Got> {
    host.got().into_iter().filter(|got| !is_checksum(got)).collect()
}

/// A session whose packages are kept here.
fn session(registry: Registry, cache: &PackageCache, authority: &Authority) -> Scene {
    limited(registry, cache, authority, EgressLimits::default())
}

fn limited(registry: Registry, cache: &PackageCache, authority: &Authority, limits: EgressLimits) -> Scene {
    let options = DoorwayOptions {
        registries: vec![registry],
        cache: Some(cache.clone()),
        ..DoorwayOptions::default()
    };
    let registries = Registries { enabled: true, ..Registries::default() };
    Scene::with(EgressPolicy { registries, limits, ..EgressPolicy::default() }, options, authority)
}

/// The package, asked for with these fields.
async fn get_with(scene: &Scene, two: bool, fields: &[(&'static str, &'static str)]) -> Response<Bytes> {
    let stream = scene.connect("repo.example", 443).await;
    let protocols: &[&str] = if two { &["h2"] } else { &["http/1.1"] };
    let stream = start_tls(scene, stream, "repo.example", protocols).await.unwrap();
    fetch(stream, two, asking(two, fields)).await.unwrap()
}

fn asking(two: bool, fields: &[(&'static str, &'static str)]) -> Request<Full<Bytes>> {
    let mut request = request("GET", "repo.example", JAR, two, "");
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_package_comes_once_and_is_written_down_each_time() {
    let authority = Authority::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let served = content.clone();
    let host = Host::answering(
        Some(authority.vouch("repo.example", &["h2"])),
        without_checksums(move |_| Response::new(Full::from(served.clone()))),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let options = DoorwayOptions {
        registries: vec![registry(&host)],
        cache: Some(PackageCache::open(folder.path(), 1 << 30).unwrap()),
        ..DoorwayOptions::default()
    };
    let registries =
        Registries { enabled: true, deny: vec!["maven:org.example:bad".into()], ..Registries::default() };
    let policy = EgressPolicy { registries, ..EgressPolicy::default() };
    let scene = Scene::with(policy, options, &authority);
    for cached in [false, true, true] {
        let answer = get(&scene, "repo.example", JAR, true).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.body() == &content, "{} bytes", answer.body().len());
        let fetched = scene.log.wait_for_package().await;
        assert_eq!((fetched.cached, fetched.size), (cached, content.len() as u64));
        assert_eq!(fetched.digest, Digest::of(&content));
        assert_eq!((fetched.registry.as_str(), fetched.version.as_str()), ("maven", "1.0"));
    }
    assert_eq!((asked_of(&host).len(), scene.log.passes()), (1, 1));
    let denied = get(&scene, "repo.example", "/maven2/org/example/bad/1.0/bad-1.0.jar", true).await;
    assert_eq!(denied.headers()["cofferdam-refused"], "package");
    for (method, path) in [("PUT", JAR), ("POST", JAR), ("GET", "/maven2/../secret"), ("GET", "/elsewhere")] {
        let stream = scene.connect("repo.example", 443).await;
        let stream = start_tls(&scene, stream, "repo.example", &["http/1.1"]).await.unwrap();
        let answer = fetch(stream, false, request(method, "repo.example", path, false, "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(asked_of(&host).len(), 1);
}

#[tokio::test]
async fn what_is_no_package_is_not_kept() {
    let authority = Authority::new();
    let host = Host::answering(Some(authority.vouch("repo.example", &["h2"])), |_| {
        let mut answer = Response::new(Full::from("gone"));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        answer
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
    let scene = session(registry(&host), &cache, &authority);
    for _ in 0..2 {
        assert_eq!(get(&scene, "repo.example", JAR, true).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!((asked_of(&host).len(), cache.size()), (2, 0));
    assert_eq!(scene.log.fetched.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_one_session_says_shapes_nothing_for_the_others() {
    const HEARD: [&str; 4] = ["host", "accept", "accept-encoding", "user-agent"];
    let authority = Authority::new();
    for (outside, two) in [("h2", true), ("http/1.1", false)] {
        let host = Host::answering(
            Some(authority.vouch("repo.example", &[outside])),
            without_checksums(|got| {
                let shaped = got.headers.keys().any(|name| !HEARD.contains(&name.as_str()));
                let plain = got.headers["accept"] == "*/*" && got.headers["accept-encoding"] == "identity";
                Response::new(Full::from(if plain && !shaped { "for all" } else { "for one" }))
            }),
        )
        .await;
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
        let first = session(registry(&host), &cache, &authority);
        let fields = [
            ("accept", "application/x-evil"),
            ("accept-encoding", "gzip"),
            ("accept-language", "x-evil"),
            ("authorization", "Bearer evil"),
            ("cookie", "version=evil"),
            ("origin", "https://evil.example"),
            // A piece is not asked for either: what comes is the package, and is written down as that.
            ("range", "bytes=0-"),
            ("if-range", "x"),
            ("user-agent", "builder/1.0"),
            ("x-version", "evil"),
        ];
        let answer = get_with(&first, two, &fields).await;
        assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"for all".as_slice()));
        assert_eq!(asked_of(&host)[0].headers["user-agent"], "builder/1.0");
        let fetched = first.log.wait_for_package().await;
        assert_eq!((fetched.digest, fetched.cached), (Digest::of(b"for all"), false));
        let second = session(registry(&host), &cache, &authority);
        assert_eq!(get_with(&second, two, &[]).await.body().as_ref(), b"for all");
        assert!(second.log.wait_for_package().await.cached);
        assert_eq!(asked_of(&host).len(), 1);
    }
}

#[tokio::test]
async fn only_what_everybody_may_get_is_kept() {
    let authority = Authority::new();
    for (name, value, kept) in [
        ("vary", "Accept-Encoding, Origin", true),
        ("vary", "accept-encoding, Cookie", false),
        ("vary", "User-Agent", false),
        ("vary", "*", false),
        ("cache-control", "public, max-age=31536000, immutable", true),
        ("cache-control", "max-age=60, Private", false),
        ("cache-control", "private=\"set-cookie\"", false),
        ("cache-control", "no-store", false),
        ("content-type", "application/java-archive", true),
        ("content-type", "Text/HTML; charset=utf-8", false),
        ("content-type", "application/xhtml+xml", false),
    ] {
        let host = Host::answering(Some(authority.vouch("repo.example", &["h2"])), move |_| {
            Response::builder().header(name, value).body(Full::from("content")).unwrap()
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
        let scene = session(registry(&host), &cache, &authority);
        assert_eq!(get_with(&scene, true, &[]).await.body().as_ref(), b"content");
        assert_eq!(scene.log.wait_for_package().await.digest, Digest::of(b"content"));
        assert_eq!(cache.size() > 0, kept, "{name}: {value}");
    }
}

/// A host that answers one request with these bytes, and hangs up.
async fn saying(bytes: &'static [u8]) -> Host {
    Host::talking(move |mut stream: TcpStream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(bytes).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn what_may_have_broken_off_is_not_kept() {
    let authority = Authority::new();
    for (said, comes, kept) in [
        (b"HTTP/1.1 200 OK\r\n\r\nhalf".as_slice(), true, false),
        (b"HTTP/1.0 200 OK\r\n\r\nhalf", true, false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf", false, false),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", false, false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf", true, true),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n", true, true),
    ] {
        let host = saying(said).await;
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
        let plain = Registry { scheme: Scheme::Http, port: 80, ..registry(&host) };
        let scene = session(plain, &cache, &authority);
        let answer = fetch(scene.connect("repo.example", 80).await, false, asking(false, &[])).await;
        let text = String::from_utf8_lossy(said);
        assert_eq!(answer.is_ok(), comes, "{text}: {answer:?}");
        if comes {
            assert_eq!(scene.log.wait_for_package().await.digest, Digest::of(b"half"), "{text}");
        }
        assert_eq!(cache.size() > 0, kept, "{text}");
    }
}

#[tokio::test]
async fn who_does_not_trust_what_is_kept_has_it_fetched_for_all() {
    let authority = Authority::new();
    let count = AtomicUsize::new(0);
    let host = Host::answering(
        Some(authority.vouch("repo.example", &["h2"])),
        without_checksums(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Response::new(Full::from("bad")),
            1 => Response::builder().status(500).body(Full::from("not now")).unwrap(),
            _ => Response::new(Full::from("good")),
        }),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
    let scene = session(registry(&host), &cache, &authority);
    let anew: [&[_]; 2] = [&[("cache-control", "max-age=0, No-Cache")], &[("pragma", "no-cache")]];
    for (fields, content) in
        [([].as_slice(), "bad"), (anew[0], "not now"), (&[], "bad"), (anew[1], "good"), (&[], "good")]
    {
        assert_eq!(get_with(&scene, true, fields).await.body().as_ref(), content.as_bytes());
        if content != "not now" {
            assert_eq!(scene.log.wait_for_package().await.digest, Digest::of(content.as_bytes()));
        }
    }
    assert_eq!(asked_of(&host).len(), 3);
}

#[tokio::test]
async fn who_reads_nothing_holds_up_only_himself() {
    let authority = Authority::new();
    let host = Host::answering(Some(authority.vouch("repo.example", &["h2"])), |_| {
        Response::new(Full::from(vec![7; 20_000_000]))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
    let slow = session(registry(&host), &cache, &authority);
    let unread = ask_without_reading(&slow, 1).await.remove(0);
    let unread = timeout(SOON, unread).await.expect("a head").unwrap();
    let other = session(registry(&host), &cache, &authority);
    assert_eq!(get_with(&other, true, &[]).await.body().len(), 20_000_000);
    other.log.wait_for_package().await;
    assert!(cache.size() > 0, "kept, although the first has not read it");
    drop(unread);
}

#[tokio::test]
async fn packages_that_nobody_reads_are_open_in_bounded_number() {
    let authority = Authority::new();
    let host = Host::answering(Some(authority.vouch("repo.example", &["h2"])), |_| {
        Response::new(Full::from(vec![7; 3_000_000]))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
    let limits = EgressLimits { connections: 2, ..EgressLimits::default() };
    let scene = limited(registry(&host), &cache, &authority, limits);
    get_with(&scene, true, &[]).await;
    scene.log.wait_for_package().await;
    let mut asked = ask_without_reading(&scene, 3).await;
    let mut third = asked.pop().unwrap();
    let mut open = Vec::new();
    for one in asked {
        open.push(timeout(SOON, one).await.expect("a head").unwrap());
    }
    assert!(timeout(Duration::from_millis(300), &mut third).await.is_err(), "two are open");
    let read = open.pop().unwrap().into_body().collect();
    assert_eq!(timeout(SOON, read).await.expect("an end").unwrap().to_bytes().len(), 3_000_000);
    assert_eq!(timeout(SOON, third).await.expect("its turn").unwrap().status(), StatusCode::OK);
}

type Asked = std::pin::Pin<
    Box<dyn Future<Output = Result<Response<hyper::body::Incoming>, hyper::Error>> + Send + 'static>,
>;

/// Asks for the package so many times at once over one connection, in this order.
async fn ask_without_reading(scene: &Scene, times: usize) -> Vec<Asked> {
    let stream = scene.connect("repo.example", 443).await;
    let stream = start_tls(scene, stream, "repo.example", &["h2"]).await.unwrap();
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = shaken.await.unwrap();
    tokio::spawn(connection);
    let ask = |_| Box::pin(sender.send_request(asking(true, &[]))) as Asked;
    (0..times).map(ask).collect()
}

/// Answers requests over HTTP/2 with half of what it announces, and ends each stream without an error (RFC 9113, sections 4, 6 and 8.1).
async fn break_off(
    stream: TcpStream,
    tls: tokio_rustls::TlsAcceptor,
    announced: &'static [u8],
    asked: Arc<AtomicUsize>,
) {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    let Ok(mut stream) = tls.accept(stream).await else { return };
    let frame = |kind: u8, flags: u8, id: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, id], payload].concat()
    };
    stream.write_all(&frame(4, 0, 0, &[])).await.ok();
    stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] != HEADERS {
            continue;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        // `:status: 200` of the static table of HPACK, and perhaps a length.
        let answer = [
            frame(HEADERS, 4, head[8], &[&[0x88], announced].concat()),
            frame(0, 0, head[8], b"half of it"),
            frame(3, 0, head[8], &[0; 4]),
        ];
        stream.write_all(&answer.concat()).await.ok();
    }
}

#[tokio::test]
async fn a_stream_that_ends_before_its_answer_is_not_whole() {
    // `content-length: 20`, by its place in the static table.
    for announced in [&b"\x0f\x0d\x0220"[..], b""] {
        let authority = Authority::new();
        let (tls, asked) = (authority.vouch("repo.example", &["h2"]), Arc::<AtomicUsize>::default());
        let count = asked.clone();
        let host =
            Host::talking(move |stream| break_off(stream, tls.clone(), announced, count.clone())).await;
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 30).unwrap();
        let scene = session(registry(&host), &cache, &authority);
        for time in 1..=2 {
            let stream = scene.connect("repo.example", 443).await;
            let stream = start_tls(&scene, stream, "repo.example", &["http/1.1"]).await.unwrap();
            assert!(fetch(stream, false, asking(false, &[])).await.is_err(), "it is cut off inside, too");
            scene.log.wait_for(cofferdam_domain::egress::Refusal::Unreachable).await;
            assert_eq!(asked.load(Ordering::SeqCst), time, "nothing was kept of it");
        }
        assert!(scene.log.fetched.lock().unwrap().is_empty());
    }
}
