//! What is kept beside the logs, written once for both databases: a file for each kind of thing.

pub(crate) mod apps;
pub(crate) mod arrivals;
pub(crate) mod audit;
pub(crate) mod budgets;
pub(crate) mod contents;
pub(crate) mod directory;
pub(crate) mod keeping;
pub(crate) mod letters;
pub(crate) mod members;
pub(crate) mod memories;
pub(crate) mod once;
pub(crate) mod orgs;
pub(crate) mod playbooks;
pub(crate) mod presence;
pub(crate) mod proofs;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod secrets;
pub(crate) mod servers;
pub(crate) mod sessions;
pub(crate) mod spending;
pub(crate) mod stirred;
pub(crate) mod tokens;
pub(crate) mod turn;
pub(crate) mod upkeep;
pub(crate) mod watched;
