//! The command line, as close to what was typed as can be. Meaning comes in the commands.

use std::{path::PathBuf, str::FromStr, time::Duration};

use crate::config::Limits;
use clap::{Args, Parser, Subcommand};
use cofferdam_domain::{CallId, Cost, Digest, SandboxId, SessionId, egress::Method};

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
    /// See what agents ask to be let out of their sandboxes, and decide
    #[command(subcommand)]
    Access(AccessCommand),
    /// List the models that can be used
    Models(JsonFlag),
    /// List the tools that the model is offered
    Tools(JsonFlag),
    /// Look over the rules for what may leave a sandbox
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Work with sandboxes directly
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Say what this host offers, what is missing, and how to mend it
    Doctor(JsonFlag),
    /// Attack this program on this machine, in every way that the catalogue of hostile cases has; fails if one case does not hold
    Attack(AttackArguments),
}

/// `cofferdam attack`.
#[derive(Debug, Args)]
pub(crate) struct AttackArguments {
    /// Print one JSON report a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the cases of this group, such as EX
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Only the case of this name, such as EX-02, by every driver and with its benign twins
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// What runs inside a sandbox
    #[command(subcommand)]
    pub(crate) inside: Option<AttackCommand>,
}

/// `cofferdam attack …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AttackCommand {
    /// Try one thing from inside a sandbox and say what happened
    #[command(hide = true)]
    Probe(ProbeArguments),
}

/// `cofferdam attack probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArguments {
    /// What to try
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
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
    /// Show only what was let out of the sandboxes and what was refused, all of it
    #[arg(long)]
    pub(crate) egress: bool,
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

/// `cofferdam policy …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the rules, what is wrong with them, and what may not be meant; fails if something is wrong
    Check(PolicyCheckArguments),
    /// Say whether a request would pass, by which rule, and why the others do not permit it; fails if it is refused
    Explain(PolicyExplainArguments),
}

/// `cofferdam policy check`.
#[derive(Debug, Args)]
pub(crate) struct PolicyCheckArguments {
    /// The file, written like the configuration [default: the configuration]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam policy explain`.
#[derive(Debug, Args)]
pub(crate) struct PolicyExplainArguments {
    /// The file, written like the configuration [default: the configuration]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The request's method
    #[arg(long, short = 'X', default_value = "GET")]
    pub(crate) method: Method,
    /// The bytes of its body, if it has one
    #[arg(long, value_name = "BYTES")]
    pub(crate) body: Option<u64>,
    /// Whether it opens a WebSocket
    #[arg(long)]
    pub(crate) web_socket: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Where it goes
    pub(crate) url: String,
}

/// `cofferdam sandbox …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Run a command in exactly the sandbox that an agent gets
    Run(SandboxRunArguments),
    /// Make a sandbox that stays until it is destroyed, and print its id
    Start(SandboxStartArguments),
    /// List the sandboxes that stay, and those of sessions that are being worked on
    Ls(JsonFlag),
    /// Run a command in a sandbox that stays; what it leaves running is killed when it ends
    Exec(SandboxExecArguments),
    /// Keep the files of a sandbox as they are now (not those in /tmp), and print the snapshot's id; no command may be running in it
    Snapshot(SandboxSnapshotArguments),
    /// Go back to a snapshot: what was written since is lost, with all later snapshots
    Rollback(SandboxRollbackArguments),
    /// Make another sandbox that begins with the files of one, or of a snapshot, and print its id
    Fork(SandboxForkArguments),
    /// Write a snapshot to an archive, named after its digest, and print its path
    Export(SandboxExportArguments),
    /// Make a sandbox that begins with the files of an archive, and print its id
    Import(SandboxImportArguments),
    /// Stop every process of a sandbox where it stands; a session that is being worked on is held for a person
    Freeze(SandboxArgument),
    /// Let a frozen sandbox, or the session whose sandbox it is, go on
    #[command(visible_alias = "release")]
    Thaw(SandboxArgument),
    /// End a sandbox with all that it has; or give up a session whose sandbox was frozen, with all that the sandbox has left
    Destroy(SandboxDestroyArguments),
    /// Measure what sandboxes cost on this machine
    Bench(SandboxBenchArguments),
    /// Be the process that has a sandbox
    #[command(hide = true)]
    Keep(KeepArguments),
}

/// `cofferdam sandbox start`.
#[derive(Debug, Args)]
pub(crate) struct SandboxStartArguments {
    /// A directory to see at /workspace; the original is not touched
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Let out what this file permits: its tables [policy.egress], [[credentials]] and [egress] are those of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Have a root in it, who may install packages in it and is nobody outside of it
    #[arg(long)]
    pub(crate) root: bool,
    /// End it when nobody has wanted anything of it for so long, such as 30m, 2h or 1d; its files stay until it is destroyed
    #[arg(long, value_name = "TIME", value_parser = length_of_time, default_value = "8h")]
    pub(crate) idle: Duration,
}

