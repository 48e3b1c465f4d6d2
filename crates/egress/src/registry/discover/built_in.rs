//! What package managers have built in: asked from the tools themselves, or looked up in their own files.
//!
//! Tools are slow to ask and never change their mind, so their answers are kept until the tool's file changes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, UNIX_EPOCH},
};

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{io::AsyncReadExt as _, process::Command, task::spawn_blocking, time::timeout};

use super::{jar, xml};

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most that a tool may print.
const MAX_OUTPUT: u64 = 64 << 10;
/// The largest executable that is looked into.
const MAX_EXECUTABLE: u64 = 256 << 20;

/// What each package manager has built in, as far as it is on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltIn {
    /// Cargo's index: `sparse+https://…/`.
    pub cargo: Option<String>,
    /// pip's, or uv's.
    pub pip: Option<PipDefaults>,
    /// npm's registry.
    pub npm: Option<String>,
    /// Go's proxies and checksum database.
    pub go: Option<GoDefaults>,
    /// Maven's repository.
    pub maven: Option<String>,
    /// Where Maven is installed.
    pub maven_home: Option<String>,
}

/// What pip has built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipDefaults {
    /// The index.
    pub index: String,
    /// The host that has the files.
    pub files: Option<String>,
}

/// What go has built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoDefaults {
    /// `GOPROXY`.
    #[serde(rename = "GOPROXY")]
    pub proxy: String,
    /// `GOSUMDB`.
    #[serde(rename = "GOSUMDB")]
    pub sums: String,
}

/// A tool as it is on this host.
struct Tool<'a> {
    variables: &'a BTreeMap<String, OsString>,
    /// As found by its name.
    path: PathBuf,
    /// With links followed.
    real: PathBuf,
}

impl BuiltIn {
    /// Asks all tools at the same time. What they said before is taken from the directory `kept`, and new answers are
    /// written there.
    pub async fn ask(variables: &BTreeMap<String, OsString>, kept: Option<&Path>) -> Self {
        let (cargo, pip, npm, go, maven) = tokio::join!(
            kept_or(kept, Tool::find(variables, "cargo"), cargo),
            pip_or_uv(variables, kept),
            kept_or(kept, Tool::find(variables, "npm"), npm),
            kept_or(kept, Tool::find(variables, "go"), go),
            kept_or(kept, Tool::find(variables, "mvn"), maven),
        );
        let (maven, maven_home) = maven.unzip();
        Self { cargo, pip, npm, go, maven, maven_home }
    }
}

impl<'a> Tool<'a> {
    fn find(variables: &'a BTreeMap<String, OsString>, name: &str) -> Option<Self> {
        let folders = std::env::split_paths(variables.get("PATH")?).filter(|folder| folder.is_absolute());
        let path = folders.map(|folder| folder.join(name)).find(|path| path.is_file())?;
        Some(Self { variables, real: fs::canonicalize(&path).ok()?, path })
    }

    /// What tells this tool from another version of it.
    fn look(&self) -> Option<String> {
        let metadata = fs::metadata(&self.real).ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(format!("{} {} {changed} {}", self.path.display(), self.real.display(), metadata.len()))
    }

    /// What it prints.
    async fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Option<String> {
        run(&self.path, self.variables, arguments, settings).await
    }
}

/// What a program prints that ends well and in time, with few of the worker's variables.
async fn run(
    program: &Path,
    variables: &BTreeMap<String, OsString>,
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> Option<String> {
    const PASSED: [&str; 8] = [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "PYENV_ROOT",
        "PYENV_VERSION",
        "JAVA_HOME",
    ];
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").env_clear();
    command.envs(variables.iter().filter(|(name, _)| PASSED.contains(&name.as_str())));
    command.envs(settings.iter().copied()).env("LANG", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let outcome = timeout(PATIENCE, async {
        let mut output = String::new();
        stdout.take(MAX_OUTPUT).read_to_string(&mut output).await.ok()?;
        child.wait().await.ok()?.success().then_some(output)
    });
    outcome.await.ok()?
}

/// What was kept of a tool's answer.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    look: String,
    answer: T,
}

/// The tool's answer, from the directory if the tool is as it was.
async fn kept_or<'a, T, F>(
    directory: Option<&Path>,
    tool: Option<Tool<'a>>,
    ask: impl FnOnce(Tool<'a>) -> F,
) -> Option<T>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Option<T>>,
{
    let tool = tool?;
    let look = tool.look()?;
    let name = tool.path.file_name()?.to_str()?.to_owned();
    let file = directory.map(|directory| directory.join(format!("built-in-{name}.json")));
    let before = file.as_ref().and_then(|file| serde_json::from_slice::<Kept<T>>(&fs::read(file).ok()?).ok());
    if let Some(kept) = before.filter(|kept| kept.look == look) {
        return Some(kept.answer);
    }
    let kept = Kept { look, answer: ask(tool).await? };
    if let (Some(directory), Some(file)) = (directory, file)
        && let Ok(text) = serde_json::to_vec(&kept)
    {
        super::learn::write(directory, &file, &text);
    }
    Some(kept.answer)
}

/// Cargo's executable has the address of its index as a constant, and nothing prints it.
async fn cargo(tool: Tool<'_>) -> Option<String> {
    let mut executable = tool.real.clone();
    if executable.file_name().is_some_and(|name| name == "rustup") {
        let said = run(&executable, tool.variables, &["which", "cargo"], &[]).await?;
        executable = PathBuf::from(said.trim());
    }
    constant(executable, "sparse+https://", "/").await
}

/// The one constant of an executable that begins and ends so and has a host's name between.
async fn constant(executable: PathBuf, begin: &'static str, end: &'static str) -> Option<String> {
    spawn_blocking(move || {
        if fs::metadata(&executable).ok()?.len() > MAX_EXECUTABLE {
            return None;
        }
        constant_in(&fs::read(&executable).ok()?, begin, end)
    })
    .await
    .ok()?
}

fn constant_in(content: &[u8], begin: &str, end: &str) -> Option<String> {
    let mut found = std::collections::BTreeSet::new();
    for start in AhoCorasick::new([begin]).ok()?.find_iter(content) {
        let rest = content.get(start.end()..)?;
        let part = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte);
        let length = rest.iter().take(254).take_while(|byte| part(byte)).count();
        let host = std::str::from_utf8(&rest[..length]).ok()?;
        if host.contains('.') && !host.ends_with('.') && rest[length..].starts_with(end.as_bytes()) {
            found.insert(format!("{begin}{host}{end}"));
        }
    }
    found.pop_first().filter(|_| found.is_empty())
}

