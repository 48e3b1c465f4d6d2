//! The commands of a service, and those that steer a session.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};
use cofferdam_domain::{CallId, Digest, Rank, SessionId};

/// `cofferdam up`.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Where to listen [default: as configured, or 127.0.0.1:7480]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

/// `cofferdam forge …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ForgeCommand {
    /// Say whether each can be reached, as whom, and what of its set-up is unsafe; fails if something does not work
    Check(ForgeCheckArguments),
    /// Say how a forge that was connected on the page is worked with
    Set(ForgeSetArguments),
}

/// `cofferdam forge set`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct ForgeSetArguments {
    /// The forge
    pub(crate) name: String,
    /// How often it is asked what has happened there, such as 5m; empty: as usual
    #[arg(long, value_name = "TIME", group = "what")]
    pub(crate) poll: Option<String>,
    /// Repositories that a task is about as well: "owner/app: owner/library owner/docs#branch", once for each; empty: none
    #[arg(long, value_name = "REPOSITORIES", group = "what")]
    pub(crate) together: Vec<String>,
}

/// `cofferdam forge check`.
#[derive(Debug, Args)]
pub(crate) struct ForgeCheckArguments {
    /// Only the forge of this name
    pub(crate) name: Option<String>,
    /// Look at this repository too
    #[arg(long, short, value_name = "OWNER/NAME")]
    pub(crate) repository: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam slack …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SlackCommand {
    /// Say whether the workspaces of Slack can be worked with, and whether the app may do more there than it needs
    Check(SlackCheckArguments),
}

/// `cofferdam slack check`.
#[derive(Debug, Args)]
pub(crate) struct SlackCheckArguments {
    /// Only the workspace of this name
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam admin …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make a link for a user to sign in with, once, within 15 minutes
    Link(LinkArguments),
    /// Make a user, with a link to sign in
    User(UserArguments),
    /// Make an API token, shown once
    Token(TokenArguments),
    /// Make an organisation with its first admin, and a link for them to sign in
    Org(OrgArguments),
    /// Encrypt all data keys with the present master key, or with a new one where the key is the data directory's own
    RotateKey,
    /// Send a test message by a channel of the configuration, now, and say what came of it
    TellTest(TellTestArguments),
    /// Say for how many days an organisation keeps what has ended, if less than is configured for all
    Retention(RetentionArguments),
}

/// `cofferdam admin tell-test`.
#[derive(Debug, Args)]
pub(crate) struct TellTestArguments {
    /// The channel's name: `name` of a `tell` table of the configuration
    pub(crate) name: String,
}

/// `cofferdam admin retention`.
#[derive(Debug, Args)]
pub(crate) struct RetentionArguments {
    /// Days for which sessions are kept after their end; 0 as configured
    #[arg(long, value_name = "DAYS")]
    pub(crate) sessions: Option<u32>,
    /// Days for which the files of sessions are kept after their end; 0 as configured
    #[arg(long, value_name = "DAYS")]
    pub(crate) files: Option<u32>,
    /// The organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam admin link`.
#[derive(Debug, Args)]
pub(crate) struct LinkArguments {
    /// The user's name or id
    pub(crate) user: String,
    /// The organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam admin user`.
#[derive(Debug, Args)]
pub(crate) struct UserArguments {
    /// The user's name
    pub(crate) name: String,
    /// What they may do
    #[arg(long, default_value = "member", value_parser = rank)]
    pub(crate) rank: Rank,
    /// The organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam admin token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// The name or id of the user whose it is
    pub(crate) user: String,
    /// What it is called
    #[arg(long, default_value = "command line", value_name = "NAME")]
    pub(crate) name: String,
    /// The most that it may do
    #[arg(long, default_value = "member", value_parser = rank)]
    pub(crate) rank: Rank,
    /// For how many days it holds
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: u32,
    /// The organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam admin org`.
#[derive(Debug, Args)]
pub(crate) struct OrgArguments {
    /// Its name
    pub(crate) name: String,
    /// Its first admin
    #[arg(long, value_name = "NAME")]
    pub(crate) admin: String,
}

fn rank(text: &str) -> Result<Rank, &'static str> {
    Rank::named(text).ok_or("give viewer, member or admin")
}

/// `cofferdam audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check the hash chain of a session's log, or of all logs, and that all that they refer to is there
    Verify(VerifyArguments),
    /// Write down, signed, where all logs end: kept elsewhere, it shows later that nothing of them was taken away or made anew
    Checkpoint(CheckpointArguments),
    /// Write a session's log, or an organisation's audit log, as it is kept, to be checked without the store
    Export(ExportArguments),
    /// Check an export: no store is needed
    Check(CheckArguments),
}

/// `cofferdam audit checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct CheckpointArguments {
    /// The file with the signing key [default: audit.key in the data directory, which is made]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only the audit log of this organisation
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<String>,
}

/// `cofferdam audit export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The session
    #[arg(required_unless_present = "org", conflicts_with = "org")]
    pub(crate) session: Option<SessionId>,
    /// The organisation whose audit log it is to be
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<String>,
    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `cofferdam audit check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The export
    pub(crate) export: PathBuf,
    /// A checkpoint that it must hold
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The public key of whoever signed the checkpoint: a file, or its 64 hexadecimal digits
    #[arg(long, value_name = "KEY", requires = "checkpoint")]
    pub(crate) key: Option<String>,
}

/// `cofferdam audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The session [default: all]
    #[arg(conflicts_with = "checkpoint")]
    pub(crate) session: Option<SessionId>,
    /// A checkpoint that all logs must hold
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The public key of whoever signed the checkpoint: a file, or its 64 hexadecimal digits
    #[arg(long, value_name = "KEY", requires = "checkpoint")]
    pub(crate) key: Option<String>,
}

