//! What a server says of itself, in a form that can be approved and pinned: the same bytes for the same tools.

use std::collections::BTreeMap;

use cofferdam_domain::{
    Digest,
    hidden::{Hidden, replace_hidden},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Prompt;

/// Tools of one server.
pub const MAX_TOOLS: usize = 1_000;
/// Bytes of a description, and of the server's instructions.
const MAX_DESCRIPTION: usize = 8 << 10;
/// Bytes of a schema.
const MAX_SCHEMA: usize = 32 << 10;
/// How deep a schema may nest.
const MAX_DEPTH: usize = 24;
/// Characters of a tool's name, so that there is room for the server's before it.
const MAX_NAME: usize = 48;

/// A server's tools as it tells of them, sorted by name, and what it has beside as far as that is to be used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// What it says about its use; no model is shown this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Its tools.
    pub tools: Vec<Tool>,
    /// Whether it has resources, where sessions may read them. Which ones may change while it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resources: bool,
    /// Its prompts, where sessions may get them, sorted by name; `None` where it has none to offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Vec<Prompt>>,
}

/// What is to be used of a server beside its tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Its resources.
    pub resources: bool,
    /// Its prompts.
    pub prompts: bool,
}

/// One tool as its server tells of it. All of it is the server's: untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What the server calls it: letters, digits, and `_ - . /`.
    pub name: String,
    /// What it says that it does.
    pub description: String,
    /// JSON Schema of its arguments: an object.
    pub parameters: Value,
    /// What else it says of it (schema of results, hints): part of what is approved, shown to no model, believed by nobody.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub rest: Value,
}

/// A tool that cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name, as far as it has one.
    pub name: String,
    /// Why.
    pub why: String,
}

impl Tool {
    /// The tool, if it can be offered to a model.
    pub(crate) fn checked(self) -> Result<Self, LeftOut> {
        match problem(&self) {
            None => Ok(self),
            Some(why) => Err(LeftOut { name: self.name.chars().take(MAX_NAME).collect(), why }),
        }
    }

