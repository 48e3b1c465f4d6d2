//! `finish`: the agent says that its work is over.

use async_trait::async_trait;
use cofferdam_domain::{
    ToolOutcome,
    tool::{Finish, FinishOutcome, Reply, ToolEffect},
};
use serde_json::{Map, Value};

use crate::{
    call::{Arguments, Definition, Field, Kind},
    tool::{Context, Failure, Tool, noted},
};

/// Characters of a title.
const MAX_TITLE: usize = 120;
/// Bytes of a summary.
const MAX_SUMMARY: usize = 20_000;
/// Bytes of an answer to a remark.
const MAX_REPLY: usize = 4_000;

const REPLY: &[Field] = &[
    Field::required("to", Kind::Count { least: 1, most: u64::MAX }, "the remark's number").or(&[
        "number",
        "comment",
        "commentid",
        "id",
    ]),
    Field::required("fixed", Kind::Flag, "whether you changed something for it"),
    Field::required("text", Kind::Text, "what, or why not").or(&["reply", "body", "message"]),
];

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
        Field::optional("replies", Kind::Items(REPLY), "answers to reviewers' remarks, if there were any"),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"outcome":"done","title":"Round TimeDelta to the nearest integer","summary":"Serialising cut …"}"#,
    adapt: without_empty_replies,
    bare: None,
};

/// Models that answer nothing say so with an empty list.
fn without_empty_replies(arguments: &mut Map<String, Value>) {
    if arguments.get("replies").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        arguments.remove("replies");
    }
}

/// The tool.
pub(crate) struct FinishTool;

#[async_trait]
impl Tool for FinishTool {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
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
        let replies = replies(arguments, context.remarks)?;
        let (title, summary) = (title.to_owned(), summary.to_owned());
        let finish = Finish { outcome, title, summary, replies, remarks: Vec::new() };
        Ok(noted("Finished.", ToolEffect::Finish(finish)))
    }
}

/// One answer at the most to each remark that there is in this turn, and none to anything else.
fn replies(arguments: &Arguments, remarks: &[u64]) -> Result<Vec<Reply>, Failure> {
    let mut replies: Vec<Reply> = Vec::new();
    for item in arguments.items("replies") {
        let to = item.count("to").unwrap_or_default();
        let text = item.text("text").trim();
        if !remarks.contains(&to) {
            return Err(Failure(format!(
                "There is no remark {to} to answer in this turn. {} You have not finished yet.",
                those_there_are(remarks)
            )));
        }
        if replies.iter().any(|reply| reply.to == to) {
            return Err(Failure(format!(
                "Remark {to} is answered twice: put both into one answer. You have not finished yet."
            )));
        }
        if text.is_empty() || text.len() > MAX_REPLY {
            return Err(Failure(format!(
                "An answer to a remark must have 1 to {MAX_REPLY} bytes; that to {to} has {}. You have not finished yet.",
                text.len()
            )));
        }
        replies.push(Reply { to, fixed: item.flag("fixed"), text: text.to_owned() });
    }
    Ok(replies)
}

fn those_there_are(remarks: &[u64]) -> String {
    if remarks.is_empty() {
        return "There are none at all: leave `replies` out.".to_owned();
    }
    let numbers: Vec<String> = remarks.iter().map(u64::to_string).collect();
    format!("Those that there are: {}.", numbers.join(", "))
}
