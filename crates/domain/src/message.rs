//! What a model is sent and what it answers, in no provider's dialect.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BlobRef, Cost, Digest, Messages, ToolSpec, Usage, money::Prices};

/// Who a message is from, as the provider sees it. Tool results travel in user messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The platform: the task, nudges, tool results.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who it is from.
    pub role: Role,
    /// Its content, in order.
    pub blocks: Vec<Block>,
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// The model's reasoning, kept to be sent back as the provider requires.
    Reasoning(Reasoning),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// What a tool returned; always answers a call of the message before.
    ToolResult(ToolResult),
    /// A picture for the model to look at.
    Image(Image),
}

impl Block {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// Reasoning as one provider returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasoning {
    /// What a person may read of it; empty when the provider hides it.
    pub text: String,
    /// What the provider wants back untouched (a signature, encrypted content, an item id), in the provider's
    /// own JSON text. Sent back only to the provider family that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Opaque>,
}

/// Provider data that is stored and returned, never interpreted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    /// Which wire format it belongs to.
    pub family: Family,
    /// The JSON text exactly as received.
    pub json: String,
}

/// The wire formats that providers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    OpenaiResponses,
    /// OpenAI-compatible Chat Completions: Ollama, vLLM, llama.cpp, OpenRouter.
    OpenaiChat,
    /// Google Gemini `generateContent`.
    Gemini,
    /// A recorded transcript.
    Scripted,
}

/// A model's wish to call a tool. Its place in the answer, not the provider's id, identifies it in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id that the provider gave the call and wants to see again; made up by us where it gives none.
    /// Unique in its answer.
    pub provider_id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// The arguments as the model wrote them: JSON text when all is well, anything at all otherwise.
    pub arguments: String,
    /// Provider data that belongs to this call (Gemini's thought signature).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Opaque>,
}

impl ToolCall {
    /// The arguments as a JSON object.
    ///
    /// # Errors
    /// When the text is not JSON, or JSON but not an object. An empty text counts as an empty object: several
    /// providers send that for a call without arguments.
    pub fn object(&self) -> Result<serde_json::Map<String, serde_json::Value>, serde_json::Error> {
        if self.arguments.trim().is_empty() {
            return Ok(serde_json::Map::new());
        }
        serde_json::from_str(&self.arguments)
    }
}

/// What a tool returned, as the model is shown it. Bounded before it gets here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The `provider_id` of the call it answers.
    pub provider_id: String,
    /// The name of the tool that was called (Gemini matches by name).
    pub name: String,
    /// The text for the model.
    pub text: String,
    /// Pictures that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Whether the call failed.
    pub is_error: bool,
}

/// A picture, stored as a blob and inlined by the provider's encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `image/png`, `image/jpeg`, `image/webp` or `image/gif`.
    pub media_type: String,
    /// Where its bytes are.
    pub blob: BlobRef,
}

impl Image {
    /// The media type of a picture that models can be shown, by its first bytes and not by what is said of it.
    #[must_use]
    pub const fn kind(bytes: &[u8]) -> Option<&'static str> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
            [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
            _ => None,
        }
    }
}

/// Everything a provider needs for one model call.
///
/// Within one `epoch` the messages of a later request begin with all the messages of every earlier one, so an
/// encoder may keep the bytes that it has already made; a new epoch (after compaction) starts over.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The system prompt; the same for the whole session.
    pub system: Arc<str>,
    /// The tools on offer; the same for the whole session.
    pub tools: Arc<[ToolSpec]>,
    /// The conversation so far. Alternates between user and assistant, starting and ending with user.
    pub messages: Messages,
    /// The most tokens that the answer may have.
    pub max_output_tokens: u32,
    /// Counts compactions: see above.
    pub epoch: u32,
    /// The same for all requests of a session, for providers that route by it to a warm cache.
    pub cache_key: String,
    /// Identifies the request: system, tools, and all messages. The same log gives the same digest.
    pub digest: Digest,
}

/// A model's whole answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Text, reasoning and tool calls in the order in which the model made them.
    pub blocks: Vec<Block>,
    /// Why it ended.
    pub stop: StopReason,
    /// What it used.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// What it cost, by the prices of the model that answered, which may be a fallback; `None` where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Answer {
    /// The tool calls, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.blocks.iter().filter_map(|block| match block {
            Block::ToolCall(call) => Some(call),
            Block::Text { .. } | Block::Reasoning(_) | Block::ToolResult(_) | Block::Image(_) => None,
        })
    }

    /// What it cost: as the model's side worked it out, else by `prices`, else nothing.
    #[must_use]
    pub fn cost_by(&self, prices: Option<&Prices>) -> Cost {
        self.cost.or_else(|| prices.map(|prices| prices.cost(&self.usage))).unwrap_or_default()
    }

    /// The text blocks, joined by blank lines.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Text { text } => Some(text.as_str()),
                Block::ToolCall(_) | Block::Reasoning(_) | Block::ToolResult(_) | Block::Image(_) => None,
            })
            .collect();
        texts.join("\n\n")
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// The model had nothing more to say.
    EndTurn,
    /// It waits for tool results.
    ToolUse,
    /// `max_output_tokens` was reached: the last block may be cut.
    MaxTokens,
    /// The model or the provider's filter refused.
    Refusal {
        /// What the provider said about it; may be empty.
        explanation: String,
    },
    /// The context window was full.
    ContextFull,
    /// Anything else, as the provider named it.
    Other {
        /// The provider's word.
        name: String,
    },
}
