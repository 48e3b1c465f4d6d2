//! The one executable of Cofferdam: command line, configuration, composition root.
//!
//! What this crate is for: reading what the user typed and configured, building the parts once ([`compose`]), and handing them to one
//! command. It is the only reader of the environment and the only writer to the terminal.
//!
//! What it never does: decide anything about a session. That is the agent's, and what it decides is in the log.
//!
//! Where to start reading: [`args`] (what can be typed), then [`commands::run`].

#![forbid(unsafe_code)]

mod apps;
mod args;
mod commands;
mod compose;
mod config;
mod desk;
mod doorway;
mod exit;
mod log_lines;
mod secrets;
mod sessions;
mod show;
mod telemetry;
mod terminal;
mod toml_file;
mod upkeep;
mod ways;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    args::{
        AccessCommand, Arguments, AttackCommand, Command, ForgeCommand, PolicyCommand, ScheduleCommand,
        SlackCommand,
    },
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

/// Takes as many descriptors as there may be: every connection of every sandbox needs some, and the usual limit is one for
/// programs that wait with select(2). What runs in a sandbox has limits of its own.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Without it there are fewer connections at the same time.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
}

async fn run(arguments: Arguments) -> Result<Exit> {
    // Inside a sandbox there is no configuration, and perhaps not even a home.
    if let Command::Attack(attack) = &arguments.command
        && let Some(AttackCommand::Probe(probe)) = &attack.inside
    {
        return Ok(commands::attack::probe(probe));
    }
    raise_descriptors();
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
        Command::Message(arguments) => commands::steer::message(&app, arguments).await,
        Command::Pause(arguments) => commands::steer::pause(&app, arguments).await,
        Command::Continue(arguments) => commands::steer::go_on(&app, arguments).await,
        Command::Attach(arguments) => commands::sandbox::attach(&app, arguments).await,
        Command::Answer(arguments) => commands::steer::answer(&app, arguments).await,
        Command::Plan(arguments) => commands::steer::plan(&app, arguments).await,
        Command::Rollback(arguments) => commands::steer::rollback(&app, arguments).await,
        Command::Fork(arguments) => commands::steer::fork(&app, arguments).await,
        Command::Compare(arguments) => commands::attempts::compare(&app, arguments).await,
        Command::Choose(arguments) => Box::pin(commands::attempts::choose(&app, arguments)).await,
        Command::Checkpoints(arguments) => {
            Box::pin(commands::checkpoints::checkpoints(&app, arguments)).await
        }
        Command::Up(arguments) => Box::pin(commands::up::up(&app, arguments)).await,
        Command::Server(arguments) => Box::pin(commands::up::server(&app, arguments)).await,
        Command::Worker => Box::pin(commands::up::worker(&app)).await,
        Command::Admin(command) => commands::admin::admin(&app, command).await,
        Command::Audit(command) => commands::audit::audit(&app, command).await,
        Command::Models(arguments) => commands::models::models(&app, arguments).await,
        Command::Tools(arguments) => commands::tools::tools(&app, arguments),
        Command::Policy(PolicyCommand::Check(arguments)) => commands::policy::check(&app, arguments),
        Command::Policy(PolicyCommand::Explain(arguments)) => commands::policy::explain(&app, arguments),
        Command::Access(AccessCommand::List(arguments)) => commands::access::list(&app, arguments).await,
        Command::Access(AccessCommand::Grant(arguments)) => commands::access::grant(&app, arguments).await,
        Command::Access(AccessCommand::Deny(arguments)) => commands::access::deny(&app, arguments).await,
        Command::Schedule(ScheduleCommand::List(arguments)) => commands::schedule::list(&app, arguments),
        Command::Sandbox(command) => commands::sandbox::sandbox(&app, command).await,
        Command::Forge(ForgeCommand::Check(arguments)) => commands::forge::check(&app, arguments).await,
        Command::Forge(ForgeCommand::Set(arguments)) => commands::forge::set(&app, arguments).await,
        Command::Slack(SlackCommand::Check(arguments)) => commands::slack::check(&app, arguments).await,
        Command::Playbook(command) => Box::pin(commands::playbook::playbook(&app, command)).await,
        Command::Skill(command) => Box::pin(commands::skill::skill(&app, command)).await,
        Command::Memory(command) => Box::pin(commands::memory::memory(&app, command)).await,
        Command::Mcp(command) => Box::pin(commands::mcp::mcp(&app, command)).await,
        Command::Doctor(arguments) => commands::doctor::doctor(&app, arguments).await,
        Command::Attack(arguments) => commands::attack::attack(&app, arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_descriptors_are_taken() {
        let limit = getrlimit(Resource::Nofile);
        let fewer = limit.maximum.map(|most| most - 1);
        setrlimit(Resource::Nofile, Rlimit { current: fewer, ..limit }).unwrap();
        raise_descriptors();
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }
}
