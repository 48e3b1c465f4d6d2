//! Several attempts at one task.

use clap::Args;
use cofferdam_domain::{
    SessionId,
    attempt::{Choose, MOST_ATTEMPTS},
};

/// How many attempts are made, and who chooses among them.
#[derive(Debug, Clone, Args)]
pub(crate) struct AttemptArguments {
    /// So many attempts, each a session with a sandbox and the whole budget; one of them is delivered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_ATTEMPTS)))]
    pub(crate) attempts: Option<u16>,
    /// The models of the attempts, in turn, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "attempts")]
    pub(crate) attempt_models: Vec<String>,
    /// Who chooses among the attempts: `ask` for a person, `best` for the one that is ranked first
    #[arg(long, value_name = "HOW", value_parser = choose, requires = "attempts")]
    pub(crate) choose: Option<Choose>,
}

impl AttemptArguments {
    /// How many are wanted, where that is more than one.
    pub(crate) fn several(&self) -> Option<u16> {
        self.attempts.filter(|number| *number > 1)
    }
}

/// `cofferdam compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// One of the attempts [default: the latest session]
    pub(crate) session: Option<SessionId>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `cofferdam choose`.
#[derive(Debug, Args)]
pub(crate) struct ChooseArguments {
    /// The attempt that is to be delivered
    pub(crate) session: SessionId,
    /// Choose it only if its head is still this commit [default: as it is now]
    #[arg(long, value_name = "COMMIT")]
    pub(crate) commit: Option<String>,
    /// Print one JSON event a line instead of progress for people
    #[arg(long)]
    pub(crate) json: bool,
}

fn choose(text: &str) -> Result<Choose, &'static str> {
    Choose::named(text).ok_or("give ask or best")
}
