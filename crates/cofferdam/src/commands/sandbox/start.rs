//! `cofferdam sandbox start`, `fork` and `import`: sandboxes that stay.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use cofferdam_domain::SandboxId;
use cofferdam_sandbox::{ArchiveBounds, LayerStack};
use tokio::task::spawn_blocking;

use super::{
    call, furnish,
    kept::{About, Kept, find_snapshot},
    list,
    wire::Answer,
};
use crate::{
    args::{Origin, SandboxForkArguments, SandboxImportArguments, SandboxStartArguments},
    compose::App,
    config,
    exit::Exit,
    terminal::{Style, complain},
};

/// Bytes of what a keeper says when it has started, or of the end of its log.
const REPORT: u64 = 64 << 10;

/// Makes a sandbox that stays.
pub(super) async fn start(app: &App, arguments: &SandboxStartArguments) -> Result<Exit> {
    let about = about(arguments)?;
    launch(app, about, |_| Ok(())).await
}

/// Makes another one from the files of one, or of a snapshot.
pub(super) async fn fork(app: &App, arguments: &SandboxForkArguments) -> Result<Exit> {
    let data = app.data()?;
    let (origin, about, snapshot) = match &arguments.origin {
        Origin::Snapshot(name) => find_snapshot(data, name)?,
        Origin::Sandbox(id) => {
            let kept = list::find(app, *id).await?;
            let taken = snapshot(&kept).await?;
            find_snapshot(data, &taken)?
        }
    };
    let layer = LayerStack::at(&origin.layer);
    let about = About { made: cofferdam_worker::now(), level: None, ended: None, ..about };
    launch(app, about, move |new| {
        layer.fork(snapshot, new)?;
        Ok(())
    })
    .await
}

/// Takes a snapshot of a kept sandbox, whether it has a keeper or not.
pub(super) async fn snapshot(kept: &Kept) -> Result<String> {
    // Nobody must start to keep it meanwhile.
    if let Some(_abandoned) = kept.abandoned() {
        let layer = LayerStack::at(&kept.layer);
        return Ok(layer.snapshot()?.to_string());
    }
    call::snapshot(kept, None).await
}

/// Makes one from an archive.
pub(super) async fn import(app: &App, arguments: &SandboxImportArguments) -> Result<Exit> {
    let about = about(&arguments.start)?;
    let archive = arguments.archive.clone();
    launch(app, about, move |layer| {
        LayerStack::at(layer).import(&archive, ArchiveBounds::default())?;
        Ok(())
    })
    .await
}

fn about(arguments: &SandboxStartArguments) -> Result<About> {
    let absolute = |path: &PathBuf| {
        // What is wrong with it should be known at once.
        config::rules(path)?;
        std::path::absolute(path).with_context(|| format!("{} is not a usable path", path.display()))
    };
    Ok(About {
        made: cofferdam_worker::now(),
        workspace: arguments.workspace.as_deref().map(furnish::workspace).transpose()?,
        policy: arguments.policy.as_ref().map(absolute).transpose()?,
        root: arguments.root,
        idle: arguments.idle.as_secs(),
        level: None,
        names: BTreeMap::new(),
        ended: None,
        keep_running: arguments.keep_running,
    })
}

/// Makes the layer and starts a keeper. What cannot be started leaves nothing.
async fn launch(
    app: &App,
    about: About,
    layer: impl FnOnce(&Path) -> Result<()> + Send + 'static,
) -> Result<Exit> {
    let kept = Kept::at(app.data()?, SandboxId::generate());
    let (place, command) = (kept.clone(), keeper(app, &kept)?);
    let _lock = kept.make(&about)?;
    let started = spawn_blocking(move || {
        layer(&place.layer)?;
        hear(spawn(command, &place)?, &place)
    });
    let level = match started.await.context("starting it failed")? {
        Ok(level) => level,
        Err(error) => {
            kept.remove().ok();
            return Err(error);
        }
    };
    complain(&app.terminal.paint(Style::Dim, &format!("sandbox: {level}")));
    app.terminal.line(&kept.id.to_string());
    Ok(Exit::Success)
}

/// This program as the keeper of a sandbox, with the same configuration.
fn keeper(app: &App, kept: &Kept) -> Result<Command> {
    // By this path it is the same program even if another one has been installed in its place.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("cofferdam").args(["sandbox", "keep"]).arg(kept.id.to_string());
    command.arg("--data").arg(app.data()?).args(["--limits", app.config.limits.name()]);
    if let Some(file) = &app.config.file {
        command.arg("--config").arg(std::path::absolute(file)?);
    }
    Ok(command)
}

fn spawn(mut command: Command, kept: &Kept) -> Result<Child> {
    let path = kept.log();
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("failed to open {}", path.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.spawn().context("failed to start a keeper")
}

/// Waits until a keeper has its sandbox; gives the isolation that is in force.
fn hear(mut child: Child, kept: &Kept) -> Result<String> {
    let mut report = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(REPORT).read_to_end(&mut report).context("failed to hear of the keeper")?;
    }
    let problem = match serde_json::from_slice(&report) {
        Ok(Answer::Seen(seen)) => return Ok(seen.level),
        Ok(Answer::Refused(reason)) => reason,
        Ok(_) | Err(_) => {
            let log = fs::read(kept.log()).unwrap_or_default();
            let end = log.len().saturating_sub(usize::try_from(REPORT).unwrap_or(usize::MAX));
            let said = String::from_utf8_lossy(log.get(end..).unwrap_or_default()).into_owned();
            format!("its keeper has ended without a word of why: {}", said.trim())
        }
    };
    child.wait().context("failed to wait for the keeper")?;
    bail!("{problem}")
}
