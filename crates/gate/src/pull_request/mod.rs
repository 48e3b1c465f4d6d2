//! The text of a pull request: the platform's facts first, the agent's prose apart from them and inert.

mod attempts;
mod body;
mod claims;
mod facts;
mod fresh_look;
mod inline;
mod instructions;
mod network;
mod prose;

pub use body::PullRequestText;
pub use facts::{BesideFact, Facts, ModelFact, TreeFact};
pub use instructions::without_passages;
pub use prose::{sanitise_prose, sanitise_title};
