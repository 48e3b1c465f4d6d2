//! Reading from a registry by what its protocol has, and by what a policy says about packages.

use bytes::Bytes;
use cofferdam_domain::{
    Digest,
    egress::{Addresses, EgressLimits, EgressPolicy, Refusal, Registries, RegistryPlace, Scheme},
};
use cofferdam_egress::{DoorwayOptions, PackageCache, Part, Registry, RegistryKind};
use http::{Method, Response};
use http_body_util::Full;

use crate::{
    host::{Authority, Got, Host},
    inside::{fetch, request, start_tls},
    scene::Scene,
};

const OLD: &[u8] = b"an old tarball";
/// What `abc` hashes to.
const GOOD: &str =
    "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";

fn npm(got: &Got) -> Response<Full<Bytes>> {
    let body = match got.line.split(' ').nth(1).unwrap() {
        "/left-pad" => {
            let young = jiff::Timestamp::now();
            let good = format!(r#"{{"dist":{{"integrity":"{GOOD}"}}}}"#);
            Bytes::from(format!(
                r#"{{"versions":{{"1.0.0":{{}},"1.1.0":{{}},"1.2.0":{good},"1.3.0":{good},"1.4.0":{good},"1.5.0":{good},"1.6.0":{good}}},"time":{{"1.0.0":"2020-01-01T00:00:00Z","1.1.0":"{young}"}}}}"#
            ))
        }
        "/left-pad/-/left-pad-1.2.0.tgz" => Bytes::from_static(b"abc"),
        "/left-pad/-/left-pad-1.3.0.tgz" => Bytes::from_static(b"abd"),
        "/left-pad/-/left-pad-1.4.0.tgz" => {
            let answer = Response::builder().header("content-encoding", "identity");
            return answer.body(Full::from(&b"abd"[..])).unwrap();
        }
        "/left-pad/-/left-pad-1.5.0.tgz" => {
            return Response::builder().status(203).body(Full::from(&b"abd"[..])).unwrap();
        }
        "/left-pad/-/left-pad-1.6.0.tgz" => {
            return Response::builder().status(500).body(Full::from(&b"abd"[..])).unwrap();
        }
        "/left-pad/-/left-pad-1.0.0.tgz" | "/left-pad/-/left-pad-1.1.0.tgz" => Bytes::from_static(OLD),
        _ => return Response::builder().status(404).body(Full::default()).unwrap(),
    };
    Response::new(Full::new(body))
}

fn scene(host: &Host, registries: Registries, cache: Option<PackageCache>, authority: &Authority) -> Scene {
    made(host, registries, EgressLimits::default(), cache, authority)
}

fn scene_within(host: &Host, registries: Registries, limits: EgressLimits, authority: &Authority) -> Scene {
    made(host, registries, limits, None, authority)
}

fn made(
    host: &Host,
    registries: Registries,
    limits: EgressLimits,
    cache: Option<PackageCache>,
    authority: &Authority,
) -> Scene {
    let registry = Registry {
        kind: RegistryKind::Npm,
        part: Part::Whole,
        scheme: Scheme::Https,
        host: "localhost".parse().unwrap(),
        port: host.address.port(),
        base: String::new(),
        addresses: Addresses::At(host.address),
        credential: None,
    };
    let registries = Registries { enabled: true, ..registries };
    let policy = EgressPolicy { registries, limits, ..EgressPolicy::default() };
    let options = DoorwayOptions { registries: vec![registry], cache, ..DoorwayOptions::default() };
    Scene::with(policy, options, authority)
}

async fn host(authority: &Authority) -> Host {
    Host::answering(Some(authority.vouch("localhost", &["http/1.1"])), npm).await
}

/// Status, reason of refusal, body.
async fn ask(scene: &Scene, host: &Host, method: Method, path: &str) -> (u16, String, Bytes) {
    let port = host.address.port();
    let stream = scene.connect("localhost", port).await;
    let stream = start_tls(scene, stream, "localhost", &["http/1.1"]).await.unwrap();
    let body = if method == Method::GET { "" } else { "{}" };
    let request = request(method.as_str(), &format!("localhost:{port}"), path, false, body);
    let answer = fetch(stream, false, request).await.unwrap();
    let code = answer.headers().get("cofferdam-refused").map_or("", |code| code.to_str().unwrap());
    (answer.status().as_u16(), code.to_owned(), answer.body().clone())
}

#[tokio::test]
async fn a_registry_is_read_and_nothing_else() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene(&host, Registries::default(), None, &authority);
    assert_eq!(ask(&scene, &host, Method::GET, "/left-pad").await.0, 200);
    assert_eq!(ask(&scene, &host, Method::GET, "/left-pad/-/left-pad-1.0.0.tgz").await.2, OLD);
    let reached = host.got().len();
    for (method, path) in [
        (Method::PUT, "/left-pad"),
        (Method::POST, "/-/npm/v1/security/advisories/bulk"),
        (Method::GET, "/-/v1/search?text=secret"),
        (Method::GET, "/left-pad?exfiltrated"),
        (Method::GET, "/-/whoami"),
        (Method::DELETE, "/left-pad/-rev/1"),
        (Method::PUT, "/-/user/org.couchdb.user:x"),
    ] {
        let (status, code, body) = ask(&scene, &host, method.clone(), path).await;
        assert_eq!((status, code.as_str()), (403, "registry"), "{method} {path}: {body:?}");
    }
    assert_eq!(host.got().len(), reached, "nothing of it left");
    let fetched = scene.log.wait_for_package_named("left-pad").await;
    assert_eq!((fetched.version.as_str(), fetched.cached), ("1.0.0", false));
    assert_eq!((fetched.digest, fetched.size), (Digest::of(OLD), OLD.len() as u64));
}