/// `cofferdam message`.
#[derive(Debug, Args)]
pub(crate) struct MessageArguments {
    /// The session
    pub(crate) session: SessionId,
    /// What to write
    pub(crate) text: String,
}

/// A command that takes one session, named.
#[derive(Debug, Args)]
pub(crate) struct NamedSession {
    /// The session
    pub(crate) session: SessionId,
}

/// `cofferdam attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    /// The session
    pub(crate) id: SessionId,
    /// Run as root of the sandbox
    #[arg(long)]
    pub(crate) root: bool,
    /// What to run [default: a shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `cofferdam answer`.
#[derive(Debug, Args)]
pub(crate) struct AnswerArguments {
    /// The session
    pub(crate) session: SessionId,
    /// The answer
    pub(crate) text: String,
    /// The question, as `cofferdam show` names its call [default: the only one that is open]
    #[arg(long, value_name = "CALL")]
    pub(crate) call: Option<CallId>,
}

/// `cofferdam plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The session
    pub(crate) session: SessionId,
    /// Let the agent begin
    #[arg(long, conflicts_with = "reject")]
    pub(crate) approve: bool,
    /// With this file's text in place of the plan
    #[arg(long, value_name = "FILE", requires = "approve")]
    pub(crate) edited: Option<PathBuf>,
    /// Let the agent make another plan, and say what is wrong with this one
    #[arg(long, value_name = "REASON")]
    pub(crate) reject: Option<String>,
    /// Decide only if the plan still has this digest
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
}

/// `cofferdam rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    /// The session
    pub(crate) session: SessionId,
    /// The last event that is to count, by its number
    pub(crate) to: u64,
    /// What the agent is to do instead
    #[arg(long, value_name = "TEXT")]
    pub(crate) instruction: Option<String>,
}

/// `cofferdam checkpoints`.
#[derive(Debug, Args)]
pub(crate) struct CheckpointsArguments {
    /// The session [default: the latest]
    pub(crate) session: Option<SessionId>,
    /// Show what differs between the files at one checkpoint and at another, or at the last one, by their numbers
    #[arg(long, num_args = 1..=2, value_names = ["FROM", "TO"])]
    pub(crate) diff: Vec<u64>,
}

/// `cofferdam fork`.
#[derive(Debug, Args)]
pub(crate) struct ForkArguments {
    /// The session
    pub(crate) session: SessionId,
    /// The last event that is taken over, by its number
    pub(crate) at: u64,
    /// Another model to go on with
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// What the agent is to do instead
    #[arg(long, value_name = "TEXT")]
    pub(crate) instruction: Option<String>,
    #[command(flatten)]
    pub(crate) several: super::AttemptArguments,
}
