//! The event stream of the Anthropic Messages format
//! (<https://platform.claude.com/docs/en/build-with-claude/streaming>).

use cofferdam_domain::{
    Answer, Block, StopReason, ToolCall, Usage,
    message::{Family, Opaque, Reasoning},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Progress,
    answer::assemble,
    failure::Failure,
    sse::SseEvent,
    text_calls::in_blocks,
    wire::{Decoder, Hear, json},
};

/// The most content blocks that are kept.
const MAX_BLOCKS: usize = 1024;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: MessageStart,
    },
    ContentBlockStart {
        index: usize,
        content_block: Value,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta,
    },
    MessageDelta {
        delta: MessageDelta,
        #[serde(default)]
        usage: Option<Counts>,
    },
    MessageStop,
    Error,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageStart {
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the wire format")]
enum Delta {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    #[serde(other)]
    OtherDelta,
}

#[derive(Deserialize)]
struct MessageDelta {
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_details: Option<Value>,
}

/// Token counts; in `message_delta` they are totals that replace those of `message_start`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

/// One content block in the making.
enum Piece {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    /// Reasoning that only the provider can read, as it came.
    Sealed(Value),
    Call {
        id: String,
        name: String,
        arguments: String,
        whole: Option<String>,
    },
    /// A block of a kind that we do not ask for.
    Foreign,
}

/// The decoder.
pub(super) struct Decode {
    model: String,
    offered: Vec<String>,
    pieces: Vec<(usize, Piece)>,
    usage: Usage,
    stop: Option<StopReason>,
    ended: bool,
}

impl Decode {
    pub(super) fn new(model: &str, offered: Vec<String>) -> Self {
        Self {
            model: model.to_owned(),
            offered,
            pieces: Vec::new(),
            usage: Usage::default(),
            stop: None,
            ended: false,
        }
    }

    fn start(&mut self, index: usize, block: Value, hear: &mut Hear<'_>) -> Result<(), Failure> {
        if self.pieces.len() >= MAX_BLOCKS {
            return Err(Failure::garbled("too many content blocks"));
        }
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let piece = match block.get("type").and_then(Value::as_str) {
            Some("text") => Piece::Text(text("text")),
            Some("thinking") => Piece::Thinking { text: text("thinking"), signature: text("signature") },
            Some("redacted_thinking") => Piece::Sealed(block),
            Some("tool_use") => {
                let name = text("name");
                hear(Progress::Tool(name.clone()));
                let whole = block
                    .get("input")
                    .filter(|input| input.as_object().is_some_and(|input| !input.is_empty()));
                Piece::Call { id: text("id"), name, arguments: String::new(), whole: whole.map(json) }
            }
            _ => Piece::Foreign,
        };
        self.pieces.push((index, piece));
        Ok(())
    }

    fn delta(&mut self, index: usize, delta: Delta, hear: &mut Hear<'_>) -> Result<(), Failure> {
        let piece = self.pieces.iter_mut().rev().find(|(at, _)| *at == index).map(|(_, piece)| piece);
        match (piece, delta) {
            (Some(Piece::Text(text)), Delta::TextDelta { text: more }) => {
                text.push_str(&more);
                hear(Progress::Text(more));
            }
            (Some(Piece::Thinking { text, .. }), Delta::ThinkingDelta { thinking }) => {
                text.push_str(&thinking);
                hear(Progress::Reasoning(thinking));
            }
            (Some(Piece::Thinking { signature, .. }), Delta::SignatureDelta { signature: more }) => {
                signature.push_str(&more)
            }
            (Some(Piece::Call { arguments, .. }), Delta::InputJsonDelta { partial_json }) => {
                arguments.push_str(&partial_json)
            }
            (Some(Piece::Foreign | Piece::Sealed(_)), _) | (_, Delta::OtherDelta) => (),
            _ => return Err(Failure::garbled("a delta for a content block that was not begun")),
        }
        Ok(())
    }

    fn count(&mut self, counts: Counts) {
        let usage = &mut self.usage;
        let take = |known: &mut u64, told: Option<u64>| *known = told.unwrap_or(*known);
        take(&mut usage.input, counts.input_tokens);
        take(&mut usage.cache_write, counts.cache_creation_input_tokens);
        take(&mut usage.cache_read, counts.cache_read_input_tokens);
        take(&mut usage.output, counts.output_tokens);
        take(&mut usage.reasoning, counts.output_tokens_details.and_then(|details| details.thinking_tokens));
    }
}

impl Decoder for Decode {
    fn event(&mut self, event: &SseEvent, hear: &mut Hear<'_>) -> Result<bool, Failure> {
        let parsed =
            serde_json::from_str(&event.data).map_err(|error| Failure::garbled(&error.to_string()))?;
        match parsed {
            Event::MessageStart { message } => {
                if !message.model.is_empty() {
                    self.model = message.model;
                }
                self.count(message.usage.unwrap_or_default());
            }
            Event::ContentBlockStart { index, content_block } => self.start(index, content_block, hear)?,
            Event::ContentBlockDelta { index, delta } => self.delta(index, delta, hear)?,
            Event::MessageDelta { delta, usage } => {
                self.count(usage.unwrap_or_default());
                if let Some(reason) = delta.stop_reason {
                    self.stop = Some(stop(reason, delta.stop_details.as_ref()));
                }
            }
            Event::MessageStop => self.ended = true,
            Event::Error => {
                let value = serde_json::from_str(&event.data).unwrap_or_default();
                return Err(Failure::from_stream(&value));
            }
            Event::Other => (),
        }
        Ok(self.ended)
    }

    fn finish(self: Box<Self>) -> Result<Answer, Failure> {
        let Some(stop) = self.stop.filter(|_| self.ended) else {
            return Err(Failure::again("the connection was cut in the middle of the answer"));
        };
        let blocks = self.pieces.into_iter().filter_map(|(_, piece)| piece.into_block()).collect();
        assemble(in_blocks(blocks, &self.offered), stop, self.usage, self.model)
    }
}

impl Piece {
    fn into_block(self) -> Option<Block> {
        let opaque = |json| Some(Opaque { family: Family::Anthropic, json });
        match self {
            Self::Text(text) => Some(Block::Text { text }),
            Self::Thinking { text, signature } if signature.is_empty() => {
                Some(Block::Reasoning(Reasoning { text, opaque: None }))
            }
            Self::Thinking { text, signature } => {
                let (thinking, signature) = (json(&text), json(&signature));
                let block = format!(r#"{{"type":"thinking","thinking":{thinking},"signature":{signature}}}"#);
                Some(Block::Reasoning(Reasoning { text, opaque: opaque(block) }))
            }
            Self::Sealed(block) => {
                Some(Block::Reasoning(Reasoning { text: String::new(), opaque: opaque(json(&block)) }))
            }
            Self::Call { id, name, arguments, whole } => {
                let arguments =
                    if arguments.is_empty() { whole.unwrap_or_else(|| "{}".into()) } else { arguments };
                Some(Block::ToolCall(ToolCall { provider_id: id, name, arguments, opaque: None }))
            }
            Self::Foreign => None,
        }
    }
}

fn stop(reason: String, details: Option<&Value>) -> StopReason {
    match reason.as_str() {
        "end_turn" | "stop_sequence" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "refusal" => {
            let explanation = details.and_then(|details| details.get("explanation")).and_then(Value::as_str);
            StopReason::Refusal { explanation: explanation.unwrap_or_default().to_owned() }
        }
        "model_context_window_exceeded" => StopReason::ContextFull,
        _ => StopReason::Other { name: reason },
    }
}
