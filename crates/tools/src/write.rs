//! `write`: makes a file, or replaces all of it.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, amount::counted, tool::ToolEffect};
use cofferdam_sandbox::{FileProblem, SandboxError};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    files::Seen,
    place::Place,
    text::size,
    tool::{Context, Failure, Tool, outcome},
};

static DEFINITION: Definition = Definition {
    name: "write",
    description: "Make a file with this content, or replace all of an existing one. Makes missing directories. To change a part of a \
                  file, edit it instead.",
    fields: &[
        Field::required("path", Kind::Text, "").or(&["filepath", "file", "filename", "absolutepath"]),
        Field::required("content", Kind::Text, "").or(&[
            "contents",
            "text",
            "filetext",
            "filecontent",
            "newtext",
        ]),
    ],
    parallel: false,
    read_only: false,
    example: r#"{"path":"src/greet.rs","content":"pub fn greet() {}\n"}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct Write {
    seen: Arc<Seen>,
}

impl Write {
    pub(crate) const fn new(seen: Arc<Seen>) -> Self {
        Self { seen }
    }
}

#[async_trait]
impl Tool for Write {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let place = Place::of(arguments.text("path"))?;
        let content = arguments.text("content");
        let before = match context.sandbox.read(place.absolute(), 0, 1).await {
            Ok(data) => Some(data.size),
            Err(SandboxError::File { problem: FileProblem::Missing, .. }) => None,
            Err(SandboxError::File { problem: FileProblem::IsDirectory, .. }) => {
                return Err(Failure(format!("{place} is a directory: give the path of a file.")));
            }
            Err(error) => return Err(error.into()),
        };
        // What the agent has read and what changed since behind its back is not overwritten; what it never
        // read, it may mean to replace.
        let expected = before.and_then(|_| self.seen.version(&place));
        let version = match context.sandbox.write(place.absolute(), content.as_bytes(), expected).await {
            Ok(version) => version,
            Err(SandboxError::File { problem: FileProblem::Changed, .. }) => {
                return Err(Failure(format!("{place} has changed since you read it. Read it again first.")));
            }
            Err(error) => return Err(error.into()),
        };
        self.seen.note(&place, version);
        let lines = counted(content.lines().count() as u64, "line");
        let text = match before {
            None => format!("Made {place}: {lines}."),
            Some(old) => {
                format!("Replaced {place}: {lines}, {} (was {}).", size(content.len() as u64), size(old))
            }
        };
        Ok(ToolOutcome { effect: edited([&place]), ..outcome(text) })
    }
}

/// The effect of having changed files, of which those in the workspace count.
pub(crate) fn edited<'a>(places: impl IntoIterator<Item = &'a Place>) -> Option<ToolEffect> {
    let paths: Vec<String> = places.into_iter().filter_map(Place::in_workspace).map(str::to_owned).collect();
    (!paths.is_empty()).then_some(ToolEffect::Edited { paths })
}
