//! Errors that say what was tried.

use std::io;

use cofferdam_hand::protocol::zygote::Failure;
use rustix::io::Errno;

/// A failure at a step.
pub(super) fn failure(step: impl Into<String>, errno: Errno) -> Failure {
    Failure { step: step.into(), errno: errno.raw_os_error() }
}

/// Adds the step to an error of the system.
pub(super) trait Step<T> {
    /// Says what was tried, as an infinitive: `mount the workspace`.
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|errno| failure(step, errno))
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| failure(step, Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }
}
