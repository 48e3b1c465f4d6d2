//! What a measured session works on: a repository, a configuration, and the recording that the model server plays.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// What a step of the recording does, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `echo` in a shell.
    Shell,
    /// Reading a file of 40 lines.
    Read,
    /// Replacing a line of the file that was read last.
    Edit,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Shell, Self::Read, Self::Edit];

    /// What step `index` does, counted from 0.
    pub(crate) const fn of(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }
}

/// A directory with everything that measured sessions see and leave.
pub(crate) struct World {
    folder: PathBuf,
}

impl World {
    /// Makes a repository with a file for each edit of the longest session.
    pub(crate) fn new(folder: &Path, longest: usize) -> Result<Self> {
        let world = Self { folder: folder.to_owned() };
        let repository = world.repository();
        fs::create_dir_all(repository.join("notes"))?;
        for number in 0..=longest / Kind::ALL.len() {
            fs::write(repository.join(file(number)), content(number))?;
        }
        fs::write(repository.join("test.sh"), "test -f notes/0.txt\n")?;
        for arguments in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "--all"],
            &[
                "-c",
                "user.name=Bench",
                "-c",
                "user.email=bench@localhost",
                "commit",
                "--quiet",
                "--message=Begin",
            ],
        ] {
            let output = Command::new("git")
                .args(arguments)
                .current_dir(&repository)
                .output()
                .context("failed to run git")?;
            ensure!(
                output.status.success(),
                "git {}: {}",
                arguments[0],
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(world)
    }

    /// The repository that sessions work on.
    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// The data directory that sessions share.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The configuration file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("cofferdam.toml")
    }

    /// Where a session's output goes.
    pub(crate) fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// Writes the configuration for a model server at `base_url`.
    pub(crate) fn configure(&self, wire: &str, base_url: &str) -> Result<()> {
        let model = json!({ "context_window": 4_000_000, "max_output": 8192 });
        let provider = json!({ "kind": wire, "base_url": base_url, "key_env": "BENCH_KEY", "models": { "recorded": model } });
        let configuration = json!({
            "policy": { "test_command": "sh test.sh", "budget": { "steps": 100_000, "tokens": 4_000_000_000_u64 } },
            "sandbox": { "limits": "weak" },
            "models": { "providers": { "bench": provider } },
        });
        fs::write(self.configuration(), toml::to_string(&configuration)?)?;
        Ok(())
    }

    /// Writes a recording of so many steps and one that finishes.
    pub(crate) fn recording(&self, steps: usize) -> Result<PathBuf> {
        let mut played: Vec<Value> = (0..steps).map(step).collect();
        played.push(json!({ "call": [{ "tool": "finish", "args": {
            "outcome": "done", "title": "Mark the notes", "summary": "One line of each note is marked as seen.",
        } }] }));
        let path = self.folder.join(format!("recording-{steps}.toml"));
        fs::write(&path, toml::to_string(&json!({ "name": "recorded", "step": played }))?)?;
        Ok(path)
    }
}

/// One step: every call differs from all others, as those of a model at work do.
fn step(index: usize) -> Value {
    let number = index / Kind::ALL.len();
    let file = file(number);
    let (tool, args) = match Kind::of(index) {
        Kind::Shell => ("shell", json!({ "command": format!("echo step {index}") })),
        Kind::Read => ("read", json!({ "path": file })),
        Kind::Edit => {
            let (old, new) = replacement(number);
            ("edit", json!({ "path": file, "edits": [{ "old_text": old, "new_text": new }] }))
        }
    };
    json!({ "text": format!("Now step {index} of the work."), "call": [{ "tool": tool, "args": args }] })
}

/// The path of a file in the repository.
pub(crate) fn file(number: usize) -> String {
    format!("notes/{number}.txt")
}

/// What is in it: 40 lines, about 1.5 kB.
pub(crate) fn content(number: usize) -> String {
    (0..40).map(|line| format!("line {line} of note {number}, about nothing\n")).collect()
}

/// The edit of a file: what is replaced, and with what.
pub(crate) fn replacement(number: usize) -> (String, String) {
    (format!("line 7 of note {number},"), format!("line 7 of note {number}, which was seen,"))
}
