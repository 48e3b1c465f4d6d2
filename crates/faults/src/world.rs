//! What one run of the tests has to itself: a directory with configurations, data and repositories, and the program to run in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// The repository's program, with its fault.
const BROKEN: &str = "echo $(( $1 - $2 ))\n";
/// The same without it.
pub(crate) const MENDED: &str = "echo $(( $1 + $2 ))\n";
const TEST: &str = "test \"$(sh sum.sh 2 3)\" = 5 && echo ok 1 - sum || { echo not ok 1 - sum; exit 1; }\n";
/// Sessions work on one of so many.
const REPOSITORIES: usize = 2;
/// The file in which every command of a session leaves a line of its own: one that runs twice leaves it twice.
pub(crate) const RAN: &str = "ran.txt";
/// How many commands the recorded model has run.
pub(crate) const COMMANDS: usize = 6;

/// What one run of the tests has to itself.
#[derive(Debug)]
pub(crate) struct World {
    folder: TempDir,
    program: PathBuf,
    limits: &'static str,
}

impl World {
    /// Makes one; `None`, loudly, where this host makes no sandboxes.
    pub(crate) fn make(program: &Path) -> Result<Option<Self>> {
        let mut reason = String::new();
        for limits in ["", "limits = \"weak\"\n"] {
            let folder = tempfile::tempdir()?;
            let world = Self { folder, program: program.to_owned(), limits };
            let configuration = world.configuration("probe", "")?;
            let tried =
                world.command(&configuration, "probe").args(["sandbox", "run", "--", "true"]).output()?;
            if tried.status.success() {
                world.furnish()?;
                return Ok(Some(world));
            }
            reason = String::from_utf8_lossy(&tried.stderr).into_owned();
        }
        crate::site::say(&format!("SKIPPED: this host makes no sandboxes: {}", reason.trim()));
        Ok(None)
    }

    fn furnish(&self) -> Result<()> {
        fs::write(self.path("transcript.toml"), transcript()?)?;
        fs::write(self.path("master.key"), "5".repeat(64))?;
        fs::set_permissions(self.path("master.key"), fs::Permissions::from_mode(0o600))?;
        for repository in self.repositories() {
            fs::create_dir_all(&repository)?;
            for (name, content) in [("sum.sh", BROKEN), ("test.sh", TEST)] {
                fs::write(repository.join(name), content)?;
            }
            git(&repository, &["init", "--quiet", "--initial-branch=main", "--template="])?;
            git(&repository, &["add", "--all"])?;
            git(&repository, &["commit", "--quiet", "--no-gpg-sign", "--message=Begin"])?;
        }
        Ok(())
    }

    /// A place in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All of it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The repositories that sessions work on.
    pub(crate) fn repositories(&self) -> Vec<PathBuf> {
        (0..REPOSITORIES).map(|number| self.path(&format!("repository-{number}"))).collect()
    }

    /// The name of the model that plays the recording.
    pub(crate) fn model(&self) -> String {
        format!("scripted:{}", self.path("transcript.toml").display())
    }

    /// Writes a configuration; `more` are further tables.
    pub(crate) fn configuration(&self, name: &str, more: &str) -> Result<PathBuf> {
        let text = format!(
            "[sandbox]\n{}[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{:?}]\n[worker]\nslots = 3\npatience = {}\n\
             [secrets]\nkey = {{ file = {:?} }}\n{more}",
            self.limits,
            self.model(),
            crate::fault::PATIENCE,
            self.path("master.key").display().to_string(),
        );
        let path = self.path(&format!("{name}.toml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The program, with a configuration and a data directory of this world and nothing else of the environment.
    pub(crate) fn command(&self, configuration: &Path, data: &str) -> Command {
        let mut command = Command::new(&self.program);
        self.furnish_command(&mut command, configuration, data);
        command
    }

    /// The same, started by another program.
    pub(crate) fn command_by(&self, starter: &[String], configuration: &Path, data: &str) -> Command {
        let Some((first, rest)) = starter.split_first() else { return self.command(configuration, data) };
        let mut command = Command::new(first);
        command.args(rest).arg(&self.program);
        self.furnish_command(&mut command, configuration, data);
        command
    }

    fn furnish_command(&self, command: &mut Command, configuration: &Path, data: &str) {
        command.current_dir(self.folder.path()).env_clear();
        for name in ["PATH", "TMPDIR", "HOME", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .env("COFFERDAM_CONFIG", configuration)
            .env("COFFERDAM_DATA", self.path(data))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("USER", "tester")
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Overlays leave directories that only their owner's explicit permission opens.
        for data in below(self.folder.path()) {
            let sessions = below(&data.join("sessions")).into_iter().flat_map(|session| below(&session));
            for layer in below(&data.join("bases")).into_iter().chain(sessions) {
                cofferdam_sandbox::remove_layer(&layer).ok();
            }
        }
    }
}

/// What is in a directory.
pub(crate) fn below(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Runs git in a repository, with nobody's configuration.
pub(crate) fn git(repository: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(repository).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs([
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("HOME", "/nonexistent"),
    ]);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
    }
    succeeded(&format!("git {}", arguments.join(" ")), command.output()?)
}

/// What a program has printed, which must have succeeded.
pub(crate) fn succeeded(name: &str, output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}: {said}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{name} does not print text"))
}

/// The recording. Every command leaves its own line, and takes its time, so that it can be cut short; several do what is asked, so that it is done
/// even if some of them are.
fn transcript() -> Result<String> {
    let mut steps: Vec<serde_json::Value> = (1..=COMMANDS)
        .map(|number| {
            let mend = if number > 1 { format!("printf '%s' '{MENDED}' > sum.sh; ") } else { String::new() };
            let command = format!("echo {number} >> {RAN}; {mend}sleep 0.2; sh test.sh || true");
            serde_json::json!({ "delay_ms": 150, "call": [{ "tool": "shell", "args": { "command": command } }] })
        })
        .collect();
    let finish = serde_json::json!({ "outcome": "done", "title": "Add", "summary": "The sign was wrong." });
    steps.push(serde_json::json!({ "call": [{ "tool": "finish", "args": finish }] }));
    let recording = serde_json::json!({ "name": "mend the sum", "after": "repeat", "step": steps });
    Ok(toml::to_string(&recording)?)
}
