//! `browser_evaluate`: runs a script on a page.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::ToolOutcome;

use super::{Surf, marked, words};
use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, outcome},
};

/// Bytes of a script.
const MOST: usize = 64 << 10;

static DEFINITION: Definition = Definition {
    name: "browser_evaluate",
    description: "Run JavaScript on the page and get the value of its last expression, for what snapshot and actions do not do.",
    fields: &[Field::required("script", Kind::Text, "may use await; 10 s at most").or(&[
        "expression",
        "function",
        "code",
        "javascript",
    ])],
    parallel: false,
    read_only: false,
    example: r#"{"script":"getComputedStyle(document.querySelector('h1')).color"}"#,
    adapt: as_they_are,
    bare: Some("script"),
};

/// The tool.
pub(super) struct Evaluate(pub(super) Arc<Surf>);

#[async_trait]
impl Tool for Evaluate {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let script = arguments.text("script");
        if script.len() > MOST {
            return Err(Failure(format!("A script has at most {} KiB.", MOST >> 10)));
        }
        let mut held = self.0.open(context).await?;
        let value = held.browser()?.evaluate(script).await;
        let value = held.judge(value).await?;
        let state = held.browser()?.state().await;
        let state = held.judge(state).await?;
        Ok(outcome(format!("{}\n{}", words(&state), marked(context, &value))))
    }
}
