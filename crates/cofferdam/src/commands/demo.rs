//! `cofferdam demo`: the main job on a sample repository. The model is a recording; everything else is real.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use cofferdam_domain::{Source, Task};
use cofferdam_forge::{Forge, Git, LocalForge, RepositoryAddress};
use cofferdam_store::Store;
use tokio::process::Command;

use crate::{
    args::DemoArguments,
    commands::{
        pull_request,
        run::{Request, accept_and_work},
    },
    compose::{App, environment},
    exit::Exit,
    terminal::Style,
};

/// The files of the sample repository.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../demo/manifest.toml")),
    ("Cargo.lock", include_str!("../../demo/lock.toml")),
    ("README.md", include_str!("../../demo/readme.md")),
    (".gitignore", "/target\n"),
    ("src/lib.rs", include_str!("../../demo/src/lib.rs")),
    ("tests/seconds.rs", include_str!("../../demo/tests/seconds.rs")),
];

const TRANSCRIPT: &str = include_str!("../../demo/transcript.toml");

const PROMPT: &str = "`seconds(\"6h 12\")` returns six hours instead of an error: a number without a unit at the end is dropped. \
                      Make the failing test pass.";

/// Runs the demo and shows the pull request.
pub(crate) async fn demo(app: &App, arguments: &DemoArguments) -> Result<Exit> {
    let directory = app.data()?.join("demo");
    let repository = directory.join("tide-clock");
    let transcript = directory.join("transcript.toml");
    let host = app.host()?;
    let git = host.git.clone();
    ensure!(
        on_path("cargo"),
        "the demo's sample repository is a Rust project, and there is no `cargo` in PATH: install Rust, or try `cofferdam run` on a \
         repository of yours"
    );
    if !repository.join(".git").exists() {
        make_repository(&git, &repository).await?;
    }
    fs::write(&transcript, TRANSCRIPT)
        .with_context(|| format!("failed to write {}", transcript.display()))?;
    if !arguments.json {
        introduce(app, &repository);
    }
    let address = RepositoryAddress::parse(&git, &repository.to_string_lossy(), Path::new("/")).await?;
    let task = Task::new(PROMPT.to_owned(), address.to_string(), None, app.user(), Source::Demo)?;
    let request = Request {
        task,
        policy: app.config.policy.clone(),
        model: Some(format!("scripted:{}", transcript.display())),
        json: arguments.json,
    };
    let exit = accept_and_work(app, host, request).await?;
    if exit == Exit::Success && !arguments.json {
        let store = app.store().await?;
        let session = app.session_or_latest(&*store as &dyn Store, None).await?;
        let forge = LocalForge::new(git, app.config.data.join("forge"));
        let opened = forge.find(&address, session).await?.context("the pull request is gone")?;
        app.terminal.line("");
        app.terminal.line(&app.terminal.paint(Style::Bold, "The pull request, as a reviewer reads it:"));
        app.terminal.line("");
        pull_request::print(app, &opened);
        app.terminal
            .line(&app.terminal.paint(Style::Dim, "The model was a recording. Everything else was real."));
    }
    Ok(exit)
}

fn on_path(program: &str) -> bool {
    let path = environment("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn introduce(app: &App, repository: &Path) {
    app.terminal.line(&app.terminal.paint(Style::Bold, "Cofferdam demo"));
    app.terminal.line(
        "The model is a recording, so no key and no network are needed. The sandbox, the commands, the edits, git, the gate, the tests \
         and the pull request are real.",
    );
    app.terminal
        .line(&app.terminal.paint(Style::Dim, &format!("sample repository: {}", repository.display())));
    app.terminal.line("");
}

/// Makes the sample repository with its one commit. Made beside its place and then moved there, so that half of one is never used.
async fn make_repository(git: &Git, place: &Path) -> Result<()> {
    let made = place.with_extension(format!("new-{}", std::process::id()));
    for (name, content) in FILES {
        let path = made.join(name);
        let folder = path.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        fs::write(&path, content).with_context(|| format!("failed to write {}", path.display()))?;
    }
    for arguments in [
        &["init", "--quiet", "--initial-branch=main", "--template="][..],
        &["add", "--all"],
        &["commit", "--quiet", "--no-gpg-sign", "--message=Read lengths of time"],
    ] {
        let output = Command::new(git.program())
            .args(arguments)
            .current_dir(&made)
            .env_clear()
            .envs([
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_AUTHOR_NAME", "Cofferdam"),
                ("GIT_AUTHOR_EMAIL", "cofferdam@localhost"),
                ("GIT_COMMITTER_NAME", "Cofferdam"),
                ("GIT_COMMITTER_EMAIL", "cofferdam@localhost"),
            ])
            .output()
            .await
            .context("failed to run git")?;
        ensure!(output.status.success(), "git {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
    }
    fs::rename(&made, place).with_context(|| format!("failed to name {}", place.display()))
}
