//! Package registries through the door: read-only, judged, written down, and the second time for free.

use cofferdam_domain::{
    Digest,
    egress::{Addresses, EgressPolicy, Registries, Scheme},
};
use cofferdam_egress::{DoorwayOptions, PackageCache, Part, Registry, RegistryKind};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::{
    host::{Authority, Host},
    inside::{fetch, get, request, start_tls},
    scene::Scene,
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

#[tokio::test]
async fn a_package_comes_once_and_is_written_down_each_time() {
    let authority = Authority::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let served = content.clone();
    let host = Host::answering(Some(authority.vouch("repo.example", &["h2"])), move |_| {
        Response::new(Full::from(served.clone()))
    })
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
    assert_eq!((host.got().len(), scene.log.passes()), (1, 1));
    let denied = get(&scene, "repo.example", "/maven2/org/example/bad/1.0/bad-1.0.jar", true).await;
    assert_eq!(denied.headers()["cofferdam-refused"], "package");
    for (method, path) in [("PUT", JAR), ("POST", JAR), ("GET", "/maven2/../secret"), ("GET", "/elsewhere")] {
        let stream = scene.connect("repo.example", 443).await;
        let stream = start_tls(&scene, stream, "repo.example", &["http/1.1"]).await.unwrap();
        let answer = fetch(stream, false, request(method, "repo.example", path, false, "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(host.got().len(), 1);
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
    let options = DoorwayOptions {
        registries: vec![registry(&host)],
        cache: Some(cache.clone()),
        ..DoorwayOptions::default()
    };
    let registries = Registries { enabled: true, ..Registries::default() };
    let scene = Scene::with(EgressPolicy { registries, ..EgressPolicy::default() }, options, &authority);
    for _ in 0..2 {
        assert_eq!(get(&scene, "repo.example", JAR, true).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!((host.got().len(), cache.size()), (2, 0));
    assert_eq!(scene.log.fetched.lock().unwrap().len(), 0);
}
