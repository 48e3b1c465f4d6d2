//! The page as a screen reader sees it: an outline in which everything that can be used has a name.
//!
//! It comes from the browser's accessibility tree. How large that is, is up to the page: a page with too many elements is not asked for it as a
//! whole, and of what comes only so much is shown.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::{
    Browser, BrowserError, Target,
    element::{Place, Refs},
    quoted,
};

mod outline;

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
    pub document: (String, u64),
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

/// One element as the accessibility tree has it.
#[derive(Debug, Default)]
struct Node {
    ignored: bool,
    role: String,
    name: String,
    value: String,
    node: u64,
    /// Such as `checked` and `level`, in the order of the browser's.
    properties: Vec<(String, String)>,
    children: Vec<String>,
}

/// The tree of one frame.
struct Tree {
    frame: String,
    nodes: HashMap<String, Node>,
    root: String,
}

impl Browser {
    /// The outline of the page, or of a part of it.
    ///
    /// # Errors
    /// When the page does not answer, is too large, or has no such part.
    pub async fn snapshot(&mut self, of: Option<&Target>) -> Result<Snapshot, BrowserError> {
        self.some_tab().await?;
        let document = self.tab(|tab| (tab.target.clone(), tab.documents))?;
        let session = self.session()?;
        let mut trees = Vec::new();
        let mut inside = HashMap::new();
        match of {
            Some(target) => trees.push(self.part(target).await?),
            None => {
                for (index, frame) in self.frames().await?.into_iter().enumerate() {
                    match self.whole(&frame).await {
                        Ok(tree) => trees.push(tree),
                        Err(error) if index == 0 || error.page_is_lost() => return Err(error),
                        // A frame that has gone, or is too large, is left out.
                        Err(_) => {}
                    }
                }
            }
        }
        // Which frame stands where.
        for tree in &trees {
            for node in tree.nodes.values().filter(|node| node.role == "Iframe").take(MOST_FRAMES) {
                let params = json!({ "backendNodeId": node.node });
                let described = self.ask(("DOM.describeNode", "look at a frame"), params).await;
                let frame =
                    described.ok().and_then(|said| Some(said.pointer("/node/frameId")?.as_str()?.to_owned()));
                if let Some(frame) = frame {
                    inside.insert((tree.frame.clone(), node.node), frame);
                }
            }
        }
        let place = |frame: &str, node| Place {
            session: session.clone(),
            document: document.1,
            frame: frame.to_owned(),
            node,
        };
        let (lines, more) = outline::draw(&trees, &inside, &mut self.refs, &place);
        Ok(Snapshot { lines, more, document })
    }

    /// The frames of the page, itself first.
    pub(crate) async fn frames(&self) -> Result<Vec<String>, BrowserError> {
        let answer = self.ask(("Page.getFrameTree", "look at the page"), json!({})).await?;
        let mut frames = Vec::new();
        let mut next: Vec<&Value> = answer.get("frameTree").into_iter().collect();
        while let Some(tree) = next.pop() {
            if frames.len() >= MOST_FRAMES {
                break;
            }
            if let Some(id) = tree.pointer("/frame/id").and_then(Value::as_str) {
                frames.push(id.to_owned());
            }
            next.extend(tree.get("childFrames").and_then(Value::as_array).into_iter().flatten().rev());
        }
        Ok(frames)
    }

    async fn whole(&self, frame: &str) -> Result<Tree, BrowserError> {
        const COUNT: &str = "function() { return document.getElementsByTagName('*').length; }";
        let count = self.run_in(frame, COUNT, &[]).await?.as_u64().unwrap_or_default();
        bounded(count, "The page")?;
        let asked = ("Accessibility.getFullAXTree", "outline the page");
        let answer = self.ask(asked, json!({ "frameId": frame })).await?;
        tree(frame.to_owned(), &answer, None)
    }

    async fn part(&self, target: &Target) -> Result<Tree, BrowserError> {
        const COUNT: &str = "function() { return this.getElementsByTagName('*').length; }";
        let element = self.element(target).await?;
        let count = self.run(&element, COUNT, &[]).await?.as_u64().unwrap_or_default();
        bounded(count, &element.name)?;
        let described = self
            .ask(("DOM.describeNode", "look at an element"), json!({ "objectId": element.object }))
            .await?;
        let root = described.pointer("/node/backendNodeId").and_then(Value::as_u64);
        let asked = ("Accessibility.queryAXTree", "outline an element");
        let answer = self.ask(asked, json!({ "objectId": element.object })).await?;
        let frame = match target {
            Target::Ref(number) => self.refs.frame(*number).unwrap_or_default(),
            Target::Selector(_) => self.main_frame()?,
        };
        tree(frame, &answer, root)
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

/// The tree that an answer has; its root is the node with this number, or the first.
fn tree(frame: String, answer: &Value, root: Option<u64>) -> Result<Tree, BrowserError> {
    let found = answer.get("nodes").and_then(Value::as_array).ok_or(BrowserError::Nonsense("an outline"))?;
    let mut nodes = HashMap::with_capacity(found.len());
    let mut first = None;
    for value in found {
        let Some(object) = value.as_object() else { continue };
        let Some(id) = object.get("nodeId").and_then(Value::as_str) else { continue };
        let node = node(object);
        if first.is_none() || root.is_some() && root == Some(node.node) {
            first = Some(id.to_owned());
        }
        nodes.insert(id.to_owned(), node);
    }
    Ok(Tree { frame, nodes, root: first.unwrap_or_default() })
}

fn node(object: &Map<String, Value>) -> Node {
    let value = |name: &str| written(object.get(name));
    let properties = object.get("properties").and_then(Value::as_array).into_iter().flatten().take(40);
    let property =
        |property: &Value| Some((property.get("name")?.as_str()?.to_owned(), written(property.get("value"))));
    let children = object.get("childIds").and_then(Value::as_array).into_iter().flatten();
    Node {
        ignored: object.get("ignored").and_then(Value::as_bool).unwrap_or_default(),
        role: value("role"),
        name: value("name"),
        value: value("value"),
        node: object.get("backendDOMNodeId").and_then(Value::as_u64).unwrap_or_default(),
        properties: properties.filter_map(property).collect(),
        children: children.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// A value of the tree's as text.
fn written(value: Option<&Value>) -> String {
    match value.and_then(|value| value.get("value")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    }
}

/// Elements that are shown already.
type Shown = HashSet<(String, String)>;

#[cfg(test)]
mod tests;