    /// What a reader does not see in its name, description and schema, each kind of character once.
    #[must_use]
    pub fn hidden(&self) -> Vec<Hidden> {
        let schema = self.parameters.to_string();
        let everything = self.name.chars().chain(self.description.chars()).chain(schema.chars());
        let seen =
            everything.filter(|character| !matches!(character, '\n' | '\t' | '\r')).filter_map(Hidden::of);
        let mut kinds: Vec<Hidden> = seen.collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

impl Tool {
    /// Its description and its schema with nothing in them that a reader does not see.
    #[must_use]
    pub fn visible(&self) -> (String, Value) {
        (seen(&self.description), seen_in(&self.parameters))
    }
}

pub(crate) fn seen(text: &str) -> String {
    replace_hidden(text, |character| format!("\\u{{{:x}}}", u32::from(character)))
}

fn seen_in(value: &Value) -> Value {
    match value {
        Value::String(text) => seen(text).into(),
        Value::Array(items) => items.iter().map(seen_in).collect(),
        // Names of arguments stay: calls must have them as they are.
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), seen_in(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn problem(tool: &Tool) -> Option<String> {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    if tool.name.is_empty() || tool.name.len() > MAX_NAME || !tool.name.bytes().all(named) {
        return Some(format!("its name is not 1 to {MAX_NAME} letters, digits and _ - . /"));
    }
    if tool.description.len() > MAX_DESCRIPTION {
        return Some(format!("its description is longer than {} KiB", MAX_DESCRIPTION >> 10));
    }
    if tool.parameters.get("type").and_then(Value::as_str) != Some("object") {
        return Some("its schema is not that of an object".to_owned());
    }
    if depth(&tool.parameters) > MAX_DEPTH {
        return Some(format!("its schema nests deeper than {MAX_DEPTH}"));
    }
    if canonical(&tool.parameters).len() > MAX_SCHEMA || canonical(&tool.rest).len() > MAX_SCHEMA {
        return Some(format!("its schema is longer than {} KiB", MAX_SCHEMA >> 10));
    }
    tool.parameters
        .to_string()
        .contains("\"$ref\":\"http")
        .then(|| "its schema refers to the network".to_owned())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// One text for each value, whatever order fields came in.
pub(crate) fn canonical(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let fields: Vec<String> = sorted
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

impl Catalogue {
    /// What is left of these tools, sorted, and what cannot be offered. Of two with one name neither is: nobody could say which was meant.
    pub(crate) fn of(instructions: Option<String>, tools: Vec<Tool>) -> (Self, Vec<LeftOut>) {
        let mut left_out = Vec::new();
        let mut kept: BTreeMap<String, Vec<Tool>> = BTreeMap::new();
        for tool in tools {
            match tool.checked() {
                Ok(tool) => kept.entry(tool.name.clone()).or_default().push(tool),
                Err(bad) => left_out.push(bad),
            }
        }
        let mut tools = Vec::new();
        for (name, mut same) in kept {
            match (same.pop(), same.is_empty()) {
                (Some(tool), true) => tools.push(tool),
                _ => left_out.push(LeftOut { name, why: "several tools have this name".to_owned() }),
            }
        }
        let instructions = instructions.map(|text| {
            let end = text.floor_char_boundary(MAX_DESCRIPTION);
            text.get(..end).unwrap_or_default().to_owned()
        });
        (Self { instructions, tools, ..Self::default() }, left_out)
    }

    /// The same with prompts; what of them cannot be offered is added to `left_out`. Of two with one name neither is, as with tools.
    pub(crate) fn with_prompts(mut self, prompts: Vec<Prompt>, left_out: &mut Vec<LeftOut>) -> Self {
        let mut kept: BTreeMap<String, Option<Prompt>> = BTreeMap::new();
        for prompt in prompts {
            match prompt.checked() {
                Ok(prompt) => {
                    let same = kept.contains_key(&prompt.name);
                    kept.insert(prompt.name.clone(), (!same).then_some(prompt));
                }
                Err(bad) => left_out.push(bad),
            }
        }
        for name in kept.iter().filter(|(_, prompt)| prompt.is_none()).map(|(name, _)| name) {
            let why = "several prompts have this name".to_owned();
            left_out.push(LeftOut { name: format!("prompt {name}"), why });
        }
        self.prompts = Some(kept.into_values().flatten().collect());
        self
    }

    /// The digest of all of it, and of how the server is started or reached: whatever of that changes, it is another server.
    #[must_use]
    pub fn digest(&self, reached: &Value) -> Digest {
        let all = serde_json::json!({ "catalogue": self, "reached": reached });
        Digest::of(canonical(&all).as_bytes())
    }
}

/// What is different between what was approved and what is there now, a line each, for people.
#[must_use]
pub fn differences(approved: &Catalogue, now: &Catalogue) -> Vec<String> {
    let (before, after) =
        (by_name(&approved.tools, |tool| &tool.name), by_name(&now.tools, |tool| &tool.name));
    let mut lines = compared(&before, &after, "", |old, tool| {
        vec![
            ("description", old.description != tool.description),
            ("schema", old.parameters != tool.parameters),
            ("hints", old.rest != tool.rest),
        ]
    });
    let prompts = |catalogue: &'_ Catalogue| catalogue.prompts.clone().unwrap_or_default();
    let (old, new) = (prompts(approved), prompts(now));
    let (before, after) = (by_name(&old, |prompt| &prompt.name), by_name(&new, |prompt| &prompt.name));
    lines.extend(compared(&before, &after, "the prompt ", |old, prompt| {
        vec![
            ("description", old.description != prompt.description),
            ("list of arguments", old.arguments != prompt.arguments),
        ]
    }));
    for (what, was, is) in [
        ("resources", approved.resources, now.resources),
        ("prompts", approved.prompts.is_some(), now.prompts.is_some()),
    ] {
        if was != is {
            lines.push(format!("it has {} {what}", if is { "now" } else { "no more" }));
        }
    }
    if approved.instructions != now.instructions {
        lines.push("its instructions are others".to_owned());
    }
    if lines.is_empty() {
        lines.push("how it is started or reached is another".to_owned());
    }
    lines
}

fn by_name<T>(all: &[T], name: impl Fn(&T) -> &String) -> BTreeMap<&str, &T> {
    all.iter().map(|one| (name(one).as_str(), one)).collect()
}

/// What is new, other or gone of things that have names. `parts` says which parts of one differ.
fn compared<T>(
    before: &BTreeMap<&str, &T>,
    after: &BTreeMap<&str, &T>,
    what: &str,
    parts: impl Fn(&T, &T) -> Vec<(&'static str, bool)>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, now) in after {
        let Some(old) = before.get(name) else {
            lines.push(format!("{what}{name} is new"));
            continue;
        };
        let changed: Vec<&str> =
            parts(old, now).into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect();
        if !changed.is_empty() {
            lines.push(format!("{what}{name} has another {}", changed.join(" and another ")));
        }
    }
    lines.extend(
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("{what}{name} is gone")),
    );
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str, parameters: Value) -> Tool {
        Tool { name: name.into(), description: description.into(), parameters, rest: Value::Null }
    }

    fn plain(name: &str) -> Tool {
        tool(name, "does", json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}}))
    }

    #[test]
    fn the_digest_is_of_what_is_said_and_not_of_its_order() {
        let (one, _) = Catalogue::of(None, vec![plain("a"), plain("b")]);
        let mut other = plain("a");
        other.parameters = json!({"properties": {"b": {}, "a": {"type": "string"}}, "type": "object"});
        let (two, _) = Catalogue::of(None, vec![plain("b"), other]);
        let here = json!({"command": ["x"]});
        assert_eq!(one.digest(&here), two.digest(&here));
        assert_ne!(one.digest(&here), one.digest(&json!({"command": ["y"]})));
        let (changed, _) = Catalogue::of(None, vec![plain("a"), tool("b", "do evil", plain("b").parameters)]);
        assert_ne!(one.digest(&here), changed.digest(&here));
        assert_eq!(differences(&one, &changed), ["b has another description"]);
        let (fewer, _) = Catalogue::of(Some("x".into()), vec![plain("a"), plain("c")]);
        assert_eq!(differences(&one, &fewer), ["c is new", "b is gone", "its instructions are others"]);
    }

    #[test]
    fn what_cannot_be_offered_is_left_out_with_the_reason() {
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({"type": "object", "properties": {"x": deep}});
        }
        let object = json!({"type": "object"});
        let bad = [
            (tool("a b", "", object.clone()), "name"),
            (tool("", "", object.clone()), "name"),
            (tool("x", &"x".repeat(MAX_DESCRIPTION + 1), object.clone()), "description"),
            (tool("x", "", json!({"type": "string"})), "object"),
            (tool("x", "", json!(true)), "object"),
            (tool("x", "", deep), "nests"),
            (tool("x", "", json!({"type": "object", "title": "x".repeat(MAX_SCHEMA)})), "longer"),
            (tool("x", "", json!({"type": "object", "$ref": "http://x.example"})), "network"),
        ];
        for (tool, wanted) in bad {
            let (kept, left_out) = Catalogue::of(None, vec![plain("good"), tool]);
            assert_eq!(kept.tools.len(), 1);
            assert!(left_out.iter().any(|left| left.why.contains(wanted)), "{left_out:?} {wanted}");
        }
        let (kept, left_out) = Catalogue::of(None, vec![plain("x"), plain("x")]);
        assert!(kept.tools.is_empty() && left_out.len() == 1);
    }

