//! `finish` of a session that works for another one: its result, checked against the form that was asked for.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cofferdam_domain::{
    ResultSchema, ToolOutcome,
    tool::{Finish, FinishOutcome, ToolEffect},
};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, noted},
};

/// Bytes of a result.
const MAX_RESULT: usize = 20_000;
/// So often a result that does not meet its schema goes back to be mended.
const MOST_MENDED: u32 = 3;
/// What it is called in lists.
const TITLE: &str = "Result";

static DEFINITION: Definition = Definition {
    name: "finish",
    description: "End your work and hand over your result; call it alone, last.",
    fields: &[
        Field::required(
            "outcome",
            Kind::Choice {
                words: &["done", "gave_up"],
                aliases: &[("success", "done"), ("completed", "done"), ("failed", "gave_up")],
            },
            "",
        )
        .or(&["status"]),
        Field::optional("result", Kind::Object, "the result, where a schema was given").or(&["output"]),
        Field::optional("report", Kind::Text, "the result in prose, where none was, or why you gave up")
            .or(&["summary", "message", "text"]),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"outcome":"done","report":"It is parsed in src/date.rs, line 12 …"}"#,
    adapt: as_they_are,
    bare: Some("report"),
};

/// The tool.
pub(crate) struct FinishSubagent {
    schema: Option<ResultSchema>,
    /// How often a result was sent back.
    mended: AtomicU32,
}

impl FinishSubagent {
    pub(crate) const fn new(schema: Option<ResultSchema>) -> Self {
        Self { schema, mended: AtomicU32::new(0) }
    }

    /// The result as text, or why it is none.
    fn result(&self, arguments: &Arguments) -> Result<(FinishOutcome, String), String> {
        let outcome = match arguments.text("outcome") {
            "done" => FinishOutcome::Done,
            _ => FinishOutcome::GaveUp,
        };
        let report = arguments.text("report").trim();
        match (&self.schema, arguments.object("result")) {
            (Some(schema), Some(result)) if outcome == FinishOutcome::Done => {
                let problems = schema.problems(&result);
                if problems.is_empty() {
                    return Ok((outcome, result.to_string()));
                }
                Err(format!("The result does not meet its schema:\n- {}", problems.join("\n- ")))
            }
            (Some(_), None) if outcome == FinishOutcome::Done => {
                Err("A `result` is wanted that meets the schema.".to_owned())
            }
            (_, result) if report.is_empty() => match result {
                Some(result) => Ok((outcome, result.to_string())),
                None => Err("A `report` is wanted.".to_owned()),
            },
            (_, _) => Ok((outcome, report.to_owned())),
        }
    }
}

#[async_trait]
impl Tool for FinishSubagent {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, _: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let result = self.result(arguments).and_then(|(outcome, text)| match text.len() {
            ..=MAX_RESULT => Ok((outcome, text)),
            size => Err(format!(
                "A result has at most {MAX_RESULT} bytes, yours has {size}: keep what matters most."
            )),
        });
        let (outcome, summary) = match result {
            Ok(result) => result,
            Err(problem) if self.mended.fetch_add(1, Ordering::Relaxed) < MOST_MENDED => {
                return Err(Failure(format!("{problem}\nYou have not finished yet.")));
            }
            Err(problem) => (
                FinishOutcome::GaveUp,
                format!("There is no result of the form that was asked for. {problem}"),
            ),
        };
        let title = TITLE.to_owned();
        let finish = Finish { outcome, title, summary, replies: Vec::new(), remarks: Vec::new() };
        Ok(noted("Finished.", ToolEffect::Finish(finish)))
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::ToolCall;
    use serde_json::{Value, json};

    use super::*;

    fn arguments(value: &Value) -> Arguments {
        let call = ToolCall {
            provider_id: "x".into(),
            name: "finish".into(),
            arguments: value.to_string(),
            opaque: None,
        };
        Arguments::of(&call, &DEFINITION).unwrap()
    }

    #[test]
    fn a_result_has_the_form_that_was_asked_for() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let tool = FinishSubagent::new(Some(schema.try_into().unwrap()));
        let result = |value: Value| tool.result(&arguments(&value));
        assert_eq!(
            result(json!({"outcome": "done", "result": {"n": 1}})),
            Ok((FinishOutcome::Done, "{\"n\":1}".to_owned()))
        );
        // Some models write an object as text.
        assert!(result(json!({"outcome": "done", "result": "{\"n\":1}"})).is_ok());
        assert!(
            result(json!({"outcome": "done", "result": {"n": "1"}})).unwrap_err().contains("$.n: must be")
        );
        assert!(
            result(json!({"outcome": "done", "report": "n is 1"}))
                .unwrap_err()
                .contains("`result` is wanted")
        );
        assert_eq!(result(json!({"outcome": "gave_up", "report": "no n"})).unwrap().0, FinishOutcome::GaveUp);
    }

    #[test]
    fn prose_is_enough_where_no_form_was_asked_for() {
        let tool = FinishSubagent::new(None);
        let result = |value: Value| tool.result(&arguments(&value));
        assert_eq!(result(json!({"outcome": "done", "report": " it "})).unwrap().1, "it");
        assert_eq!(result(json!({"outcome": "done", "result": {"a": 1}})).unwrap().1, "{\"a\":1}");
        assert!(result(json!({"outcome": "done"})).is_err());
    }
}
