//! The system calls that have no safe form in rustix: the only unsafe code of the project.
//!
//! Each function here is as small as it can be, and safe to call under what its own documentation says.

#![expect(unsafe_code, reason = "these calls have no safe wrapper")]

pub(crate) mod attempts;
pub(crate) mod landlock;
pub(crate) mod namespace;
pub(crate) mod process;
