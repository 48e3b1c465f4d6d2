//! The one executable of Cofferdam: command line, configuration, composition root.
//!
//! What this crate is for: reading what the user typed and configured, building the parts once ([`compose`]), and handing them to one
//! command. It is the only reader of the environment and the only writer to the terminal.
//!
//! What it never does: decide anything about a session. That is the agent's, and what it decides is in the log.
//!
//! Where to start reading: [`args`] (what can be typed), then [`commands::run`].

#![forbid(unsafe_code)]

mod args;
mod commands;
mod compose;
mod config;
mod exit;
mod show;
mod terminal;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser as _;

use crate::{
    args::{Arguments, Command, SandboxCommand},
    compose::App,
    exit::Exit,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::complain(&format!("cofferdam: {}", terminal::inert(format!("{error:#}").trim_end())));
            Exit::Failed.into()
        }
    }
}

fn start(arguments: Arguments) -> Result<Exit> {
    // Two threads: one for the session, one for whatever blocks it. More would only cost memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let exit = runtime.block_on(run(arguments));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    exit
}

async fn run(arguments: Arguments) -> Result<Exit> {
    let app = App::new(&arguments)?;
    match &arguments.command {
        Command::Run(arguments) => commands::run::run(&app, arguments).await,
        Command::Demo(arguments) => commands::demo::demo(&app, arguments).await,
        Command::Sessions(arguments) => commands::sessions::sessions(&app, arguments).await,
        Command::Show(arguments) => commands::show::show(&app, arguments).await,
        Command::Diff(arguments) => commands::diff::diff(&app, arguments).await,
        Command::Pr(arguments) => commands::pull_request::show(&app, arguments).await,
        Command::Merge(arguments) => commands::pull_request::merge(&app, arguments).await,
        Command::Close(arguments) => commands::pull_request::close(&app, arguments).await,
        Command::Replay(arguments) => commands::replay::replay(&app, arguments).await,
        Command::Resume(arguments) => commands::resume::resume(&app, arguments).await,
        Command::Cancel(arguments) => commands::cancel::cancel(&app, arguments).await,
        Command::Models(arguments) => commands::models::models(&app, arguments).await,
        Command::Tools(arguments) => commands::tools::tools(&app, arguments),
        Command::Sandbox(SandboxCommand::Run(arguments)) => commands::sandbox::run(&app, arguments).await,
        Command::Doctor(arguments) => commands::doctor::doctor(&app, arguments).await,
    }
}
