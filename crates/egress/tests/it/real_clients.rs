//! Package managers as they are on this host, through a door, from the registries that they are configured to use.
//!
//! The programs run on the host with the door as their proxy and none of the user's own settings: what they know of
//! registries and of whom to trust is what a sandbox would be told. Each test says aloud what it skips, and a registry
//! that cannot be reached from here without a door is skipped as well.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use cofferdam_domain::egress::{EgressPolicy, Fetched, Registries};
use cofferdam_egress::{
    BuiltIn, CredentialHost, Credentials, Discovery, DoorwayOptions, HostFiles, PackageCache, RegistryKind,
    Roots, discover,
};
use tokio::{process::Command, time::timeout};

use crate::scene::Scene;

/// How long one program may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// A door, and a home for programs that knows only what a sandbox would.
struct Desk {
    scene: Scene,
    home: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

/// What the host's package managers say, with what the indexes say about their files.
async fn found() -> Option<(Discovery, Roots)> {
    let variables: BTreeMap<String, OsString> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    let built_in = BuiltIn::ask(&variables, None).await;
    let mut discovery = discover(&HostFiles, &variables, &built_in);
    let roots = Roots::default();
    let Ok(tls) = roots.tls() else {
        eprintln!("SKIPPED: this host has no root certificates");
        return None;
    };
    discovery.learn(tls, None).await;
    Some((discovery, roots))
}

impl Desk {
    /// Nothing if this host has no such program, or no registry of this kind that answers.
    async fn new(kind: RegistryKind, program: &str, cache: Option<PackageCache>) -> Option<Self> {
        if !has(program) {
            eprintln!("SKIPPED: {program} is not installed");
            return None;
        }
        let (discovery, roots) = found().await?;
        let known = discovery.registries.iter().filter(|registry| registry.kind == kind);
        let mut reached = 0;
        for registry in known {
            let address = (registry.host.as_str(), registry.port);
            let connected = timeout(Duration::from_secs(10), tokio::net::TcpStream::connect(address)).await;
            reached += usize::from(matches!(connected, Ok(Ok(_))));
        }
        if reached == 0 {
            eprintln!(
                "SKIPPED: no {kind} registry is configured here that can be reached: {:?}",
                discovery.notes
            );
            return None;
        }
        let host = CredentialHost { variables: BTreeMap::new(), tls: roots.tls().ok()? };
        let credentials = Credentials::new(discovery.credentials, host).unwrap();
        let registries = Registries { enabled: true, ..Registries::default() };
        let policy = EgressPolicy { registries, ..EgressPolicy::default() };
        let options = DoorwayOptions {
            credentials,
            registries: discovery.registries,
            cache,
            ..DoorwayOptions::default()
        };
        let scene = Scene::at(policy, DoorwayOptions { roots, ..options });
        let home = tempfile::tempdir().unwrap();
        let mut variables = discovery.settings.variables;
        for (path, content) in discovery.settings.files {
            place(home.path(), &path, content.as_bytes());
        }
        let trust = scene.door.trust();
        for file in &trust.files {
            place(home.path(), &file.inside, &file.content);
        }
        variables.extend(trust.variables);
        // What is at a path inside is below the home here.
        let own = |value: &mut String| {
            *value = value.replace("/run/cofferdam/", &format!("{}/run/cofferdam/", home.path().display()))
        };
        variables.values_mut().for_each(own);
        let proxy = format!("http://{}", scene.proxy);
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            variables.insert(name.to_owned(), proxy.clone());
        }
        Some(Self { scene, home, variables })
    }

