//! Debian packages are compared with the lists that came before them, artefacts of Maven repositories with the checksums beside them.

use std::io::Write as _;

use bytes::Bytes;
use cofferdam_domain::egress::{Addresses, EgressPolicy, Fetched, Refusal, Registries, Scheme};
use cofferdam_egress::{DoorwayOptions, PackageCache, Part, Registry, RegistryKind};
use http::Response;
use http_body_util::Full;
use sha2::{Digest as _, Sha256};

use crate::{
    host::{Authority, Got, Host},
    inside::{fetch, request, start_tls},
    scene::Scene,
};

const GOOD: &[u8] = b"a package";
const EVIL: &[u8] = b"another one";
const SHA1_OF_ABC: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The list of packages: a good one with a plus in its name, and one that is not what comes for it.
fn packages() -> Vec<u8> {
    let stanza = |name: &str| format!("Package: x\nFilename: pool/main/x/{name}\nSHA256: {}\n\n", hash(GOOD));
    let text = [stanza("good_1+2_all.deb"), stanza("evil_1_all.deb")].concat();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn repository(got: &Got) -> Response<Full<Bytes>> {
    let path = got.line.split(' ').nth(1).unwrap();
    let body: Vec<u8> = match path {
        "/debian/dists/s/InRelease" => {
            let (list, other) = (hash(&packages()), hash(b"what was meant"));
            format!("SHA256:\n {list} 1 main/binary-all/Packages.gz\n {other} 1 lying/binary-all/Packages\n")
                .into_bytes()
        }
        "/debian/dists/s/main/binary-all/Packages.gz" => packages(),
        "/debian/dists/s/lying/binary-all/Packages" => {
            format!("Filename: pool/main/x/evil_1_all.deb\nSHA256: {}\n", hash(EVIL)).into_bytes()
        }
        "/debian/pool/main/x/good_1%2b2_all.deb" | "/debian/pool/main/x/unknown_1_all.deb" => GOOD.to_vec(),
        "/debian/pool/main/x/evil_1_all.deb" => EVIL.to_vec(),
        "/m2/a/lib/1/lib-1.jar" | "/m2/a/lib/3/lib-3.jar" | "/m2/a/lib/4/lib-4.jar" => b"abc".to_vec(),
        "/m2/a/lib/2/lib-2.jar" | "/m2/a/lib/5/lib-5.jar" => b"abd".to_vec(),
        "/m2/a/lib/1/lib-1.jar.sha1" | "/m2/a/lib/2/lib-2.jar.sha1" | "/m2/a/lib/5/lib-5.jar.sha1" => {
            SHA1_OF_ABC.into()
        }
        // The better one is believed.
        "/m2/a/lib/5/lib-5.jar.sha256" => format!("{}  lib-5.jar\n", hash(b"abd")).into_bytes(),
        "/m2/a/lib/4/lib-4.jar.sha1" => b"<html>busy</html>".to_vec(),
        _ => match path.rsplit_once("/by-hash/SHA256/") {
            Some((_, name)) if name == hash(&packages()) => packages(),
            Some((_, name)) if name == hash(b"never") => packages(),
            _ => return Response::builder().status(404).body(Full::default()).unwrap(),
        },
    };
    Response::new(Full::from(body))
}

fn scene(host: &Host, kind: RegistryKind, cache: Option<PackageCache>, authority: &Authority) -> Scene {
    let base = if kind == RegistryKind::Apt { "/debian" } else { "/m2" };
    let registry = Registry {
        kind,
        part: Part::Whole,
        scheme: Scheme::Https,
        host: "localhost".parse().unwrap(),
        port: host.address.port(),
        base: base.to_owned(),
        addresses: Addresses::At(host.address),
        credential: None,
    };
    let registries = Registries { enabled: true, ..Registries::default() };
    let policy = EgressPolicy { registries, ..EgressPolicy::default() };
    let options = DoorwayOptions { registries: vec![registry], cache, ..DoorwayOptions::default() };
    Scene::with(policy, options, authority)
}

async fn host(authority: &Authority) -> Host {
    Host::answering(Some(authority.vouch("localhost", &["http/1.1"])), repository).await
}

/// What comes of a path, if it comes to its end.
async fn get(scene: &Scene, host: &Host, path: &str) -> Option<Bytes> {
    let name = format!("localhost:{}", host.address.port());
    let stream = scene.connect("localhost", host.address.port()).await;
    let stream = start_tls(scene, stream, "localhost", &["http/1.1"]).await.unwrap();
    let answer = fetch(stream, false, request("GET", &name, path, false, "")).await.ok()?;
    (answer.status() == 200).then(|| answer.body().clone())
}

async fn package(scene: &Scene, host: &Host, path: &str, name: &str) -> Fetched {
    assert!(get(scene, host, path).await.is_some(), "{path}: {:?}", scene.log.refused.lock().unwrap());
    scene.log.wait_for_package_named(name).await
}

const LIST: &str = "/debian/dists/s/main/binary-all/Packages.gz";
const PACKAGE: &str = "/debian/pool/main/x/good_1%2b2_all.deb";

#[tokio::test]
async fn a_debian_package_is_compared_with_the_list_that_came_before_it() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let by_hash = format!("/debian/dists/s/main/binary-all/by-hash/SHA256/{}", hash(&packages()));
    for lists in [&["/debian/dists/s/InRelease", LIST][..], &[LIST], &[&by_hash]] {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        let scene = scene(&host, RegistryKind::Apt, Some(cache), &authority);
        for list in lists {
            assert!(get(&scene, &host, list).await.is_some(), "{list}");
        }
        assert!(package(&scene, &host, PACKAGE, "good").await.compared, "{lists:?}");
        assert_eq!(get(&scene, &host, "/debian/pool/main/x/evil_1_all.deb").await, None);
        scene.log.wait_for(Refusal::Digest).await;
        let unknown = package(&scene, &host, "/debian/pool/main/x/unknown_1_all.deb", "unknown").await;
        assert!(!unknown.compared, "no list names it");
        let kept = PackageCache::open(folder.path(), 1 << 20).unwrap().size();
        assert_eq!(kept, GOOD.len() as u64, "only what is right is kept");
    }
}

