//! What a session is given for good before it begins: policy, model, system prompt, tools.

use serde::{Deserialize, Serialize};

use super::Routes;
use crate::{Policy, ToolSpec, foreign::Foreign, message::Family, money::Prices};

/// What [`EventBody::PolicyFixed`](super::EventBody::PolicyFixed) fixes: enough to make every request of the session again from the log
/// alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// What the session may do.
    pub policy: Policy,
    /// The model it runs on.
    pub model: ModelInfo,
    /// The system prompt.
    pub system: String,
    /// The tools on offer, in order.
    pub tools: Vec<ToolSpec>,
    /// The tools of other programs among them, or to be found by one of them.
    #[serde(default, skip_serializing_if = "Foreign::is_none")]
    pub foreign: Foreign,
    /// The version of Cofferdam that fixed it.
    pub version: String,
    /// Which version of the loop's own rules and words holds for the session, so that a later program makes the same requests of its log; 0 in
    /// logs from before there were several.
    #[serde(default, skip_serializing_if = "is_first")]
    pub rules: u16,
    /// The models that do a part of its work.
    #[serde(default, skip_serializing_if = "Routes::is_empty")]
    pub routes: Routes,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_first(rules: &u16) -> bool {
    *rules == 0
}

/// What the agent needs to know about a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name at the provider.
    pub name: String,
    /// The wire format.
    pub family: Family,
    /// Tokens that prompt and answer may have together.
    pub context_window: u64,
    /// Tokens that an answer may have.
    pub max_output: u32,
    /// What it charges; `None` where that is not known or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Which edit tool the family was trained on.
    pub edits: EditFormat,
    /// Whether it can be shown pictures.
    pub images: bool,
    /// The file of a recording that was named by its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<String>,
}

impl ModelInfo {
    /// The name by which it can be opened again: `provider/name`, or `scripted:FILE`.
    #[must_use]
    pub fn reference(&self) -> String {
        match &self.transcript {
            Some(file) => format!("scripted:{file}"),
            None => format!("{}/{}", self.provider, self.name),
        }
    }
}

/// The edit tools that models are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditFormat {
    /// Exact replacement of text.
    Replace,
    /// Patches in the `*** Begin Patch` format.
    ApplyPatch,
}
