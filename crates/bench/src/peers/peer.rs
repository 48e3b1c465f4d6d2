//! The peers: where each comes from, how it is started, and what the model says to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use cofferdam_testkit::{kept, kept_node};
use serde_json::{Value, json};

use crate::session::{Kind, World, file, replacement};

const CODEX: &str = "@openai/codex@0.169.0";
const OPENCODE: &str = "opencode-ai@1.18.33";
/// In one folder: mini-swe-agent's does without a package that its library wants, and the others bring it.
const PYTHONS: [&str; 3] = ["mini-swe-agent==2.4.6", "openhands-sdk==1.58.0", "openhands-tools==1.58.0"];
/// The least version of Python that the peers want.
const PYTHON: (u32, u32) = (3, 12);
const ASKED: &str = "Mark line 7 of each note as seen.";
/// OpenHands has no command line of its own in these packages.
const OPENHANDS_RUN: &str = r#"
import os, sys
from openhands.sdk import LLM, Conversation
from openhands.tools.preset.default import get_default_agent
llm = LLM(model="openai/recorded", base_url=os.environ["BENCH_URL"], api_key="nobody's", usage_id="agent")
conversation = Conversation(agent=get_default_agent(llm=llm, cli_mode=True), workspace=os.getcwd(), max_iteration_per_run=100000)
conversation.send_message(sys.argv[1])
conversation.run()
"#;

/// An agent loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Cofferdam,
    Codex,
    Opencode,
    MiniSweAgent,
    OpenHands,
}

/// A peer that can be started.
pub(super) struct Installed {
    pub(super) peer: Peer,
    program: PathBuf,
    /// Where its Python packages are.
    packages: Option<PathBuf>,
}

impl Peer {
    pub(super) const ALL: [Self; 5] =
        [Self::Cofferdam, Self::Codex, Self::Opencode, Self::MiniSweAgent, Self::OpenHands];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cofferdam => "cofferdam",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::MiniSweAgent => "mini-swe-agent",
            Self::OpenHands => "openhands",
        }
    }

    /// Brings it from its registry, unless it is kept already.
    pub(super) fn install(self, ours: &Path, interpreter: Option<&str>) -> Result<Installed> {
        let (program, packages) = match self {
            Self::Cofferdam => (ours.to_owned(), None),
            Self::Codex => {
                let modules = kept_node(&[CODEX]).context("npm could not install it")?.join("node_modules");
                (found(&modules, "codex")?, None)
            }
            Self::Opencode => {
                let modules =
                    kept_node(&[OPENCODE]).context("npm could not install it")?.join("node_modules");
                (found(&modules, "opencode")?, None)
            }
            Self::MiniSweAgent | Self::OpenHands => python(interpreter)?,
        };
        Ok(Installed { peer: self, program, packages })
    }

    /// What the model says at a step, and the call that it makes in the words of the peer's tools. After the last step it ends.
    pub(super) fn said(
        self,
        step: usize,
        steps: usize,
        repository: &Path,
    ) -> (String, Option<(&'static str, Value)>) {
        if step >= steps {
            return ("Done.".to_owned(), self.ends());
        }
        let number = step / Kind::ALL.len();
        let (path, (old, new)) = (file(number), replacement(number));
        let whole = repository.join(&path);
        let echo = format!("echo step {step}");
        let shell = match Kind::of(step) {
            Kind::Shell => echo.clone(),
            Kind::Read => format!("cat {path}"),
            Kind::Edit => format!("sed -i 's/{old}/{new}/' {path}"),
        };
        let call = match (self, Kind::of(step)) {
            (Self::Cofferdam, Kind::Shell) => ("shell", json!({ "command": shell })),
            (Self::Cofferdam, Kind::Read) => ("read", json!({ "path": path })),
            (Self::Cofferdam, Kind::Edit) => {
                ("edit", json!({ "path": path, "edits": [{ "old_text": old, "new_text": new }] }))
            }
            (Self::Codex, _) => ("exec_command", json!({ "cmd": shell })),
            (Self::MiniSweAgent, _) => ("bash", json!({ "command": shell })),
            (Self::Opencode, Kind::Shell) => ("bash", json!({ "command": shell, "description": "a step" })),
            (Self::Opencode, Kind::Read) => ("read", json!({ "filePath": whole })),
            (Self::Opencode, Kind::Edit) => {
                ("edit", json!({ "filePath": whole, "oldString": old, "newString": new }))
            }
            (Self::OpenHands, Kind::Shell) => ("terminal", guarded(json!({ "command": shell }))),
            (Self::OpenHands, Kind::Read) => {
                ("file_editor", guarded(json!({ "command": "view", "path": whole })))
            }
            (Self::OpenHands, Kind::Edit) => {
                let edit = json!({ "command": "str_replace", "path": whole, "old_str": old, "new_str": new });
                ("file_editor", guarded(edit))
            }
        };
        (format!("Now step {step} of the work."), Some(call))
    }

    /// How it is told that the work is over, where saying so does not do.
    fn ends(self) -> Option<(&'static str, Value)> {
        match self {
            Self::Cofferdam => {
                let summary = "One line of each note is marked as seen.";
                Some(("finish", json!({ "outcome": "done", "title": "Mark the notes", "summary": summary })))
            }
            Self::MiniSweAgent => {
                Some(("bash", json!({ "command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT" })))
            }
            Self::OpenHands => Some(("finish", guarded(json!({ "message": "Done." })))),
            Self::Codex | Self::Opencode => None,
        }
    }
}

