//! `browser_screenshot`: a picture of a page, small for the model and whole for people.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, message::Image, tool::ToolEffect};

use super::{Surf, snapshot::target, words};
use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, outcome},
};

static DEFINITION: Definition = Definition {
    name: "browser_screenshot",
    description: "A picture of what the window shows, to see how a page looks. It is kept for the people who review your work. To find out what \
                  is there and to use it, take a snapshot instead.",
    fields: &[
        Field::optional("target", Kind::Text, "a ref or CSS selector, for a picture of that element")
            .or(&["ref", "selector", "element"]),
        Field::optional("full_page", Kind::Flag, "the whole page, not the window alone").or(&["fullpage"]),
    ],
    parallel: false,
    read_only: true,
    example: "{}",
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(super) struct Screenshot(pub(super) Arc<Surf>);

#[async_trait]
impl Tool for Screenshot {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let target = target(arguments)?;
        let mut held = self.0.open(context).await?;
        let taken = held.browser()?.picture(target.as_ref(), arguments.flag("full_page")).await;
        let taken = held.judge(taken).await?;
        let state = held.browser()?.state().await;
        let state = held.judge(state).await?;
        let kept = |media_type: &str, blob| Image { media_type: media_type.to_owned(), blob };
        let (full, small) = (context.blobs.put(&taken.full).await, context.blobs.put(&taken.small).await);
        let text = format!("A picture of {}.\n{}", taken.place, words(&state));
        let effect = full.map(|blob| {
            let page: String =
                cofferdam_domain::hidden::visible(state.url.as_bytes()).chars().take(500).collect();
            ToolEffect::Screenshot { picture: kept("image/png", blob), page }
        });
        let images = small.map(|blob| kept("image/jpeg", blob)).into_iter().collect();
        Ok(ToolOutcome { images, effect, ..outcome(text) })
    }
}
