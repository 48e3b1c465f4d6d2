//! `skill`: a text of a skill, or one that is there on request, as it was when the session began.

use async_trait::async_trait;
use cofferdam_domain::ToolOutcome;

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, outcome},
};

/// What the model calls it by.
pub(crate) const NAME: &str = "skill";

static DEFINITION: Definition = Definition {
    name: NAME,
    description: "The text of a skill that you were told of, or a file of it.",
    fields: &[
        Field::required("name", Kind::Text, "").or(&["skill", "skillname", "path", "command"]),
        Field::optional("file", Kind::Text, "path in the skill's folder")
            .or(&["filepath", "filename", "resource"]),
    ],
    parallel: true,
    read_only: true,
    example: r#"{"name":"release-notes"}"#,
    adapt: as_they_are,
    bare: Some("name"),
};

/// Has the texts.
#[async_trait]
pub trait Skills: Send + Sync {
    /// The text of the skill called `name`, or of `file` in its folder.
    ///
    /// # Errors
    /// When there is none, in words that say which there are.
    async fn text(&self, name: &str, file: Option<&str>) -> Result<String, String>;
}

/// The tool.
pub(crate) struct Skill;

#[async_trait]
impl Tool for Skill {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let none = || Failure::new("There are no skills in this session.");
        let skills = context.skills.ok_or_else(none)?;
        let file = arguments.optional_text("file").map(str::trim).filter(|file| !file.is_empty());
        let text = skills.text(arguments.text("name").trim(), file).await.map_err(Failure)?;
        Ok(outcome(text))
    }
}
