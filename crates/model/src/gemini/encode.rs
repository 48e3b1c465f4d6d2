//! Requests in the Gemini format.
//!
//! The last content is left open, so that a following message of the same role can join it: the API wants the
//! roles to alternate.

use cofferdam_domain::{
    Block, Message, ModelRequest, Role, Secret, ToolSpec,
    message::{Family, Image, ToolResult},
};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::decode::Decode;
use crate::{
    answer::is_made_up,
    config::Effort,
    wire::{Decoder, Given, Wire, arguments, json as text_of, opaque_of, plain_name, put},
};

/// What Gemini 3 and later take in place of the signature of a call that another model made
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The encoder.
pub(crate) struct Gemini {
    model: String,
    effort: Option<Effort>,
    images: bool,
    open: Option<Role>,
}

impl Gemini {
    pub(crate) fn new(model: &str, effort: Option<Effort>, images: bool) -> Self {
        Self { model: model.to_owned(), effort, images, open: None }
    }

    /// Gemini 3 and later require signatures and take a thinking level; before, neither was so.
    fn generation(&self) -> u32 {
        let digits = self.model.strip_prefix("gemini-").unwrap_or_default();
        digits.split(['.', '-']).next().and_then(|number| number.parse().ok()).unwrap_or(3)
    }

    fn part(&mut self, role: Role, part: &str, out: &mut Vec<u8>) {
        let word = match role {
            Role::User => "user",
            Role::Assistant => "model",
        };
        match self.open {
            Some(open) if open == role => out.push(b','),
            Some(_) => out.extend_from_slice(format!(r#"]}},{{"role":"{word}","parts":["#).as_bytes()),
            None => out.extend_from_slice(format!(r#"{{"role":"{word}","parts":["#).as_bytes()),
        }
        self.open = Some(role);
        out.extend_from_slice(part.as_bytes());
    }

    fn image(&self, image: &Image, given: &Given<'_>) -> Value {
        match given.picture(image, self.images) {
            Ok(data) => json!({"inlineData": {"mimeType": image.media_type, "data": data}}),
            Err(instead) => json!({ "text": instead }),
        }
    }

    /// The parts of a block; `first_call` while no call of the message has been written.
    fn parts(&self, block: &Block, given: &Given<'_>, first_call: &mut bool) -> Vec<String> {
        match block {
            Block::Text { text } if text.is_empty() => Vec::new(),
            Block::Text { text } => vec![text_of(&json!({ "text": text }))],
            Block::Reasoning(reasoning) => {
                let signature = given.opaque(reasoning, Family::Gemini).and_then(signature);
                signature
                    .map(|signature| text_of(&json!({"text": "", "thoughtSignature": signature})))
                    .into_iter()
                    .collect()
            }
            Block::ToolCall(call) => {
                let own = opaque_of(call.opaque.as_ref(), Family::Gemini)
                    .filter(|_| given.reasoning)
                    .and_then(signature);
                let stand_in = (*first_call && self.generation() >= 3).then(|| NO_SIGNATURE.to_owned());
                *first_call = false;
                // The arguments go in as the model wrote them, not re-ordered.
                let (name, args) = (text_of(&plain_name(&call.name)), arguments(call));
                let id = sent_id(&call.provider_id)
                    .map(|id| format!(r#","id":{}"#, text_of(&id)))
                    .unwrap_or_default();
                let signed = own.or(stand_in);
                let signature =
                    signed.map(|own| format!(r#","thoughtSignature":{}"#, text_of(&own))).unwrap_or_default();
                vec![format!(r#"{{"functionCall":{{"name":{name},"args":{args}{id}}}{signature}}}"#)]
            }
            Block::ToolResult(result) => {
                let mut parts = vec![text_of(&response(result))];
                parts.extend(result.images.iter().map(|image| text_of(&self.image(image, given))));
                parts
            }
            Block::Image(image) => vec![text_of(&self.image(image, given))],
        }
    }
}

/// The id to send for a call, unless we made it up.
fn sent_id(id: &str) -> Option<String> {
    (!is_made_up(id)).then(|| plain_name(id))
}

/// `{"thoughtSignature":"…"}`.
fn signature(opaque: &str) -> Option<String> {
    let value: Value = serde_json::from_str(opaque).ok()?;
    value.get("thoughtSignature")?.as_str().map(str::to_owned)
}

fn response(result: &ToolResult) -> Value {
    let key = if result.is_error { "error" } else { "output" };
    let mut response = json!({"name": plain_name(&result.name), "response": {key: result.text}});
    if let Some(id) = sent_id(&result.provider_id) {
        response["id"] = id.into();
    }
    json!({ "functionResponse": response })
}

impl Wire for Gemini {
    fn path(&self) -> String {
        format!("/models/{}:streamGenerateContent?alt=sse", self.model)
    }

    fn headers(&self, key: Option<&Secret>) -> Vec<(HeaderName, HeaderValue)> {
        crate::http::key_header("x-goog-api-key", "", key).into_iter().collect()
    }

    fn header(&mut self, request: &ModelRequest, out: &mut Vec<u8>) {
        self.open = None;
        out.push(b'{');
        if !request.system.is_empty() {
            out.extend_from_slice(br#""systemInstruction":"#);
            put(out, &json!({"parts": [{"text": *request.system}]}));
            out.push(b',');
        }
        if !request.tools.is_empty() {
            out.extend_from_slice(br#""tools":"#);
            let declarations: Vec<Value> = request.tools.iter().map(declaration).collect();
            put(out, &json!([{ "functionDeclarations": declarations }]));
            out.push(b',');
        }
        out.extend_from_slice(br#""contents":["#);
    }

    fn append(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>) {
        // Responses come first, in the order of the calls.
        let (results, others): (Vec<_>, Vec<_>) =
            message.blocks.iter().partition(|block| matches!(block, Block::ToolResult(_)));
        let mut first_call = true;
        let mut written = false;
        for block in results.into_iter().chain(others) {
            for part in self.parts(block, given, &mut first_call) {
                self.part(message.role, &part, out);
                written = true;
            }
        }
        if !written && message.role == Role::User {
            self.part(message.role, r#"{"text":"(nothing)"}"#, out);
        }
    }

    fn tail(&self, request: &ModelRequest, out: &mut Vec<u8>) {
        if self.open.is_some() {
            out.extend_from_slice(b"]}");
        }
        let mut thinking = json!({"includeThoughts": true});
        if let Some(effort) = self.effort.filter(|_| self.generation() >= 3) {
            thinking["thinkingLevel"] = effort.word().into();
        }
        let mut generation = json!({"maxOutputTokens": request.max_output_tokens});
        // Gemini 2.0 and before do not think, and refuse to be asked about it.
        if self.model.starts_with("gemini-2.5") || self.generation() >= 3 {
            generation["thinkingConfig"] = thinking;
        }
        out.extend_from_slice(br#"],"generationConfig":"#);
        put(out, &generation);
        out.push(b'}');
    }

    fn decoder(&self, _request: &ModelRequest) -> Box<dyn Decoder> {
        Box::new(Decode::new(&self.model))
    }
}

fn declaration(tool: &ToolSpec) -> Value {
    json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters})
}
