//! The accessibility tree of a frame, out of what the browser says of it.
//!
//! The answer is the longest that is read, so it is never made a value as a whole: each node is read by itself, and of that only what is shown. Its
//! children become places in the list of nodes, each node a child of one other at most, so going through a tree takes as long as it has nodes.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{BrowserError, Id, wire::Unread};

/// Nodes of all frames of a page. An element has some three: its own, its text, and the lines of that.
const MOST_NODES: usize = 100_000;
/// Bytes of all that the browser says of them.
const MOST_TEXT: usize = 24 << 20;
/// Characters of a name that are kept: more than are shown.
const NAME: usize = 1_000;
/// Characters of a property that are kept.
const VALUE: usize = 500;
/// Characters of a word of the browser's.
const WORD: usize = 60;
/// Properties of a node.
const MOST_PROPERTIES: usize = 40;

/// What may still be kept for an outline.
pub(super) struct Room {
    nodes: usize,
    text: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { nodes: MOST_NODES, text: MOST_TEXT }
    }
}

/// One element as the accessibility tree has it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) ignored: bool,
    pub(super) role: String,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) node: u64,
    /// Such as `checked` and `level`, in the order of the browser's.
    pub(super) properties: Vec<(String, String)>,
    /// Where they are in the tree's list.
    pub(super) children: Vec<usize>,
}

/// The tree of one frame. The first of its nodes is not always its root.
pub(super) struct Tree {
    pub(super) frame: Id,
    pub(super) nodes: Vec<Node>,
    pub(super) root: usize,
}

/// The answer, with each node as it came.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(borrow)]
    node_id: Cow<'a, str>,
    #[serde(default)]
    ignored: bool,
    #[serde(borrow)]
    role: Option<Held<'a>>,
    #[serde(borrow)]
    name: Option<Held<'a>>,
    #[serde(borrow)]
    value: Option<Held<'a>>,
    #[serde(rename = "backendDOMNodeId")]
    backend: Option<u64>,
    #[serde(borrow)]
    properties: Option<Vec<Property<'a>>>,
    #[serde(borrow)]
    child_ids: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Property<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Held<'a>>,
}

/// A value with its type, which says nothing more.
#[derive(Deserialize)]
struct Held<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

impl Tree {
    /// The tree that an answer has; its root is the node with this number, or the first.
    pub(super) fn read(
        frame: Id,
        answer: &Unread,
        root: Option<u64>,
        room: &mut Room,
    ) -> Result<Self, BrowserError> {
        const WHAT: &str = "an outline";
        room.text = room.text.checked_sub(answer.len()).ok_or(BrowserError::TooLong(WHAT))?;
        let answer: Answer<'_> = answer.read(WHAT)?;
        let (mut nodes, mut places, mut children) = (Vec::new(), HashMap::new(), Vec::new());
        for text in answer.nodes.into_iter().take(room.nodes) {
            let Ok(said) = serde_json::from_str::<Said<'_>>(text.get()) else { continue };
            let Some(id) = Id::read(&said.node_id) else { continue };
            places.entry(id).or_insert(nodes.len());
            children.extend(said.child_ids.map(|ids| (nodes.len(), ids)));
            nodes.push(node(&said));
        }
        room.nodes -= nodes.len();
        let root = nodes.iter().position(|node| root == Some(node.node)).unwrap_or_default();
        let mut tree = Self { frame, nodes, root };
        tree.bear(&places, children);
        Ok(tree)
    }

    /// Gives nodes their children: whoever names a child first has it, and nobody the root.
    fn bear(&mut self, places: &HashMap<Id, usize>, said: Vec<(usize, &RawValue)>) {
        let mut free = vec![true; self.nodes.len()];
        let mut take = |place: usize| free.get_mut(place).is_some_and(std::mem::take);
        take(self.root);
        for (parent, ids) in said {
            let Ok(ids) = serde_json::from_str::<Vec<&RawValue>>(ids.get()) else { continue };
            // What needs to be written in another way in JSON is no id.
            let bare = |id: &RawValue| places.get(id.get().strip_prefix('"')?.strip_suffix('"')?).copied();
            let children = ids.into_iter().filter_map(bare).filter(|child| take(*child)).collect();
            if let Some(node) = self.nodes.get_mut(parent) {
                node.children = children;
            }
        }
    }

    /// A node's children.
    pub(super) fn below<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        node.children.iter().filter_map(|child| self.nodes.get(*child))
    }

    /// The numbers of the elements in which other frames stand.
    pub(super) fn frames(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().filter(|node| node.role == "Iframe").map(|node| node.node)
    }
}

fn node(said: &Said<'_>) -> Node {
    let properties = said.properties.iter().flatten().take(MOST_PROPERTIES);
    let property = |one: &Property<'_>| (cut(&one.name, WORD), written(one.value.as_ref(), VALUE));
    Node {
        ignored: said.ignored,
        role: written(said.role.as_ref(), WORD),
        name: written(said.name.as_ref(), NAME),
        value: written(said.value.as_ref(), VALUE),
        node: said.backend.unwrap_or_default(),
        properties: properties.map(property).collect(),
        children: Vec::new(),
    }
}

/// A value as text: a string, number or truth value. Nothing else is shown.
fn written(held: Option<&Held<'_>>, most: usize) -> String {
    let Some(text) = held.and_then(|held| held.value).map(RawValue::get) else { return String::new() };
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text).map(|text| cut(&text, most)).unwrap_or_default(),
        Some(b'{' | b'[' | b'n') | None => String::new(),
        Some(_) => cut(text, most),
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
