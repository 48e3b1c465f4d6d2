//! What one wire format has to say: how a request is written and how the stream of an answer is read.

use std::{collections::HashMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::{
    Digest, Message, ModelRequest, Secret, ToolCall,
    message::{Answer, Family, Image, Opaque, Reasoning},
};
use reqwest::header::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::{Progress, failure::Failure, sse::SseEvent};

/// A wire format's encoder, with what it must remember of the messages it has written.
///
/// A request body is `header`, then every message in order through `append`, then `tail`. What `append` has
/// written is never written again: the next request of the epoch has it as a prefix. So whatever changes from
/// request to request belongs in the tail.
pub(crate) trait Wire: Send {
    /// The path to post to, below the provider's base URL.
    fn path(&self) -> String;

    /// The headers that carry the key and the format's version.
    fn headers(&self, key: Option<&Secret>) -> Vec<(HeaderName, HeaderValue)>;

    /// Begins a body and forgets all messages.
    fn header(&mut self, request: &ModelRequest, out: &mut Vec<u8>);

    /// Writes the next message.
    fn append(&mut self, message: &Message, given: &Given<'_>, out: &mut Vec<u8>);

    /// Ends the body.
    fn tail(&self, request: &ModelRequest, out: &mut Vec<u8>);

    /// Told when the provider refused what was said about reasoning. What was sent back of it is left out by
    /// the caller.
    fn reasoning_refused(&mut self) {}

    /// A reader for the answer to `request`.
    fn decoder(&self, request: &ModelRequest) -> Box<dyn Decoder>;
}

/// A reader for one answer.
pub(crate) trait Decoder: Send {
    /// Takes the next event. `true` when the answer is whole and nothing more is to come.
    fn event(&mut self, event: &SseEvent, hear: &mut Hear<'_>) -> Result<bool, Failure>;

    /// The answer, if the stream may end here.
    fn finish(self: Box<Self>) -> Result<Answer, Failure>;
}

/// Where a decoder tells what it hears.
pub(crate) type Hear<'a> = dyn FnMut(Progress) + Send + 'a;

/// What an encoder is given beside a message.
pub(crate) struct Given<'a> {
    /// The bytes of the message's pictures, as far as they are there.
    pub(crate) pictures: &'a HashMap<Digest, Vec<u8>>,
    /// Whether reasoning may be sent back.
    pub(crate) reasoning: bool,
}

impl Given<'_> {
    /// The picture in base64, or what the model is told instead.
    pub(crate) fn picture(&self, image: &Image, shown: bool) -> Result<String, String> {
        if !shown {
            return Err(format!("[a picture ({}) that this model cannot be shown]", image.media_type));
        }
        match self.pictures.get(&image.blob.digest) {
            Some(bytes) => Ok(STANDARD.encode(bytes)),
            None => Err(format!("[a picture ({}) that is no longer available]", image.media_type)),
        }
    }

    /// What `reasoning` has for this family, where it may be sent back.
    pub(crate) fn opaque<'o>(&self, reasoning: &'o Reasoning, family: Family) -> Option<&'o str> {
        if !self.reasoning {
            return None;
        }
        opaque_of(reasoning.opaque.as_ref(), family)
    }
}

/// The JSON text of `opaque` if it belongs to `family`.
pub(crate) fn opaque_of(opaque: Option<&Opaque>, family: Family) -> Option<&str> {
    opaque.filter(|opaque| opaque.family == family).map(|opaque| opaque.json.as_str())
}

/// Appends `value` as JSON.
pub(crate) fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts, numbers and maps with text keys cannot fail to be written to a vector.
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        debug_assert!(false, "{error}");
    }
}

