//! From a name, or from none, to a model that can be asked.

use std::{io, path::PathBuf, sync::Arc};

use cofferdam_domain::{message::Family, money::Prices, policy::permits_model};

use crate::{
    BlobSource, EndpointError, Model, ModelsConfig, Scripted, TranscriptError,
    catalog::{self, Maker, catalog},
    local::{self, Local},
    providers::{self, KeySource, Provider},
    remote::Remote,
};

/// Looks up an environment variable.
pub type EnvLookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// Why no model could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing says which model to use, and none is at hand.
    #[error(
        "no model is at hand. Three ways to get one: set ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY or OPENROUTER_API_KEY; \
         start a local server (Ollama on 127.0.0.1:11434 or llama.cpp on 127.0.0.1:8080); \
         or see Cofferdam work without one: `cofferdam demo`"
    )]
    NoModel,
    /// No provider has a model of this name.
    #[error(
        "no provider is known for the model {name:?}: write it as PROVIDER/MODEL with one of {providers}; `cofferdam models` lists what is known"
    )]
    UnknownModel {
        /// The name as given.
        name: String,
        /// The providers' names.
        providers: String,
    },
    /// The policy permits others only.
    #[error(
        "the model {name} is not among those that the policy permits ({only}): name one of them, or have `models` of the policy changed; `cofferdam \
         models` lists what there is"
    )]
    NotPermitted {
        /// What it is: `provider/name`.
        name: String,
        /// The patterns of those that are.
        only: String,
    },
    /// The provider wants a key and there is none.
    #[error("there is no key for {provider}: {hint}")]
    NoKey {
        /// The provider's name.
        provider: String,
        /// How to give it one.
        hint: String,
    },
    /// The file with the key cannot be read.
    #[error("the key file {} cannot be read: give its right path in key_file and let this user read it", path.display())]
    KeyFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The provider's address or key cannot be used.
    #[error("models.providers.{provider} cannot be used")]
    Endpoint {
        /// The provider's name.
        provider: String,
        /// Why.
        source: EndpointError,
    },
    /// The provider's table is incomplete or contradicts itself.
    #[error("models.providers.{name}: {what}")]
    Provider {
        /// The provider's name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The server that was named does not run.
    #[error(
        "no {provider} server answers at {base_url}: start it, or set models.providers.{provider}.base_url"
    )]
    LocalDown {
        /// The provider's name.
        provider: String,
        /// Where it should answer.
        base_url: String,
    },
    /// The transcript cannot be played.
    #[error("the transcript {} cannot be played", path.display())]
    Transcript {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: TranscriptError,
    },
}

/// Whether a provider can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It has its key.
    Present,
    /// It wants one; the text says how to give it one.
    Missing(String),
    /// It wants none.
    NotNeeded,
}

/// A line of `cofferdam models`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRow {
    /// What to write after `--model`.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// The wire format.
    pub family: Family,
    /// Whether the provider can be asked.
    pub key: KeyState,
    /// Tokens that prompt and answer may have together.
    pub context_window: u64,
    /// Tokens that an answer may have.
    pub max_output: u32,
    /// What it charges, where that is known.
    pub prices: Option<Prices>,
    /// Whether it is the one that is asked when none is named.
    pub chosen: bool,
    /// What to know about these figures.
    pub note: Option<String>,
}

/// Opens the model `name`: `provider/model`, `provider`, the name of a model alone, or `scripted:PATH`.
/// Without a name, the configured default, else the first provider with a key, else a local server that
/// answers.
///
/// # Errors
/// When the name means nothing, or what it means cannot be asked. Nothing is sent to a provider here, so a
/// wrong key shows later.
pub async fn open(
    config: &ModelsConfig,
    env: EnvLookup<'_>,
    name: Option<&str>,
    blobs: Arc<dyn BlobSource>,
) -> Result<Box<dyn Model>, OpenError> {
    open_one_of(config, env, name, None, blobs).await
}

/// The same where only some models may be asked: those that fit one of these patterns, as `provider/name` ([`permits_model`]). None of its fallbacks is
/// another one. Without a name, and where the one that would be taken is none of them, the first that is named there.
///
/// # Errors
/// As [`open`]; and when the model is none of those that may be asked.
pub async fn open_one_of(
    config: &ModelsConfig,
    env: EnvLookup<'_>,
    name: Option<&str>,
    only: Option<&[String]>,
    blobs: Arc<dyn BlobSource>,
) -> Result<Box<dyn Model>, OpenError> {
    let opened = open_named(config, env, name, only, blobs.clone()).await;
    let (Err(OpenError::NotPermitted { .. }), None) = (&opened, name) else { return opened };
    for one in only.unwrap_or_default().iter().filter(|pattern| !pattern.ends_with('*')) {
        if let Ok(model) = open_named(config, env, Some(one), only, blobs.clone()).await {
            return Ok(model);
        }
    }
    opened
}

