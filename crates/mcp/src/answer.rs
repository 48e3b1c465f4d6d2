//! What a tool answered, a resource holds or a prompt says, bounded: text, and pictures that a model can be shown.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::message::Image;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

/// Bytes of text that are kept of an answer.
pub const MAX_TEXT: usize = 512 << 10;
/// Pieces of content of an answer.
const MAX_PIECES: usize = 200;
/// Pictures of an answer.
const MAX_PICTURES: usize = 4;
/// Bytes of a picture.
const MAX_PICTURE: usize = 5 << 20;
/// Characters of an address or a name.
const MAX_NAME: usize = 300;

/// What a tool answered. All of it is the server's: untrusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether the tool says that it failed.
    pub failed: bool,
    /// Its text; what cannot be shown is named.
    pub text: String,
    /// Its pictures.
    pub pictures: Vec<Picture>,
}

/// A picture whose first bytes are those of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `image/png`, `image/jpeg`, `image/webp` or `image/gif`.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(result: CallToolResult) -> Self {
        let mut answer = Self::of_pieces(result.content, Self::add);
        answer.failed = result.is_error.unwrap_or_default();
        if answer.text.is_empty()
            && answer.pictures.is_empty()
            && let Some(structured) = result.structured_content
        {
            answer.say(&structured.to_string());
        }
        answer
    }

    /// As many pieces as are taken.
    pub(crate) fn of_pieces<T>(pieces: Vec<T>, take: impl Fn(&mut Self, T)) -> Self {
        let mut answer = Self::default();
        let more = pieces.len().saturating_sub(MAX_PIECES);
        pieces.into_iter().take(MAX_PIECES).for_each(|piece| take(&mut answer, piece));
        if more > 0 {
            answer.say(&format!("[{more} more pieces of content left out]"));
        }
        answer
    }

    pub(crate) fn add(&mut self, piece: ContentBlock) {
        match piece {
            ContentBlock::Text(text) => self.say(&text.text),
            ContentBlock::Image(image) => self.show(&image.data, &image.mime_type),
            ContentBlock::Audio(audio) => {
                self.say(&format!("[sound of type {:?}, which cannot be handed on]", name(&audio.mime_type)));
            }
            ContentBlock::Resource(embedded) => self.embed(embedded.resource),
            ContentBlock::ResourceLink(link) => {
                self.say(&format!("[resource {:?}: {:?}]", name(&link.name), name(&link.uri)));
            }
            _ => self.say("[content of a kind that cannot be handed on]"),
        }
    }

    /// What a resource holds.
    pub(crate) fn embed(&mut self, resource: ResourceContents) {
        match resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                self.say(&format!("[resource {:?}]\n{text}", name(&uri)));
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => match mime_type {
                Some(kind) if kind.starts_with("image/") => self.show(&blob, &kind),
                kind => self.say(&format!(
                    "[resource {:?} of type {:?}, {} bytes of base64, which cannot be handed on]",
                    name(&uri),
                    name(&kind.unwrap_or_default()),
                    blob.len()
                )),
            },
            _ => self.say("[a resource of a kind that cannot be handed on]"),
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        if self.text.len() >= MAX_TEXT {
            return;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let room = MAX_TEXT.saturating_sub(self.text.len());
        let end = text.floor_char_boundary(room);
        self.text.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() {
            self.text.push_str("\n[the rest of the answer was left out]");
        }
    }

    fn show(&mut self, data: &str, kind: &str) {
        if self.pictures.len() >= MAX_PICTURES {
            self.say("[one more picture, left out]");
            return;
        }
        if data.len() / 4 * 3 > MAX_PICTURE {
            self.say(&format!("[a picture of more than {} MiB, left out]", MAX_PICTURE >> 20));
            return;
        }
        match STANDARD.decode(data).ok().and_then(|bytes| Some((Image::kind(&bytes)?, bytes))) {
            Some((media_type, bytes)) => {
                self.pictures.push(Picture { media_type, bytes });
                self.say(&format!("[picture {}]", self.pictures.len()));
            }
            None => self.say(&format!("[what is said to be a picture of type {:?} is none]", name(kind))),
        }
    }
}

fn name(text: &str) -> String {
    text.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(content: serde_json::Value) -> Answer {
        Answer::of(serde_json::from_value(content).unwrap())
    }

    #[test]
    fn a_picture_is_what_its_bytes_say() {
        let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n12");
        let shown = answer(json!({"content": [{"type": "image", "data": png, "mimeType": "image/jpeg"}]}));
        assert_eq!(shown.pictures.first().map(|picture| picture.media_type), Some("image/png"));
        for none in ["<svg onload=alert(1)>", "GIF89b", "\u{89}PNG"] {
            let none = STANDARD.encode(none);
            let shown =
                answer(json!({"content": [{"type": "image", "data": none, "mimeType": "image/png"}]}));
            assert!(shown.pictures.is_empty() && shown.text.contains("is none"), "{}", shown.text);
        }
    }

    #[test]
    fn answers_have_an_end() {
        let long = "ä".repeat(MAX_TEXT);
        let shown =
            answer(json!({"content": [{"type": "text", "text": long}, {"type": "text", "text": "x"}]}));
        assert!(shown.text.len() < MAX_TEXT + 100 && shown.text.contains("left out"));
        let many: Vec<_> = (0..1000).map(|_| json!({"type": "text", "text": "a"})).collect();
        assert!(answer(json!({"content": many})).text.contains("800 more pieces"));
    }

    #[test]
    fn what_has_no_text_is_shown_as_what_it_has() {
        assert_eq!(answer(json!({"content": [], "structuredContent": {"a": 1}})).text, r#"{"a":1}"#);
        let link = json!({"content": [{"type": "resource_link", "uri": "file:///x", "name": "x"}]});
        assert_eq!(answer(link).text, r#"[resource "x": "file:///x"]"#);
    }
}
