//! What a hook's sessions are told to do: the operator's own words, or a playbook's.
//!
//! What a delivery puts into a playbook's places is held against its parameters, as what a person types is. It is somebody else's words all the same, so it
//! stands apart from those of the playbook, as with a prompt; only one of a few values that the playbook itself names stands in its place.

use std::collections::BTreeMap;

use cofferdam_domain::{OrgId, PlaybookUse};
use cofferdam_store::Everything;
use serde_json::Value;

use super::{is_pointer, template::Template};
use crate::{
    job::{Job, NotBegun},
    playbook::{ByPlaybook, Others, Said, Worded},
};

/// What says what to do.
#[derive(Debug, Clone)]
pub(super) enum Words {
    /// A prompt.
    Prompt(Template),
    /// A playbook.
    Playbook {
        playbook: ByPlaybook,
        /// The places of deliveries that go into its own, by the names of its parameters.
        places: BTreeMap<String, String>,
    },
}

/// What a delivery is to be worked on by.
pub(super) struct Told {
    pub(super) prompt: String,
    pub(super) title: Option<String>,
    pub(super) job: Job,
    pub(super) playbook: Option<PlaybookUse>,
}

impl Words {
    /// What a table says.
    pub(super) fn of(said: Said<'_>) -> Result<Self, String> {
        let Some(playbook) = said.by()? else {
            return Template::parse(said.prompt.unwrap_or_default()).map(Self::Prompt);
        };
        let (mut values, mut places) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in said.values {
            match place(value)? {
                Some(pointer) => places.insert(name.clone(), pointer),
                None => values.insert(name.clone(), value.clone()),
            };
        }
        Ok(Self::Playbook { playbook: playbook.with(values), places })
    }

    /// Has what neither table nor playbook says worked on with this model.
    pub(super) fn usually(&mut self, job: &mut Job, model: Option<String>) {
        match self {
            Self::Prompt(_) => job.wishes.model = job.wishes.model.take().or(model),
            Self::Playbook { playbook, .. } => playbook.usual = model,
        }
    }

    /// The words for a delivery.
    pub(super) async fn told(
        &self,
        store: &dyn Everything,
        org: OrgId,
        job: &Job,
        (sender, body): (&str, &Value),
    ) -> Result<Told, NotBegun> {
        let (template, job, playbook) = match self {
            Self::Prompt(template) => (template.clone(), job.clone(), None),
            Self::Playbook { playbook, places } => {
                let others: Others = places
                    .iter()
                    .filter_map(|(name, pointer)| {
                        Some((name.clone(), (scalar(body.pointer(pointer)?)?, format!("[{pointer}]"))))
                    })
                    .collect();
                let marks: Vec<String> = others.keys().filter_map(|name| places.get(name)).cloned().collect();
                let Worded { prompt, job, used } = playbook.worded(store, org, job, others).await?;
                (Template::around(prompt, marks), job, Some(used))
            }
        };
        Ok(Told { prompt: template.prompt(sender, body), title: template.title(body), job, playbook })
    }

    /// What a delivery has to say to a session that is about the same thing.
    pub(super) fn data(&self, sender: &str, body: &Value) -> String {
        match self {
            Self::Prompt(template) => template.data(sender, body),
            Self::Playbook { places, .. } => {
                let all = places.values().cloned().collect();
                Template::around(String::new(), all).data(sender, body)
            }
        }
    }
}

/// The place that a value is, if it is one.
fn place(value: &str) -> Result<Option<String>, String> {
    if !value.contains("{{") {
        return Ok(None);
    }
    let inside = value.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
    match inside.filter(|pointer| is_pointer(pointer) && !pointer.contains(['{', '}'])) {
        Some(pointer) => Ok(Some(pointer.to_owned())),
        None => Err(format!(
            "`values` has {value:?}: a value is a text, or one place and nothing else, such as {{{{/data/name}}}}"
        )),
    }
}

/// A text, a number or a flag of a delivery. What is missing or empty is none, and lists and tables are no values.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
