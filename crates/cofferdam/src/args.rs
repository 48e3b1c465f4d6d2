//! The command line, as close to what was typed as can be. Meaning comes in the commands.

mod attempts;
mod mcp;
mod memory;
mod playbook;
mod sandbox;
mod service;
mod skill;

use std::{path::PathBuf, time::Duration};

use crate::config::Limits;
use clap::{Args, Parser, Subcommand};
use cofferdam_domain::{CallId, Cost, Digest, SessionId, egress::Method};

pub(crate) use self::attempts::{AttemptArguments, ChooseArguments, CompareArguments};
pub(crate) use self::mcp::{McpApproveArguments, McpArguments, McpCommand, McpListArguments};
pub(crate) use self::memory::{
    MemoryAddArguments, MemoryApproveArguments, MemoryArguments, MemoryCommand, MemoryEditArguments,
    MemoryListArguments,
};
pub(crate) use self::playbook::{
    PlaybookAddArguments, PlaybookCommand, PlaybookListArguments, PlaybookRemoveArguments,
    PlaybookRunArguments, PlaybookShowArguments,
};
pub(crate) use self::sandbox::{
    KeepArguments, Origin, SandboxArgument, SandboxBenchArguments, SandboxCommand, SandboxDestroyArguments,
    SandboxExecArguments, SandboxExportArguments, SandboxForkArguments, SandboxImportArguments,
    SandboxOrSession, SandboxRollbackArguments, SandboxRunArguments, SandboxSnapshotArguments,
    SandboxStartArguments,
};
pub(crate) use self::service::{
    AdminCommand, AnswerArguments, AttachArguments, AuditCommand, CheckArguments, CheckpointArguments,
    CheckpointsArguments, ExportArguments, ForgeCheckArguments, ForgeCommand, ForgeSetArguments,
    ForkArguments, LinkArguments, MessageArguments, NamedSession, OrgArguments, PlanArguments,
    RetentionArguments, RollbackArguments, SlackCheckArguments, SlackCommand, TokenArguments, UpArguments,
    UserArguments, VerifyArguments,
};
pub(crate) use self::skill::{
    SkillAddArguments, SkillApproveArguments, SkillArguments, SkillCommand, SkillListArguments,
};

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
    /// Write to a session: the agent reads it before it goes on
    Message(MessageArguments),
    /// Ask a session to wait
    Pause(NamedSession),
    /// Let a session go on that waits, or that a limit has stopped
    Continue(NamedSession),
    /// Work in a session's sandbox yourself, on its worker's machine, while the agent waits; what you see is recorded
    Attach(AttachArguments),
    /// Answer a question of the agent's
    Answer(AnswerArguments),
    /// Show a session's plan, approve it or reject it
    Plan(PlanArguments),
    /// Take a session back to an event
    Rollback(RollbackArguments),
    /// Make a session that goes on from an event of another one
    Fork(ForkArguments),
    /// Compare several attempts at one task by what the platform saw, the best first
    Compare(CompareArguments),
    /// Choose the attempt that is delivered
    Choose(ChooseArguments),
    /// List the places that a session can be taken back to, or compare the files at two of them
    Checkpoints(CheckpointsArguments),
    /// Start everything on this machine: the API, the pages and a worker
    Up(UpArguments),
    /// Start the API and the pages
    Server(UpArguments),
    /// Start a worker that works on what is queued
    Worker,
    /// Say who may use a server, on the machine that has the store
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Check that the logs are what was written
    #[command(subcommand)]
    Audit(AuditCommand),
    /// See what agents ask to be let out of their sandboxes, and decide
    #[command(subcommand)]
    Access(AccessCommand),
    /// List the models that can be used
    Models(JsonFlag),
    /// List the tools that the model is offered
    Tools(JsonFlag),
    /// See what begins at set times
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Look over the rules for what may leave a sandbox
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Work with sandboxes directly
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Look over the forges on which people ask for work
    #[command(subcommand)]
    Forge(ForgeCommand),
    /// Look over the workspaces of Slack in which people ask for work
    #[command(subcommand)]
    Slack(SlackCommand),
    /// Look over the skills that an organisation gives its sessions, and approve them
    #[command(subcommand)]
    Skill(SkillCommand),
    /// Look over what is noted for later sessions, and decide about what sessions propose
    #[command(subcommand)]
    Memory(MemoryCommand),
    /// Work by tasks that somebody has worded already: see them, run them, add them
    #[command(subcommand)]
    Playbook(PlaybookCommand),
    /// Look over the MCP servers whose tools sessions may call, and approve them
    #[command(subcommand)]
    Mcp(McpCommand),
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
    /// Another repository that the task is about; may be given several times, each gets a pull request of its own
    #[arg(long, value_name = "PATH|URL[#REF]")]
    pub(crate) also: Vec<String>,
    /// The model, as `provider/name`, or a transcript file as `scripted:FILE` [default: see `cofferdam models`]
    #[arg(long, env = "COFFERDAM_MODEL", hide_env_values = true, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// A directory to have in the workspace instead of the whole repository; may be given several times
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) sparse: Vec<String>,
    /// The command that tests the repository [default: found out from its files]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) test: Option<String>,
    /// Let the agent change nothing before its plan is approved; only with a server
    #[arg(long)]
    pub(crate) plan_first: bool,
    #[command(flatten)]
    pub(crate) several: AttemptArguments,
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
    /// Also those that work for others
    #[arg(long)]
    pub(crate) all: bool,
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

/// `cofferdam schedule …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List the schedules of the configuration, and when each is due next
    List(ScheduleListArguments),
}

/// `cofferdam schedule list`.
#[derive(Debug, Args)]
pub(crate) struct ScheduleListArguments {
    /// So many times of each
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) count: u32,
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
