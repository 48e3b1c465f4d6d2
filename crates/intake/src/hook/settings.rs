//! The `[[hook]]` tables of the configuration.

use std::{collections::BTreeMap, num::NonZeroU32};

use cofferdam_domain::Digest;
use http::HeaderName;
use serde::Deserialize;

use super::{ConditionSettings, Hook, ProofSettings, is_pointer, words::Words};
use crate::{
    job::{Job, NO_NAME, is_name},
    playbook::Said,
    table::organisation,
};

/// Conditions, and pointers to what is the same, in one table.
const MOST: usize = 16;

/// One `[[hook]]` table: who may post, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    /// Names it: deliveries go to `/hooks/` and this.
    pub name: String,
    /// How the sender proves who it is.
    pub proof: ProofSettings,
    /// What tells one delivery from another; the digest of its body if nothing is said.
    pub id: Option<IdSettings>,
    /// What kind of thing it is, for people.
    pub event: Option<IdSettings>,
    /// Which deliveries are of interest: those that meet all of this.
    #[serde(default)]
    pub when: Vec<ConditionSettings>,
    /// What to do, with places for what a delivery has: `{{/json/pointer}}`.
    pub prompt: Option<String>,
    /// Or the playbook of the organisation's that says it.
    pub playbook: Option<String>,
    /// Which version of that; the latest if none is named.
    pub digest: Option<Digest>,
    /// What goes into its places, by the names of its parameters: a text, or what a delivery has at one place, `{{/json/pointer}}`.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// What deliveries about the same thing have in common, as JSON pointers: while its session works they are messages to it, and while its
    /// pull request is open they begin no other.
    #[serde(default)]
    pub same: Vec<String>,
    /// So many sessions begin within an hour at the most; what would begin more is left out.
    #[serde(default = "twenty")]
    pub per_hour: NonZeroU32,
    /// On which repository: an absolute path or a URL.
    pub repository: String,
    /// The ref to start from; the repository's default branch if none is named.
    pub base: Option<String>,
    /// The repositories that it is about beside that one, each an absolute path or a URL, with `#` and the ref to start from if need be.
    #[serde(default)]
    pub also: Vec<String>,
    /// The model, by its name in the configuration.
    pub model: Option<String>,
    /// A policy of the organisation's.
    pub policy: Option<String>,
    /// For which organisation.
    #[serde(default = "organisation")]
    pub organisation: String,
    /// In which project of it; in its first if none is named.
    pub project: Option<String>,
}

/// Where a delivery says something of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdSettings {
    /// In a header.
    Header(String),
    /// In its body: a JSON pointer.
    Pointer(String),
}

fn twenty() -> NonZeroU32 {
    NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN)
}

/// A `[[hook]]` table cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHook {
    /// Its name.
    #[error("[[hook]]: {NO_NAME}, and each table another one: {0:?}")]
    Name(String),
    /// Something of it.
    #[error("[[hook]] {name:?}: {problem}")]
    Hook {
        /// Its name.
        name: String,
        /// What is wrong, in words.
        problem: String,
    },
}

