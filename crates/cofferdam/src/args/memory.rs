//! What is typed after `cofferdam memory`.

use clap::{Args, Subcommand};
use cofferdam_domain::{Digest, MemoryId};

use crate::commands::mcp::digest;

/// `cofferdam memory …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// List what is noted, and what sessions propose, in their exact words
    List(MemoryListArguments),
    /// Note something for later sessions
    Add(MemoryAddArguments),
    /// Put your own words in the place of a memory, or of a proposal
    Edit(MemoryEditArguments),
    /// Tell no new session of a memory any more
    Remove(MemoryArguments),
    /// Make a proposal a memory, exactly as it was listed
    Approve(MemoryApproveArguments),
    /// Drop a proposal
    Reject(MemoryArguments),
}

/// `cofferdam memory list`.
#[derive(Debug, Args)]
pub(crate) struct MemoryListArguments {
    /// Only about this repository, and about all: its path or URL
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) repo: Option<String>,
    /// Of this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam memory add`.
#[derive(Debug, Args)]
pub(crate) struct MemoryAddArguments {
    /// What is to be remembered
    pub(crate) text: String,
    /// About this repository: its path or URL
    #[arg(long, default_value = ".", value_name = "REPOSITORY", conflicts_with = "everywhere")]
    pub(crate) repo: String,
    /// About all of the organisation's repositories
    #[arg(long)]
    pub(crate) everywhere: bool,
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam memory edit`.
#[derive(Debug, Args)]
pub(crate) struct MemoryEditArguments {
    /// Which, as `cofferdam memory list` shows it
    pub(crate) id: MemoryId,
    /// What is to be remembered instead
    pub(crate) text: String,
    /// About another repository than before: its path or URL
    #[arg(long, value_name = "REPOSITORY", conflicts_with = "everywhere")]
    pub(crate) repo: Option<String>,
    /// About all of the organisation's repositories
    #[arg(long)]
    pub(crate) everywhere: bool,
    /// Of this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam memory approve`.
#[derive(Debug, Args)]
pub(crate) struct MemoryApproveArguments {
    /// Which, as `cofferdam memory list` shows it
    pub(crate) id: MemoryId,
    /// The digest of its text, as `cofferdam memory list` shows it
    #[arg(value_parser = digest)]
    pub(crate) digest: Digest,
    /// Of this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam memory remove` and `reject`.
#[derive(Debug, Args)]
pub(crate) struct MemoryArguments {
    /// Which, as `cofferdam memory list` shows it
    pub(crate) id: MemoryId,
    /// Of this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}
