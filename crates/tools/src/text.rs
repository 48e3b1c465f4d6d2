//! Text for models: bounded, cleaned of terminal control, compared.

mod bounded;
mod comparison;
mod diff;
mod nearest;
mod terminal;

pub(crate) use bounded::{Bounds, capped, head_and_tail, shorten, size};
pub(crate) use comparison::{line_numbers, nearest_difference};
pub(crate) use diff::changes;
pub(crate) use nearest::closest;
pub(crate) use terminal::cleaned;

use nearest::nearest_lines;

pub use bounded::MAX_TEXT;