/// OpenHands wants to be told with each call how dangerous it is.
fn guarded(mut arguments: Value) -> Value {
    arguments["security_risk"] = json!("LOW");
    arguments["summary"] = json!("a step");
    arguments
}

/// The executable of this name below a folder: npm puts what is built for this machine into a package of its own.
fn found(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && entry.file_name() == name && is_elf(&path) {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("its package has no program for this machine")
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

/// A Python that is new enough, and a folder with the packages.
fn python(named: Option<&str>) -> Result<(PathBuf, Option<PathBuf>)> {
    let (major, minor) = PYTHON;
    let script = format!(
        "import sys; print(sys.executable) if sys.version_info >= ({major}, {minor}) else sys.exit(1)"
    );
    let usual = ["python3", "python3.14", "python3.13", "python3.12"];
    let python = named.map_or(usual.to_vec(), |named| vec![named]).into_iter().find_map(|name| {
        let output = Command::new(name).args(["-c", &script]).stderr(Stdio::null()).output().ok()?;
        let path = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        Some(PathBuf::from(path.trim()))
    });
    let python = python
        .with_context(|| format!("it wants Python {major}.{minor} or later: name one with --python"))?;
    let folder = kept(&PYTHONS.join("+").replace("==", "-"), |folder| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(folder).args(PYTHONS);
        pip.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    });
    Ok((python, Some(folder.context("pip could not install it")?)))
}

impl Installed {
    /// The command that does the work with a model server there, with nothing of the user's own.
    pub(super) fn command(&self, world: &World, home: &Path, base_url: &str) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", home).env("BENCH_KEY", "nobody's").env("BENCH_URL", base_url);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.packages.iter().map(|packages| ("PYTHONPATH", packages)));
        // Both Python peers' library would ask the network for prices first.
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        match self.peer {
            Peer::Cofferdam => {
                world.configure("openai_chat", base_url)?;
                command.env("COFFERDAM_CONFIG", world.configuration()).env("COFFERDAM_DATA", world.data());
                command
                    .args(["run", "--json", "--model", "bench/recorded", "--repo"])
                    .arg(world.repository());
                command.arg(ASKED);
            }
            Peer::Codex => {
                let provider = format!(
                    "model_providers.bench={{name=\"bench\",base_url=\"{base_url}\",wire_api=\"responses\",env_key=\"BENCH_KEY\"}}"
                );
                command.args(["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]);
                command.args([
                    "-c",
                    "model=\"recorded\"",
                    "-c",
                    "model_provider=\"bench\"",
                    "-c",
                    &provider,
                    ASKED,
                ]);
            }
            Peer::Opencode => {
                let configuration = home.join("opencode.json");
                fs::write(&configuration, opencode(base_url).to_string())?;
                command.env("OPENCODE_CONFIG", configuration).env("OPENCODE_DISABLE_MODELS_FETCH", "1");
                command.env("OPENCODE_DISABLE_AUTOUPDATE", "1");
                command.args(["run", "--model", "bench/recorded", ASKED]);
            }
            Peer::MiniSweAgent => {
                command.env("OPENAI_API_KEY", "nobody's").env("OPENAI_BASE_URL", base_url);
                command.env("MSWEA_CONFIGURED", "true").env("MSWEA_COST_TRACKING", "ignore_errors");
                command.args(["-m", "minisweagent.run.mini", "--yolo", "--exit-immediately", "--output"]);
                command.arg(home.join("trajectory.json")).args([
                    "--model",
                    "openai/recorded",
                    "--task",
                    ASKED,
                ]);
            }
            Peer::OpenHands => {
                let script = home.join("run.py");
                fs::write(&script, OPENHANDS_RUN)?;
                command.arg(script).arg(ASKED);
            }
        }
        command.current_dir(world.repository()).stdin(Stdio::null());
        Ok(command)
    }

    /// Sees to it that the steps were done, and not only answered.
    pub(super) fn check(&self, world: &World, marked: usize) -> Result<()> {
        let mut git = Command::new("git");
        git.args(["grep", "--count", "which was seen"]).current_dir(world.repository());
        if self.peer == Peer::Cofferdam {
            // It leaves the repository as it was, but for a branch.
            let branches = ["for-each-ref", "--format=%(refname)", "refs/heads"];
            let output = Command::new("git").args(branches).current_dir(world.repository()).output()?;
            let branches = String::from_utf8(output.stdout)?;
            let branch = branches.lines().find(|branch| *branch != "refs/heads/main");
            git.arg(branch.context("cofferdam has published no branch")?);
        }
        let output = git.output()?;
        let found = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(found == marked, "{} has edited {found} of {marked} files", self.peer.name());
        Ok(())
    }
}

fn opencode(base_url: &str) -> Value {
    let model = json!({ "name": "recorded", "limit": { "context": 4_000_000, "output": 8192 } });
    let options = json!({ "baseURL": base_url, "apiKey": "nobody's" });
    json!({
        "provider": { "bench": {
            "npm": "@ai-sdk/openai-compatible", "name": "bench", "options": options, "models": { "recorded": model },
        } },
        "permission": "allow", "autoupdate": false, "share": "disabled",
    })
}
