//! The event stream of the Gemini format: every event is a `GenerateContentResponse` with the next parts of
//! the answer.

use cofferdam_domain::{
    Answer, Block, StopReason, ToolCall, Usage,
    message::{Family, Opaque, Reasoning},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    Progress,
    answer::assemble,
    failure::Failure,
    sse::SseEvent,
    wire::{Decoder, Hear, json as text_of},
};

/// The most blocks that are kept.
const MAX_BLOCKS: usize = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    usage_metadata: Option<Counts>,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    #[serde(default)]
    thought_signature: Option<String>,
    #[serde(default)]
    function_call: Option<FunctionCall>,
}

#[derive(Deserialize)]
struct FunctionCall {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Counts {
    prompt_token_count: u64,
    tool_use_prompt_token_count: u64,
    cached_content_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
}

/// The decoder.
pub(super) struct Decode {
    model: String,
    blocks: Vec<Block>,
    usage: Usage,
    stop: Option<StopReason>,
}

impl Decode {
    pub(super) fn new(model: &str) -> Self {
        Self { model: model.to_owned(), blocks: Vec::new(), usage: Usage::default(), stop: None }
    }

    fn part(&mut self, part: Part, hear: &mut Hear<'_>) -> Result<(), Failure> {
        let opaque = part.thought_signature.map(|signature| {
            let json = text_of(&json!({ "thoughtSignature": signature }));
            Opaque { family: Family::Gemini, json }
        });
        if let Some(call) = part.function_call {
            hear(Progress::Tool(call.name.clone()));
            let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| args.get().to_owned());
            let provider_id = call.id.unwrap_or_default();
            self.blocks.push(Block::ToolCall(ToolCall { provider_id, name: call.name, arguments, opaque }));
        } else {
            let text = part.text.unwrap_or_default();
            self.text(part.thought, text, hear);
            if let Some(opaque) = opaque {
                self.blocks.push(Block::Reasoning(Reasoning { text: String::new(), opaque: Some(opaque) }));
            }
        }
        if self.blocks.len() > MAX_BLOCKS {
            return Err(Failure::garbled("too many parts"));
        }
        Ok(())
    }

    /// Goes on with the block at the end if it is of the same kind.
    fn text(&mut self, thought: bool, more: String, hear: &mut Hear<'_>) {
        if more.is_empty() {
            return;
        }
        hear(if thought { Progress::Reasoning(more.clone()) } else { Progress::Text(more.clone()) });
        match self.blocks.last_mut() {
            Some(Block::Text { text }) if !thought => text.push_str(&more),
            Some(Block::Reasoning(Reasoning { text, opaque: None })) if thought => text.push_str(&more),
            _ if thought => self.blocks.push(Block::Reasoning(Reasoning { text: more, opaque: None })),
            _ => self.blocks.push(Block::Text { text: more }),
        }
    }
}

impl Decoder for Decode {
    fn event(&mut self, event: &SseEvent, hear: &mut Hear<'_>) -> Result<bool, Failure> {
        let chunk: Chunk =
            serde_json::from_str(&event.data).map_err(|error| Failure::garbled(&error.to_string()))?;
        if let Some(error) = chunk.error {
            return Err(Failure::from_stream(&json!({ "error": error })));
        }
        if let Some(model) = chunk.model_version {
            self.model = model;
        }
        if let Some(counts) = chunk.usage_metadata {
            self.usage = usage(&counts);
        }
        if let Some(reason) = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason) {
            self.stop = Some(StopReason::Refusal { explanation: format!("prompt blocked: {reason}") });
        }
        if let Some(candidate) = chunk.candidates.into_iter().next() {
            for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
                self.part(part, hear)?;
            }
            if let Some(reason) = candidate.finish_reason {
                self.stop = Some(stop(reason, candidate.finish_message)?);
            }
        }
        // Usage may follow in a later event; the stream says by ending that it is over.
        Ok(false)
    }

    fn finish(self: Box<Self>) -> Result<Answer, Failure> {
        let Some(stop) = self.stop else {
            return Err(Failure::again("the connection was cut in the middle of the answer"));
        };
        assemble(self.blocks, stop, self.usage, self.model)
    }
}

/// <https://ai.google.dev/api/generate-content#FinishReason>
fn stop(reason: String, message: Option<String>) -> Result<StopReason, Failure> {
    Ok(match reason.as_str() {
        "STOP" => StopReason::EndTurn,
        "MAX_TOKENS" => StopReason::MaxTokens,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
            StopReason::Refusal { explanation: message.unwrap_or(reason) }
        }
        // The model wrote a call that Google could not read; asked again it writes another.
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "MISSING_THOUGHT_SIGNATURE" => {
            return Err(Failure::again(format!("the model's tool call was malformed ({reason})")));
        }
        _ => StopReason::Other { name: reason },
    })
}

fn usage(counts: &Counts) -> Usage {
    let prompt = counts.prompt_token_count.saturating_add(counts.tool_use_prompt_token_count);
    Usage {
        input: prompt.saturating_sub(counts.cached_content_token_count),
        cache_read: counts.cached_content_token_count,
        cache_write: 0,
        output: counts.candidates_token_count.saturating_add(counts.thoughts_token_count),
        reasoning: counts.thoughts_token_count,
    }
}