/// `cofferdam sandbox exec`.
#[derive(Debug, Args)]
pub(crate) struct SandboxExecArguments {
    /// Run it as root of the sandbox, if it was started with --root
    #[arg(long)]
    pub(crate) root: bool,
    /// Give it this terminal; what it prints acts on the terminal
    #[arg(long, short)]
    pub(crate) terminal: bool,
    /// Kill it after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// The sandbox
    pub(crate) id: SandboxId,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// `cofferdam sandbox snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SandboxSnapshotArguments {
    /// The sandbox
    pub(crate) id: SandboxId,
    /// What to call it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// `cofferdam sandbox rollback`.
#[derive(Debug, Args)]
pub(crate) struct SandboxRollbackArguments {
    /// The sandbox
    pub(crate) id: SandboxId,
    /// The snapshot, by id or name
    pub(crate) snapshot: String,
}

/// `cofferdam sandbox fork`.
#[derive(Debug, Args)]
pub(crate) struct SandboxForkArguments {
    /// A sandbox, of which a snapshot is taken first, or a snapshot by id or name
    #[arg(value_name = "ID|SNAPSHOT")]
    pub(crate) origin: Origin,
}

/// What a fork begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A sandbox as it is.
    Sandbox(SandboxId),
    /// A snapshot, by id or name.
    Snapshot(String),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sbx_") {
            return text.parse().map(Self::Sandbox).map_err(|_| WRONG_ID.to_owned());
        }
        Ok(Self::Snapshot(text.to_owned()))
    }
}

/// `cofferdam sandbox export`.
#[derive(Debug, Args)]
pub(crate) struct SandboxExportArguments {
    /// The snapshot, by id or name
    pub(crate) snapshot: String,
    /// The directory to write it to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) to: PathBuf,
}

/// `cofferdam sandbox import`.
#[derive(Debug, Args)]
pub(crate) struct SandboxImportArguments {
    #[command(flatten)]
    pub(crate) start: SandboxStartArguments,
    /// The archive, under the name that it was exported with
    pub(crate) archive: PathBuf,
}

/// A command that takes a sandbox, or the session that has one.
#[derive(Debug, Args)]
pub(crate) struct SandboxArgument {
    /// The sandbox, or the session that has it [default: the latest session]
    #[arg(value_name = "ID|SESSION")]
    pub(crate) id: Option<SandboxOrSession>,
}

/// `cofferdam sandbox destroy`.
#[derive(Debug, Args)]
pub(crate) struct SandboxDestroyArguments {
    /// The sandbox, or the session that has it [default: the latest session]
    #[arg(value_name = "ID|SESSION")]
    pub(crate) id: Option<SandboxOrSession>,
    /// Destroy every sandbox that was started by hand
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
}

/// A sandbox by its own id or by that of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SandboxOrSession {
    /// Its own.
    Sandbox(SandboxId),
    /// Its session's.
    Session(SessionId),
}

impl FromStr for SandboxOrSession {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let session = text.parse().map(Self::Session);
        session.or_else(|_| text.parse().map(Self::Sandbox)).map_err(|_| WRONG_ID)
    }
}

const WRONG_ID: &str =
    "an id is sbx_ (of a sandbox) or ses_ (of a session) and 26 digits, as `cofferdam sandbox ls` shows it";

/// `cofferdam sandbox bench`.
#[derive(Debug, Args)]
pub(crate) struct SandboxBenchArguments {
    /// How often each thing is done
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
}

/// `cofferdam sandbox keep`.
#[derive(Debug, Args)]
pub(crate) struct KeepArguments {
    /// The sandbox
    pub(crate) id: SandboxId,
}

/// `cofferdam access …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// List what was asked, and what was decided
    List(AccessListArguments),
    /// Let out exactly what was asked, for this session
    Grant(GrantArguments),
    /// Refuse it
    Deny(DecisionArguments),
}

/// `cofferdam access list`.
#[derive(Debug, Args)]
pub(crate) struct AccessListArguments {
    /// The session [default: the latest]
    pub(crate) session: Option<SessionId>,
    /// Print one JSON request a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam access grant`.
#[derive(Debug, Args)]
pub(crate) struct GrantArguments {
    #[command(flatten)]
    pub(crate) decision: DecisionArguments,
    /// For how long, such as 30m, 2h or 1d [default: until the session ends]
    #[arg(long = "for", value_name = "TIME", value_parser = length_of_time)]
    pub(crate) time: Option<Duration>,
}

/// What a decision is about.
#[derive(Debug, Args)]
pub(crate) struct DecisionArguments {
    /// The session
    pub(crate) session: SessionId,
    /// The request, as `cofferdam access list` names it [default: the only one that nobody has decided about]
    pub(crate) id: Option<CallId>,
    /// Decide only if the rule still has this digest
    #[arg(long, value_name = "DIGEST")]
    pub(crate) rule: Option<Digest>,
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
    /// Let out what this file permits: its tables [policy.egress], [[credentials]] and [egress] are those of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Look at the files that a session has left, in a copy
    #[arg(long, value_name = "ID", conflicts_with = "workspace")]
    pub(crate) session: Option<SessionId>,
    /// Run it as root of the sandbox, who may install packages in it and is nobody outside of it
    #[arg(long)]
    pub(crate) root: bool,
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

/// A length of time as people write it: `90s`, `30m`, `2h`, `1d`; at most 30 days.
fn length_of_time(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "give a whole number with s, m, h or d behind it, at most 30d, such as 2h";
    let split = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or(WRONG)?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(WRONG),
    };
    let number: u64 = number.parse().map_err(|_| WRONG)?;
    let whole = number.checked_mul(seconds).filter(|whole| (1..=30 * 24 * 3600).contains(whole));
    whole.map(Duration::from_secs).ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let minutes = |minutes: u64| Ok(Duration::from_secs(minutes * 60));
        assert_eq!(length_of_time("90m"), minutes(90));
        assert_eq!(length_of_time("2h"), minutes(120));
        assert_eq!(length_of_time("30d"), minutes(30 * 24 * 60));
        for wrong in ["", "h", "2", "0h", "-1h", "1.5h", "31d", "2ü", "99999999999999999999s"] {
            assert!(length_of_time(wrong).is_err(), "{wrong}");
        }
    }
}
