//! Trees as lines.

use std::collections::HashSet;

use super::{
    Inside, MOST_BYTES, MOST_LINES,
    tree::{Node, Tree},
};
use crate::{
    Id,
    element::{Place, Refs},
    quoted,
};

/// Levels of an outline. What is deeper stands at the last.
const MOST_DEPTH: usize = 40;
/// Characters of a name, and of a text.
const NAME: usize = 200;
/// See [`NAME`].
const TEXT: usize = 600;

/// Children that are looked at to see whether they say anything more.
const MOST_LOOKED_AT: usize = 50;

/// What a person can use.
const USED: [&str; 25] = [
    "button",
    "checkbox",
    "columnheader",
    "combobox",
    "ColorWell",
    "Date",
    "DateTime",
    "gridcell",
    "InputTime",
    "link",
    "listbox",
    "menuitem",
    "menuitemcheckbox",
    "menuitemradio",
    "MenuListPopup",
    "option",
    "radio",
    "searchbox",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
    "treeitem",
    "Video",
];
/// What is only there to hold other things, unless it has a name of its own.
const HOLDS: [&str; 16] = [
    "",
    "generic",
    "none",
    "presentation",
    "RootWebArea",
    "LayoutTable",
    "LayoutTableRow",
    "LayoutTableCell",
    "paragraph",
    "Section",
    "strong",
    "emphasis",
    "LabelText",
    "Legend",
    "rowgroup",
    "SvgRoot",
];
/// What has a name of its own beside what can be used.
const NAMED: [&str; 8] = ["image", "img", "Canvas", "Iframe", "heading", "dialog", "form", "table"];
/// What says again what stands in what holds it.
const REPEATS: [&str; 4] = ["InlineTextBox", "LineBreak", "ListMarker", "MenuListPopup"];
/// Properties that are told, with a word where the value says nothing more.
const TOLD: [&str; 11] = [
    "checked", "disabled", "expanded", "focused", "invalid", "level", "pressed", "readonly", "required",
    "selected", "url",
];

/// Draws all trees, the first as the page and the others where they stand in it.
pub(super) fn draw(
    trees: &[Tree],
    inside: &Inside,
    refs: &mut Refs,
    place: &dyn Fn(&Id, u64) -> Place,
) -> (Vec<String>, usize) {
    let mut drawing = Drawing { trees, inside, refs, place, lines: Vec::new(), bytes: 0, more: 0 };
    drawing.draw();
    (drawing.lines, drawing.more)
}

struct Drawing<'a> {
    trees: &'a [Tree],
    inside: &'a Inside,
    refs: &'a mut Refs,
    place: &'a dyn Fn(&Id, u64) -> Place,
    lines: Vec<String>,
    bytes: usize,
    /// Lines that there was no room for: none comes after the first of them.
    more: usize,
}

impl Drawing<'_> {
    /// Draws without calling itself: how deep a tree is, is up to the page.
    fn draw(&mut self) {
        let mut next: Vec<_> = self.trees.first().map(|tree| (0, tree.root, 0)).into_iter().collect();
        let mut begun = HashSet::from([0]);
        while let Some((number, place, depth)) = next.pop() {
            let Some(tree) = self.trees.get(number) else { continue };
            let Some(node) = tree.nodes.get(place) else { continue };
            let below = match self.line(tree, node, depth) {
                Below::Nothing => continue,
                Below::Same => depth,
                Below::Deeper => (depth + 1).min(MOST_DEPTH),
            };
            next.extend(node.children.iter().rev().map(|child| (number, *child, below)));
            // A frame stands in one place.
            let frame = self.inside.get(&(number, node.node)).filter(|frame| begun.insert(**frame));
            if let Some((inner, tree)) = frame.and_then(|frame| Some((*frame, self.trees.get(*frame)?))) {
                next.push((inner, tree.root, below));
            }
        }
    }

    /// Draws one node, if it is something, and says where its children stand.
    fn line(&mut self, tree: &Tree, node: &Node, depth: usize) -> Below {
        let role = node.role.as_str();
        if REPEATS.contains(&role) && role != "MenuListPopup" {
            return Below::Nothing;
        }
        if role == "StaticText" {
            if !node.name.trim().is_empty() && !node.ignored {
                self.add(depth, || format!("text {}", quoted(&node.name, TEXT)));
            }
            return Below::Nothing;
        }
        let property = |name: &str| {
            node.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let usable = USED.contains(&role) || property("focusable") == Some("true") && role != "RootWebArea";
        let silent =
            node.ignored || HOLDS.contains(&role) && (node.name.trim().is_empty() || role != "generic");
        if (silent && !usable) || role == "MenuListPopup" || role == "RootWebArea" {
            return Below::Same;
        }
        if self.more > 0 {
            // There is room for nothing more, and nothing more is named.
            self.more += 1;
            return Below::Deeper;
        }
        let named = usable || NAMED.contains(&role);
        let mut line = described(node);
        if node.node > 0 && named {
            let number = self.refs.name((self.place)(&tree.frame, node.node));
            line.push_str(&format!(" [ref=e{number}]"));
        }
        self.add(depth, || line);
        let said = role != "Iframe" && !node.name.is_empty() && says_no_more(tree, node);
        if said || matches!(role, "textbox" | "searchbox" | "spinbutton" | "slider") {
            return Below::Nothing;
        }
        Below::Deeper
    }

    fn add(&mut self, depth: usize, line: impl FnOnce() -> String) {
        if self.more == 0 && self.lines.len() < MOST_LINES {
            let line = format!("{}- {}", "  ".repeat(depth), line());
            if self.bytes + line.len() <= MOST_BYTES {
                self.bytes += line.len() + 1;
                self.lines.push(line);
                return;
            }
        }
        self.more += 1;
    }
}

/// Where children stand.
enum Below {
    /// They are not drawn.
    Nothing,
    /// In the place of what holds them.
    Same,
    /// Below it.
    Deeper,
}

/// A node in words: what it is, its name, and what is told of it.
fn described(node: &Node) -> String {
    let role = node.role.as_str();
    let mut line = if HOLDS.contains(&role) { "element".to_owned() } else { plain(role) };
    if !node.name.trim().is_empty() {
        line.push_str(&format!(" {}", quoted(&node.name, NAME)));
    }
    for (name, value) in &node.properties {
        if TOLD.contains(&name.as_str()) && !matches!(value.as_str(), "" | "false") {
            match value.as_str() {
                "true" => line.push_str(&format!(" [{name}]")),
                value if name == "url" => line.push_str(&format!(" to {}", quoted(value, NAME))),
                value => line.push_str(&format!(" [{name}={}]", plain(value))),
            }
        }
    }
    if !node.value.is_empty() {
        line.push_str(&format!(" value {}", quoted(&node.value, NAME)));
    }
    line
}

/// Whether below a node there is only text that its name has in it.
fn says_no_more(tree: &Tree, node: &Node) -> bool {
    let repeats = |below: &Node| {
        REPEATS.contains(&below.role.as_str())
            || below.role == "StaticText" && node.name.contains(below.name.trim())
    };
    let mut looked_at = 0;
    let mut few = |of: &Node| {
        looked_at += of.children.len();
        looked_at <= MOST_LOOKED_AT
    };
    let holds = |child: &Node| child.ignored || HOLDS.contains(&child.role.as_str());
    few(node)
        && tree
            .below(node)
            .all(|child| repeats(child) || holds(child) && few(child) && tree.below(child).all(repeats))
}

/// A word of the browser's: a page has no say in what stands there, but who believes that.
fn plain(word: &str) -> String {
    let kept = word.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-');
    kept.take(40).collect()
}
