//! The page as a screen reader sees it: an outline in which everything that can be used has a name.
//!
//! It comes from the browser's accessibility tree. How large that is, is up to the page: a page with too many elements is not asked for it as a
//! whole, of what comes only so much is kept, and of that only so much is shown.

use std::collections::HashMap;

use serde_json::{Value, json};

use self::tree::{Room, Tree};
use crate::{
    Browser, BrowserError, Id, Target,
    element::{PATIENCE, Place},
};

mod outline;
mod tree;

/// Elements of a page that is looked at as a whole.
const MOST_ELEMENTS: u64 = 12_000;
/// Frames of a page that are looked at.
const MOST_FRAMES: usize = 20;
/// Lines of an outline, and bytes of all of them.
const MOST_LINES: usize = 1_200;
/// See [`MOST_LINES`].
const MOST_BYTES: usize = 24_000;

/// The outline of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its lines. Words of the page's in them are quoted.
    pub lines: Vec<String>,
    /// Lines that were left out.
    pub more: usize,
    /// Which document it is of: names of elements in another one mean nothing here.
    pub document: (Id, u64),
}

impl Snapshot {
    /// The outline as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        if text.is_empty() {
            text.push_str("[nothing on the page]");
        }
        if self.more > 0 {
            text.push_str(&format!(
                "\n[… {} more lines: look at a part by its ref or a CSS selector as `target`, or read the text with `browser_read`]",
                self.more
            ));
        }
        text
    }
}

/// Where frames stand: a tree's element, by the number of the tree and its own, and the number of the tree that stands there.
type Inside = HashMap<(usize, u64), usize>;

impl Browser {
    /// The outline of the page, or of a part of it.
    ///
    /// # Errors
    /// When the page does not answer, is too large, or has no such part.
    pub async fn snapshot(&mut self, of: Option<&Target>) -> Result<Snapshot, BrowserError> {
        self.some_tab().await?;
        let document = self.tab(|tab| (tab.target.clone(), tab.documents))?;
        let session = self.session()?;
        let (mut trees, mut room) = (Vec::new(), Room::default());
        match of {
            Some(target) => trees.push(self.part(target, &mut room).await?),
            None => {
                for (index, frame) in self.frames().await?.into_iter().enumerate() {
                    match self.whole(frame, &mut room).await {
                        Ok(tree) => trees.push(tree),
                        Err(error) if index == 0 || error.page_is_lost() => return Err(error),
                        // A frame that has gone, or is too large, is left out.
                        Err(_) => {}
                    }
                }
            }
        }
        let inside = self.inside(&trees).await?;
        let place = |frame: &Id, node| Place {
            session: session.clone(),
            document: document.1,
            frame: frame.clone(),
            node,
        };
        let (lines, more) = outline::draw(&trees, &inside, &mut self.refs, &place);
        Ok(Snapshot { lines, more, document })
    }

    /// Which frame stands where.
    async fn inside(&self, trees: &[Tree]) -> Result<Inside, BrowserError> {
        let mut inside = Inside::new();
        let numbered = trees.iter().enumerate();
        let frames = numbered.flat_map(|(number, tree)| tree.frames().map(move |node| (number, node)));
        for (number, node) in frames.take(MOST_FRAMES) {
            let params = json!({ "backendNodeId": node });
            let described = match self.ask(("DOM.describeNode", "look at a frame"), params).await {
                Err(error) if error.page_is_lost() => return Err(error),
                // It may have gone meanwhile.
                described => described.unwrap_or_default(),
            };
            let frame = described.pointer("/node/frameId").and_then(Id::of);
            if let Some(there) = frame.and_then(|frame| trees.iter().position(|tree| tree.frame == frame)) {
                inside.insert((number, node), there);
            }
        }
        Ok(inside)
    }

    /// The frames of the page, itself first.
    pub(crate) async fn frames(&self) -> Result<Vec<Id>, BrowserError> {
        let answer = self.ask(("Page.getFrameTree", "look at the page"), json!({})).await?;
        let mut frames = Vec::new();
        let mut next: Vec<&Value> = answer.get("frameTree").into_iter().collect();
        while let Some(tree) = next.pop() {
            if frames.len() >= MOST_FRAMES {
                break;
            }
            if let Some(id) = tree.pointer("/frame/id").and_then(Id::of).filter(|id| !frames.contains(id)) {
                frames.push(id);
            }
            next.extend(tree.get("childFrames").and_then(Value::as_array).into_iter().flatten().rev());
        }
        Ok(frames)
    }

    async fn whole(&self, frame: Id, room: &mut Room) -> Result<Tree, BrowserError> {
        const COUNT: &str = "function() { return document.getElementsByTagName('*').length; }";
        let count = self.run_in(&frame, COUNT, &[]).await?.as_u64().unwrap_or_default();
        bounded(count, "The page")?;
        let asked = ("Accessibility.getFullAXTree", "outline the page");
        let answer = self.ask_much(asked, json!({ "frameId": frame }), PATIENCE).await?;
        Tree::read(frame, &answer, None, room)
    }

    async fn part(&self, target: &Target, room: &mut Room) -> Result<Tree, BrowserError> {
        const COUNT: &str = "function() { return this.getElementsByTagName('*').length; }";
        let element = self.element(target).await?;
        let count = self.run(&element, COUNT, &[]).await?.as_u64().unwrap_or_default();
        bounded(count, &element.name)?;
        let described = self
            .ask(("DOM.describeNode", "look at an element"), json!({ "objectId": element.object }))
            .await?;
        let root = described.pointer("/node/backendNodeId").and_then(Value::as_u64);
        let asked = ("Accessibility.queryAXTree", "outline an element");
        let answer = self.ask_much(asked, json!({ "objectId": element.object }), PATIENCE).await?;
        let frame = match target {
            Target::Ref(number) => self.refs.frame(*number).unwrap_or_default(),
            Target::Selector(_) => self.main_frame()?,
        };
        Tree::read(frame, &answer, root, room)
    }
}

fn bounded(count: u64, what: &str) -> Result<(), BrowserError> {
    if count <= MOST_ELEMENTS {
        return Ok(());
    }
    Err(BrowserError::cannot(format!(
        "{what} has {count} elements, too many to be outlined at once (the most is {MOST_ELEMENTS}). Look at a part: give a CSS selector as \
         `target`, such as \"main\" or \"form\"; or look for words with `browser_read` and find."
    )))
}

#[cfg(test)]
mod tests;
