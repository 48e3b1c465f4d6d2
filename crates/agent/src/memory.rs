//! What was noted before the session began, shown to the model as quotations that order nothing, and what it proposes itself.

use std::sync::Arc;

use cofferdam_domain::{Memories, Memory, hidden::replace_hidden, memory::MOST_BYTES};

use crate::{Agent, compaction::room_for_results, conversation::Conversation, excerpt::excerpt, wording};

/// What was noted, and how much the model wants to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered {
    recalled: Option<Arc<Memories>>,
    pub(crate) proposed: usize,
}

impl Agent {
    /// What was recalled in this session, if something was.
    #[must_use]
    pub fn memories(&self) -> Option<&Arc<Memories>> {
        self.memory.recalled.as_ref()
    }

    /// How many notes it has proposed for later sessions.
    #[must_use]
    pub const fn proposed(&self) -> usize {
        self.memory.proposed
    }

    pub(crate) fn memories_recalled(&mut self, recalled: &Memories) -> bool {
        let fits = self.working() && self.memory.recalled.is_none();
        if fits {
            self.memory.recalled = Some(Arc::new(recalled.clone()));
            if let Some(text) = self.lasting_memories() {
                self.draft.say(text);
            }
        }
        fits
    }

    /// What was noted, quoted: said when it is recalled, and again when the conversation has been cut.
    pub(crate) fn lasting_memories(&self) -> Option<String> {
        let recalled = self.memory.recalled.as_ref()?;
        let window = self.conversation.as_ref().and_then(Conversation::window);
        // A part of what advice may fill: that is about the work as it is now.
        let mut room = MOST_BYTES.min(room_for_results(window) / 2);
        let mut texts = Vec::new();
        for memory in &recalled.memories {
            let text = replace_hidden(&memory.text, |character| character.escape_unicode().to_string());
            let Some(rest) = room.checked_sub(text.len()) else { break };
            room = rest;
            texts.push(wording::quote("memory", &about(memory), &self.seed(), &text));
        }
        let left_out = recalled.memories.len() - texts.len() + recalled.left_out as usize;
        if texts.is_empty() {
            return None;
        }
        let more = if left_out > 0 { format!(" ({left_out} more found no room.)") } else { String::new() };
        Some(format!("{}{more}\n\n{}", wording::MEMORIES, texts.join("\n\n")))
    }
}

/// What the platform says of a memory, in its opening mark. Names are others' words, so they are quoted there as well.
fn about(memory: &Memory) -> String {
    let on = memory.repository.as_deref().unwrap_or("all repositories");
    let (on, source) = (excerpt(on, 300), excerpt(&memory.source.words(), 300));
    format!(" about={on:?} at={:?} source={source:?}", memory.at.utc())
}
