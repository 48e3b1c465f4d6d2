//! What is typed after `cofferdam skill`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cofferdam_domain::Digest;

use crate::commands::mcp::digest;

/// `cofferdam skill …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SkillCommand {
    /// Put a skill there: a folder with a SKILL.md; or a kind of subagent: a file like AGENT.md. Sessions do not have it before it is approved
    Add(SkillAddArguments),
    /// List the skills, who put them there, and who has approved them
    List(SkillListArguments),
    /// Give sessions a skill from now on, exactly as it was listed
    Approve(SkillApproveArguments),
    /// Give no new session a skill any more
    Revoke(SkillArguments),
}

/// `cofferdam skill add`.
#[derive(Debug, Args)]
pub(crate) struct SkillAddArguments {
    /// The skill's folder, or the file of a kind of subagent; it is called by the name in its head
    pub(crate) folder: PathBuf,
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam skill list`.
#[derive(Debug, Args)]
pub(crate) struct SkillListArguments {
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam skill approve`.
#[derive(Debug, Args)]
pub(crate) struct SkillApproveArguments {
    /// The skill's name
    pub(crate) name: String,
    /// Which version, as `cofferdam skill list` shows it
    #[arg(value_parser = digest)]
    pub(crate) digest: Digest,
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam skill revoke`.
#[derive(Debug, Args)]
pub(crate) struct SkillArguments {
    /// The skill's name
    pub(crate) name: String,
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}
