//! Go modules are compared with what a checksum database says of them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use cofferdam_domain::egress::{Addresses, EgressPolicy, Refusal, Registries, Scheme};
use cofferdam_egress::{DoorwayOptions, PackageCache, Part, Registry, RegistryKind};
use http::Response;
use http_body_util::Full;
use sha2::{Digest as _, Sha256};

use crate::{
    host::{Authority, Got, Host},
    inside::{fetch, request, start_tls},
    scene::Scene,
};

const NAME: &str = "example.com/m@v/go.mod";

/// A zip with one file in it, stored as it is.
fn zip(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let name = u16::try_from(NAME.len()).unwrap().to_le_bytes();
    let common = [&[20, 0][..], &[0; 8], &[0; 4], &length, &length, &name, &[0; 2]].concat();
    let file = [b"PK\x03\x04", &common[..], NAME.as_bytes(), content].concat();
    let directory = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], NAME.as_bytes()].concat();
    let places = [directory.len(), file.len()].map(|place| u32::try_from(place).unwrap().to_le_bytes());
    let end = [b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &places.concat(), &[0; 2]].concat();
    [file, directory, end].concat()
}

/// What a module with this file hashes to.
fn sum(content: &[u8]) -> String {
    let list = format!("{}  {NAME}\n", hex::encode(Sha256::digest(content)));
    format!("h1:{}", STANDARD.encode(Sha256::digest(list)))
}

/// A proxy and a checksum database. The proxy lies about one version; the database does not know another, and says nothing of a third.
fn go(got: &Got) -> Response<Full<Bytes>> {
    let path = got.line.split(' ').nth(1).unwrap();
    let body = match path.strip_prefix("/proxy/example.com/m/@v/") {
        Some("list") => b"v1.0.0\nv1.1.0\nv1.2.0\nv1.3.0\n".to_vec(),
        Some("v1.1.0.zip") => zip(b"module evil\n"),
        Some("v1.0.0.zip" | "v1.2.0.zip" | "v1.3.0.zip") => zip(b"module m\n"),
        _ => match path.rsplit_once("/lookup/example.com/m@").map(|(_, version)| version) {
            _ if path.starts_with("/silent/") => {
                return Response::builder().status(500).body(Full::default()).unwrap();
            }
            Some("v1.3.0") => return Response::builder().status(500).body(Full::default()).unwrap(),
            Some(version @ ("v1.0.0" | "v1.1.0")) => {
                let (module, file) = (sum(b"module m\n"), sum(b"another"));
                format!(
                    "7\nexample.com/m {version} {module}\nexample.com/m {version}/go.mod {file}\n\ntree\n9\nhead\n"
                )
                .into_bytes()
            }
            _ => return Response::builder().status(404).body(Full::default()).unwrap(),
        },
    };
    Response::new(Full::from(body))
}

fn scene(host: &Host, cache: Option<PackageCache>, sums: Addresses, authority: &Authority) -> Scene {
    scene_with(host, cache, (sums, "/sums"), authority)
}

fn scene_with(
    host: &Host,
    cache: Option<PackageCache>,
    (sums, base): (Addresses, &str),
    authority: &Authority,
) -> Scene {
    let proxy = Registry {
        kind: RegistryKind::Go,
        part: Part::Whole,
        scheme: Scheme::Https,
        host: "localhost".parse().unwrap(),
        port: host.address.port(),
        base: "/proxy".to_owned(),
        addresses: Addresses::At(host.address),
        credential: None,
    };
    let sums = Registry { part: Part::Sums, base: base.to_owned(), addresses: sums, ..proxy.clone() };
    let registries = Registries { enabled: true, ..Registries::default() };
    let policy = EgressPolicy { registries, ..EgressPolicy::default() };
    let options = DoorwayOptions { registries: vec![proxy, sums], cache, ..DoorwayOptions::default() };
    Scene::with(policy, options, authority)
}

/// The zip of a version, if it comes to its end.
async fn zip_of(scene: &Scene, host: &Host, version: &str) -> Option<Bytes> {
    let name = format!("localhost:{}", host.address.port());
    let stream = scene.connect("localhost", host.address.port()).await;
    let stream = start_tls(scene, stream, "localhost", &["http/1.1"]).await.unwrap();
    let path = format!("/proxy/example.com/m/@v/{version}.zip");
    let answer = fetch(stream, false, request("GET", &name, &path, false, "")).await.ok()?;
    (answer.status() == 200).then(|| answer.body().clone())
}

async fn host(authority: &Authority) -> Host {
    Host::answering(Some(authority.vouch("localhost", &["http/1.1"])), go).await
}

#[tokio::test]
async fn a_module_that_is_not_what_its_sum_says_is_cut_off_and_not_kept() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let cache = || PackageCache::open(folder.path(), 1 << 20).unwrap();
    let scene = scene(&host, Some(cache()), Addresses::At(host.address), &authority);
    assert_eq!(zip_of(&scene, &host, "v1.0.0").await.unwrap(), zip(b"module m\n"));
    assert!(scene.log.wait_for_package_named("example.com/m").await.compared);
    let kept = cache().size();
    assert_eq!(zip_of(&scene, &host, "v1.1.0").await, None, "it never comes to its end");
    scene.log.wait_for(Refusal::Digest).await;
    assert_eq!(cache().size(), kept, "only what is right is kept");
}

#[tokio::test]
async fn what_no_database_knows_comes_and_is_said_not_to_be_compared() {
    let authority = Authority::new();
    let host = host(&authority).await;
    for version in ["v1.2.0", "v1.3.0"] {
        let scene = scene(&host, None, Addresses::At(host.address), &authority);
        assert!(zip_of(&scene, &host, version).await.is_some(), "{version}");
        assert!(!scene.log.wait_for_package_named("example.com/m").await.compared, "{version}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_asked_by_way_of_the_proxy() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene_with(&host, None, (Addresses::At(host.address), "/silent"), &authority);
    assert!(zip_of(&scene, &host, "v1.0.0").await.is_some());
    assert!(scene.log.wait_for_package_named("example.com/m").await.compared);
    assert_eq!(zip_of(&scene, &host, "v1.1.0").await, None);
    let lines: Vec<String> = host.got().into_iter().map(|got| got.line).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("/silent/")).count(), 1, "once: {lines:?}");
    assert!(lines.iter().any(|line| line.contains("/proxy/sumdb/localhost/lookup/")), "{lines:?}");
}

#[tokio::test]
async fn a_public_database_does_not_hear_of_what_is_read_elsewhere() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let scene = scene(&host, None, Addresses::Public, &authority);
    assert!(zip_of(&scene, &host, "v1.0.0").await.is_some());
    assert!(!scene.log.wait_for_package_named("example.com/m").await.compared);
    assert!(host.got().iter().all(|got| !got.line.contains("/sums/")));
}