#[tokio::test]
async fn young_denied_and_pinned_packages_do_not_come_through() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let registries = Registries {
        cool_down_days: 7,
        deny: vec!["npm:evil*".to_owned()],
        only_from: [("npm:@own/*".to_owned(), "npm.company.example".to_owned())].into(),
        ..Registries::default()
    };
    let scene = scene(&host, registries, None, &authority);
    for (path, expected) in [
        ("/left-pad/-/left-pad-1.0.0.tgz", ""),
        ("/left-pad/-/left-pad-1.1.0.tgz", "cool_down"),
        // What the index does not have is not asked for: what a name could carry does not leave.
        ("/left-pad/-/left-pad-6.6.6.tgz", "package"),
        ("/evil-thing", "package"),
        ("/@own%2fleft-pad", "package"),
        ("/left-pad", ""),
    ] {
        let (_, code, body) = ask(&scene, &host, Method::GET, path).await;
        assert_eq!(code, expected, "{path}: {}", String::from_utf8_lossy(&body));
    }
    let got: Vec<String> = host.got().into_iter().map(|got| got.line).collect();
    let left = |text: &str| got.iter().any(|line| line.contains(text));
    assert!(!left("1.1.0.tgz") && !left("6.6.6") && !left("evil") && !left("own"), "{got:?}");
    let published = scene.log.wait_for_package_named("left-pad").await.published;
    assert_eq!(published.map(|time| time.0), Some(1_577_836_800_000));
}

#[tokio::test]
async fn a_version_that_no_index_lists_is_not_asked_for() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene(&host, Registries::default(), None, &authority);
    for (path, status, code) in [
        ("/left-pad/-/left-pad-6.6.6-c2VjcmV0.tgz", 403, "package"),
        ("/unheard-of/-/unheard-of-1.0.0.tgz", 403, "package"),
        ("/left-pad/-/left-pad-1.1.0.tgz", 200, ""),
    ] {
        let (given, refused, body) = ask(&scene, &host, Method::GET, path).await;
        assert_eq!((given, refused.as_str()), (status, code), "{path}: {}", String::from_utf8_lossy(&body));
    }
    let got: Vec<String> = host.got().into_iter().map(|got| got.line).collect();
    assert!(!got.iter().any(|line| line.contains("6.6.6") || line.contains("unheard-of-1")), "{got:?}");
    assert_eq!(got.iter().filter(|line| line.ends_with(" /left-pad")).count(), 1, "{got:?}");
}

#[tokio::test]
async fn an_index_is_read_once_however_many_ask_and_counts() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene(&host, Registries::default(), None, &authority);
    let path = "/left-pad/-/left-pad-1.0.0.tgz";
    let one = || ask(&scene, &host, Method::GET, path);
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    assert_eq!([a.0, b.0, c.0, d.0], [200; 4]);
    let lines = |got: &[Got]| got.iter().filter(|got| got.line.ends_with(" /left-pad")).count();
    assert_eq!(lines(&host.got()), 1);

    let limits = EgressLimits { bytes_in: 60, ..EgressLimits::default() };
    let narrow = scene_within(&host, Registries::default(), limits, &authority);
    let (status, _, body) = ask(&narrow, &host, Method::GET, path).await;
    assert_eq!(status, 403);
    assert!(String::from_utf8_lossy(&body).contains("limit of bytes received"), "{body:?}");
}

