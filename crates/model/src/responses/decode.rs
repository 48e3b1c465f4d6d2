//! The event stream of the OpenAI Responses format
//! (<https://developers.openai.com/api/reference/resources/responses/streaming-events>).
//!
//! Deltas are only told to whoever listens; what counts are the items as they stand when each is done. A
//! message's `phase`, which newer models want to see again, is kept as a reasoning block without text before
//! it.

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
    text_calls::in_blocks,
    wire::{Decoder, Hear, json as text_of},
};

/// The most output items that are kept.
const MAX_ITEMS: usize = 1024;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    delta: Option<String>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response<'a> {
    model: Option<String>,
    #[serde(borrow)]
    output: Option<Vec<&'a RawValue>>,
    incomplete_details: Option<Incomplete>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: u64,
    input_tokens_details: Option<Details>,
    output_tokens: u64,
    output_tokens_details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    Message {
        #[serde(default)]
        content: Vec<Part>,
        #[serde(default)]
        phase: Option<String>,
    },
    Reasoning {
        #[serde(default)]
        summary: Vec<Part>,
        #[serde(default)]
        content: Option<Vec<Part>>,
    },
    FunctionCall {
        #[serde(default)]
        call_id: String,
        #[serde(default)]
        name: String,
        #[serde(default)]
        arguments: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// The decoder.
pub(super) struct Decode {
    model: String,
    offered: Vec<String>,
    items: usize,
    blocks: Vec<Block>,
    refusal: Option<String>,
    usage: Usage,
    stop: Option<StopReason>,
}

impl Decode {
    pub(super) fn new(model: &str, offered: Vec<String>) -> Self {
        Self {
            model: model.to_owned(),
            offered,
            items: 0,
            blocks: Vec::new(),
            refusal: None,
            usage: Usage::default(),
            stop: None,
        }
    }

    fn item(&mut self, raw: &RawValue) -> Result<(), Failure> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(Failure::garbled("too many output items"));
        }
        match parse(raw)? {
            Item::Message { content, phase } => {
                if let Some(phase) = phase {
                    self.blocks.push(reasoning(String::new(), text_of(&json!({ "phase": phase }))));
                }
                let text: String = content.iter().filter_map(|part| part.text.as_deref()).collect();
                self.blocks.push(Block::Text { text });
                let refusals: Vec<&str> = content.iter().filter_map(|part| part.refusal.as_deref()).collect();
                if !refusals.is_empty() {
                    self.refusal = Some(refusals.join("\n"));
                }
            }
            Item::Reasoning { summary, content } => {
                let parts = summary.iter().chain(content.iter().flatten());
                let texts: Vec<&str> = parts.filter_map(|part| part.text.as_deref()).collect();
                self.blocks.push(reasoning(texts.join("\n\n"), raw.get().to_owned()));
            }
            Item::FunctionCall { call_id, name, arguments } => {
                self.blocks.push(Block::ToolCall(ToolCall {
                    provider_id: call_id,
                    name,
                    arguments,
                    opaque: None,
                }));
            }
            Item::Other => (),
        }
        Ok(())
    }

    fn end(&mut self, raw: Option<&RawValue>, cut: bool) -> Result<(), Failure> {
        let response: Response<'_> = raw.map(parse).transpose()?.unwrap_or_default();
        if self.items == 0 {
            for item in response.output.into_iter().flatten() {
                self.item(item)?;
            }
        }
        if let Some(model) = response.model {
            self.model = model;
        }
        self.usage = response.usage.map(usage).unwrap_or_default();
        let reason = response.incomplete_details.map(|details| details.reason).unwrap_or_default();
        self.stop = Some(match (cut, reason.as_str(), self.refusal.take()) {
            (_, _, Some(explanation)) => StopReason::Refusal { explanation },
            (true, "max_output_tokens", None) => StopReason::MaxTokens,
            (true, "content_filter", None) => StopReason::Refusal { explanation: "content filter".into() },
            (true, _, None) => StopReason::Other { name: reason },
            (false, _, None) => StopReason::EndTurn,
        });
        Ok(())
    }
}

impl Decoder for Decode {
    fn event(&mut self, event: &SseEvent, hear: &mut Hear<'_>) -> Result<bool, Failure> {
        if event.data.trim() == "[DONE]" {
            return Ok(self.stop.is_some());
        }
        let parsed: Event<'_> =
            serde_json::from_str(&event.data).map_err(|error| Failure::garbled(&error.to_string()))?;
        match parsed.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                hear(Progress::Text(parsed.delta.unwrap_or_default()));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                hear(Progress::Reasoning(parsed.delta.unwrap_or_default()));
            }
            "response.output_item.added" => {
                if let Some(Item::FunctionCall { name, .. }) = parsed.item.and_then(|item| parse(item).ok()) {
                    hear(Progress::Tool(name));
                }
            }
            "response.output_item.done" => {
                self.item(parsed.item.ok_or_else(|| Failure::garbled("an item without content"))?)?;
            }
            "response.completed" | "response.done" => self.end(parsed.response, false)?,
            "response.incomplete" => self.end(parsed.response, true)?,
            "response.failed" | "response.cancelled" | "error" => {
                let value: Value = serde_json::from_str(&event.data).unwrap_or_default();
                return Err(Failure::from_stream(&value));
            }
            _ => (),
        }
        Ok(self.stop.is_some())
    }

    fn finish(self: Box<Self>) -> Result<Answer, Failure> {
        let Some(stop) = self.stop else {
            return Err(Failure::again("the connection was cut in the middle of the answer"));
        };
        assemble(in_blocks(self.blocks, &self.offered), stop, self.usage, self.model)
    }
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(raw.get()).map_err(|error| Failure::garbled(&error.to_string()))
}

fn reasoning(text: String, json: String) -> Block {
    Block::Reasoning(Reasoning { text, opaque: Some(Opaque { family: Family::OpenaiResponses, json }) })
}

fn usage(counts: Counts) -> Usage {
    let input = counts.input_tokens_details.unwrap_or_default();
    let (cache_read, cache_write) = (input.cached_tokens.unwrap_or(0), input.cache_write_tokens.unwrap_or(0));
    Usage {
        input: counts.input_tokens.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: counts.output_tokens,
        reasoning: counts.output_tokens_details.unwrap_or_default().reasoning_tokens.unwrap_or(0),
    }
}
