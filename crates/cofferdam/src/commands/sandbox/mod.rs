//! `cofferdam sandbox …`: sandboxes without a session.
//!
//! One is made for a single command ([`run`]), or stays until it is destroyed. What stays is kept by a process of its own ([`keeper`]), which
//! the other commands find by what lies in the data directory ([`kept`]) and ask over a socket there ([`wire`]). Sandboxes of sessions are
//! their workers'; what people want of them goes through the session's log.

mod attach;
mod attend;
mod bench;
mod call;
mod cast;
mod change;
mod entrance;
mod exec;
mod furnish;
mod keeper;
mod kept;
mod list;
mod refusals;
mod run;
mod start;
mod wire;

use anyhow::Result;

pub(crate) use self::{attach::attach, entrance::Sockets};

use crate::{args::SandboxCommand, compose::App, exit::Exit};

/// Does what was asked about sandboxes.
pub(crate) async fn sandbox(app: &App, command: &SandboxCommand) -> Result<Exit> {
    match command {
        SandboxCommand::Run(arguments) => run::run(app, arguments).await,
        SandboxCommand::Start(arguments) => start::start(app, arguments).await,
        SandboxCommand::Ls(arguments) => list::list(app, arguments).await,
        SandboxCommand::Exec(arguments) => exec::exec(app, arguments).await,
        SandboxCommand::Snapshot(arguments) => change::snapshot(app, arguments).await,
        SandboxCommand::Rollback(arguments) => change::roll_back(app, arguments).await,
        SandboxCommand::Fork(arguments) => start::fork(app, arguments).await,
        SandboxCommand::Export(arguments) => change::export(app, arguments).await,
        SandboxCommand::Import(arguments) => start::import(app, arguments).await,
        SandboxCommand::Freeze(arguments) => change::freeze(app, arguments).await,
        SandboxCommand::Thaw(arguments) => change::thaw(app, arguments).await,
        SandboxCommand::Destroy(arguments) => change::destroy(app, arguments).await,
        SandboxCommand::Bench(arguments) => bench::bench(app, arguments).await,
        SandboxCommand::Keep(arguments) => keeper::keep(app, arguments).await,
    }
}
