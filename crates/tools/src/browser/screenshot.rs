//! `browser_screenshot`: a picture of a page, small for the model and whole for people.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, tool::ToolEffect};

use super::{Surf, snapshot::target, words};
use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    picture,
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
        held.state.room_for_pictures()?;
        let taken = held.browser()?.picture(target.as_ref(), arguments.flag("full_page")).await;
        let taken = held.judge(taken).await?;
        let state = held.browser()?.state().await;
        let state = held.judge(state).await?;
        // A page may have taken the browser over, so what it gives is looked at like any other picture.
        let none = |why: String| Failure(format!("The browser gave a picture that cannot be used: {why}."));
        let picture = picture::keep_as_it_is(context.blobs, taken.full).await.map_err(none)?;
        held.state.kept(picture.blob);
        let small = picture::keep(context.blobs, taken.small).await.map_err(none)?;
        [Some(small.image.blob), small.whole].into_iter().flatten().for_each(|blob| held.state.kept(blob));
        let page = cofferdam_domain::hidden::visible(state.url.as_bytes()).chars().take(500).collect();
        let effect = Some(ToolEffect::Screenshot { picture, page });
        let text = format!("A picture of {}.\n{}", taken.place, words(&state));
        Ok(ToolOutcome { images: vec![small.image], effect, ..outcome(text) })
    }
}
