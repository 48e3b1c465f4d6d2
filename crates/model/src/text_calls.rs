//! Tool calls that a model writes into its text.
//!
//! Small local models know tools from their training but not always the form that their server's template
//! reads. What they write instead is recognised: `<tool_call>` around a JSON object, a fenced `json` block,
//! or an answer that is nothing but JSON. Except inside `<tool_call>`, the name must be that of a tool on
//! offer: JSON in an answer usually means something else. Models of the large makers never need this.

use cofferdam_domain::{Block, ModelRequest, ToolCall};
use serde_json::{Map, Value, value::RawValue};

use crate::{catalog::Maker, wire::json as text_of};

/// The tools whose calls are looked for in the text of an answer to `request`; none where the model knows
/// better.
pub(crate) fn offered(model: &str, request: &ModelRequest) -> Vec<String> {
    match Maker::of(model) {
        Some(_) => Vec::new(),
        None => request.tools.iter().map(|tool| tool.name.clone()).collect(),
    }
}

/// The blocks of an answer, with the calls in its texts as calls, unless it has calls already.
pub(crate) fn in_blocks(blocks: Vec<Block>, offered: &[String]) -> Vec<Block> {
    if offered.is_empty() || blocks.iter().any(|block| matches!(block, Block::ToolCall(_))) {
        return blocks;
    }
    let read = |block| match block {
        Block::Text { text } => read(&text, offered),
        other @ (Block::Reasoning(_) | Block::ToolCall(_) | Block::ToolResult(_) | Block::Image(_)) => {
            vec![other]
        }
    };
    blocks.into_iter().flat_map(read).collect()
}

/// The text as blocks: the calls that it contains, and what stands around them.
fn read(text: &str, offered: &[String]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = text;
    let mut kept = String::new();
    while let Some(found) = next_region(rest) {
        let calls = calls(found.inside, offered, found.tagged);
        kept.push_str(found.before);
        if calls.is_empty() {
            kept.push_str(found.whole);
        } else {
            blocks.push(Block::Text { text: std::mem::take(&mut kept).trim().to_owned() });
            blocks.extend(calls);
        }
        rest = found.after;
    }
    kept.push_str(rest);
    let bare = if blocks.is_empty() { calls(&kept, offered, false) } else { Vec::new() };
    if bare.is_empty() {
        blocks.push(Block::Text { text: if blocks.is_empty() { kept } else { kept.trim().to_owned() } });
        blocks
    } else {
        bare
    }
}

/// A part of the text that may hold calls.
struct Region<'t> {
    before: &'t str,
    inside: &'t str,
    whole: &'t str,
    after: &'t str,
    tagged: bool,
}

fn next_region(text: &str) -> Option<Region<'_>> {
    let tag = text.find("<tool_call>").map(|at| (at, "<tool_call>".len(), "</tool_call>"));
    let fence = text.find("```").map(|at| (at, fence_len(&text[at..]), "```"));
    let (at, opening, closing) = match (tag, fence) {
        (Some(tag), Some(fence)) => {
            if tag.0 < fence.0 {
                tag
            } else {
                fence
            }
        }
        (found, None) | (None, found) => found?,
    };
    let inner = &text[at + opening..];
    // A closing mark that never comes counts as standing at the end: the answer may have been cut there.
    let (inside, used) =
        inner.find(closing).map_or((inner, inner.len()), |end| (&inner[..end], end + closing.len()));
    let end = at + opening + used;
    let tagged = closing == "</tool_call>";
    Some(Region { before: &text[..at], inside, whole: &text[at..end], after: &text[end..], tagged })
}

/// The length of an opening fence with its info string.
fn fence_len(text: &str) -> usize {
    let marks = text.len() - text.trim_start_matches('`').len();
    let info =
        text[marks..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len() - marks);
    marks + info
}

/// The calls that `json` consists of, or none if it is anything else.
fn calls(json: &str, offered: &[String], any_name: bool) -> Vec<Block> {
    let json = json.trim();
    if !json.starts_with(['{', '[']) {
        return Vec::new();
    }
    let repaired;
    let values = match values(json) {
        Some(values) => values,
        None => {
            repaired = escape_controls(json);
            values(&repaired).unwrap_or_default()
        }
    };
    let mut calls = Vec::new();
    for value in values {
        match call(value).filter(|call| any_name || offered.contains(&call.name)) {
            Some(call) => calls.push(Block::ToolCall(call)),
            None => return Vec::new(),
        }
    }
    calls
}

