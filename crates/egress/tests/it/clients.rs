//! Real programs through the door, unchanged: they are told a proxy and whom to trust, as a sandbox tells them.

use std::{path::Path, process::Stdio};

use cofferdam_domain::egress::{Addresses, EgressPolicy, EgressRule, Scheme};
use cofferdam_egress::{DoorwayOptions, Trust};
use http::Response;
use http_body_util::Full;
use tokio::process::Command;

use crate::{
    host::{Authority, Host},
    scene::{Scene, rule},
};

/// Runs a program as in a sandbox; `None`, loudly, where it is not installed.
async fn run(scene: &Scene, folder: &Path, program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let Trust { files, variables } = scene.door.trust();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH")?).env("HOME", folder);
    // What is named by a variable is among the files of the door's own; here they are in another place.
    for (name, value) in variables {
        let mut value = value;
        for file in &files {
            let inside = file.inside.to_str()?;
            if value.contains(inside) && inside.starts_with("/run/") {
                let path = folder.join(file.inside.file_name()?);
                std::fs::write(&path, &file.content).ok()?;
                value = value.replace(inside, path.to_str()?);
            }
        }
        command.env(name, value);
    }
    let proxy = format!("http://{}", scene.proxy);
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env(name, &proxy);
    }
    let output = match command.stdin(Stdio::null()).output().await {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: {program} does not run here ({error})");
            return None;
        }
    };
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

async fn setting() -> (Host, Scene, tempfile::TempDir) {
    let authority = Authority::new();
    let host = Host::answering(Some(authority.vouch("a.example", &["h2", "http/1.1"])), |got| {
        Response::new(Full::from(format!("{} {}", got.line, got.body.len())))
    })
    .await;
    let mut narrow = rule("a.example", Scheme::Https, host.address);
    narrow.paths = vec!["/public/**".parse().unwrap()];
    let plain = EgressRule {
        name: "plain".into(),
        addresses: Addresses::At(host.address),
        ..rule("b.example", Scheme::Http, host.address)
    };
    let policy = EgressPolicy { rules: vec![narrow, plain], ..EgressPolicy::default() };
    (host, Scene::with(policy, DoorwayOptions::default(), &authority), tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn curl() {
    let (host, scene, folder) = setting().await;
    for version in ["--http1.1", "--http2"] {
        let arguments = ["-sS", version, "https://a.example/public/x"];
        let Some((fine, text)) = run(&scene, folder.path(), "curl", &arguments).await else { return };
        assert!(fine && text.ends_with("/public/x 0"), "{text}");
    }
    let arguments = ["-sS", "https://a.example/private"];
    let Some((_, text)) = run(&scene, folder.path(), "curl", &arguments).await else { return };
    assert!(text.contains("\"code\":\"path\""), "{text}");
    let arguments = ["-sS", "https://evil.example/"];
    let Some((fine, text)) = run(&scene, folder.path(), "curl", &arguments).await else { return };
    assert!(!fine && text.contains("403"), "{text}");
    // A megabyte, announced and not announced.
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
    let data = format!("@{}", file.display());
    for more in [&["-H", "Transfer-Encoding: chunked"][..], &[]] {
        let arguments =
            [&["-sS", "--http1.1", "--data-binary", &data, "https://a.example/public/up"][..], more].concat();
        let Some((fine, text)) = run(&scene, folder.path(), "curl", &arguments).await else { return };
        assert!(fine && text.ends_with("/public/up 1048576"), "{text}");
    }
    assert_eq!(host.got().len(), 4);
}

#[tokio::test]
async fn python() {
    let (_host, scene, folder) = setting().await;
    let program =
        "import urllib.request as r; print(r.urlopen('https://a.example/public/x').read().decode())";
    let Some((fine, text)) = run(&scene, folder.path(), "python3", &["-c", program]).await else { return };
    assert!(
        fine && text.contains("GET /public/x 0") || text.contains("GET https://a.example/public/x 0"),
        "{text}"
    );
    let program = "import urllib.request as r, urllib.error as e\ntry: r.urlopen('https://a.example/private')\nexcept e.HTTPError as h: print(h.code, h.headers['cofferdam-refused'])";
    let Some((fine, text)) = run(&scene, folder.path(), "python3", &["-c", program]).await else { return };
    assert!(fine && text.contains("403 path"), "{text}");
}

#[tokio::test]
async fn wget() {
    let (_host, scene, folder) = setting().await;
    let certificate = format!("--ca-certificate={}", folder.path().join("bundle.pem").display());
    let arguments = ["-q", "-O", "-", certificate.as_str(), "https://a.example/public/x"];
    let Some((fine, text)) = run(&scene, folder.path(), "wget", &arguments).await else { return };
    assert!(fine && text.contains("/public/x 0"), "{text}");
}

#[tokio::test]
async fn git() {
    let (host, scene, folder) = setting().await;
    let arguments = ["ls-remote", "https://a.example/public/repo.git"];
    let Some((_, text)) = run(&scene, folder.path(), "git", &arguments).await else { return };
    // There is no repository, but TLS and the rules had nothing against looking for one.
    assert!(!text.contains("certificate") && !text.contains("403"), "{text}");
    let asked = "/public/repo.git/info/refs?service=git-upload-pack";
    assert!(host.got().iter().any(|got| got.line.ends_with(asked)), "{:?}", host.got());
}

#[tokio::test]
async fn java() {
    let (_host, scene, folder) = setting().await;
    let source = folder.path().join("Get.java");
    let program = r#"import java.net.*; class Get { public static void main(String[] a) throws Exception {
        var proxy = new Proxy(Proxy.Type.HTTP, new InetSocketAddress("127.0.0.1", Integer.parseInt(a[0])));
        var stream = new URL("https://a.example/public/x").openConnection(proxy).getInputStream();
        System.out.println(new String(stream.readAllBytes())); } }"#;
    std::fs::write(&source, program).unwrap();
    let port = scene.proxy.port().to_string();
    let arguments = [source.to_str().unwrap(), &port];
    let Some((fine, text)) = run(&scene, folder.path(), "java", &arguments).await else { return };
    assert!(fine && text.contains("/public/x 0"), "{text}");
}
