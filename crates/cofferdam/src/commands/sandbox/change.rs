//! `cofferdam sandbox snapshot`, `rollback`, `export`, `freeze`, `thaw` and `destroy`.

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::SandboxId;
use cofferdam_sandbox::{ArchiveBounds, LayerStack};
use tokio::task::spawn_blocking;

use super::{
    call::{self, LONG},
    kept::{Kept, find_snapshot},
    list,
    wire::Request,
};
use crate::{
    args::{
        SandboxArgument, SandboxDestroyArguments, SandboxExportArguments, SandboxOrSession,
        SandboxRollbackArguments, SandboxSnapshotArguments, SessionArgument,
    },
    commands::frozen,
    compose::App,
    exit::Exit,
    terminal::complain,
};

/// Keeps the files of a sandbox as they are.
pub(super) async fn snapshot(app: &App, arguments: &SandboxSnapshotArguments) -> Result<Exit> {
    let kept = list::find(app, arguments.id).await?;
    app.terminal.line(&call::snapshot(&kept, arguments.name.clone()).await?);
    Ok(Exit::Success)
}

/// Goes back to a snapshot.
pub(super) async fn roll_back(app: &App, arguments: &SandboxRollbackArguments) -> Result<Exit> {
    let kept = list::find(app, arguments.id).await?;
    let snapshot = kept.snapshot(&kept.about()?, &arguments.snapshot)?;
    let snapshot = snapshot.with_context(|| {
        format!("{} has no snapshot {}: `cofferdam sandbox ls` lists them", kept.id, arguments.snapshot)
    })?;
    call::ask(&kept, &Request::RollBack { snapshot: snapshot.to_string() }).await?;
    app.terminal.line(&format!("{}: as it was at {snapshot}", kept.id));
    Ok(Exit::Success)
}

/// Writes a snapshot to a file that another machine can read.
pub(super) async fn export(app: &App, arguments: &SandboxExportArguments) -> Result<Exit> {
    let (kept, _, snapshot) = find_snapshot(app.data()?, &arguments.snapshot)?;
    let directory = arguments.to.clone();
    ensure!(directory.is_dir(), "{} is not a directory", directory.display());
    let layer = LayerStack::at(&kept.layer);
    let exported = spawn_blocking(move || layer.export(snapshot, &directory, ArchiveBounds::default()));
    let archive = exported.await.context("exporting failed")??;
    app.terminal.line(&archive.path.display().to_string());
    Ok(Exit::Success)
}

/// Stops all processes of a sandbox.
pub(super) async fn freeze(app: &App, arguments: &SandboxArgument) -> Result<Exit> {
    match whose(app, arguments.id).await? {
        Whose::Session(session) => frozen::freeze(app, &session).await,
        Whose::Person(kept) => {
            call::ask(&kept, &Request::Freeze).await?;
            app.terminal.line(&format!("{}: frozen; `cofferdam sandbox thaw {0}` lets it go on", kept.id));
            Ok(Exit::Success)
        }
    }
}

/// Lets them go on.
pub(super) async fn thaw(app: &App, arguments: &SandboxArgument) -> Result<Exit> {
    match whose(app, arguments.id).await? {
        Whose::Session(session) => frozen::release(app, &session).await,
        Whose::Person(kept) => {
            call::ask(&kept, &Request::Thaw).await?;
            app.terminal.line(&format!("{}: goes on", kept.id));
            Ok(Exit::Success)
        }
    }
}

/// Ends a sandbox, or all, with everything that it has.
pub(super) async fn destroy(app: &App, arguments: &SandboxDestroyArguments) -> Result<Exit> {
    if arguments.all {
        let mut exit = Exit::Success;
        for kept in Kept::all(app.data()?)? {
            if let Err(error) = give_up(app, &kept).await {
                complain(&format!("{}: {error:#}", kept.id));
                exit = Exit::Failed;
            } else {
                app.terminal.line(&format!("{}: destroyed", kept.id));
            }
        }
        return Ok(exit);
    }
    match whose(app, arguments.id).await? {
        Whose::Session(session) => frozen::destroy(app, &session).await,
        Whose::Person(kept) => {
            give_up(app, &kept).await?;
            app.terminal.line(&format!("{}: destroyed", kept.id));
            Ok(Exit::Success)
        }
    }
}

/// Ends a kept sandbox, whether it has a keeper or not, and waits until nothing is left of it.
async fn give_up(app: &App, kept: &Kept) -> Result<()> {
    if let Some(mut line) = call::connect(kept)? {
        let process = line.process();
        let answer = line.ask(&Request::Destroy, LONG).await;
        // Somebody else may have done the same at the same time.
        if kept.exists() {
            answer?;
        }
        return match process {
            Some(process) => call::ended(process).await,
            None => Ok(()),
        };
    }
    let abandoned = kept
        .abandoned()
        .with_context(|| format!("{} is just being started, or is ending: try again", kept.id))?;
    let kept = kept.clone();
    let removed = spawn_blocking(move || kept.remove()).await.context("removing it failed")?;
    drop(abandoned);
    // A driver begins by removing the control groups that others have left who are dead. Where there can be none, none are left.
    drop(app.driver().await);
    removed
}

/// Whose a sandbox is.
enum Whose {
    /// A person's, who keeps it.
    Person(Kept),
    /// A session's; or of the latest, if none was named.
    Session(SessionArgument),
}

async fn whose(app: &App, named: Option<SandboxOrSession>) -> Result<Whose> {
    let id: SandboxId = match named {
        None => return Ok(Whose::Session(SessionArgument { id: None })),
        Some(SandboxOrSession::Session(id)) => return Ok(Whose::Session(SessionArgument { id: Some(id) })),
        Some(SandboxOrSession::Sandbox(id)) => id,
    };
    let kept = Kept::at(app.data()?, id);
    if kept.exists() {
        return Ok(Whose::Person(kept));
    }
    match list::session_of(app, id).await? {
        Some(session) => Ok(Whose::Session(SessionArgument { id: Some(session) })),
        None => Kept::find(app.data()?, id).map(Whose::Person),
    }
}
