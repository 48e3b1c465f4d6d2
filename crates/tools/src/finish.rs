//! `finish`: the agent says that its work is over.

use async_trait::async_trait;
use cofferdam_domain::{
    ToolOutcome,
    tool::{Finish, FinishOutcome, ToolEffect},
};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, noted},
};

/// Characters of a title.
const MAX_TITLE: usize = 120;
/// Bytes of a summary.
const MAX_SUMMARY: usize = 20_000;

static DEFINITION: Definition = Definition {
    name: "finish",
    description: "End your work; call it alone, last. What differs in /workspace becomes a pull request: you need not commit or push. \
                  The platform runs the tests and reports the facts.",
    fields: &[
        Field::required(
            "outcome",
            Kind::Choice {
                words: &["done", "nothing_to_do", "gave_up"],
                aliases: &[("success", "done"), ("completed", "done"), ("failed", "gave_up")],
            },
            "",
        )
        .or(&["status", "result"]),
        Field::required("title", Kind::Text, "of the pull request, at most 120 characters"),
        Field::required(
            "summary",
            Kind::Text,
            "what you changed and why, assumptions, what is left; Markdown",
        )
        .or(&["message", "body", "text"]),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"outcome":"done","title":"Round TimeDelta to the nearest integer","summary":"Serialising cut …"}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct FinishTool;

#[async_trait]
impl Tool for FinishTool {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, _: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let title = arguments.text("title").trim();
        let length = title.chars().count();
        if length == 0 || length > MAX_TITLE || title.chars().any(char::is_control) {
            return Err(Failure(format!(
                "The title must be one line of 1 to {MAX_TITLE} characters; yours has {length}. You have not finished yet."
            )));
        }
        let summary = arguments.text("summary").trim();
        if summary.is_empty() || summary.len() > MAX_SUMMARY {
            return Err(Failure(format!(
                "The summary must have 1 to {MAX_SUMMARY} bytes; yours has {}. You have not finished yet.",
                summary.len()
            )));
        }
        let outcome = match arguments.text("outcome") {
            "done" => FinishOutcome::Done,
            "nothing_to_do" => FinishOutcome::NothingToDo,
            _ => FinishOutcome::GaveUp,
        };
        let finish =
            Finish { outcome, title: title.to_owned(), summary: summary.to_owned(), replies: Vec::new() };
        Ok(noted("Finished.", ToolEffect::Finish(finish)))
    }
}
