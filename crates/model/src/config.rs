//! What an operator may say about models: the `[models]` part of `cofferdam.toml`.
//!
//! ```toml
//! [models]
//! default = "anthropic/claude-sonnet-5-5"          # what is asked when a task names no model
//! fallback = ["openai/gpt-6.1-sol"]                # asked in turn when the one before is overloaded or unreachable
//!
//! [models.route]                                   # who does a part of the work; else the session's own model does
//! compact = "anthropic/claude-haiku-4-5"           # plan, implement, explore, test, review, compact
//!
//! [models.retry]
//! tries = 6                                        # per model, the first included
//!
//! [models.providers.work]                          # a provider of your own; the name is yours
//! kind = "openai_chat"                             # anthropic, openai_responses, openai_chat, gemini, scripted
//! base_url = "http://127.0.0.1:8000/v1"
//! key_env = "WORK_MODEL_KEY"                       # or key_file = "/etc/cofferdam/work.key"
//! default = "qwen3-coder"
//!
//! [models.providers.work.models."qwen3-coder"]     # what is not known about a model, or known wrongly
//! context_window = 131072
//! max_output = 16384
//! prices = { input = 0.2, output = 0.8 }           # US dollars for a million tokens
//! ```
//!
//! The providers `anthropic`, `openai`, `gemini`, `openrouter`, `ollama` and `llamacpp` are known without
//! configuration; a table with such a name changes only the keys that it has.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use cofferdam_domain::{
    event::{EditFormat, ModelRole},
    message::Family,
};
use serde::Deserialize;

/// The `[models]` table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// The model to use when none is named, as `provider/model` or `provider`.
    pub default: Option<String>,
    /// Models to ask in turn when the one before is overloaded or unreachable, as `provider/model`.
    pub fallback: Vec<String>,
    /// Models for single kinds of work, as `provider/model`. What is not named here is done by the session's own model.
    pub route: BTreeMap<ModelRole, String>,
    /// When and how long to try again.
    pub retry: RetryConfig,
    /// Providers by name; known names change a built-in provider, others add one.
    pub providers: BTreeMap<String, ProviderConfig>,
}

/// The `[models.retry]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// How often one model is tried for one request, the first try included; at least 1.
    pub tries: u32,
    /// Milliseconds to wait after the first failure; doubled after each further one.
    pub first_delay_ms: u64,
    /// The longest wait between two tries in milliseconds, also where the provider asks for more.
    pub longest_delay_ms: u64,
    /// Milliseconds to wait for a connection.
    pub connect_timeout_ms: u64,
    /// Milliseconds to wait for the first byte of an answer. Local models read a long prompt for minutes
    /// before they say anything.
    pub first_byte_timeout_ms: u64,
    /// Milliseconds without a byte after which a begun answer counts as stalled.
    pub idle_timeout_ms: u64,
    /// Minutes for which a fallback stays in use before the model before it is tried again.
    pub fallback_minutes: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            tries: 6,
            first_delay_ms: 500,
            longest_delay_ms: 120_000,
            connect_timeout_ms: 20_000,
            first_byte_timeout_ms: 600_000,
            idle_timeout_ms: 120_000,
            fallback_minutes: 10,
        }
    }
}

impl RetryConfig {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn first_byte_timeout(&self) -> Duration {
        Duration::from_millis(self.first_byte_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}

/// One `[models.providers.NAME]` table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// The wire format; must be given for a name that is not built in.
    pub kind: Option<Family>,
    /// Where the provider answers, up to and including the version part of the path
    /// (`https://api.openai.com/v1`).
    pub base_url: Option<String>,
    /// The environment variable that holds the key. Without this and `key_file`, a provider of your own is
    /// asked without a key, and so is a built-in one whose `base_url` is changed: its key is not for another
    /// address.
    pub key_env: Option<String>,
    /// A file that holds the key and nothing else.
    pub key_file: Option<PathBuf>,
    /// The model to use when only the provider is named.
    pub default: Option<String>,
    /// For `kind = "scripted"`: the transcript.
    pub transcript: Option<PathBuf>,
    /// What to know about single models.
    pub models: BTreeMap<String, ModelConfig>,
}

/// One `[models.providers.NAME.models."MODEL"]` table. What is absent comes from the built-in table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Tokens that prompt and answer may have together.
    pub context_window: Option<u64>,
    /// Tokens that an answer may have.
    pub max_output: Option<u32>,
    /// What it charges.
    pub prices: Option<DollarPrices>,
    /// Which edit tool it was trained on.
    pub edits: Option<EditFormat>,
    /// Whether it can be shown pictures.
    pub images: Option<bool>,
    /// How hard it is asked to think.
    pub effort: Option<Effort>,
}

/// Prices in US dollars for a million tokens, as providers publish them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DollarPrices {
    /// For prompt tokens outside the cache.
    pub input: f64,
    /// For prompt tokens read from the cache; the price of `input` when absent.
    pub cache_read: Option<f64>,
    /// For prompt tokens written to the cache; the price of `input` when absent.
    pub cache_write: Option<f64>,
    /// For answer tokens.
    pub output: f64,
}

/// How hard a reasoning model is asked to think. Absent, the provider's own default holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// Little: quick and cheap.
    Low,
    /// Between the two.
    Medium,
    /// Much: slow and thorough.
    High,
}

impl Effort {
    /// The word that Anthropic, OpenAI and Gemini all use for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
