//! The providers there are: those that are built in, as the configuration changes them, and those that it
//! adds.

use std::{collections::BTreeMap, io::Read as _, path::PathBuf};

use cofferdam_domain::{Secret, event::ModelInfo, message::Family};

use crate::{
    anthropic::{Anthropic, Thinking},
    body::Body,
    catalog::{self, Maker, catalog},
    chat::{Chat, Dialect},
    config::{Effort, ModelConfig, ModelsConfig, ProviderConfig},
    gemini::Gemini,
    http::Endpoint,
    open::{EnvLookup, OpenError},
    remote::Route,
    responses::Responses,
    wire::Wire,
};

/// The largest key file that is read: a key is a line.
const MAX_KEY_FILE: u64 = 64 << 10;

/// One provider, ready to be asked for a model.
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) kind: Family,
    pub(crate) base_url: String,
    pub(crate) key: KeySource,
    pub(crate) default: Option<String>,
    pub(crate) transcript: Option<PathBuf>,
    pub(crate) models: BTreeMap<String, ModelConfig>,
    /// Whether the configuration has a table for it.
    pub(crate) configured: bool,
}

/// Where a provider's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// It wants none.
    None,
    /// In the first of these variables that is set.
    Env(Vec<String>),
    /// In this file.
    File(PathBuf),
}

/// All providers: the configured ones first, by name, then the others that are built in, in the catalogue's
/// order.
pub(crate) fn all(config: &ModelsConfig) -> Result<Vec<Provider>, OpenError> {
    let known = &catalog().providers;
    let configured = config.providers.iter().map(|(name, told)| {
        let base = known.iter().find(|known| known.name == *name);
        Provider::new(name, base, told)
    });
    let others = known.iter().filter(|known| !config.providers.contains_key(&known.name)).map(|known| {
        let mut provider = Provider::new(&known.name, Some(known), &ProviderConfig::default())?;
        provider.configured = false;
        Ok(provider)
    });
    configured.chain(others).collect()
}

impl Provider {
    fn new(
        name: &str,
        known: Option<&catalog::KnownProvider>,
        told: &ProviderConfig,
    ) -> Result<Self, OpenError> {
        let lacks = |what: &'static str| OpenError::Provider { name: name.to_owned(), what };
        let kind = told.kind.or(known.map(|known| known.kind)).ok_or_else(|| lacks("kind is missing"))?;
        let base_url = told.base_url.clone().or_else(|| known.map(|known| known.base_url.clone()));
        let base_url = match (kind, base_url) {
            (Family::Scripted, url) => url.unwrap_or_default(),
            (_, Some(url)) => url,
            (_, None) => return Err(lacks("base_url is missing")),
        };
        if kind == Family::Scripted && told.transcript.is_none() {
            return Err(lacks("transcript is missing: the file to play"));
        }
        let key = match (&told.key_file, &told.key_env) {
            (Some(_), Some(_)) => return Err(lacks("key_env and key_file exclude each other")),
            (Some(file), None) => KeySource::File(file.clone()),
            (None, Some(variable)) => KeySource::Env(vec![variable.clone()]),
            // A key for a provider's own address is not for another one.
            (None, None) if told.base_url.is_some() => KeySource::None,
            (None, None) => match known.map(|known| known.key_env.clone()).unwrap_or_default() {
                none if none.is_empty() => KeySource::None,
                variables => KeySource::Env(variables),
            },
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            base_url,
            key,
            default: told.default.clone().or_else(|| match kind {
                Family::Scripted => Some("transcript".to_owned()),
                Family::Anthropic | Family::OpenaiResponses | Family::OpenaiChat | Family::Gemini => {
                    known.and_then(|known| known.default.clone())
                }
            }),
            transcript: told.transcript.clone(),
            models: told.models.clone(),
            configured: true,
        })
    }

    /// Whether it is a server on this machine that is looked for unasked.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.name.as_str(), "ollama" | "llamacpp")
    }

    /// Its key, if it wants one and there is one.
    pub(crate) fn key(&self, env: EnvLookup<'_>) -> Result<Option<Secret>, OpenError> {
        match &self.key {
            KeySource::None => Ok(None),
            KeySource::Env(variables) => {
                let value = variables
                    .iter()
                    .filter_map(|variable| env(variable))
                    .find(|value| !value.trim().is_empty());
                Ok(value.map(|value| Secret::new(value.trim())))
            }
            KeySource::File(path) => {
                let failed = |source| OpenError::KeyFile { path: path.clone(), source };
                let file = std::fs::File::open(path).map_err(failed)?;
                let mut text = String::new();
                file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(failed)?;
                Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(Secret::new))
            }
        }
    }

    /// How a person gives it a key.
    pub(crate) fn key_hint(&self) -> String {
        match &self.key {
            KeySource::Env(variables) => {
                format!("set {}, or models.providers.{}.key_file", variables.join(" or "), self.name)
            }
            KeySource::File(path) => format!("put the right key into {}", path.display()),
            KeySource::None => {
                format!("set models.providers.{0}.key_env or models.providers.{0}.key_file", self.name)
            }
        }
    }

    /// The way to one of its models.
    pub(crate) fn route(
        &self,
        model: &str,
        window: Option<u64>,
        env: EnvLookup<'_>,
    ) -> Result<Route, OpenError> {
        let key = self.key(env)?;
        if key.is_none() && self.key != KeySource::None {
            return Err(OpenError::NoKey { provider: self.name.clone(), hint: self.key_hint() });
        }
        let endpoint = Endpoint::new(&self.base_url, key)
            .map_err(|source| OpenError::Endpoint { provider: self.name.clone(), source })?;
        let info = self.info(model, window);
        let effort = catalog::told(&self.models, model).and_then(|told| told.effort);
        let wire = self.wire(&info, effort)?;
        Ok(Route { info, endpoint, wire, body: Body::default(), key_hint: self.key_hint() })
    }

    /// What is known about a model of it; `window` is what a local server said about itself.
    pub(crate) fn info(&self, model: &str, window: Option<u64>) -> ModelInfo {
        let told = catalog::told(&self.models, model);
        match (window, told) {
            (Some(_), None) => {
                let told = ModelConfig { context_window: window, ..ModelConfig::default() };
                catalog::info(&self.name, self.kind, model, Some(&told))
            }
            (Some(_), Some(told)) if told.context_window.is_none() => {
                let told = ModelConfig { context_window: window, ..told.clone() };
                catalog::info(&self.name, self.kind, model, Some(&told))
            }
            (_, told) => catalog::info(&self.name, self.kind, model, told),
        }
    }

    fn wire(&self, info: &ModelInfo, effort: Option<Effort>) -> Result<Box<dyn Wire>, OpenError> {
        let (model, images) = (info.name.as_str(), info.images);
        Ok(match self.kind {
            Family::Anthropic => Box::new(Anthropic::new(model, thinking(model, effort), images)),
            Family::OpenaiResponses => {
                Box::new(Responses::new(model, reasons(model, effort), effort, images))
            }
            Family::OpenaiChat => {
                Box::new(Chat::new(model, Dialect::of(&self.base_url, model), effort, images))
            }
            Family::Gemini => Box::new(Gemini::new(model, effort, images)),
            Family::Scripted => {
                let what = "a transcript cannot be a fallback";
                return Err(OpenError::Provider { name: self.name.clone(), what });
            }
        })
    }
}

