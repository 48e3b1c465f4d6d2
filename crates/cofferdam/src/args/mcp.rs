//! `cofferdam mcp …`.

use clap::{Args, Subcommand};
use cofferdam_domain::Digest;

use crate::commands::mcp::digest;

/// `cofferdam mcp …`.
#[derive(Debug, Subcommand)]
pub(crate) enum McpCommand {
    /// List the servers that are configured, and what was approved of them
    List(McpListArguments),
    /// Start a server in a sandbox and show what it says of its tools
    Inspect(McpArguments),
    /// Let sessions use a server, as long as it is exactly this
    Approve(McpApproveArguments),
    /// Let no session use a server any more
    Revoke(McpArguments),
}

/// `cofferdam mcp list`.
#[derive(Debug, Args)]
pub(crate) struct McpListArguments {
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam mcp inspect` and `revoke`.
#[derive(Debug, Args)]
pub(crate) struct McpArguments {
    /// The server's name in the configuration
    pub(crate) name: String,
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam mcp approve`.
#[derive(Debug, Args)]
pub(crate) struct McpApproveArguments {
    /// The server's name in the configuration
    pub(crate) name: String,
    /// What was looked at, as `cofferdam mcp inspect` shows it
    #[arg(value_parser = digest)]
    pub(crate) digest: Digest,
    /// For this organisation
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}