/// The JSON values that the text consists of; those of an array singly. Brackets too many at the end are a
/// slip that hides nothing.
fn values(json: &str) -> Option<Vec<&RawValue>> {
    if json.starts_with('[') {
        return serde_json::from_str(json).ok();
    }
    let mut stream = serde_json::Deserializer::from_str(json).into_iter::<&RawValue>();
    let mut values = Vec::new();
    let mut end = 0;
    while let Some(value) = stream.next() {
        match value {
            Ok(value) => values.push(value),
            Err(_) if json[end..].chars().all(|c| c.is_whitespace() || matches!(c, '}' | ']')) => break,
            Err(_) => return None,
        }
        end = stream.byte_offset();
    }
    Some(values)
}

fn call(value: &RawValue) -> Option<ToolCall> {
    let mut fields: Map<String, Value> = serde_json::from_str(value.get()).ok()?;
    // OpenAI's own form, written into the text: {"type":"function","function":{"name","arguments"}}.
    if let Some(Value::Object(function)) = fields.get_mut("function") {
        fields = std::mem::take(function);
    }
    let name = ["name", "tool", "tool_name", "function"]
        .iter()
        .find_map(|key| fields.get(*key)?.as_str())?
        .to_owned();
    let arguments =
        match ["arguments", "parameters", "args", "input"].iter().find_map(|key| fields.get(*key))? {
            Value::String(text) => text.clone(),
            object @ Value::Object(_) => text_of(object),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
        };
    Some(ToolCall { provider_id: String::new(), name, arguments, opaque: None })
}

/// Escapes line breaks and tabs that stand bare inside JSON strings, a common slip of small models.
fn escape_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 16);
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            '\n' if inside => out.push_str("\\n"),
            '\r' if inside => out.push_str("\\r"),
            '\t' if inside => out.push_str("\\t"),
            _ => out.push(c),
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> Vec<String> {
        let offered = ["shell".to_owned(), "edit".to_owned()];
        let line = |block: Block| match block {
            Block::Text { text } => format!("text {text}"),
            Block::ToolCall(call) => format!("call {} {}", call.name, call.arguments),
            Block::Reasoning(_) | Block::ToolResult(_) | Block::Image(_) => panic!(),
        };
        let is_empty = |block: &Block| matches!(block, Block::Text { text } if text.is_empty());
        read(text, &offered).into_iter().filter(|block| !is_empty(block)).map(line).collect()
    }

    #[test]
    fn the_forms_that_small_models_write() {
        let call = "call shell {\"command\":\"ls\"}";
        let object = r#"{"name": "shell", "arguments": {"command": "ls"}}"#;
        assert_eq!(show(object), [call]);
        assert_eq!(
            show(&format!("Let me look.\n```json\n{object}\n```\nThen we see.")),
            ["text Let me look.", call, "text Then we see."]
        );
        assert_eq!(show(&format!("<tool_call>\n{object}\n</tool_call>\n<tool_call>{object}")), [call, call]);
        assert_eq!(show(&format!("[{object},{object}]")), [call, call]);
        assert_eq!(show(&format!("{object}\n{object}\n}}")), [call, call]);
        assert_eq!(
            show(r#"{"type":"function","function":{"name":"shell","arguments":"{\"command\":\"ls\"}"}}"#),
            [call]
        );
        assert_eq!(
            show("{\"name\":\"edit\",\"parameters\":{\"text\":\"a\nb\"}}"),
            ["call edit {\"text\":\"a\\nb\"}"]
        );
        assert_eq!(show(r#"<tool_call>{"name":"fly","arguments":{}}</tool_call>"#), ["call fly {}"]);
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in [
            "```json\n{\"name\": \"left-pad\", \"arguments\": {}}\n```",
            "see ```rust\nfn main() {}\n``` and `{}`",
            "{\"name\": \"shell\"}",
            "{ not json",
            "<tool_call>nothing</tool_call>",
        ] {
            assert_eq!(show(text), [format!("text {text}")]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(```|<tool_call>|</tool_call>|json|\\{\"name\":\"shell\",\"arguments\":\\{\\}\\}|[\\[\\]{}\"é \n]){0,12}") {
            read(&text, &["shell".to_owned()]);
        }
    }
}