    #[test]
    fn what_nobody_sees_is_seen() {
        assert!(plain("a").hidden().is_empty());
        assert_eq!(tool("a", "reads\u{200b}\u{e0041}", json!({})).hidden(), [Hidden::Tag, Hidden::ZeroWidth]);
        let turned = tool("a", "r\u{200b}x", json!({"title": "\u{202e}x"}));
        assert_eq!(turned.hidden(), [Hidden::BidiControl, Hidden::ZeroWidth]);
        assert_eq!(turned.visible(), ("r\\u{200b}x".to_owned(), json!({"title": "\\u{202e}x"})));
    }

    #[test]
    fn prompts_and_resources_are_part_of_what_is_approved_where_they_are_used() {
        let here = json!({});
        let prompt = |name: &str, description: &str| Prompt {
            name: name.into(),
            description: description.into(),
            arguments: Vec::new(),
        };
        let (bare, mut left_out) = Catalogue::of(None, vec![plain("a")]);
        let written = serde_json::to_string(&bare).unwrap();
        assert!(!written.contains("prompts") && !written.contains("resources"), "as it was ever: {written}");
        let with = |prompts: &[Prompt]| bare.clone().with_prompts(prompts.to_vec(), &mut Vec::new());
        let one = with(&[prompt("x", "does"), prompt("y", "does")]);
        assert_eq!(one.digest(&here), with(&[prompt("y", "does"), prompt("x", "does")]).digest(&here));
        let other = with(&[prompt("x", "does evil"), prompt("z", "does")]);
        assert_eq!(
            differences(&one, &other),
            ["the prompt x has another description", "the prompt z is new", "the prompt y is gone"]
        );
        let rich = Catalogue { resources: true, ..bare.clone() };
        for changed in [&other, &rich, &bare, &with(&[])] {
            assert_ne!(one.digest(&here), changed.digest(&here), "{changed:?}");
        }
        assert_eq!(differences(&bare, &rich), ["it has now resources"]);
        let twice =
            bare.with_prompts(vec![prompt("x", "1"), prompt("x", "2"), prompt("b d", "")], &mut left_out);
        assert_eq!((twice.prompts, left_out.len()), (Some(Vec::new()), 2));
    }
}
