//! The event stream of the Chat Completions format, with the liberties that compatible servers take.

use cofferdam_domain::{Answer, Block, StopReason, ToolCall, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

use super::reasoning::Thoughts;
use crate::{
    Progress,
    answer::assemble,
    failure::Failure,
    sse::SseEvent,
    text_calls,
    wire::{Decoder, Hear, json as text_of},
};

/// The most tool calls that are kept.
const MAX_CALLS: usize = 1024;

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    /// A text; with some servers a list of parts.
    content: Option<Value>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<Fragment>>,
}

#[derive(Deserialize)]
struct Fragment {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function {
    name: Option<String>,
    /// A piece of text; with some servers the whole object.
    arguments: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    cache_creation_input_tokens: Option<u64>,
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

/// A tool call in the making.
struct Call {
    index: Option<usize>,
    id: String,
    name: String,
    arguments: String,
}

/// The decoder.
pub(super) struct Decode {
    model: String,
    offered: Vec<String>,
    thoughts: Thoughts,
    text: String,
    refusal: Option<String>,
    calls: Vec<Call>,
    usage: Usage,
    finish: Option<String>,
    ended: bool,
}

impl Decode {
    pub(super) fn new(model: &str, offered: Vec<String>, echoes: bool) -> Self {
        Self {
            model: model.to_owned(),
            offered,
            thoughts: Thoughts::new(echoes),
            text: String::new(),
            refusal: None,
            calls: Vec::new(),
            usage: Usage::default(),
            finish: None,
            ended: false,
        }
    }

    fn delta(&mut self, delta: Delta, hear: &mut Hear<'_>) -> Result<(), Failure> {
        // Servers that give both say the same twice.
        if let Some(thought) =
            delta.reasoning_content.or(delta.reasoning).filter(|thought| !thought.is_empty())
        {
            self.thoughts.text.push_str(&thought);
            hear(Progress::Reasoning(thought));
        }
        self.thoughts.details(delta.reasoning_details.unwrap_or_default());
        if let Some(text) = delta.content.and_then(content).filter(|text| !text.is_empty()) {
            self.text.push_str(&text);
            hear(Progress::Text(text));
        }
        if let Some(refusal) = delta.refusal {
            self.refusal.get_or_insert_default().push_str(&refusal);
        }
        for fragment in delta.tool_calls.unwrap_or_default() {
            self.fragment(fragment, hear)?;
        }
        Ok(())
    }

    /// A fragment belongs to the call with its index; without one, to the last call. A new id with a name
    /// always begins a new call: some servers number all their calls 0.
    fn fragment(&mut self, fragment: Fragment, hear: &mut Hear<'_>) -> Result<(), Failure> {
        let id = fragment.id.unwrap_or_default();
        let function = fragment.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let known = match fragment.index {
            Some(index) => self.calls.iter().rposition(|call| call.index == Some(index)),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|call| call.id == id),
        };
        let known = known.filter(|at| {
            let other = !id.is_empty() && !self.calls[*at].id.is_empty() && self.calls[*at].id != id;
            !other || name.is_empty()
        });
        let at = match known {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => return Err(Failure::garbled("too many tool calls")),
            None => {
                let (name, arguments) = (String::new(), String::new());
                self.calls.push(Call { index: fragment.index, id: String::new(), name, arguments });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        // Some servers repeat the whole name with every fragment.
        if !name.is_empty() && call.name != name {
            call.name.push_str(&name);
            hear(Progress::Tool(call.name.clone()));
        }
        match function.arguments {
            Some(Value::String(more)) => call.arguments.push_str(&more),
            Some(whole @ (Value::Object(_) | Value::Array(_))) => call.arguments.push_str(&text_of(&whole)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => (),
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<StopReason, Failure> {
        if let Some(explanation) = self.refusal.take().filter(|refusal| !refusal.is_empty()) {
            return Ok(StopReason::Refusal { explanation });
        }
        Ok(match self.finish.take().as_deref() {
            None | Some("stop" | "eos" | "end_turn") => StopReason::EndTurn,
            Some("tool_calls" | "function_call") => StopReason::ToolUse,
            Some("length") => StopReason::MaxTokens,
            Some("content_filter") => StopReason::Refusal { explanation: "content filter".into() },
            Some(broken @ ("error" | "abort")) => {
                return Err(Failure::again(format!("the provider ended the answer with {broken:?}")));
            }
            Some(name) => StopReason::Other { name: name.to_owned() },
        })
    }
}

impl Decoder for Decode {
    fn event(&mut self, event: &SseEvent, hear: &mut Hear<'_>) -> Result<bool, Failure> {
        if event.data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(true);
        }
        let chunk: Chunk =
            serde_json::from_str(&event.data).map_err(|error| Failure::garbled(&error.to_string()))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(Failure::from_stream(&json!({ "error": error })));
        }
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
        if let Some(counts) = chunk.usage {
            self.usage = usage(&counts);
        }
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            self.delta(choice.delta.unwrap_or_default(), hear)?;
            if let Some(finish) = choice.finish_reason.filter(|finish| !finish.is_empty()) {
                self.finish = Some(finish);
            }
        }
        Ok(false)
    }

    fn finish(mut self: Box<Self>) -> Result<Answer, Failure> {
        if self.finish.is_none() && !self.ended {
            return Err(Failure::again("the connection was cut in the middle of the answer"));
        }
        let stop = self.stop()?;
        let text = self.thoughts.split_from(std::mem::take(&mut self.text));
        let mut blocks: Vec<Block> = self.thoughts.into_block().into_iter().collect();
        blocks.push(Block::Text { text });
        blocks.extend(self.calls.into_iter().map(|call| {
            let Call { index: _, id: provider_id, name, arguments } = call;
            Block::ToolCall(ToolCall { provider_id, name, arguments, opaque: None })
        }));
        assemble(text_calls::in_blocks(blocks, &self.offered), stop, self.usage, self.model)
    }
}

fn content(content: Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text),
        Value::Array(parts) => {
            Some(parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn usage(counts: &Counts) -> Usage {
    let none = Details::default();
    let prompt = counts.prompt_tokens_details.as_ref().unwrap_or(&none);
    let completion = counts.completion_tokens_details.as_ref().unwrap_or(&none);
    let cache_read = prompt.cached_tokens.or(counts.prompt_cache_hit_tokens).unwrap_or(0);
    let cache_write = prompt.cache_write_tokens.or(counts.cache_creation_input_tokens).unwrap_or(0);
    Usage {
        input: counts.prompt_tokens.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: counts.completion_tokens,
        reasoning: completion.reasoning_tokens.unwrap_or(0),
    }
}
