//! Whole configurations and what is found in them.

use cofferdam_domain::egress::Addresses;

use super::{
    built_in::{GoDefaults, PipDefaults},
    *,
};
use crate::registry::{Part, RegistryKind};

struct Files(BTreeMap<PathBuf, String>);

impl ConfigFiles for Files {
    fn read(&self, path: &Path) -> Option<String> {
        self.0.get(path).cloned()
    }

    fn list(&self, directory: &Path) -> Vec<PathBuf> {
        self.0.keys().filter(|path| path.parent() == Some(directory)).cloned().collect()
    }
}

fn built_in() -> BuiltIn {
    BuiltIn {
        cargo: Some("sparse+https://cargo.example/".to_owned()),
        pip: Some(PipDefaults {
            index: "https://pip.example/simple".to_owned(),
            files: Some("files.pip.example".to_owned()),
        }),
        npm: Some("https://npm.example/".to_owned()),
        go: Some(GoDefaults {
            proxy: "https://go.example,direct".to_owned(),
            sums: "sum.go.example".to_owned(),
        }),
        maven: Some("https://maven.example/maven2".to_owned()),
        maven_home: Some("/opt/maven".to_owned()),
    }
}

fn found(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Discovery {
    let files = Files(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect());
    let mut all: BTreeMap<String, OsString> =
        BTreeMap::from([("HOME".to_owned(), OsString::from("/home/me"))]);
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))));
    discover(&files, &all, &built_in())
}

/// Address and part of each place of one kind.
fn places(discovery: &Discovery, kind: RegistryKind) -> Vec<(String, Part)> {
    let of_kind = discovery.registries.iter().filter(|registry| registry.kind == kind);
    of_kind.map(|registry| (registry.url(), registry.part.clone())).collect()
}

fn urls(discovery: &Discovery, kind: RegistryKind) -> Vec<String> {
    places(discovery, kind).into_iter().map(|(url, _)| url).collect()
}

