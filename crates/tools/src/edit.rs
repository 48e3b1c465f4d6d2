//! `edit`: exact replacements in one file that the agent has read.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::ToolOutcome;
use cofferdam_sandbox::{FileProblem, SandboxError};
use serde_json::{Map, Value};

use crate::{
    call::{Arguments, Definition, Field, Kind},
    files::{Seen, load, missing},
    place::Place,
    replace::{Replacement, replace},
    text::changes,
    tool::{Context, Failure, Tool, outcome},
    write::edited,
};

const REPLACEMENT: &[Field] = &[
    Field::required("old_text", Kind::Text, "exactly as in the file, unique in it").or(&[
        "oldstring",
        "oldstr",
        "old",
        "search",
        "before",
    ]),
    Field::required("new_text", Kind::Text, "").or(&[
        "newstring",
        "newstr",
        "new",
        "replace",
        "replacement",
        "after",
    ]),
    Field::optional("replace_all", Kind::Flag, "").or(&["all", "allowmultiple"]),
];

static DEFINITION: Definition = Definition {
    name: "edit",
    description: "Replace text in a file that you have read. Several edits at once: all are matched against the file as it is now, \
                  must not overlap, and apply all or not at all. old_text without the line numbers, with enough lines to be unique.",
    fields: &[
        Field::required("path", Kind::Text, "").or(&["filepath", "file", "filename", "absolutepath"]),
        Field::required("edits", Kind::Items(REPLACEMENT), "").or(&["replacements", "changes"]),
    ],
    parallel: false,
    read_only: false,
    example: r#"{"path":"src/lib.rs","edits":[{"old_text":"let x = 1;","new_text":"let x = 2;"}]}"#,
    adapt: one_edit_beside_the_path,
    bare: None,
};

/// Other tool sets take one edit, with its texts beside the path.
fn one_edit_beside_the_path(arguments: &mut Map<String, Value>) {
    if arguments.contains_key("edits") {
        return;
    }
    let names: Vec<String> = arguments
        .keys()
        .filter(|name| {
            let name = name.replace('_', "").to_lowercase();
            REPLACEMENT
                .iter()
                .any(|field| field.name.replace('_', "") == name || field.aliases.contains(&name.as_str()))
        })
        .cloned()
        .collect();
    let edit: Map<String, Value> =
        names.into_iter().filter_map(|name| arguments.remove(&name).map(|value| (name, value))).collect();
    if !edit.is_empty() {
        arguments.insert("edits".to_owned(), Value::Array(vec![Value::Object(edit)]));
    }
}

/// The tool.
pub(crate) struct Edit {
    seen: Arc<Seen>,
}

impl Edit {
    pub(crate) const fn new(seen: Arc<Seen>) -> Self {
        Self { seen }
    }
}

#[async_trait]
impl Tool for Edit {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let place = Place::of(arguments.text("path"))?;
        let Some(file) = load(context.sandbox, &place).await? else {
            return Err(missing(context.sandbox, &place).await);
        };
        match self.seen.version(&place) {
            None => {
                return Err(Failure(format!(
                    "You have not read {place} yet. Read the part to be changed first."
                )));
            }
            Some(version) if version != file.version => return Err(changed(&place)),
            Some(_) => {}
        }
        let replacements: Vec<Replacement> = arguments
            .items("edits")
            .iter()
            .map(|edit| Replacement {
                old: edit.text("old_text").to_owned(),
                new: edit.text("new_text").to_owned(),
                all: edit.flag("replace_all"),
            })
            .collect();
        let text = replace(&file.text, &replacements)
            .map_err(|problems| Failure(format!("{place} is unchanged.\n{}", problems.join("\n"))))?;
        match context.sandbox.write(place.absolute(), text.as_bytes(), Some(file.version)).await {
            Ok(version) => self.seen.note(&place, version),
            Err(SandboxError::File { problem: FileProblem::Changed, .. }) => return Err(changed(&place)),
            Err(error) => return Err(error.into()),
        }
        let (diff, added, removed) = changes(&file.text, &text);
        let report = format!("Edited {place} (+{added} -{removed}).\n{diff}");
        Ok(ToolOutcome { effect: edited([&place]), ..outcome(report) })
    }
}

fn changed(place: &Place) -> Failure {
    Failure(format!("{place} has changed since you read it. Read it again first."))
}