#[tokio::test]
async fn a_list_that_is_not_what_its_own_list_names_is_cut_off_and_not_believed() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene(&host, RegistryKind::Apt, None, &authority);
    assert!(get(&scene, &host, "/debian/dists/s/InRelease").await.is_some());
    assert!(get(&scene, &host, LIST).await.is_some());
    for lying in [
        "/debian/dists/s/lying/binary-all/Packages".to_owned(),
        format!("/debian/dists/s/main/binary-all/by-hash/SHA256/{}", hash(b"never")),
    ] {
        assert_eq!(get(&scene, &host, &lying).await, None, "{lying}");
    }
    assert_eq!(scene.log.codes(), [Refusal::Digest; 2]);
    assert_eq!(get(&scene, &host, "/debian/pool/main/x/evil_1_all.deb").await, None);
}

#[tokio::test]
async fn a_kept_debian_package_is_compared_once_a_list_is_there() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let evil = "/debian/pool/main/x/evil_1_all.deb";
    let session = || {
        let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
        scene(&host, RegistryKind::Apt, Some(cache), &authority)
    };
    let blind = session();
    assert!(!package(&blind, &host, evil, "evil").await.compared, "nothing is known of it");
    let seeing = session();
    assert!(get(&seeing, &host, LIST).await.is_some());
    assert_eq!(
        get(&seeing, &host, evil).await,
        None,
        "what was kept is not what is named, nor is what comes anew"
    );
    seeing.log.wait_for(Refusal::Digest).await;
}

#[tokio::test]
async fn what_comes_from_maven_is_compared_with_the_checksum_beside_it() {
    let authority = Authority::new();
    let host = host(&authority).await;
    for (version, compared) in [(1, true), (3, false), (4, false), (5, true)] {
        let scene = scene(&host, RegistryKind::Maven, None, &authority);
        let path = format!("/m2/a/lib/{version}/lib-{version}.jar");
        assert_eq!(package(&scene, &host, &path, "a:lib").await.compared, compared, "{version}");
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = PackageCache::open(folder.path(), 1 << 20).unwrap();
    let scene = scene(&host, RegistryKind::Maven, Some(cache), &authority);
    assert_eq!(get(&scene, &host, "/m2/a/lib/2/lib-2.jar").await, None, "it never comes to its end");
    scene.log.wait_for(Refusal::Digest).await;
    assert_eq!(PackageCache::open(folder.path(), 1 << 20).unwrap().size(), 0);
}
