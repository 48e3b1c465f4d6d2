//! What a session's work begins with: the repository's base, and its own branch as others have left it.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The session's branch as others have left it. What is pushed next follows from that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The commit that the branch stands on, object id in hexadecimal.
    pub branch: String,
    /// The commit that the files begin with: the same, or one on top of it with what the session had not published yet.
    pub start: String,
    /// What the branch that the pull request is meant for has gained, where somebody wanted that taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
}

/// A session's branch together with the branch that its pull request is meant for. It is pushed with what the agent makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The commit of the branch that it is meant for, object id in hexadecimal: from now on the base.
    pub base: String,
    /// Its tree, object id in hexadecimal.
    pub tree: String,
    /// The commit that has both, object id in hexadecimal. Where they do not go together, its files have git's marks of that.
    pub commit: String,
    /// The files in which they do not go together, as text for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
}

/// The repository as the session will work on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The base commit, object id in hexadecimal.
    pub base_commit: String,
    /// Its tree, object id in hexadecimal.
    pub base_tree: String,
    /// The branch that the pull request will be meant for.
    pub base_branch: String,
    /// Things worth knowing about the repository: shallow history, LFS pointers, submodules left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The directories that the session's workspaces have ([`crate::cone`]); all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cones: Vec<String>,
    /// Names what the session's workspaces have of the contents that Git LFS keeps: a digest of which they are and as whom they were read. `None`
    /// where they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Digest>,
    /// The submodules whose files are in the session's workspaces, each after the one that it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<Submodule>,
    /// The command that is configured for its tests; where there is none, the policy's counts, or what its base shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<String>,
    /// Whether its forge says that everybody on the internet may read it. What is not known to be so is taken for private.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// Whether its forge says that everybody may read it who reaches the forge.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// A submodule whose files are in a session's workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submodule {
    /// Where it is in the repository, also where it is a submodule's own.
    pub path: String,
    /// Its commit, object id in hexadecimal.
    pub commit: String,
    /// Where it is kept, as its repository names it.
    pub url: String,
    /// As whom it was read.
    pub reading: SubmoduleReading,
}

/// As whom a submodule is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmoduleReading {
    /// As the session's repository is, on whose forge and of whose owner it is.
    Together,
    /// As anybody, without a credential.
    Anybody,
    /// From the copy that the repository on this machine has of it, at this path.
    Copy(String),
}
