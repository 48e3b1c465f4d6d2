//! What is known about providers and models without asking them: the table in `catalog.toml`.

use std::{collections::BTreeMap, sync::OnceLock};

use cofferdam_domain::{
    event::{EditFormat, ModelInfo},
    message::Family,
    money::Prices,
};
use serde::Deserialize;

use crate::config::{DollarPrices, ModelConfig};

/// The window that an unknown model is taken to have: most have more, and too much is refused by the server
/// while too little only compacts earlier.
pub(crate) const UNKNOWN_WINDOW: u64 = 32_768;
/// The longest answer that an unknown model is taken to give.
const UNKNOWN_OUTPUT: u32 = 8_192;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalog {
    /// The day on which the sources were read.
    pub(crate) checked: String,
    #[serde(rename = "provider")]
    pub(crate) providers: Vec<KnownProvider>,
    #[serde(rename = "model")]
    pub(crate) models: Vec<KnownModel>,
}

/// A provider that needs no configuration beside a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownProvider {
    pub(crate) name: String,
    pub(crate) kind: Family,
    pub(crate) base_url: String,
    /// The variables that may hold its key, the preferred one first; none for a server on this machine.
    #[serde(default)]
    pub(crate) key_env: Vec<String>,
    #[serde(default)]
    pub(crate) default: Option<String>,
    /// Where prices and names were read.
    pub(crate) source: String,
}

/// A model whose window and prices are known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownModel {
    pub(crate) name: String,
    pub(crate) maker: Maker,
    pub(crate) window: u64,
    pub(crate) max_output: u32,
    pub(crate) prices: DollarPrices,
}

/// Who makes a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Maker {
    Anthropic,
    Openai,
    Google,
}

impl Maker {
    /// The built-in provider that sells the maker's models directly.
    pub(crate) const fn provider(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Google => "gemini",
        }
    }

    /// The maker of a model of any version, by its name.
    pub(crate) fn of(model: &str) -> Option<Self> {
        let name = plain(model);
        let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if begins(&["claude-"]) {
            Some(Self::Anthropic)
        } else if begins(&["gpt-oss"]) {
            None
        } else if begins(&["gpt-", "codex-", "o1", "o3", "o4"]) {
            Some(Self::Openai)
        } else if begins(&["gemini-"]) {
            Some(Self::Google)
        } else {
            None
        }
    }
}

/// The table, read once.
pub(crate) fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let empty = Catalog { checked: String::new(), providers: Vec::new(), models: Vec::new() };
        // A test reads the table, so that this cannot be met with a table that does not parse.
        toml::from_str(include_str!("catalog.toml")).unwrap_or(empty)
    })
}

/// The table's entry for `model`, if the name is its own or its own with a date.
pub(crate) fn known(model: &str) -> Option<&'static KnownModel> {
    let name = plain(model);
    let is_date = |rest: &str| rest.len() >= 6 && rest.chars().all(|c| c.is_ascii_digit() || c == '-');
    catalog().models.iter().find(|known| {
        let rest = name.strip_prefix(&plain(&known.name));
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(is_date))
    })
}

/// A name in the form in which names are compared: resellers put the maker before it and write versions with
/// dots.
fn plain(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.to_lowercase().replace('.', "-")
}

/// What is known about `model` at a provider, the operator's word first.
pub(crate) fn info(provider: &str, family: Family, model: &str, told: Option<&ModelConfig>) -> ModelInfo {
    let none = ModelConfig::default();
    let told = told.unwrap_or(&none);
    let known = known(model);
    let maker = Maker::of(model);
    let context_window = told.context_window.or(known.map(|known| known.window)).unwrap_or(UNKNOWN_WINDOW);
    let max_output = told.max_output.or(known.map(|known| known.max_output)).unwrap_or(UNKNOWN_OUTPUT);
    ModelInfo {
        provider: provider.to_owned(),
        name: model.to_owned(),
        family,
        context_window,
        // A prompt must have room beside the longest answer.
        max_output: max_output.min(u32::try_from(context_window / 2).unwrap_or(u32::MAX)).max(1),
        prices: told.prices.or(known.map(|known| known.prices)).map(DollarPrices::exact),
        edits: told.edits.unwrap_or(match maker {
            Some(Maker::Openai) => EditFormat::ApplyPatch,
            Some(Maker::Anthropic | Maker::Google) | None => EditFormat::Replace,
        }),
        images: told.images.unwrap_or(maker.is_some()),
        transcript: None,
    }
}

