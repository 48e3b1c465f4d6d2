//! The three ways in which compatible servers show reasoning, and what of it they want back.

use cofferdam_domain::{
    Block,
    message::{Family, Opaque, Reasoning},
};
use serde_json::{Map, Value, json};

use crate::wire::json as text_of;

/// The most entries of `reasoning_details` that are kept.
const MAX_DETAILS: usize = 4096;

/// The reasoning of one answer, as far as it has been heard.
pub(super) struct Thoughts {
    pub(super) text: String,
    /// OpenRouter's form, which it wants back verbatim; pieces of one entry joined.
    details: Vec<Map<String, Value>>,
    echoes: bool,
}

impl Thoughts {
    pub(super) fn new(echoes: bool) -> Self {
        Self { text: String::new(), details: Vec::new(), echoes }
    }

    /// Takes further `reasoning_details`: an entry of the same type and index as the last goes on with it.
    pub(super) fn details(&mut self, more: Vec<Value>) {
        for entry in more {
            let Value::Object(entry) = entry else { continue };
            let full = self.details.len() >= MAX_DETAILS;
            match self.details.last_mut() {
                Some(last)
                    if last.get("type") == entry.get("type") && last.get("index") == entry.get("index") =>
                {
                    join(last, entry);
                }
                _ if full => (),
                _ => self.details.push(entry),
            }
        }
    }

    /// Takes what stands between `<think>` and `</think>` at the start of a text, where a server leaves that
    /// to its clients; gives back the rest.
    pub(super) fn split_from(&mut self, text: String) -> String {
        let Some(inside) = text.trim_start().strip_prefix("<think>") else { return text };
        let (thought, rest) = inside.split_once("</think>").unwrap_or((inside, ""));
        self.text.push_str(thought.trim());
        rest.trim_start().to_owned()
    }

    pub(super) fn into_block(self) -> Option<Block> {
        let back = if !self.details.is_empty() {
            Some(json!({ "reasoning_details": self.details }))
        } else if self.echoes && !self.text.is_empty() {
            Some(json!({ "reasoning_content": self.text }))
        } else {
            None
        };
        let opaque = back.map(|back| Opaque { family: Family::OpenaiChat, json: text_of(&back) });
        (opaque.is_some() || !self.text.is_empty())
            .then_some(Block::Reasoning(Reasoning { text: self.text, opaque }))
    }
}

/// Texts grow; everything else is replaced by what is told later.
fn join(entry: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (entry.get_mut(&name), name.as_str(), &value) {
            (Some(Value::String(text)), "text" | "summary" | "data", Value::String(more)) => {
                text.push_str(more)
            }
            (Some(_), _, Value::Null) => (),
            _ => {
                entry.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_one_entry_are_joined() {
        let mut thoughts = Thoughts::new(false);
        for piece in [
            json!({"type": "reasoning.text", "index": 0, "text": "a"}),
            json!({"type": "reasoning.text", "index": 0, "text": "b", "signature": null}),
            json!({"type": "reasoning.text", "index": 0, "signature": "s"}),
            json!({"type": "reasoning.encrypted", "index": 1, "data": "x"}),
        ] {
            thoughts.details(vec![piece]);
        }
        let Some(Block::Reasoning(reasoning)) = thoughts.into_block() else { panic!() };
        assert_eq!(
            reasoning.opaque.unwrap().json,
            r#"{"reasoning_details":[{"index":0,"signature":"s","text":"ab","type":"reasoning.text"},{"data":"x","index":1,"type":"reasoning.encrypted"}]}"#
        );
    }

    #[test]
    fn thoughts_inside_the_text_are_split_off() {
        let mut thoughts = Thoughts::new(false);
        assert_eq!(thoughts.split_from("\n<think>hm</think>\n\nhello".into()), "hello");
        assert_eq!(thoughts.text, "hm");
        assert_eq!(thoughts.split_from("a <think>".into()), "a <think>");
    }
}
