//! Families of cases that are carried out and judged alike, so that a case is only what is its own.

mod change;
mod escape;
mod traffic;

pub(crate) use change::change;
pub(crate) use escape::{Row, escape, row};
pub(crate) use traffic::{RULES, Traffic, traffic};
