//! `browser_read`: the text of a page, and what its browser knows beside.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_browser::Part;
use cofferdam_domain::ToolOutcome;

use super::{Surf, marked, snapshot::target};
use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    text::{Bounds, head_and_tail},
    tool::{Context, Failure, Tool, outcome},
};

/// How much of a list is shown.
const SHOWN: Bounds = Bounds { bytes: 24_000, lines: 400, line: 1_500 };

static DEFINITION: Definition = Definition {
    name: "browser_read",
    description: "Read the page's text, or what the browser knows of it: console messages and errors, requests with their status, tabs, downloads.",
    fields: &[
        Field::optional(
            "what",
            Kind::Choice {
                words: &["text", "console", "network", "tabs", "downloads"],
                aliases: &[
                    ("errors", "console"),
                    ("requests", "network"),
                    ("content", "text"),
                    ("html", "text"),
                ],
            },
            "default text",
        ),
        Field::optional("target", Kind::Text, "text of this element only: a ref or CSS selector")
            .or(&["ref", "selector", "element"]),
        Field::optional("find", Kind::Text, "only where this stands").or(&["query", "search", "filter"]),
        Field::optional(
            "offset",
            Kind::Count { least: 0, most: u32::MAX as u64 },
            "character of the text to begin with",
        ),
    ],
    parallel: false,
    read_only: true,
    example: r#"{"what":"console"}"#,
    adapt: as_they_are,
    bare: Some("what"),
};

/// The tool.
pub(super) struct ReadPage(pub(super) Arc<Surf>);

#[async_trait]
impl Tool for ReadPage {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let (target, offset) = (target(arguments)?, arguments.count("offset").unwrap_or_default());
        let find = arguments.optional_text("find").filter(|find| !find.is_empty());
        let part = match arguments.text("what") {
            "console" => Part::Console,
            "network" => Part::Network,
            "tabs" => Part::Tabs,
            "downloads" => Part::Downloads,
            _ => Part::Text,
        };
        let mut held = self.0.open(context).await?;
        if part == Part::Text {
            let read = held.browser()?.text(target.as_ref(), find, offset).await;
            let read = held.judge(read).await?;
            return Ok(outcome(format!("{}\n{}", read.place, marked(context, &read.shown))));
        }
        let lines = held.browser()?.list(part).await;
        let mut lines = held.judge(lines).await?;
        if let Some(find) = find {
            let find = find.to_lowercase();
            lines.retain(|line| line.to_lowercase().contains(&find));
        }
        if lines.is_empty() {
            return Ok(outcome("Nothing."));
        }
        let (shown, _) = head_and_tail(&lines.join("\n"), SHOWN);
        Ok(outcome(marked(context, &shown)))
    }
}