    /// Runs a program to its end.
    async fn run(&self, program: &str, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(self.home.path()).kill_on_drop(true);
        for name in
            ["PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "PYENV_ROOT", "PYENV_VERSION", "JAVA_HOME", "GOROOT"]
        {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        // Where rustup's tool chains are is not a setting that a sandbox would be given; its programs need none.
        if let Some(home) =
            std::env::var_os("HOME").map(PathBuf::from).filter(|_| std::env::var_os("RUSTUP_HOME").is_none())
        {
            command.env("RUSTUP_HOME", home.join(".rustup"));
        }
        command
            .env("HOME", self.home.path())
            .env("LANG", "C.UTF-8")
            .envs(&self.variables)
            .envs(more.iter().copied());
        timeout(PATIENCE, command.output()).await.expect("it ends").unwrap()
    }

    /// What a program did, and what the door said about it.
    fn check(&self, output: &Output) {
        let refused = self.scene.log.refused.lock().unwrap();
        assert!(
            output.status.success(),
            "{}\n{}\n{refused:#?}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Waits until a package has come through.
    async fn fetched(&self, name: &str) -> Fetched {
        self.scene.log.wait_for_package_named(name).await
    }
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn place(home: &Path, inside: &Path, content: &[u8]) {
    let path = home.join(inside.strip_prefix("/").unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn pip_installs() {
    let folder = tempfile::tempdir().unwrap();
    let cache = PackageCache::open(folder.path(), 1 << 28).unwrap();
    let Some(desk) = Desk::new(RegistryKind::Pip, "python3", Some(cache)).await else { return };
    for target in ["one", "two"] {
        let arguments = [
            "-m",
            "pip",
            "install",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--target",
            target,
            "idna",
        ];
        desk.check(&desk.run("python3", &arguments, &[]).await);
        assert!(desk.home.path().join(target).join("idna/core.py").is_file());
        let fetched = desk.scene.log.wait_for_package().await;
        assert_eq!((fetched.name.as_str(), fetched.cached), ("idna", target == "two"));
    }
}

/// The host's uv, or one that its pip installs here.
async fn uv(folder: &Path) -> Option<String> {
    if has("uv") {
        return Some("uv".to_owned());
    }
    let run = async |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.expect("it ends");
        output.is_ok_and(|output| output.status.success())
    };
    let made = run(Path::new("python3"), &["-m", "venv", "own"]).await
        && run(&folder.join("own/bin/pip"), &["install", "--quiet", "uv"]).await;
    if !made {
        eprintln!("SKIPPED: uv is not installed, and pip cannot install it");
        return None;
    }
    Some(folder.join("own/bin/uv").to_string_lossy().into_owned())
}

#[tokio::test]
async fn uv_installs() {
    let Some(desk) = Desk::new(RegistryKind::Pip, "python3", None).await else { return };
    let tools = tempfile::tempdir().unwrap();
    let Some(uv) = uv(tools.path()).await else { return };
    let arguments = ["pip", "install", "--no-cache", "--no-python-downloads", "--target", "one", "idna"];
    desk.check(&desk.run(&uv, &arguments, &[]).await);
    assert!(desk.home.path().join("one/idna/core.py").is_file());
}

#[tokio::test]
async fn npm_installs_and_does_not_publish() {
    let Some(desk) = Desk::new(RegistryKind::Npm, "npm", None).await else { return };
    std::fs::write(desk.home.path().join("package.json"), r#"{"name":"x","version":"1.0.0"}"#).unwrap();
    // A lodash's worth of trust is not needed: a package of one file is.
    desk.check(
        &desk
            .run("npm", &["install", "--no-audit", "--no-fund", "is-number@7.0.0", "@types/ms@2.1.0"], &[])
            .await,
    );
    assert!(desk.home.path().join("node_modules/is-number/index.js").is_file());
    assert!(desk.home.path().join("node_modules/@types/ms/index.d.ts").is_file());
    let registry = desk.variables["npm_config_registry"].clone();
    let key = format!("{}:_authToken=an-attackers-own-token", registry.split_once(':').unwrap().1);
    std::fs::write(desk.home.path().join(".npmrc"), key).unwrap();
    let published = desk.run("npm", &["publish", "--ignore-scripts"], &[]).await;
    assert!(!published.status.success());
    let refused = desk.scene.log.codes();
    assert!(refused.contains(&cofferdam_domain::egress::Refusal::Registry), "{refused:?}");
}

#[tokio::test]
async fn cargo_fetches() {
    let Some(desk) = Desk::new(RegistryKind::Cargo, "cargo", None).await else { return };
    let manifest =
        "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\n";
    place(desk.home.path(), Path::new("/Cargo.toml"), manifest.as_bytes());
    place(desk.home.path(), Path::new("/src/lib.rs"), b"");
    desk.check(&desk.run("cargo", &["fetch"], &[]).await);
    desk.fetched("itoa").await;
}

#[tokio::test]
async fn go_downloads() {
    let Some(desk) = Desk::new(RegistryKind::Go, "go", None).await else { return };
    place(
        desk.home.path(),
        Path::new("/go.mod"),
        b"module x\n\ngo 1.20\n\nrequire github.com/google/uuid v1.6.0\n",
    );
    let own = [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-modcacherw -mod=mod")];
    desk.check(&desk.run("go", &["mod", "download", "github.com/google/uuid@v1.6.0"], &own).await);
    assert!(desk.fetched("github.com/google/uuid").await.compared, "with the checksum database");
}

#[tokio::test]
async fn maven_resolves() {
    let Some(desk) = Desk::new(RegistryKind::Maven, "mvn", None).await else { return };
    // Java takes no proxy from variables.
    let home = desk.home.path().display();
    let proxy = format!(
        "-Dhttps.proxyHost={} -Dhttps.proxyPort={} -Duser.home={home}",
        desk.scene.proxy.ip(),
        desk.scene.proxy.port()
    );
    let options = format!("{} {proxy}", desk.variables.get("MAVEN_OPTS").map_or("", String::as_str));
    let pom = "<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version><packaging>pom</packaging></project>";
    place(desk.home.path(), Path::new("/pom.xml"), pom.as_bytes());
    let arguments =
        ["-q", "-B", "dependency:get", "-Dartifact=org.hamcrest:hamcrest:2.2", "-Dtransitive=false"];
    desk.check(&desk.run("mvn", &arguments, &[("MAVEN_OPTS", &options)]).await);
    assert!(desk.fetched("org.hamcrest:hamcrest").await.compared, "with the checksum beside it");
}

#[tokio::test]
async fn apt_updates() {
    let Some(desk) = Desk::new(RegistryKind::Apt, "apt-get", None).await else { return };
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(desk.home.path().join(folder)).unwrap();
    }
    let proxy = format!("http://{}", desk.scene.proxy);
    let home = desk.home.path().display();
    let settings = [
        format!("Acquire::http::Proxy={proxy}"),
        format!("Acquire::https::Proxy={proxy}"),
        format!("Acquire::https::CAInfo={}", desk.variables["SSL_CERT_FILE"]),
        format!("Dir::State={home}/state"),
        format!("Dir::Cache={home}/cache"),
        "APT::Sandbox::User=".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ];
    let options: Vec<&str> = settings.iter().flat_map(|setting| ["-o", setting.as_str()]).collect();
    let update = [options.as_slice(), &["-o", "APT::Update::Error-Mode=any", "update"]].concat();
    desk.check(&desk.run("apt-get", &update, &[]).await);
    desk.check(&desk.run("apt-get", &[options.as_slice(), &["download", "hostname"]].concat(), &[]).await);
    assert!(desk.fetched("hostname").await.compared, "with the list that came before it");
}

#[tokio::test]
async fn curl_wget_and_python_read_an_index() {
    let Some(desk) = Desk::new(RegistryKind::Npm, "npm", None).await else { return };
    let address = format!("{}is-number", desk.variables["npm_config_registry"]);
    // GnuTLS, and so many a wget, believes the system's own file alone, which a sandbox has replaced.
    let bundle = format!("--ca-certificate={}", desk.variables["SSL_CERT_FILE"]);
    let python = format!("import urllib.request as r; r.urlopen({address:?}).read()");
    for (program, arguments) in [
        ("curl", vec!["-sSf", "-o", "a", &address]),
        ("wget", vec!["-q", &bundle, "-O", "a", &address]),
        ("python3", vec!["-c", &python]),
    ] {
        if has(program) {
            desk.check(&desk.run(program, &arguments, &[]).await);
        } else {
            eprintln!("SKIPPED: {program} is not installed");
        }
    }
    if has("curl") {
        let refused = desk
            .run("curl", &["-sS", "-o", "b", "-w", "%{http_code}", "-X", "PUT", "-d", "x", &address], &[])
            .await;
        assert_eq!(String::from_utf8_lossy(&refused.stdout), "403");
    }
}
