//! `finish` of a session that reviews: the agent says what it makes of the change, as a whole and line by line.

use async_trait::async_trait;
use cofferdam_domain::{
    ToolOutcome,
    tool::{Finish, FinishOutcome, LineRemark, ToolEffect},
};
use serde_json::{Map, Value};

use crate::{
    call::{Arguments, Definition, Field, Kind},
    tool::{Context, Failure, Tool, noted},
};

/// Bytes of a summary.
const MAX_SUMMARY: usize = 20_000;
/// Remarks of one review: nobody reads more.
const MAX_REMARKS: usize = 50;
/// Bytes of a remark.
const MAX_REMARK: usize = 4_000;
/// Bytes of a path.
const MAX_PATH: usize = 1_000;
/// What it is called in lists: nobody gives a review a title.
const TITLE: &str = "Review";

const REMARK: &[Field] = &[
    Field::required("path", Kind::Text, "of the file, from the repository's root").or(&["file", "file_path"]),
    Field::required(
        "line",
        Kind::Count { least: 1, most: u64::MAX },
        "in the file as the change leaves it; one that the diff shows",
    )
    .or(&["line_number", "start_line"]),
    Field::required("text", Kind::Text, "what is wrong there, why, and what to do; Markdown")
        .or(&["comment", "body", "message", "remark"]),
];

static DEFINITION: Definition = Definition {
    name: "finish",
    description: "End your review; call it alone, last. It is posted as one review with your summary and your remarks on lines, below the \
                  facts of the platform, which runs the tests itself. You neither approve nor reject.",
    fields: &[
        Field::required(
            "outcome",
            Kind::Choice {
                words: &["done", "gave_up"],
                aliases: &[("success", "done"), ("completed", "done"), ("failed", "gave_up")],
            },
            "",
        )
        .or(&["status", "result"]),
        Field::required(
            "summary",
            Kind::Text,
            "what the change does, whether it does what it says, what matters most; Markdown, short",
        )
        .or(&["message", "body", "text"]),
        Field::optional("remarks", Kind::Items(REMARK), "on lines, the most important first")
            .or(&["comments"]),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"outcome":"done","summary":"It does …","remarks":[{"path":"src/a.rs","line":12,"text":"This overflows when …"}]}"#,
    adapt: without_empty_remarks,
    bare: None,
};

/// Models that remark nothing say so with an empty list.
fn without_empty_remarks(arguments: &mut Map<String, Value>) {
    for name in ["remarks", "comments"] {
        if arguments.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            arguments.remove(name);
        }
    }
}

/// The tool.
pub(crate) struct FinishReview;

#[async_trait]
impl Tool for FinishReview {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, _: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let summary = arguments.text("summary").trim();
        if summary.is_empty() || summary.len() > MAX_SUMMARY {
            return Err(Failure(format!(
                "The summary must have 1 to {MAX_SUMMARY} bytes; yours has {}. You have not finished yet.",
                summary.len()
            )));
        }
        let outcome = match arguments.text("outcome") {
            "done" => FinishOutcome::Done,
            _ => FinishOutcome::GaveUp,
        };
        let remarks = remarks(arguments)?;
        let (title, summary) = (TITLE.to_owned(), summary.to_owned());
        let finish = Finish { outcome, title, summary, replies: Vec::new(), remarks };
        Ok(noted("Finished.", ToolEffect::Finish(finish)))
    }
}

/// The remarks, each once.
fn remarks(arguments: &Arguments) -> Result<Vec<LineRemark>, Failure> {
    let mut remarks: Vec<LineRemark> = Vec::new();
    for item in arguments.items("remarks") {
        let path = item.text("path").trim();
        let path = path.strip_prefix("/workspace/").or(path.strip_prefix("./")).unwrap_or(path);
        let text = item.text("text").trim();
        if path.is_empty() || path.len() > MAX_PATH || path.starts_with('/') {
            return Err(Failure(format!(
                "A remark's path is that of a file from the repository's root, of at most {MAX_PATH} bytes. You have not finished yet."
            )));
        }
        if text.is_empty() || text.len() > MAX_REMARK {
            return Err(Failure(format!(
                "A remark must have 1 to {MAX_REMARK} bytes; one of yours has {}. You have not finished yet.",
                text.len()
            )));
        }
        let line = item.count("line").unwrap_or_default();
        let remark = LineRemark { path: path.to_owned(), line, text: text.to_owned() };
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    if remarks.len() > MAX_REMARKS {
        return Err(Failure(format!(
            "A review has at most {MAX_REMARKS} remarks, this one {}: keep those that matter most. You have not finished yet.",
            remarks.len()
        )));
    }
    Ok(remarks)
}
