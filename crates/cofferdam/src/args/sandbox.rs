//! What can be typed after `cofferdam sandbox`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Subcommand};
use cofferdam_domain::{SandboxId, SessionId};

use super::{JsonFlag, length_of_time};
use crate::config::DriverName;

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

/// `cofferdam sandbox run`.
#[derive(Debug, Args)]
pub(crate) struct SandboxRunArguments {
    /// A directory to see at /workspace; the original is not touched
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Kill it after this many seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Let out what this file permits: its tables policy.egress, credentials and egress are those of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Look at the files that a session has left, in a copy
    #[arg(long, value_name = "ID", conflicts_with = "workspace")]
    pub(crate) session: Option<SessionId>,
    /// Run it as root of the sandbox, who may install packages in it and is nobody outside of it
    #[arg(long)]
    pub(crate) root: bool,
    /// Who makes the sandbox, rather than whom the configuration names
    #[arg(long, value_name = "DRIVER")]
    pub(crate) driver: Option<DriverName>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// `cofferdam sandbox start`.
#[derive(Debug, Args)]
pub(crate) struct SandboxStartArguments {
    /// A directory to see at /workspace; the original is not touched
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Let out what this file permits: its tables policy.egress, credentials and egress are those of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Have a root in it, who may install packages in it and is nobody outside of it
    #[arg(long)]
    pub(crate) root: bool,
    /// Let it go on when something in it touches a canary or is about to send a secret, which is refused in any case; otherwise it is frozen then
    #[arg(long)]
    pub(crate) keep_running: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_they_are_of() {
        let (sandbox, session) = (SandboxId::generate(), SessionId::generate());
        assert_eq!(sandbox.to_string().parse(), Ok(SandboxOrSession::Sandbox(sandbox)));
        assert_eq!(session.to_string().parse(), Ok(SandboxOrSession::Session(session)));
        assert_eq!("sbx_1".parse::<SandboxOrSession>(), Err(WRONG_ID));
        assert_eq!(sandbox.to_string().parse(), Ok(Origin::Sandbox(sandbox)));
        assert_eq!("before".parse(), Ok(Origin::Snapshot("before".to_owned())));
        assert_eq!("sbx_1".parse::<Origin>(), Err(WRONG_ID.to_owned()));
    }
}