impl HookSettings {
    /// The hooks of all tables. `environment` reads a variable.
    ///
    /// # Errors
    /// For the first table that cannot be; says what is wrong with it.
    pub fn hooks(
        tables: &[Self],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Hook>, InvalidHook> {
        let mut hooks: Vec<Hook> = Vec::new();
        for table in tables {
            let name = table.name.clone();
            if !is_name(&name) || hooks.iter().any(|known| known.name == name) {
                return Err(InvalidHook::Name(name));
            }
            hooks.push(table.hook(environment).map_err(|problem| InvalidHook::Hook { name, problem })?);
        }
        Ok(hooks)
    }

    fn hook(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Hook, String> {
        for id in self.id.iter().chain(&self.event) {
            id.check()?;
        }
        if self.when.len() > MOST || self.same.len() > MOST {
            return Err(format!("`when` and `same` have at most {MOST} entries"));
        }
        if let Some(pointer) = self.same.iter().find(|pointer| !is_pointer(pointer)) {
            return Err(format!("`same` has {pointer:?}, which is no JSON pointer, such as /data/issue/id"));
        }
        let at = (&*self.repository, self.base.as_deref(), &*self.also);
        let job = Job::on(at, (self.model.as_deref(), self.policy.as_deref()));
        job.check()?;
        let Self { prompt, playbook, digest, values, .. } = self;
        let said = Said { prompt: prompt.as_deref(), playbook: playbook.as_deref(), digest: *digest, values };
        Ok(Hook {
            name: self.name.clone(),
            proof: self.proof.open(environment).map_err(|error| error.to_string())?,
            id: self.id.clone(),
            event: self.event.clone(),
            when: self.when.iter().map(ConditionSettings::condition).collect::<Result<_, _>>()?,
            words: Words::of(said)?,
            same: self.same.clone(),
            per_hour: self.per_hour,
            job,
        })
    }
}

impl IdSettings {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Header(name) if name.parse::<HeaderName>().is_err() => {
                Err(format!("{name:?} is no name of a header"))
            }
            Self::Pointer(pointer) if !is_pointer(pointer) => {
                Err(format!("{pointer:?} is no JSON pointer, such as /event/id"))
            }
            Self::Header(_) | Self::Pointer(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        hook: Vec<HookSettings>,
    }

    fn hooks(text: &str) -> Result<Vec<Hook>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let environment = |name: &str| (name == "SECRET").then(|| "0123456789abcdef".to_owned());
        HookSettings::hooks(&file.hook, &environment).map_err(|error| error.to_string())
    }

    fn table(name: &str, repository: &str, rest: &str) -> String {
        format!(
            "[[hook]]\nname = '{name}'\nrepository = '{repository}'\nprompt = 'Fix {{{{/a}}}}'\n\
             proof = {{ kind = 'pagerduty', secret = {{ env = 'SECRET' }} }}\n{rest}"
        )
    }

    #[test]
    fn tables_become_hooks() {
        let rest =
            "id = { pointer = '/event/id' }\nwhen = [{ pointer = '/a', exists = true }]\nsame = ['/b']\n";
        let hooks =
            hooks(&(table("a", "/srv/a", rest) + &table("b", "https://forge.example/a/b", ""))).unwrap();
        assert_eq!(hooks.iter().map(Hook::name).collect::<Vec<_>>(), ["a", "b"]);
        let same = |body: &str| hooks[0].same(&serde_json::from_str(body).unwrap());
        assert_eq!(same(r#"{"b":1,"c":2}"#), same(r#"{"b":1}"#));
        assert_ne!(same(r#"{"b":1}"#), same(r#"{"b":"1"}"#));
        assert_eq!(same(r#"{"b":null}"#), None);
        assert_eq!(hooks[1].same(&serde_json::json!({ "b": 1 })), None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            (table("a b", "/srv/a", ""), "letters"),
            (table("a", "srv", ""), "repository"),
            (table("a", "/srv/a", "base = '-x'"), "`base`"),
            (table("a", "/srv/a", "per_hour = 0"), "per_hour"),
            (table("a", "/srv/a", "same = ['b']"), "`same`"),
            (table("a", "/srv/a", "id = { pointer = 'b' }"), "JSON pointer"),
            (table("a", "/srv/a", "event = { header = 'a b' }"), "header"),
            (table("a", "/srv/a", "when = [{ pointer = '/a' }]"), "one of `is`"),
            (table("a", "/srv/a", "promt = 'x'"), "promt"),
            (table("a", "/srv/a", "playbook = 'x'"), "leave one of them out"),
            (table("a", "/srv/a", "").replace("prompt = ", "playbook = "), "no name of a playbook"),
            (table("a", "/srv/a", "").replace("prompt = ", "# "), "needs a `prompt`"),
            (
                table("a", "/srv/a", "playbook = 'x'\nvalues = { a = 'so {{/a}}' }")
                    .replace("prompt = ", "# "),
                "a text, or one place",
            ),
            (table("a", "/srv/a", "").replace("{{/a}}", "{{a}}"), "JSON pointer"),
            (table("a", "/srv/a", "").repeat(2), "another one"),
            (table("a", "/srv/a", "").replace("SECRET", "OTHER"), "OTHER is not set"),
        ] {
            let error = hooks(&text).map(drop).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