async fn pip_or_uv(variables: &BTreeMap<String, OsString>, kept: Option<&Path>) -> Option<PipDefaults> {
    if let Some(said) = kept_or(kept, Tool::find(variables, "python3"), pip).await {
        return Some(said);
    }
    kept_or(kept, Tool::find(variables, "uv"), uv).await
}

async fn pip(tool: Tool<'_>) -> Option<PipDefaults> {
    const QUESTION: &str = "import json; from pip._internal.models.index import PyPI; \
         print(json.dumps({'index': PyPI.simple_url, 'files': PyPI.file_storage_domain}))";
    serde_json::from_str(&tool.run(&["-I", "-c", QUESTION], &[]).await?).ok()
}

async fn uv(tool: Tool<'_>) -> Option<PipDefaults> {
    Some(PipDefaults { index: constant(tool.real, "https://", "/simple").await?, files: None })
}

async fn npm(tool: Tool<'_>) -> Option<String> {
    // Two names, since npm refuses to read one file as both.
    let nothing = [("npm_config_userconfig", "/dev/null"), ("npm_config_globalconfig", "/dev/null/none")];
    Some(tool.run(&["config", "get", "registry"], &nothing).await?.trim().to_owned())
}

async fn go(tool: Tool<'_>) -> Option<GoDefaults> {
    let own = [("GOENV", "off"), ("GOTOOLCHAIN", "local")];
    serde_json::from_str(&tool.run(&["env", "-json", "GOPROXY", "GOSUMDB"], &own).await?).ok()
}

/// The model that all of Maven's projects inherit from is in one of its libraries.
async fn maven(tool: Tool<'_>) -> Option<(String, String)> {
    let home = tool.real.parent()?.parent()?.to_owned();
    spawn_blocking(move || {
        let libraries = fs::read_dir(home.join("lib")).ok()?.flatten().map(|entry| entry.path());
        let model = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("maven-model-builder-") && name.ends_with(".jar")
        };
        let text = jar::text(&libraries.into_iter().find(model)?, "org/apache/maven/model/pom-4.0.0.xml")?;
        let repository = xml::groups(&text).into_iter().find(|group| group.name == "repository")?;
        Some((repository.fields.get("url")?.clone(), home.to_str()?.to_owned()))
    })
    .await
    .ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_if_there_is_one() {
        let one = |content: &str| constant_in(content.as_bytes(), "sparse+https://", "/");
        assert_eq!(
            one("xsparse+https://index.example.com/https://z").as_deref(),
            Some("sparse+https://index.example.com/")
        );
        assert_eq!(
            one("sparse+https://a.example/ sparse+https://a.example/").as_deref(),
            Some("sparse+https://a.example/")
        );
        assert_eq!(one("sparse+https://a.example/ sparse+https://b.example/"), None);
        assert_eq!(one("sparse+https://words_behind/ sparse+https://"), None);
    }

    #[tokio::test]
    async fn a_tool_is_asked_again_when_it_changes() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        let tool = folder.path().join("npm");
        let variables = BTreeMap::from([("PATH".to_owned(), folder.path().as_os_str().to_owned())]);
        let write = |address: &str| {
            let script = format!("#!/bin/sh\necho x >> {}/asked\necho {address}\n", folder.path().display());
            fs::write(&tool, script).unwrap();
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("https://npm.example/");
        for _ in 0..3 {
            let said = BuiltIn::ask(&variables, Some(&kept)).await;
            assert_eq!(said, BuiltIn { npm: Some("https://npm.example/".to_owned()), ..BuiltIn::default() });
        }
        assert_eq!(fs::read_to_string(folder.path().join("asked")).unwrap(), "x\n");
        write("https://another.npm.example/");
        assert_eq!(
            BuiltIn::ask(&variables, Some(&kept)).await.npm.as_deref(),
            Some("https://another.npm.example/")
        );
    }
}
