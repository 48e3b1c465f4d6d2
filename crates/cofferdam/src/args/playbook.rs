//! What is typed after `cofferdam playbook`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cofferdam_domain::Digest;

use crate::commands::mcp::digest;

/// `cofferdam playbook …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PlaybookCommand {
    /// List the playbooks
    List(PlaybookListArguments),
    /// Show what a playbook asks for, and its text
    Show(PlaybookShowArguments),
    /// Put a playbook there: a text file. A text of the same name becomes its next version
    Add(PlaybookAddArguments),
    /// Remove a playbook with all its versions
    Remove(PlaybookRemoveArguments),
    /// Work on a playbook's task, with these values
    Run(PlaybookRunArguments),
}

/// `cofferdam playbook list`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookListArguments {
    /// For this organisation; with a server, the token's
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam playbook show`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookShowArguments {
    /// The playbook's name
    pub(crate) name: String,
    /// Which version, by its digest [default: the latest]
    #[arg(long, value_parser = digest)]
    pub(crate) digest: Option<Digest>,
    /// For this organisation; with a server, the token's
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam playbook add`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookAddArguments {
    /// The file; the playbook is called by the name in it
    pub(crate) file: PathBuf,
    /// For this organisation; with a server, the token's
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam playbook remove`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookRemoveArguments {
    /// The playbook's name
    pub(crate) name: String,
    /// For this organisation; with a server, the token's
    #[arg(long, default_value = "local", value_name = "NAME")]
    pub(crate) org: String,
}

/// `cofferdam playbook run`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookRunArguments {
    /// The playbook's name
    pub(crate) name: String,
    /// The value of a parameter; may be given several times
    #[arg(long, value_name = "PARAMETER=VALUE", value_parser = value)]
    pub(crate) set: Vec<(String, String)>,
    /// The repository: a path or a URL
    #[arg(long, value_name = "PATH|URL", default_value = ".")]
    pub(crate) repo: String,
    /// Branch, tag or commit to start from, where the playbook does not say it [default: the repository's default branch]
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// The model, where the playbook does not say it
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The model where nothing else says it: what `run` takes from the environment too
    #[arg(long, env = "COFFERDAM_MODEL", hide = true, value_name = "NAME")]
    pub(crate) usual_model: Option<String>,
    /// Which version, by its digest [default: the latest]
    #[arg(long, value_parser = digest)]
    pub(crate) digest: Option<Digest>,
    /// Let the agent change nothing before its plan is approved; only with a server
    #[arg(long)]
    pub(crate) plan_first: bool,
    /// Print one JSON event a line instead of progress for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// `parameter=value`. Whatever stands after the first `=` is the value.
fn value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("it has to be PARAMETER=VALUE".to_owned()),
    }
}
