//! The conversation with the model: messages that are only ever added to, their digest, and how many tokens
//! they are.
//!
//! Digest and size are kept as running state, and copies share what has been said, so that a step costs its own new bytes however long
//! the conversation has become. Only a new epoch (after a compaction, or when the provider said that the prompt
//! does not fit) rewrites anything.

use std::sync::Arc;

use cofferdam_domain::{
    Block, Digest, Message, Messages, ModelRequest, Role, ToolSpec, Usage,
    event::{Fixed, ModelInfo},
};
use sha2::{Digest as _, Sha256};

use crate::{excerpt::excerpt, wording};

/// Answers need some room even where the estimate says that there is none: the estimate may be wrong.
const LEAST_OUTPUT: u32 = 1024;

/// Results of tools that are no longer than this stay as they are, however old.
const SHORT_RESULT: usize = 600;
/// Pictures that a new epoch keeps, the latest ones.
const PICTURES_KEPT: usize = 2;

/// What a picture is taken to cost. Providers charge between 250 and 1,600 tokens for one.
const IMAGE_TOKENS: u64 = 1600;

/// What has been said.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    system: Arc<str>,
    tools: Arc<[ToolSpec]>,
    window: u64,
    max_output: u32,
    /// Over system prompt and tools.
    base: Running,
    /// Over system prompt, tools and all messages.
    whole: Running,
    messages: Messages,
    /// The size at which the provider last told how many tokens there were, and how many.
    counted: Option<(u64, u64)>,
    epoch: u32,
}

/// A digest and a size that grow with what is added.
#[derive(Debug, Clone)]
struct Running {
    hasher: Sha256,
    size: u64,
}

impl Running {
    fn add(&mut self, bytes: &[u8]) {
        #[cfg(test)]
        tests::count(bytes.len());
        // With its length before it, no two sequences of parts give the same bytes.
        self.hasher.update((bytes.len() as u64).to_be_bytes());
        self.hasher.update(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }
}

impl Conversation {
    /// With this model and these of the session's tools on offer.
    pub(crate) fn new(fixed: &Fixed, model: &ModelInfo, tools: Vec<ToolSpec>) -> Self {
        let mut base = Running { hasher: Sha256::new(), size: 0 };
        base.add(fixed.system.as_bytes());
        for tool in &tools {
            base.add(tool.name.as_bytes());
            base.add(tool.description.as_bytes());
            base.add(canonical(&tool.parameters).as_bytes());
        }
        let ModelInfo { context_window, max_output, .. } = *model;
        Self {
            system: fixed.system.as_str().into(),
            tools: tools.into(),
            window: context_window,
            max_output,
            whole: base.clone(),
            base,
            messages: Messages::default(),
            counted: None,
            epoch: 0,
        }
    }

    /// Goes on in a new epoch, with another model or with other tools on offer.
    pub(crate) fn refit(&mut self, fixed: &Fixed, model: &ModelInfo, tools: Vec<ToolSpec>) {
        let said = std::mem::take(&mut self.messages);
        *self = Self { epoch: self.epoch, ..Self::new(fixed, model, tools) };
        self.restart(said.iter());
    }

    /// Takes back the last message, if it is the platform's: the model has not answered it, and will be told more.
    pub(crate) fn take_back(&mut self) -> Option<Message> {
        let (kept, taken_back) = self.without_unanswered();
        let taken_back = taken_back?;
        self.restart(kept.iter());
        Some(Message::clone(&taken_back))
    }

    /// The context window in tokens; `None` where it is not known.
    pub(crate) fn window(&self) -> Option<u64> {
        (self.window > 0).then_some(self.window)
    }

    /// Whether the last message is the platform's: the model has not answered it.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.messages.last().is_some_and(|message| message.role == Role::User)
    }

    /// The text of the model's last answer.
    pub(crate) fn last_answer(&self) -> String {
        let last = self.messages.iter().rev().find(|message| message.role == Role::Assistant);
        last.map_or_else(String::new, |message| texts(message).join("\n\n"))
    }

    /// Adds a message for good.
    pub(crate) fn push(&mut self, message: Arc<Message>) {
        self.whole.extend(&message);
        self.messages.push(message);
    }

    /// The provider counted: everything up to here has this many tokens.
    pub(crate) fn learn(&mut self, usage: &Usage) {
        if usage.prompt() > 0 {
            self.counted = Some((self.whole.size, usage.total()));
        }
    }

