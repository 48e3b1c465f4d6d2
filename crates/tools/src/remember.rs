//! `remember`: what later sessions should know. A proposal, and no more: a person decides whether it is kept.

use async_trait::async_trait;
use cofferdam_domain::{
    MemoryProposal, ToolOutcome,
    memory::{self, MOST_OF_SESSION},
    tool::ToolEffect,
};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, noted},
};

/// What the model calls it by.
pub(crate) const NAME: &str = "remember";

static DEFINITION: Definition = Definition {
    name: NAME,
    description: "Propose a note for later sessions on this repository: one fact that took effort to find out, and that the repository does \
                  not say itself. A person decides whether it is kept.",
    fields: &[
        Field::required("text", Kind::Text, "").or(&["note", "memory", "content", "fact"]),
        Field::optional("everywhere", Kind::Flag, "for all of the organisation's repositories"),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"text":"The integration tests need `make fixtures` first."}"#,
    adapt: as_they_are,
    bare: Some("text"),
};

/// The tool.
pub(crate) struct Remember;

#[async_trait]
impl Tool for Remember {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        if context.proposed >= MOST_OF_SESSION {
            return Err(Failure(format!(
                "This session has proposed {MOST_OF_SESSION} notes, which is the most. Go on with the task."
            )));
        }
        let text = arguments.text("text").trim();
        memory::check(text).map_err(|problem| Failure(format!("`text`: {problem}.")))?;
        let proposal = MemoryProposal { text: text.to_owned(), everywhere: arguments.flag("everywhere") };
        Ok(noted(
            "Proposed. A person decides about it after this session; go on with the task.",
            ToolEffect::Remember(proposal),
        ))
    }
}