/// The JSON text of `value`.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    let mut out = Vec::new();
    put(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

/// A call's arguments as the text of a JSON object, whatever the model wrote: providers and chat templates
/// parse them.
pub(crate) fn arguments(call: &ToolCall) -> String {
    let text = call.arguments.trim();
    if text.is_empty() {
        "{}".to_owned()
    } else if call.object().is_ok() {
        text.to_owned()
    } else {
        json(&serde_json::json!({ "malformed_arguments": call.arguments }))
    }
}

/// A tool's name or a call's id in the alphabet that all providers accept (`[a-zA-Z0-9_-]`, at most 64
/// characters): a model may have made up anything, and history comes from other providers too.
pub(crate) fn plain_name(name: &str) -> String {
    const MAX: usize = 64;
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let mut plain: String = name.chars().map(keep).take(MAX).collect();
    if plain.is_empty() {
        plain.push_str("unnamed");
    } else if name.chars().count() > MAX {
        // Long ids often differ only at their end.
        plain.truncate(MAX - 13);
        // Writing to a string cannot fail.
        write!(plain, "_{}", Digest::of(name.as_bytes()).short()).ok();
    }
    plain
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::ToolSpec;
    use proptest::prelude::*;

    use super::*;

    fn call(arguments: &str) -> ToolCall {
        ToolCall { provider_id: "x".into(), name: "shell".into(), arguments: arguments.into(), opaque: None }
    }

    #[test]
    fn arguments_are_always_an_object() {
        assert_eq!(arguments(&call(" {\"b\":1, \"a\":2} ")), "{\"b\":1, \"a\":2}");
        assert_eq!(arguments(&call("")), "{}");
        assert_eq!(arguments(&call("{\"b\":")), r#"{"malformed_arguments":"{\"b\":"}"#);
        assert_eq!(arguments(&call("[1]")), r#"{"malformed_arguments":"[1]"}"#);
        assert_eq!(arguments(&call(r#"{"a":"\ud800"}"#)), r#"{"malformed_arguments":"{\"a\":\"\\ud800\"}"}"#);
    }

    #[test]
    fn names_are_plain_and_long_ones_stay_apart() {
        assert_eq!(plain_name("functions.shell:0"), "functions_shell_0");
        assert_eq!(plain_name(""), "unnamed");
        let (one, two) = (plain_name(&("x".repeat(70) + "1")), plain_name(&("x".repeat(70) + "2")));
        assert!(one != two && one.len() == 64);
    }

    /// Events of all formats, to be cut up and mixed.
    const EVENTS: &[&str] = &[
        r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":18446744073709551615,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"shell","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
        r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"x"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
        r#"{"type":"response.output_item.done","item":{"type":"reasoning","summary":[{"text":"t"}],"encrypted_content":"e"}}"#,
        r#"{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c","name":"n","arguments":"{"}}"#,
        r#"{"type":"response.completed","response":{"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":9}}}}"#,
        r#"{"choices":[{"delta":{"content":"a","tool_calls":[{"index":9999999999,"function":{"arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_details":[{"type":"t","text":"x"}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a","thought":true},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}]}"#,
        r#"{"error":{"code":500,"message":"m"}}"#,
        "[DONE]",
    ];

    fn decoders() -> Vec<Box<dyn Decoder>> {
        let wires: [Box<dyn Wire>; 4] = [
            Box::new(crate::anthropic::Anthropic::new("local", crate::anthropic::Thinking::Unsaid, false)),
            Box::new(crate::responses::Responses::new("local", true, None, false)),
            Box::new(crate::chat::Chat::new(
                "local",
                crate::chat::Dialect::of("http://x", "kimi"),
                None,
                false,
            )),
            Box::new(crate::gemini::Gemini::new("gemini-3", None, false)),
        ];
        let tool = ToolSpec {
            name: "shell".into(),
            description: String::new(),
            parameters: serde_json::Value::Null,
            parallel: true,
            read_only: false,
        };
        let request = ModelRequest {
            system: "".into(),
            tools: [tool].into(),
            messages: cofferdam_domain::Messages::default(),
            max_output_tokens: 1,
            epoch: 0,
            cache_key: String::new(),
            digest: Digest::ZERO,
        };
        wires.iter().map(|wire| wire.decoder(&request)).collect()
    }

    proptest! {
        #[test]
        fn any_events_are_survived(picks in prop::collection::vec((0..EVENTS.len(), prop::option::of((0usize..200, 0usize..40, ".{0,4}"))), 0..12)) {
            for mut decoder in decoders() {
                for (pick, damage) in &picks {
                    let mut data = EVENTS[*pick].to_owned();
                    if let Some((at, length, put)) = damage {
                        // The events are ASCII, so any place is between two characters.
                        let at = (*at).min(data.len());
                        data.replace_range(at..(at + length).min(data.len()), put);
                    }
                    if decoder.event(&SseEvent { name: String::new(), data }, &mut |_| ()).is_err() {
                        break;
                    }
                }
                if let Ok(answer) = decoder.finish() {
                    let ids: std::collections::HashSet<_> = answer.tool_calls().map(|call| &call.provider_id).collect();
                    prop_assert_eq!(ids.len(), answer.tool_calls().count());
                    prop_assert!(answer.usage.total() > 0 || answer.usage.output == 0);
                }
            }
        }
    }
}