    /// A request that ends with `tail`, or as the conversation stands, and an estimate of its prompt tokens.
    pub(crate) fn request(&self, tail: Option<&Arc<Message>>, cache_key: String) -> (ModelRequest, u64) {
        let mut whole = self.whole.clone();
        let mut messages = self.messages.clone();
        if let Some(tail) = tail {
            whole.extend(tail);
            messages.push(Arc::clone(tail));
        }
        let images = tail.map_or(0, |tail| images(tail));
        let tokens = self.tokens(whole.size).saturating_add(images * IMAGE_TOKENS);
        let room = self.window().map_or(self.max_output, |window| {
            u32::try_from(window.saturating_sub(tokens)).unwrap_or(u32::MAX).max(LEAST_OUTPUT)
        });
        let request = ModelRequest {
            system: Arc::clone(&self.system),
            tools: Arc::clone(&self.tools),
            messages,
            max_output_tokens: self.max_output.min(room).max(1),
            epoch: self.epoch,
            cache_key,
            digest: whole.digest(),
        };
        (request, tokens)
    }

    /// Tokens at `size` bytes: what the provider counted, and a guess for what came after.
    fn tokens(&self, size: u64) -> u64 {
        let (known, tokens) = self.counted.unwrap_or((0, 0));
        tokens.saturating_add(guess(size.saturating_sub(known)))
    }

    /// How many messages a summary would replace if about `keep` tokens of the latest messages are kept;
    /// `None` if that gains nothing. Results older than the latest `fresh` tokens of results count as they will be then, if that is given.
    ///
    /// The first message kept is always an answer, so no tool call is parted from its result.
    pub(crate) fn replaceable(&self, keep: u64, fresh: Option<u64>) -> Option<u32> {
        let aged = fresh.and_then(|fresh| self.without(keep, Some(fresh)));
        // Where lines for old results would be enough, less is kept than there is room for.
        aged.or_else(|| self.without(keep, None))
    }

    fn without(&self, keep: u64, fresh: Option<u64>) -> Option<u32> {
        let mut first_kept = None;
        let mut kept = 0u64;
        for (index, message) in (0..self.messages.len()).rev().zip(self.ageing(fresh)) {
            kept = kept.saturating_add(guess(size(&message)));
            if message.role == Role::Assistant {
                if first_kept.is_some() && kept > keep {
                    break;
                }
                first_kept = Some(index);
            }
        }
        // The first message is made anew, so replacing it alone, or it and nothing after it, gains nothing.
        first_kept.filter(|index| *index >= 3).and_then(|index| u32::try_from(index).ok())
    }

    /// Starts an epoch in which `head` stands for the first `replaced` messages, and only the latest `fresh` tokens of results are whole, if
    /// that is given. Whether that could be done.
    pub(crate) fn compact(&mut self, head: Message, replaced: u32, fresh: Option<u64>) -> bool {
        let count = self.messages.len().saturating_sub(replaced as usize);
        let mut rest: Vec<Arc<Message>> = self.ageing(fresh).take(count).collect();
        rest.push(Arc::new(head));
        rest.reverse();
        if rest.get(1).is_none_or(|message| message.role != Role::Assistant) {
            return false;
        }
        self.restart(rest.iter());
        true
    }

    /// The messages from the last to the first, as a new epoch has them: where a long result is older than the latest `fresh` tokens of
    /// results, a line stands for it, and only the latest pictures are left. Nothing is ever changed within an epoch, since that would cost
    /// the provider's cache more than it saves.
    fn ageing(&self, fresh: Option<u64>) -> impl Iterator<Item = Arc<Message>> {
        let (mut results, mut pictures) = (0u64, 0usize);
        self.messages.iter().rev().map(move |message| {
            let Some(fresh) = fresh else { return Arc::clone(message) };
            let old = results > fresh;
            let before = pictures;
            for block in &message.blocks {
                if let Block::ToolResult(result) = block {
                    results = results.saturating_add(guess(result.text.len() as u64));
                    pictures += result.images.len();
                }
            }
            if old || (pictures > before && before >= PICTURES_KEPT) {
                Arc::new(aged(message, old, before < PICTURES_KEPT))
            } else {
                Arc::clone(message)
            }
        })
    }

    /// Starts an epoch in which no tool result is longer than `limit` bytes and the last message, if it is
    /// the platform's, is taken back. Returns that message, and whether anything became shorter.
    pub(crate) fn squeeze(&mut self, limit: usize) -> (Option<Message>, bool) {
        let sizes = |messages: &Messages| messages.iter().map(|message| size(message)).sum::<u64>();
        let before = sizes(&self.messages);
        let (kept, taken_back) = self.without_unanswered();
        let squeezed = |message: &Arc<Message>| {
            if size(message) > limit as u64 {
                Arc::new(shortened(message, limit))
            } else {
                Arc::clone(message)
            }
        };
        let kept: Messages = kept.iter().map(squeezed).collect();
        let taken_back = taken_back.map(|message| shortened(&message, limit));
        self.restart(kept.iter());
        let after = sizes(&self.messages).saturating_add(taken_back.as_ref().map_or(0, size));
        (taken_back, after < before)
    }

