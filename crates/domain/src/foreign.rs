//! Tools of other programs (MCP servers) that a session may call: as they were approved, with what policy says of each.
//!
//! Data only. It stands in the log, so that what a session may do with such tools is the same for whoever works on it, and can be read by
//! whoever looks at it later.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The tools of other programs that a session may call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// The servers that they are of.
    pub servers: Vec<ForeignServer>,
    /// The tools, in order.
    pub tools: Vec<ForeignTool>,
    /// Whether the model looks for them with a tool instead of being shown them all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub searched: bool,
}

impl Foreign {
    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.servers.is_empty()
    }
}

/// A server whose tools were approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignServer {
    /// Its name in the configuration.
    pub name: String,
    /// The digest of what was approved: how it is started or reached, and what it says of its tools. It must be the same when it is used.
    pub digest: Digest,
    /// Whether the operator says that all it tells may be seen by anybody. What another one tells is taken for private.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
}

/// One tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignTool {
    /// Its server.
    pub server: String,
    /// What the server calls it.
    pub name: String,
    /// What the model calls it: the server's name, two underscores, the tool's.
    pub called: String,
    /// What its server is asked for when it is called.
    #[serde(default, skip_serializing_if = "ForeignKind::is_tool")]
    pub kind: ForeignKind,
    /// What its server says of it. Untrusted.
    pub description: String,
    /// JSON Schema of its arguments, as its server says. Untrusted.
    pub parameters: serde_json::Value,
    /// Whether it may be called, or a person is asked about each call.
    pub permit: Permit,
    /// Whether policy says that it leaves everything as it is. All others count as changing the world outside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What must be true of the arguments of a call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<ArgumentRule>,
}

/// What a server is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKind {
    /// That it does what a tool of its own does.
    #[default]
    Tool,
    /// Which resources it has.
    ListResources,
    /// What a resource holds.
    ReadResource,
    /// A prompt.
    GetPrompt,
}

impl ForeignKind {
    /// Whether it is one of the server's own tools.
    #[must_use]
    pub const fn is_tool(&self) -> bool {
        matches!(self, Self::Tool)
    }
}

/// Whether a tool may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permit {
    /// Yes.
    Allow,
    /// If a person approves the exact call.
    Ask,
    /// No: the model is not even shown it.
    Deny,
}

/// What must be true of one argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgumentRule {
    /// Its name, at the top of the arguments.
    pub name: String,
    /// What is asked of it.
    pub must: ArgumentTest,
}

/// What is asked of an argument. One that is missing passes none but [`Self::Absent`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentTest {
    /// It is one of these values.
    OneOf(Vec<serde_json::Value>),
    /// It is a text that begins so, and has no `..` between slashes.
    Prefix(String),
    /// It is a text that fits this glob as a whole; `*` does not go across `/`, and nothing fits that has `..` between slashes.
    Glob(String),
    /// It is a text that this regular expression fits as a whole.
    Regex(String),
    /// It is not there at all.
    Absent,
}

/// A call of such a tool, as the log notes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignCall {
    /// The server.
    pub server: String,
    /// The tool, as the server calls it.
    pub tool: String,
    /// The digest of server, tool and exact arguments: what a person approves.
    pub digest: Digest,
    /// Whether it counts as having changed the world outside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
}
