//! Forges as a way in: an issue, a comment, a review, a failed check becomes a session's beginning or what it hears.

mod act;
mod check;
mod decide;
mod facts;
mod mention;
mod poll;
mod reading;
mod settings;
pub(crate) mod standing;
pub(crate) mod text;
mod together;
mod way;

pub use check::{Found, Grade};
pub use settings::{ForgeSettings, ForgeTrouble, OpenForge};
pub use together::TogetherSettings;
pub use way::ForgeWay;
