//! Several attempts at one task, of which people or a rule choose one.

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// The most attempts at one task.
pub const MOST_ATTEMPTS: u16 = 8;

/// Which one of several attempts at the same task a session is. It delivers nothing before it has been chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The first of them, which stands for all.
    pub group: SessionId,
    /// Which, counted from 1.
    pub number: u16,
    /// How many there are.
    pub of: u16,
}
