//! The role that makes sandboxes. (Placeholder until its author writes it.)

use std::process::ExitCode;

/// Runs the role.
pub(crate) fn run() -> ExitCode {
    ExitCode::FAILURE
}