/// No secret is in what goes inside, or in what people see.
fn keeps(discovery: &Discovery, secrets: &[&str]) {
    let seen = format!("{discovery:?}");
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[test]
fn without_configuration_the_tools_have_their_own() {
    let discovery = found(&[], &[]);
    let expected = [
        (RegistryKind::Cargo, vec!["https://cargo.example"]),
        (RegistryKind::Pip, vec!["https://pip.example/simple", "https://files.pip.example"]),
        (RegistryKind::Npm, vec!["https://npm.example"]),
        (RegistryKind::Apt, vec![]),
        (RegistryKind::Go, vec!["https://go.example", "https://sum.go.example"]),
        (RegistryKind::Maven, vec!["https://maven.example/maven2"]),
    ];
    for (kind, expected) in expected {
        assert_eq!(urls(&discovery, kind), expected, "{kind}");
    }
    assert!(discovery.registries.iter().all(|registry| registry.addresses == Addresses::Public));
    assert_eq!(discovery.settings.variables["GOPROXY"], "https://go.example");
    assert_eq!(discovery.settings.variables["PIP_INDEX_URL"], "https://pip.example/simple/");
    assert_eq!(discovery.notes, Vec::<String>::new());
}

#[test]
fn cargo_follows_replacements() {
    let config = r#"
        [source.crates-io]
        replace-with = "a"
        [source.a]
        replace-with = "b"
        [source.b]
        registry = "sparse+https://mirror.company.example/index/"
        [registries.own-crates]
        index = "sparse+https://own.company.example/"
    "#;
    let secrets = "[registries.own-crates]\ntoken = \"s3cret-token\"";
    let files = [("/home/me/.cargo/config.toml", config), ("/home/me/.cargo/credentials.toml", secrets)];
    let discovery = found(&files, &[]);
    assert_eq!(
        urls(&discovery, RegistryKind::Cargo),
        ["https://mirror.company.example/index", "https://own.company.example"]
    );
    let inside: toml::Table = discovery.settings.files[Path::new("/.cargo/config.toml")].parse().unwrap();
    assert_eq!(
        inside["source"]["host-mirror"]["registry"].as_str(),
        Some("sparse+https://mirror.company.example/index/")
    );
    assert_eq!(
        inside["registries"]["own-crates"]["index"].as_str(),
        Some("sparse+https://own.company.example/")
    );
    let [credential] = discovery.credentials.as_slice() else { panic!("{:?}", discovery.credentials) };
    assert_eq!(
        (credential.host.as_str(), credential.format.to_string().as_str()),
        ("own.company.example", "{}")
    );
    keeps(&discovery, &["s3cret-token"]);
    let directory = found(
        &[(
            "/home/me/.cargo/config.toml",
            "[source.crates-io]\nreplace-with='x'\n[source.x]\ndirectory='/v'",
        )],
        &[],
    );
    assert!(urls(&directory, RegistryKind::Cargo).is_empty() && directory.notes[0].contains("directory"));
}

#[test]
fn pip_and_uv() {
    let files = [
        ("/etc/pip.conf", "[global]\nindex-url = https://old.company.example/simple\n"),
        (
            "/home/me/.config/pip/pip.conf",
            "[global]\nindex_url = https://me:s3cret-word@pypi.company.example/api/simple/\nextra-index-url =\n  https://extra.company.example/simple\n",
        ),
        ("/home/me/.config/uv/uv.toml", "[[index]]\nname = 'x'\nurl = 'https://uv.company.example/simple'\n"),
    ];
    let discovery = found(&files, &[]);
    let (index, beside) = ("https://pypi.company.example/api/simple", "https://pypi.company.example/api");
    let both = places(&discovery, RegistryKind::Pip);
    assert_eq!(both[..2], [(index.to_owned(), Part::Index), (beside.to_owned(), Part::Files)]);
    let variables = &discovery.settings.variables;
    assert_eq!(
        variables["PIP_INDEX_URL"],
        "https://placeholder:added-at-the-door@pypi.company.example/api/simple/"
    );
    assert_eq!(variables["UV_DEFAULT_INDEX"], variables["PIP_INDEX_URL"]);
    assert_eq!(variables["PIP_EXTRA_INDEX_URL"], "https://extra.company.example/simple/");
    assert_eq!(variables["UV_INDEX"], "https://uv.company.example/simple/");
    let [credential] = discovery.credentials.as_slice() else { panic!("{:?}", discovery.credentials) };
    assert_eq!((credential.format.to_string().as_str(), credential.paths.len()), ("Basic me:{}", 2));
    keeps(&discovery, &["s3cret-word"]);
    let by_variable = found(&files, &[("PIP_INDEX_URL", "http://localhost:3141/root/simple")]);
    let registry = by_variable.registries.iter().find(|registry| registry.kind == RegistryKind::Pip).unwrap();
    assert_eq!(
        (registry.url().as_str(), &registry.addresses),
        ("http://localhost:3141/root/simple", &Addresses::At("127.0.0.1:3141".parse().unwrap()))
    );
}

#[test]
fn npm_scopes_and_tokens() {
    let npmrc = "registry=https://npm.company.example/repo/\n//npm.company.example/repo/:_authToken=${NPM_TOKEN}\n@own:registry = \"https://own.company.example\"\n//own.company.example/:username=me\n//own.company.example/:_password=czNjcmV0LXBhc3M=\n; comment\n";
    let discovery = found(&[("/home/me/.npmrc", npmrc)], &[("NPM_TOKEN", "s3cret-token")]);
    assert_eq!(
        urls(&discovery, RegistryKind::Npm),
        ["https://npm.company.example/repo", "https://own.company.example"]
    );
    let formats: Vec<String> =
        discovery.credentials.iter().map(|credential| credential.format.to_string()).collect();
    assert_eq!(formats, ["Bearer {}", "Basic me:{}"]);
    assert_eq!(discovery.settings.variables["npm_config_registry"], "https://npm.company.example/repo/");
    let file = Path::new(&discovery.settings.variables["npm_config_globalconfig"]);
    assert_eq!(discovery.settings.files[file], "@own:registry=https://own.company.example/\n");
    keeps(&discovery, &["s3cret-token", "s3cret-pass", "czNjcmV0LXBhc3M="]);
}

#[test]
fn apt_in_both_forms() {
    let files = [
        (
            "/etc/apt/sources.list",
            "# deb https://no.example/x y z\ndeb [arch=amd64 signed-by=/k] https://one.example/debian stable main\ndeb-src http://one.example/debian stable main\ndeb cdrom:[x]/ y z\n",
        ),
        (
            "/etc/apt/sources.list.d/two.sources",
            "Types: deb\nURIs: https://two.example/debian\n https://three.example/debian/\nSuites: stable\n\nEnabled: no\nURIs: https://off.example/x\n",
        ),
        ("/etc/apt/sources.list.d/two.sources.bak", "URIs: https://bak.example/x\n"),
        ("/etc/apt/auth.conf.d/two.conf", "machine two.example/debian login u password s3cret-word"),
    ];
    let discovery = found(&files, &[]);
    let expected = [
        "https://one.example/debian",
        "http://one.example/debian",
        "https://two.example/debian",
        "https://three.example/debian",
    ];
    assert_eq!(urls(&discovery, RegistryKind::Apt), expected);
    let [credential] = discovery.credentials.as_slice() else { panic!("{:?}", discovery.credentials) };
    assert_eq!(credential.host.as_str(), "two.example");
    keeps(&discovery, &["s3cret-word"]);
}

#[test]
fn go_from_its_file_and_from_variables() {
    let file = [(
        "/home/me/.config/go/env",
        "GOPROXY=https://u:s3cret-word@go.company.example/p|https://go.example,direct\nGOPRIVATE=git.company.example\n",
    )];
    let discovery = found(&file, &[("GOSUMDB", "off")]);
    assert_eq!(urls(&discovery, RegistryKind::Go), ["https://go.company.example/p", "https://go.example"]);
    let variables = &discovery.settings.variables;
    assert_eq!(variables["GOPROXY"], "https://go.company.example/p|https://go.example");
    assert_eq!(
        (variables["GOSUMDB"].as_str(), variables["GOPRIVATE"].as_str()),
        ("off", "git.company.example")
    );
    keeps(&discovery, &["s3cret-word"]);
    assert_eq!(found(&[], &[("GOPROXY", "direct")]).settings.variables["GOPROXY"], "off");
}

#[test]
fn maven_mirrors_and_servers() {
    let settings = "<settings><servers><server><id>company</id><username>me</username><password>s3cret-word</password></server></servers>\
        <mirrors><mirror><id>company</id><mirrorOf>*,!x</mirrorOf><url>https://maven.company.example/all/</url></mirror></mirrors>\
        <profiles><profile><id>p</id><repositories><repository><id>x</id><url>https://x.example/m</url><snapshots><enabled>true</enabled></snapshots></repository></repositories></profile></profiles></settings>";
    let discovery = found(&[("/home/me/.m2/settings.xml", settings)], &[]);
    assert_eq!(
        urls(&discovery, RegistryKind::Maven),
        ["https://maven.company.example/all", "https://x.example/m"]
    );
    let inside = &discovery.settings.files[&PathBuf::from(INSIDE).join("maven.xml")];
    assert!(
        inside.contains("<mirrorOf>*,!x</mirrorOf><url>https://maven.company.example/all</url>"),
        "{inside}"
    );
    keeps(&discovery, &["s3cret-word"]);
    let partial = found(&[("/opt/maven/conf/settings.xml", &settings.replace("*,!x", "*,!central"))], &[]);
    assert!(urls(&partial, RegistryKind::Maven).contains(&"https://maven.example/maven2".to_owned()));
}

#[test]
fn what_cannot_be_used_is_said_without_its_secret() {
    let discovery = found(&[], &[("PIP_INDEX_URL", "https://u:s3cret-word@10.0.0.1/simple")]);
    assert!(discovery.notes[0].contains("\"10.0.0.1/simple\""), "{:?}", discovery.notes);
    keeps(&discovery, &["s3cret-word"]);
}
