//! The next message to the model while it is being put together: tool results in call order, then everything
//! else in the order of the log.

use std::sync::{Arc, OnceLock};

use cofferdam_domain::{Block, Message, Role, message::ToolResult};

use crate::excerpt::excerpt;

/// Results are cut no shorter than this, however many there are.
const LEAST_RESULT: usize = 500;

/// The next message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    results: Vec<Arc<ToolResult>>,
    texts: Vec<Arc<str>>,
    /// The message as it was made for so much room, so that a request and the conversation that goes on from it share it.
    made: OnceLock<(usize, Arc<Message>)>,
}

impl Draft {
    /// Adds a paragraph.
    pub(crate) fn say(&mut self, text: impl Into<Arc<str>>) {
        self.made.take();
        self.texts.push(text.into());
    }

    /// Puts a paragraph before all others.
    pub(crate) fn say_first(&mut self, text: impl Into<Arc<str>>) {
        self.made.take();
        self.texts.insert(0, text.into());
    }

    /// The results of a whole step.
    pub(crate) fn answer_calls(&mut self, results: Vec<Arc<ToolResult>>) {
        self.made.take();
        self.results.extend(results);
    }

    /// Makes a message that was taken back part of the draft again, before all else.
    pub(crate) fn reopen(&mut self, message: Message) {
        let mut reopened = Self::default();
        for block in message.blocks {
            match block {
                Block::ToolResult(result) => reopened.results.push(Arc::new(result)),
                Block::Text { text } => reopened.texts.push(text.into()),
                // The platform's own messages hold nothing else.
                Block::Reasoning(_) | Block::ToolCall(_) | Block::Image(_) => {}
            }
        }
        reopened.results.append(&mut self.results);
        reopened.texts.append(&mut self.texts);
        *self = reopened;
    }

    /// Cuts the results.
    pub(crate) fn squeeze(&mut self, limit: usize) {
        self.made.take();
        for result in &mut self.results {
            if result.text.len() > limit || !result.images.is_empty() {
                let result = Arc::make_mut(result);
                result.text = excerpt(&result.text, limit);
                result.images.clear();
            }
        }
    }

    /// The message without more; the same one each time.
    pub(crate) fn shared(&self, room: usize) -> Arc<Message> {
        let (made_for, message) = self.made.get_or_init(|| (room, Arc::new(self.message(room, None))));
        if *made_for == room { Arc::clone(message) } else { Arc::new(self.message(room, None)) }
    }

    /// The message, with `extra` as its last paragraph. Its results together have at most about `room` bytes.
    pub(crate) fn message(&self, room: usize, extra: Option<&str>) -> Message {
        let total: usize = self.results.iter().map(|result| result.text.len()).sum();
        let share =
            if total > room { (room / self.results.len().max(1)).max(LEAST_RESULT) } else { usize::MAX };
        let result = |result: &Arc<ToolResult>| {
            let text = excerpt(&result.text, share);
            Block::ToolResult(ToolResult { text, ..ToolResult::clone(result) })
        };
        let mut blocks: Vec<Block> = self.results.iter().map(result).collect();
        blocks.extend(self.texts.iter().map(|text| Block::text(&**text)));
        blocks.extend(extra.map(Block::text));
        if blocks.is_empty() {
            blocks.push(Block::text("Go on."));
        }
        Message { role: Role::User, blocks }
    }

    /// Everything has been said.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