#[tokio::test]
async fn the_second_session_downloads_nothing() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let path = "/left-pad/-/left-pad-1.0.0.tgz";
    for cached in [false, true, true] {
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        let scene = scene(&host, Registries::default(), Some(cache), &authority);
        assert_eq!(ask(&scene, &host, Method::GET, path).await.2, OLD);
        let fetched = scene.log.wait_for_package_named("left-pad").await;
        assert_eq!((fetched.cached, fetched.digest), (cached, Digest::of(OLD)));
    }
    assert_eq!(host.got().len(), 2, "the index and the package");
}

#[tokio::test]
async fn a_registry_that_is_down_is_said_to_be() {
    let authority = Authority::new();
    let gone = Host::talking(|stream| async move { drop(stream) }).await;
    let scene = scene(&gone, Registries { cool_down_days: 7, ..Registries::default() }, None, &authority);
    let (status, code, body) = ask(&scene, &gone, Method::GET, "/left-pad/-/left-pad-1.0.0.tgz").await;
    assert_eq!((status, code.as_str()), (403, "index"));
    let reason = String::from_utf8_lossy(&body).into_owned();
    assert!(reason.contains("index of left-pad cannot be read"), "{reason}");
}

#[tokio::test]
async fn what_is_not_what_the_index_names_is_cut_off_and_not_kept() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let session = || {
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        scene(&host, Registries::default(), Some(cache), &authority)
    };
    let right = session();
    assert_eq!(&ask(&right, &host, Method::GET, "/left-pad/-/left-pad-1.2.0.tgz").await.2[..], b"abc");
    right.log.wait_for_package_named("left-pad").await;
    let wrong = session();
    let stream = wrong.connect("localhost", host.address.port()).await;
    let stream = start_tls(&wrong, stream, "localhost", &["http/1.1"]).await.unwrap();
    let name = format!("localhost:{}", host.address.port());
    let asked = request("GET", &name, "/left-pad/-/left-pad-1.3.0.tgz", false, "");
    assert!(fetch(stream, false, asked).await.is_err(), "it never comes to its end");
    wrong.log.wait_for(Refusal::Digest).await;
    assert!(wrong.log.fetched.lock().unwrap().is_empty());
    assert_eq!(PackageCache::open(folder.path(), 1 << 20).unwrap().size(), 3, "only what is right is kept");
}

#[tokio::test]
async fn what_cannot_be_compared_with_the_index_does_not_come() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene(&host, Registries::default(), None, &authority);
    for (version, status, code) in [("1.4.0", 403, "digest"), ("1.5.0", 403, "digest"), ("1.6.0", 500, "")] {
        let path = format!("/left-pad/-/left-pad-{version}.tgz");
        let (got, refused, _) = ask(&scene, &host, Method::GET, &path).await;
        assert_eq!((got, refused.as_str()), (status, code), "{version}");
    }
}

#[tokio::test]
async fn registries_that_a_policy_names_are_registries() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let place = RegistryPlace {
        kind: "npm".into(),
        part: "whole".into(),
        url: format!("https://localhost:{}/", host.address.port()),
        addresses: Addresses::At(host.address),
        credential: None,
    };
    let registries = Registries { enabled: true, more: vec![place], ..Registries::default() };
    let policy = EgressPolicy { registries, ..EgressPolicy::default() };
    let scene = Scene::with(policy, DoorwayOptions::default(), &authority);
    assert_eq!(ask(&scene, &host, Method::GET, "/left-pad/-/left-pad-1.0.0.tgz").await.2, OLD);
    assert_eq!(ask(&scene, &host, Method::GET, "/-/v1/search").await.1, "registry");
}

#[tokio::test]
async fn a_flat_repository_of_debian_packages_is_read() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let place = RegistryPlace {
        kind: "apt".into(),
        part: "whole".into(),
        url: "http://deb.example/flat/".into(),
        addresses: Addresses::At(host.address),
        credential: None,
    };
    let registries = Registries { enabled: true, more: vec![place], ..Registries::default() };
    let policy = EgressPolicy { registries, ..EgressPolicy::default() };
    let scene = Scene::with(policy, DoorwayOptions::default(), &authority);
    for (path, code) in [
        ("/flat/./InRelease", 200),
        ("/flat/./tool_1.0_all.deb", 200),
        ("/flat/Packages.gz", 200),
        ("/flat/././Packages.gz", 403),
        ("/flat/./../Packages.gz", 403),
        ("/flat/./notes.txt", 403),
    ] {
        let stream = scene.connect("deb.example", 80).await;
        let answer = fetch(stream, false, request("GET", "deb.example", path, false, "")).await.unwrap();
        assert_eq!(answer.status().as_u16(), code, "{path}");
    }
    let asked: Vec<String> = host.got().into_iter().map(|got| got.line).collect();
    assert!(asked.iter().any(|line| line.ends_with(" /flat/tool_1.0_all.deb")), "{asked:?}");
}
