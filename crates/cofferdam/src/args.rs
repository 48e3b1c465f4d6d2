//! The command line, as close to what was typed as can be. Meaning comes in the commands.

use std::path::PathBuf;

use crate::config::Limits;
use clap::{Args, Parser, Subcommand};
use cofferdam_domain::{Cost, SessionId};

/// A coding agent that works alone in a sandbox and leaves you a pull request to review.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Configuration file [default: cofferdam.toml in the user's configuration directory, if it exists]
    #[arg(long, global = true, env = "COFFERDAM_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where sessions, mirrors and layers are kept [default: cofferdam in the user's data directory]
    #[arg(long, global = true, env = "COFFERDAM_DATA", hide_env_values = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How strictly the limits of sandboxes must hold [default: as configured, or enforced]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) limits: Option<Limits>,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work on a task and open a pull request
    Run(RunArguments),
    /// See the whole thing at work on a sample repository; needs no key and no network
    Demo(DemoArguments),
    /// List sessions
    Sessions(SessionsArguments),
    /// Show a session's timeline
    Show(ShowArguments),
    /// Show what a session changed, as a patch
    Diff(SessionArgument),
    /// Show a session's pull request as a reviewer reads it
    Pr(PrArguments),
    /// Merge a session's pull request on the local forge
    Merge(SessionArgument),
    /// Close a session's pull request without merging
    Close(SessionArgument),
    /// Fold a session's log again and prove that the same actions come out
    Replay(SessionArgument),
    /// Go on with a session that was interrupted
    Resume(ResumeArguments),
    /// Cancel a session
    Cancel(SessionArgument),
    /// List the models that can be used
    Models(JsonFlag),
    /// List the tools that the model is offered
    Tools(JsonFlag),
    /// Work with sandboxes directly
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Say what this host offers, what is missing, and how to mend it
    Doctor(JsonFlag),
}

/// `cofferdam run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The repository: a path or a URL
    #[arg(long, value_name = "PATH|URL", default_value = ".")]
    pub(crate) repo: String,
    /// Branch, tag or commit to start from [default: the repository's default branch]
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// The model, as `provider/name`, or a transcript file as `scripted:FILE` [default: see `cofferdam models`]
    #[arg(long, env = "COFFERDAM_MODEL", hide_env_values = true, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The command that tests the repository [default: found out from its files]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) test: Option<String>,
    /// At most this many model answers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_steps: Option<u32>,
    /// At most this much money, in US dollars
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    pub(crate) max_cost: Option<Cost>,
    /// At most this much time, in minutes
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_minutes: Option<u32>,
    /// Read the task from this file
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    pub(crate) task_file: Option<PathBuf>,
    /// Print one JSON event a line instead of progress for people
    #[arg(long)]
    pub(crate) json: bool,
    /// What to do, in words; `-` reads it from standard input
    #[arg(required_unless_present = "task_file")]
    pub(crate) task: Option<String>,
}

/// `cofferdam demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Print one JSON event a line instead of progress for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam sessions`.
#[derive(Debug, Args)]
pub(crate) struct SessionsArguments {
    /// At most this many
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: u32,
    /// Only those made before this one
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<SessionId>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The session [default: the latest]
    pub(crate) id: Option<SessionId>,
    /// Stay and show events as they come
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Show whole outputs and arguments instead of their beginnings
    #[arg(long)]
    pub(crate) full: bool,
    /// Print one JSON event a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam pr`.
#[derive(Debug, Args)]
pub(crate) struct PrArguments {
    /// The session [default: the latest]
    pub(crate) id: Option<SessionId>,
    /// Print the record as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A command that takes one session.
#[derive(Debug, Args)]
pub(crate) struct SessionArgument {
    /// The session [default: the latest]
    pub(crate) id: Option<SessionId>,
}

/// `cofferdam resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The session [default: the latest]
    pub(crate) id: Option<SessionId>,
    /// Print one JSON event a line instead of progress for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// A command that can print JSON.
#[derive(Debug, Args)]
pub(crate) struct JsonFlag {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam sandbox …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Run a command in exactly the sandbox that an agent gets
    Run(SandboxRunArguments),
}

/// `cofferdam sandbox run`.
#[derive(Debug, Args)]
pub(crate) struct SandboxRunArguments {
    /// A directory to see at /workspace; the original is not touched
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Kill it after this many seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// An amount of money as people write it: `2`, `0.25`.
fn dollars(text: &str) -> Result<Cost, &'static str> {
    match text.parse::<f64>() {
        Ok(dollars) if dollars > 0.0 && dollars < 1e9 => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be positive and below 1e9"
            )]
            let micros = (dollars * 1e6).ceil() as u64;
            Ok(Cost(micros))
        }
        Ok(_) | Err(_) => Err("give a positive number of US dollars, such as 2.50"),
    }
}