/// How a Claude model is asked to think, by its version: adaptive since 4.6, a budget from 3.7 to 4.5
/// (<https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>).
fn thinking(model: &str, effort: Option<Effort>) -> Thinking {
    if Maker::of(model) != Some(Maker::Anthropic) {
        return Thinking::Unsaid;
    }
    let numbers =
        model.split(['-', '.']).filter_map(|part| part.parse::<u32>().ok()).filter(|number| *number < 100);
    match numbers.take(2).collect::<Vec<_>>().as_slice() {
        [3, 7] => Thinking::Budget(effort.unwrap_or(Effort::Medium)),
        [..=3, ..] | [] => Thinking::Unsaid,
        [4] | [4, ..=5] => Thinking::Budget(effort.unwrap_or(Effort::Medium)),
        _ => Thinking::Adaptive(effort),
    }
}

/// Whether a model at OpenAI is a reasoning model: all since o1 and GPT-5. Others refuse the parameters about
/// reasoning.
fn reasons(model: &str, effort: Option<Effort>) -> bool {
    effort.is_some()
        || Maker::of(model) == Some(Maker::Openai)
            && !["gpt-3", "gpt-4"].iter().any(|old| model.starts_with(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claude_thinks_by_version() {
        let budget = Thinking::Budget(Effort::Medium);
        for (model, expected) in [
            ("claude-opus-5-5", Thinking::Adaptive(None)),
            ("claude-sonnet-5", Thinking::Adaptive(None)),
            ("claude-sonnet-4-6", Thinking::Adaptive(None)),
            ("claude-haiku-4-5-20251001", budget),
            ("claude-sonnet-4-20250514", budget),
            ("claude-3-7-sonnet-20250219", budget),
            ("claude-3-5-haiku-latest", Thinking::Unsaid),
            ("qwen2.5-coder", Thinking::Unsaid),
        ] {
            assert_eq!(thinking(model, None), expected, "{model}");
        }
        assert!(
            reasons("gpt-6.1-sol", None)
                && reasons("o3", None)
                && !reasons("gpt-4.1", None)
                && !reasons("qwen", None)
        );
    }

    #[test]
    fn a_changed_address_does_not_get_the_built_in_key() {
        let config: ModelsConfig =
            toml::from_str("[providers.openai]\nbase_url = 'https://proxy.example/v1'").unwrap();
        let providers = all(&config).unwrap();
        assert_eq!((providers[0].name.as_str(), &providers[0].key), ("openai", &KeySource::None));
        let bad: ModelsConfig = toml::from_str("[providers.mine]\nkind = 'openai_chat'").unwrap();
        assert!(matches!(all(&bad), Err(OpenError::Provider { what: "base_url is missing", .. })));
    }
}