impl DollarPrices {
    /// The prices in millionths of a dollar, rounded up.
    pub(crate) fn exact(self) -> Prices {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and a negative or missing number becomes 0"
        )]
        let exact = |dollars: f64| (dollars * 1e6 - 1e-6).ceil() as u64;
        Prices {
            input: exact(self.input),
            cache_read: exact(self.cache_read.unwrap_or(self.input)),
            cache_write: exact(self.cache_write.unwrap_or(self.input)),
            output: exact(self.output),
        }
    }
}

/// The configuration of one model, found whatever the case of its name.
pub(crate) fn told<'a>(models: &'a BTreeMap<String, ModelConfig>, name: &str) -> Option<&'a ModelConfig> {
    models
        .get(name)
        .or_else(|| models.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, told)| told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let catalog: Catalog = toml::from_str(include_str!("catalog.toml")).unwrap();
        assert_eq!(catalog.checked.len(), 10);
        for model in &catalog.models {
            let prices = model.prices.exact();
            assert!(
                prices.cache_read < prices.input
                    && prices.input <= prices.cache_write
                    && prices.input < prices.output,
                "{}",
                model.name
            );
            assert_eq!(Maker::of(&model.name), Some(model.maker), "{}", model.name);
            assert_eq!(known(&model.name).unwrap().name, model.name, "another entry hides it");
        }
        for provider in &catalog.providers {
            assert!(provider.source.starts_with("https://"));
            assert!(
                provider.default.as_ref().is_none_or(|model| known(model).is_some()),
                "{}",
                provider.name
            );
        }
    }

    #[test]
    fn names_match_with_dates_and_resellers_forms_only() {
        let name = |model: &str| known(model).map(|known| known.name.as_str());
        assert_eq!(name("claude-haiku-4-5-20251001"), Some("claude-haiku-4-5"));
        assert_eq!(name("anthropic/claude-sonnet-5.5"), Some("claude-sonnet-5-5"));
        assert_eq!(name("gpt-5.4-mini"), Some("gpt-5.4-mini"));
        assert_eq!(name("gpt-5.4-2026-03-05"), Some("gpt-5.4"));
        for newer in ["gpt-5.4-pro", "claude-opus-5-7", "gemini-3.5-flash-9", "qwen2.5-coder:7b"] {
            assert_eq!(name(newer), None, "{newer}");
        }
    }

    #[test]
    fn an_unknown_model_gets_a_careful_guess() {
        let info = info("ollama", Family::OpenaiChat, "qwen2.5-coder:7b", None);
        assert_eq!((info.context_window, info.prices, info.images), (UNKNOWN_WINDOW, None, false));
        let told = ModelConfig { context_window: Some(4096), images: Some(true), ..ModelConfig::default() };
        let info = super::info("ollama", Family::OpenaiChat, "gpt-7", Some(&told));
        assert_eq!((info.context_window, info.max_output, info.edits), (4096, 2048, EditFormat::ApplyPatch));
    }

    #[test]
    fn dollars_become_millionths() {
        let prices =
            DollarPrices { input: 0.075, cache_read: Some(0.01), cache_write: None, output: -1.0 }.exact();
        assert_eq!(prices, Prices { input: 75_000, cache_read: 10_000, cache_write: 75_000, output: 0 });
    }
}
