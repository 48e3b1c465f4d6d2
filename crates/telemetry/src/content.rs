//! What people, models and programs wrote: told only where the configuration says so, and never without bounds.

use cofferdam_domain::{Answer, Block};

/// Whether spans tell what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// Names, numbers and times only.
    #[default]
    Left,
    /// Prompts, answers, arguments, results and paths too, each cut short.
    Told,
}

/// Bytes of one text that are told.
const MOST: usize = 4 * 1024;
/// Parts of one message that are told.
const PARTS: usize = 32;

impl Content {
    /// The text, cut short, if it may be told.
    pub(crate) fn text(self, text: &str) -> Option<String> {
        match self {
            Self::Left => None,
            Self::Told => Some(cut(text)),
        }
    }

    /// What a model answered, as the convention writes it, if it may be told.
    pub(crate) fn answer(self, answer: &Answer, reason: &str) -> Option<String> {
        match self {
            Self::Left => None,
            Self::Told => {
                let parts: Vec<String> = answer.blocks.iter().take(PARTS).filter_map(part).collect();
                let (parts, reason) = (parts.join(","), quoted(reason));
                Some(format!(r#"[{{"role":"assistant","parts":[{parts}],"finish_reason":{reason}}}]"#))
            }
        }
    }

    /// A text from a person, as the convention writes it, if it may be told.
    pub(crate) fn prompt(self, prompt: &str) -> Option<String> {
        let prompt = quoted(&self.text(prompt)?);
        Some(format!(r#"[{{"role":"user","parts":[{{"type":"text","content":{prompt}}}]}}]"#))
    }
}

fn part(block: &Block) -> Option<String> {
    match block {
        Block::Text { text } => Some(format!(r#"{{"type":"text","content":{}}}"#, quoted(&cut(text)))),
        Block::Reasoning(reasoning) => {
            Some(format!(r#"{{"type":"reasoning","content":{}}}"#, quoted(&cut(&reasoning.text))))
        }
        Block::ToolCall(call) => Some(format!(
            r#"{{"type":"tool_call","id":{},"name":{},"arguments":{}}}"#,
            quoted(&cut(&call.provider_id)),
            quoted(&cut(&call.name)),
            quoted(&cut(&call.arguments))
        )),
        Block::ToolResult(_) | Block::Image(_) => None,
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MOST {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(MOST);
    format!("{}… ({} bytes more)", &text[..kept], text.len() - kept)
}

/// A text as a JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_quoted_is_json(text: String) {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }

        #[test]
        fn what_is_told_is_short(text in "(\\PC|é){0,3000}") {
            let told = Content::Told.text(&text).unwrap();
            prop_assert!(told.len() <= MOST + 64);
            prop_assert_eq!(Content::Left.text(&text), None);
        }
    }
}
