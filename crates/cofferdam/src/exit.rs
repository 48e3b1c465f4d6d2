//! What the exit status says.

use std::process::ExitCode;

use cofferdam_domain::Outcome;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: it did what was asked; for `run`, there is a pull request.
    Success,
    /// 1: it failed.
    Failed,
    /// 3: there was nothing to do.
    NothingToDo,
    /// 4: a limit stopped it.
    Limit,
    /// 5: it is held for a person: by the gate, or because its sandbox was frozen.
    Held,
    /// 6: it was cancelled or interrupted; a session can be resumed.
    Interrupted,
    /// The status of the command that was run in a sandbox.
    Command(u8),
}

impl Exit {
    /// The exit status of a session that ended like this.
    pub(crate) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded | Outcome::Reviewed | Outcome::Answered => Self::Success,
            Outcome::NothingToDo => Self::NothingToDo,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Stopped { .. } => Self::Limit,
            Outcome::Held { .. } => Self::Held,
            Outcome::PassedOver { .. } | Outcome::Cancelled => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // 2 is what the argument parser uses for wrong usage.
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::NothingToDo => 3,
            Exit::Limit => 4,
            Exit::Held => 5,
            Exit::Interrupted => 6,
            Exit::Command(status) => status,
        })
    }
}