async fn open_named(
    config: &ModelsConfig,
    env: EnvLookup<'_>,
    name: Option<&str>,
    only: Option<&[String]>,
    blobs: Arc<dyn BlobSource>,
) -> Result<Box<dyn Model>, OpenError> {
    if let Some(path) = name.or(config.default.as_deref()).and_then(|name| name.strip_prefix("scripted:")) {
        return scripted(PathBuf::from(path), only);
    }
    let directory = Directory { config, env, providers: providers::all(config)? };
    let choice = directory.choose(name).await?;
    if let Some(path) = &choice.provider.transcript
        && choice.provider.kind == Family::Scripted
    {
        return scripted(path.clone(), only);
    }
    check(only, &choice.provider.name, &choice.model)?;
    let first = choice.provider.route(&choice.model, choice.window, env)?;
    let mut fallbacks = Vec::new();
    for name in &config.fallback {
        let choice = match directory.find(name).await {
            Ok(choice) => choice,
            // One on this machine that does not run now. The first model still is there.
            Err(OpenError::LocalDown { .. }) => continue,
            Err(error) => return Err(error),
        };
        let same = choice.provider.name == first.info.provider && choice.model == first.info.name;
        if same || check(only, &choice.provider.name, &choice.model).is_err() {
            continue;
        }
        match choice.provider.route(&choice.model, choice.window, env) {
            Ok(route) => fallbacks.push(route),
            // A fallback without its key is as good as none; the first model still is.
            Err(OpenError::NoKey { .. }) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(Box::new(Remote::new(first, fallbacks, config.retry.clone(), blobs)))
}

/// All models that are known, with what a person needs to choose one.
///
/// # Errors
/// When the configuration of a provider is incomplete or contradicts itself.
pub async fn list(config: &ModelsConfig, env: EnvLookup<'_>) -> Result<Vec<ModelRow>, OpenError> {
    let directory = Directory { config, env, providers: providers::all(config)? };
    let chosen = directory.choose(None).await.ok().map(|choice| (choice.provider.name.clone(), choice.model));
    let mut rows = Vec::new();
    for provider in &directory.providers {
        let local = if provider.is_local() { local::ask(provider, &config.retry).await } else { None };
        let window = local.as_ref().and_then(|local| local.window);
        for model in models(provider, local.as_ref()) {
            let is_chosen = chosen.as_ref().is_some_and(|(at, name)| *at == provider.name && *name == model);
            rows.push(row(provider, &model, window, is_chosen, env));
        }
    }
    Ok(rows)
}

fn check(only: Option<&[String]>, provider: &str, model: &str) -> Result<(), OpenError> {
    let name = format!("{provider}/{model}");
    if permits_model(only, &name) {
        return Ok(());
    }
    Err(OpenError::NotPermitted { name, only: only.unwrap_or_default().join(", ") })
}

fn scripted(path: PathBuf, only: Option<&[String]>) -> Result<Box<dyn Model>, OpenError> {
    match Scripted::from_file(&path) {
        Ok(model) => {
            check(only, &model.info().provider, &model.info().name)?;
            Ok(Box::new(model))
        }
        Err(source) => Err(OpenError::Transcript { path, source }),
    }
}

/// Where names are looked up.
struct Directory<'a> {
    config: &'a ModelsConfig,
    env: EnvLookup<'a>,
    providers: Vec<Provider>,
}

/// A provider and one of its models.
struct Choice<'a> {
    provider: &'a Provider,
    model: String,
    window: Option<u64>,
}

