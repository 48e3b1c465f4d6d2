//! `browser_snapshot`: the outline of a page.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_browser::Target;
use cofferdam_domain::ToolOutcome;

use super::{Surf, marked, words};
use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, outcome},
};

static DEFINITION: Definition = Definition {
    name: "browser_snapshot",
    description: "The outline of the page as a screen reader has it, or of a part of it. Elements keep their refs (e12) as long as the page stays.",
    fields: &[Field::optional("target", Kind::Text, "a ref or CSS selector; default the whole page")
        .or(&["ref", "selector", "element"])],
    parallel: false,
    read_only: true,
    example: r#"{"target":"main"}"#,
    adapt: as_they_are,
    bare: Some("target"),
};

/// The tool.
pub(super) struct TakeSnapshot(pub(super) Arc<Surf>);

#[async_trait]
impl Tool for TakeSnapshot {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let target = target(arguments)?;
        let mut held = self.0.open(context).await?;
        let taken = held.browser()?.snapshot(target.as_ref()).await;
        let taken = held.judge(taken).await?;
        let state = held.browser()?.state().await;
        let state = held.judge(state).await?;
        let text = format!("{}\n{}", words(&state), marked(context, &taken.text()));
        if target.is_none() {
            held.state.shown = Some(taken);
        }
        Ok(outcome(text))
    }
}

/// The element that is meant, if one is.
pub(super) fn target(arguments: &Arguments) -> Result<Option<Target>, Failure> {
    let text = arguments.optional_text("target").map(str::trim).filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|error| Failure(format!("{error}")))).transpose()
}