    /// What has been said up to the last answer, and the platform's message after that, if there is one.
    fn without_unanswered(&self) -> (Messages, Option<Arc<Message>>) {
        let last = self.messages.last().filter(|_| self.awaits_answer()).cloned();
        let answered = self.messages.len() - usize::from(last.is_some());
        (self.messages.iter().take(answered).cloned().collect(), last)
    }

    fn restart<'m>(&mut self, messages: impl Iterator<Item = &'m Arc<Message>>) {
        self.whole = self.base.clone();
        self.messages = Messages::default();
        messages.for_each(|message| self.push(Arc::clone(message)));
        self.counted = None;
        self.epoch = self.epoch.saturating_add(1);
    }
}

impl Running {
    fn extend(&mut self, message: &Message) {
        self.add(&json(message));
    }
}

/// Tokens of text whose provider has not counted it: about 3.5 bytes each in code and English.
pub(crate) const fn guess(bytes: u64) -> u64 {
    bytes.saturating_mul(2) / 7
}

/// A message as JSON. Its fields are in one order, so the same message gives the same bytes.
fn json(message: &Message) -> Vec<u8> {
    // Plain data with string keys: writing it to memory cannot fail.
    serde_json::to_vec(message).unwrap_or_default()
}

/// The length of a message's JSON text.
fn size(message: &Message) -> u64 {
    json(message).len() as u64
}

/// JSON text with its keys in alphabetical order, whatever order the map type in use keeps.
fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn texts(message: &Message) -> Vec<&str> {
    let mut texts = Vec::new();
    for block in &message.blocks {
        match block {
            Block::Text { text } => texts.push(text.as_str()),
            Block::Reasoning(_) | Block::ToolCall(_) | Block::ToolResult(_) | Block::Image(_) => {}
        }
    }
    texts
}

fn images(message: &Message) -> u64 {
    let count = |block: &Block| match block {
        Block::ToolResult(result) => result.images.len() as u64,
        Block::Image(_) => 1,
        Block::Text { .. } | Block::Reasoning(_) | Block::ToolCall(_) => 0,
    };
    message.blocks.iter().map(count).sum()
}

/// The message with a line for each of its long results, if it is `old`, and without pictures unless those are kept.
fn aged(message: &Message, old: bool, keep_pictures: bool) -> Message {
    let age = |block: &Block| match block {
        Block::ToolResult(result) => {
            let mut result = result.clone();
            let bytes = result.text.len();
            if old && bytes > SHORT_RESULT {
                result.text = wording::left_out(&result.name, bytes);
            }
            if !keep_pictures && !result.images.is_empty() {
                result.images.clear();
                result.text.push_str(wording::OLD_IMAGES);
            }
            Block::ToolResult(result)
        }
        Block::Text { .. } | Block::Reasoning(_) | Block::ToolCall(_) | Block::Image(_) => block.clone(),
    };
    Message { role: message.role, blocks: message.blocks.iter().map(age).collect() }
}

/// The message with its tool results cut to `limit` bytes each and without their pictures.
fn shortened(message: &Message, limit: usize) -> Message {
    let shorten = |block: &Block| match block {
        Block::ToolResult(result) => {
            let mut result = result.clone();
            result.text = excerpt(&result.text, limit);
            result.images.clear();
            Block::ToolResult(result)
        }
        Block::Text { .. } | Block::Reasoning(_) | Block::ToolCall(_) | Block::Image(_) => block.clone(),
    };
    Message { role: message.role, blocks: message.blocks.iter().map(shorten).collect() }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static HASHED: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn count(bytes: usize) {
        HASHED.with(|hashed| hashed.set(hashed.get() + bytes as u64));
    }

    /// Bytes that this thread has put through conversations' digests.
    pub(crate) fn hashed() -> u64 {
        HASHED.with(Cell::get)
    }

    #[test]
    fn canonical_text_does_not_depend_on_the_order_of_keys() {
        let text = r#"{"b":[1,{"d":null,"c":"x\"y"}],"a":true}"#;
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(canonical(&value), r#"{"a":true,"b":[1,{"c":"x\"y","d":null}]}"#);
    }
}
