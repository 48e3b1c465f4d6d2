//! `remember`: what later sessions should know. A proposal, and no more: a person decides whether it is kept.

use async_trait::async_trait;
use cofferdam_domain::{
    MemoryProposal, ToolOutcome,
    memory::{self, LONGEST_PLACE, MOST_OF_SESSION},
    tool::ToolEffect,
};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Notes, Tool, noted},
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
        let Notes { proposed, private, nameless } = context.notes;
        if proposed >= MOST_OF_SESSION {
            return Err(Failure(format!(
                "This session has proposed {MOST_OF_SESSION} notes, which is the most. Go on with the task."
            )));
        }
        let text = arguments.text("text").trim();
        memory::check(text).map_err(|problem| Failure(format!("`text`: {problem}.")))?;
        let everywhere = arguments.flag("everywhere");
        if nameless && !everywhere {
            return Err(Failure(format!(
                "Notes about this repository cannot be kept: its address is longer than {LONGEST_PLACE} characters, or unusual. Go on with the task."
            )));
        }
        let proposal = MemoryProposal { text: text.to_owned(), everywhere, private };
        Ok(noted(
            "Proposed. A person decides about it after this session, unless too many proposals wait already: then it is dropped. Go on with the task.",
            ToolEffect::Remember(proposal),
        ))
    }
}
