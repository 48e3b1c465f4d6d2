//! Trees as lines.

use std::collections::HashMap;

use super::{MOST_BYTES, MOST_LINES, Node, Place, Refs, Shown, Tree, quoted};

/// Levels of an outline. What is deeper stands at the last.
const MOST_DEPTH: usize = 40;
/// Characters of a name, and of a text.
const NAME: usize = 200;
/// See [`NAME`].
const TEXT: usize = 600;

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
    inside: &HashMap<(String, u64), String>,
    refs: &mut Refs,
    place: &dyn Fn(&str, u64) -> Place,
) -> (Vec<String>, usize) {
    let mut drawing =
        Drawing { trees, inside, refs, place, shown: Shown::new(), lines: Vec::new(), bytes: 0, more: 0 };
    if let Some(tree) = trees.first() {
        drawing.draw(tree);
    }
    (drawing.lines, drawing.more)
}

struct Drawing<'a> {
    trees: &'a [Tree],
    inside: &'a HashMap<(String, u64), String>,
    refs: &'a mut Refs,
    place: &'a dyn Fn(&str, u64) -> Place,
    shown: Shown,
    lines: Vec<String>,
    bytes: usize,
    more: usize,
}

impl<'a> Drawing<'a> {
    /// Draws without calling itself: how deep a tree is, is up to the page.
    fn draw(&mut self, tree: &'a Tree) {
        let mut next = vec![(tree, tree.root.as_str(), 0)];
        while let Some((tree, id, depth)) = next.pop() {
            let Some(node) = tree.nodes.get(id) else { continue };
            if !self.shown.insert((tree.frame.clone(), id.to_owned())) {
                continue;
            }
            let below = match self.line(tree, node, depth) {
                Below::Nothing => continue,
                Below::Same => depth,
                Below::Deeper => (depth + 1).min(MOST_DEPTH),
            };
            next.extend(node.children.iter().rev().map(|child| (tree, child.as_str(), below)));
            let frame = self.inside.get(&(tree.frame.clone(), node.node));
            if let Some(inner) = frame.and_then(|frame| self.trees.iter().find(|tree| tree.frame == *frame)) {
                next.push((inner, inner.root.as_str(), below));
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
                self.add(depth, format!("text {}", quoted(&node.name, TEXT)));
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
        let word = if HOLDS.contains(&role) { "element".to_owned() } else { plain(role) };
        let mut line = word;
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
        if node.node > 0
            && (usable
                || matches!(
                    role,
                    "image" | "img" | "Canvas" | "Iframe" | "heading" | "dialog" | "form" | "table"
                ))
        {
            let number = self.refs.name((self.place)(&tree.frame, node.node));
            line.push_str(&format!(" [ref=e{number}]"));
        }
        self.add(depth, line);
        let said = node
            .children
            .iter()
            .all(|child| tree.nodes.get(child).is_some_and(|child| says_no_more(tree, child, &node.name)));
        if role != "Iframe" && said && !node.name.is_empty()
            || matches!(role, "textbox" | "searchbox" | "spinbutton" | "slider")
        {
            return Below::Nothing;
        }
        Below::Deeper
    }

    fn add(&mut self, depth: usize, line: String) {
        let line = format!("{}- {line}", "  ".repeat(depth));
        if self.lines.len() >= MOST_LINES || self.bytes + line.len() > MOST_BYTES {
            self.more += 1;
            return;
        }
        self.bytes += line.len() + 1;
        self.lines.push(line);
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

/// Whether a child is only text that the name of what holds it has in it.
fn says_no_more(tree: &Tree, child: &Node, name: &str) -> bool {
    let text = |node: &Node| node.role == "StaticText" && name.contains(node.name.trim());
    if text(child) || REPEATS.contains(&child.role.as_str()) {
        return true;
    }
    let holds = child.ignored || HOLDS.contains(&child.role.as_str());
    holds
        && child.children.iter().all(|id| {
            tree.nodes.get(id).is_none_or(|inner| text(inner) || REPEATS.contains(&inner.role.as_str()))
        })
}

/// A word of the browser's: a page has no say in what stands there, but who believes that.
fn plain(word: &str) -> String {
    let kept = word.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-');
    kept.take(40).collect()
}
