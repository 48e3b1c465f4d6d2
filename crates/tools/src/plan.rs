//! `plan`: the agent's to-do list, for those who watch.

use async_trait::async_trait;
use cofferdam_domain::{
    ToolOutcome,
    tool::{PlanItem, PlanState, ToolEffect},
};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, noted},
};

/// Items of a plan.
const MAX_ITEMS: usize = 50;
/// Characters of an item.
const MAX_ITEM: usize = 300;

const ITEM: &[Field] = &[
    Field::required("text", Kind::Text, "").or(&["content", "step", "title", "task", "description"]),
    Field::required(
        "state",
        Kind::Choice {
            words: &["pending", "in_progress", "done"],
            aliases: &[
                ("completed", "done"),
                ("complete", "done"),
                ("todo", "pending"),
                ("active", "in_progress"),
            ],
        },
        "",
    )
    .or(&["status"]),
];

static DEFINITION: Definition = Definition {
    name: "plan",
    description: "Show your plan to those who watch. Give the whole list every time; one item in_progress. Only for work of several parts.",
    fields: &[Field::required("items", Kind::Items(ITEM), "").or(&["todos", "plan", "tasks", "steps"])],
    parallel: false,
    read_only: true,
    example: r#"{"items":[{"text":"Reproduce the failure","state":"done"},{"text":"Fix it","state":"in_progress"}]}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct Plan;

#[async_trait]
impl Tool for Plan {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, _: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let items: Vec<PlanItem> = arguments
            .items("items")
            .iter()
            .map(|item| PlanItem {
                text: item.text("text").trim().to_owned(),
                state: match item.text("state") {
                    "done" => PlanState::Done,
                    "in_progress" => PlanState::InProgress,
                    _ => PlanState::Pending,
                },
            })
            .collect();
        if items.len() > MAX_ITEMS {
            return Err(Failure(format!(
                "A plan has at most {MAX_ITEMS} items, this one {}: join some.",
                items.len()
            )));
        }
        if items.iter().any(|item| item.text.is_empty() || item.text.chars().count() > MAX_ITEM) {
            return Err(Failure(format!("Each item is a line of 1 to {MAX_ITEM} characters.")));
        }
        let count = |state| items.iter().filter(|item| item.state == state).count();
        let text = format!(
            "Plan noted: {} done, {} in progress, {} pending.",
            count(PlanState::Done),
            count(PlanState::InProgress),
            count(PlanState::Pending)
        );
        Ok(noted(text, ToolEffect::Plan { items }))
    }
}