impl Directory<'_> {
    async fn choose(&self, name: Option<&str>) -> Result<Choice<'_>, OpenError> {
        if let Some(name) = name.or(self.config.default.as_deref()) {
            return self.find(name).await;
        }
        // A recording is played only when it is asked for.
        let may_be_chosen = |provider: &&Provider| !provider.is_local() && provider.kind != Family::Scripted;
        for provider in self.providers.iter().filter(may_be_chosen) {
            let usable = match provider.key {
                // Named by the operator, and wants no key.
                KeySource::None => provider.configured,
                KeySource::Env(_) | KeySource::File(_) => provider.key(self.env)?.is_some(),
            };
            if let Some(model) = provider.default.clone().filter(|_| usable) {
                return Ok(Choice { provider, model, window: None });
            }
        }
        for provider in self.providers.iter().filter(|provider| provider.is_local()) {
            if let Ok(choice) = self.local(provider, None).await {
                return Ok(choice);
            }
        }
        Err(OpenError::NoModel)
    }

    async fn find(&self, name: &str) -> Result<Choice<'_>, OpenError> {
        let (before, after) =
            name.split_once('/').map_or((name, None), |(before, after)| (before, Some(after)));
        if let Some(provider) = self.provider(before) {
            return self.of(provider, after).await;
        }
        let configured = |provider: &&Provider| {
            provider.configured
                && (provider.default.as_deref() == Some(name)
                    || catalog::told(&provider.models, name).is_some())
        };
        let made =
            Maker::of(name).filter(|_| after.is_none()).and_then(|maker| self.provider(maker.provider()));
        if let Some(provider) = self.providers.iter().find(configured).or(made) {
            return self.of(provider, Some(name)).await;
        }
        for provider in self.providers.iter().filter(|provider| provider.is_local()) {
            let local = local::ask(provider, &self.config.retry).await;
            if let Some(local) = local.filter(|local| local.models.iter().any(|model| model == name)) {
                return Ok(Choice { provider, model: name.to_owned(), window: local.window });
            }
        }
        let names: Vec<&str> = self.providers.iter().map(|provider| provider.name.as_str()).collect();
        Err(OpenError::UnknownModel { name: name.to_owned(), providers: names.join(", ") })
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    async fn of<'p>(&'p self, provider: &'p Provider, model: Option<&str>) -> Result<Choice<'p>, OpenError> {
        if provider.is_local() {
            return self.local(provider, model).await;
        }
        let model = model.map(str::to_owned).or_else(|| provider.default.clone());
        let model = model.ok_or_else(|| OpenError::Provider {
            name: provider.name.clone(),
            what: "default is missing: name the model as PROVIDER/MODEL, or set a default",
        })?;
        Ok(Choice { provider, model, window: None })
    }

    async fn local<'p>(&self, provider: &'p Provider, model: Option<&str>) -> Result<Choice<'p>, OpenError> {
        let (name, base_url) = (&provider.name, &provider.base_url);
        let local = local::ask(provider, &self.config.retry)
            .await
            .ok_or_else(|| OpenError::LocalDown { provider: name.clone(), base_url: base_url.clone() })?;
        let first = local.models.into_iter().next();
        let model = model
            .map(str::to_owned)
            .or_else(|| provider.default.clone())
            .or(first)
            .ok_or(OpenError::NoModel)?;
        Ok(Choice { provider, model, window: local.window })
    }
}

/// The models of a provider that are known by name.
fn models(provider: &Provider, local: Option<&Local>) -> Vec<String> {
    let own = catalog()
        .models
        .iter()
        .filter(|known| known.maker.provider() == provider.name && !provider.is_local());
    let mut names: Vec<String> = provider.default.iter().cloned().collect();
    names.extend(provider.models.keys().cloned());
    names.extend(own.map(|known| known.name.clone()));
    names.extend(local.into_iter().flat_map(|local| local.models.clone()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn row(provider: &Provider, model: &str, window: Option<u64>, chosen: bool, env: EnvLookup<'_>) -> ModelRow {
    let info = provider.info(model, window);
    let key = match (&provider.key, provider.key(env)) {
        (KeySource::None, _) => KeyState::NotNeeded,
        (KeySource::Env(_) | KeySource::File(_), Ok(Some(_))) => KeyState::Present,
        (KeySource::Env(_) | KeySource::File(_), Ok(None) | Err(_)) => KeyState::Missing(provider.key_hint()),
    };
    let told = catalog::told(&provider.models, model);
    let known_window = window.is_some() || told.is_some_and(|told| told.context_window.is_some());
    let note = match catalog::known(model) {
        Some(known) => {
            let seller = catalog().providers.iter().find(|provider| provider.name == known.maker.provider());
            let source = seller.map_or("", |provider| provider.source.as_str());
            Some(format!("figures of {} from {source}", catalog().checked))
        }
        None if !known_window => Some(format!(
            "window guessed: set models.providers.{}.models.{model:?}.context_window",
            provider.name
        )),
        None => None,
    };
    ModelRow {
        name: format!("{}/{model}", provider.name),
        provider: provider.name.clone(),
        family: provider.kind,
        key,
        context_window: info.context_window,
        max_output: info.max_output,
        prices: info.prices,
        chosen,
        note,
    }
}
