//! The messages of a conversation: a list that is only added to, and that costs nothing to copy.
//!
//! Every step of a session copies its conversation a few times: the agent before it decides, the request, what an encoder keeps. So the
//! messages lie in chunks that all copies share, and a copy takes the same time however long the conversation has become.

use std::sync::Arc;

use crate::Message;

/// Messages in a chunk.
const CHUNK: usize = 32;

/// What has been said, in order.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// Of [`CHUNK`] messages each.
    chunks: Arc<Vec<Arc<[Arc<Message>]>>>,
    /// Those after them, fewer than a chunk.
    rest: Vec<Arc<Message>>,
}

impl Messages {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.len() * CHUNK + self.rest.len()
    }

    /// Whether nothing has been said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one.
    pub fn push(&mut self, message: Arc<Message>) {
        self.rest.push(message);
        if self.rest.len() == CHUNK {
            let chunk = std::mem::take(&mut self.rest).into();
            Arc::make_mut(&mut self.chunks).push(chunk);
        }
    }

    /// The message at this place, counted from 0.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Arc<Message>> {
        match self.chunks.get(place / CHUNK) {
            Some(chunk) => chunk.get(place % CHUNK),
            None => self.rest.get(place - self.chunks.len() * CHUNK),
        }
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<Message>> {
        self.rest.last().or_else(|| self.chunks.last()?.last())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Message>> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).chain(&self.rest)
    }

    /// Whether these begin with all of `others`. Messages that are shared are not looked at, so this takes no longer in a longer conversation.
    #[must_use]
    pub fn starts_with(&self, others: &Self) -> bool {
        let whole = others.chunks.len();
        if others.len() > self.len() {
            return false;
        }
        let begins = Arc::ptr_eq(&self.chunks, &others.chunks)
            || self.chunks.iter().zip(&*others.chunks).all(|(one, other)| {
                Arc::ptr_eq(one, other) || one.iter().zip(&**other).all(|(one, other)| is_same(one, other))
            });
        begins
            && others.rest.iter().zip(self.iter().skip(whole * CHUNK)).all(|(one, other)| is_same(one, other))
    }
}

fn is_same(one: &Arc<Message>, other: &Arc<Message>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl PartialEq for Messages {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.starts_with(other)
    }
}

impl Eq for Messages {}

impl FromIterator<Arc<Message>> for Messages {
    fn from_iter<I: IntoIterator<Item = Arc<Message>>>(messages: I) -> Self {
        let mut all = Self::default();
        messages.into_iter().for_each(|message| all.push(message));
        all
    }
}

impl From<Vec<Arc<Message>>> for Messages {
    fn from(messages: Vec<Arc<Message>>) -> Self {
        messages.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Role};

    fn said(number: usize) -> Arc<Message> {
        Arc::new(Message { role: Role::User, blocks: vec![Block::text(number.to_string())] })
    }

    #[test]
    fn it_is_the_list_that_was_pushed_whatever_its_length() {
        let all: Vec<Arc<Message>> = (0..CHUNK * 3 + 2).map(said).collect();
        for length in 0..all.len() {
            let messages: Messages = all[..length].iter().cloned().collect();
            assert_eq!((messages.len(), messages.is_empty()), (length, length == 0));
            assert!(
                messages.iter().eq(&all[..length]) && messages.iter().rev().eq(all[..length].iter().rev())
            );
            assert_eq!(messages.last(), all[..length].last());
            assert!((0..length + 2).all(|place| messages.get(place) == all[..length].get(place)));
        }
    }

    #[test]
    fn a_list_begins_with_its_beginnings_and_with_no_other() {
        let all: Messages = (0..CHUNK * 2 + 5).map(said).collect();
        for length in 0..=all.len() {
            let (shared, alike): (Messages, Messages) =
                (all.iter().take(length).cloned().collect(), (0..length).map(said).collect());
            assert!(all.starts_with(&shared) && all.starts_with(&alike) && shared == alike, "{length}");
            let mut other = shared.clone();
            other.push(said(9999));
            assert!(!all.starts_with(&other) && other.starts_with(&shared) && other != shared, "{length}");
        }
    }

    #[test]
    fn a_copy_shares_all_but_a_chunk_and_is_not_changed_by_what_comes_later() {
        let mut messages: Messages = (0..CHUNK * 4).map(said).collect();
        let before = messages.clone();
        assert!(Arc::ptr_eq(&before.chunks, &messages.chunks) && before.rest.is_empty());
        (0..CHUNK).for_each(|number| messages.push(said(number)));
        assert_eq!((before.len(), messages.len()), (CHUNK * 4, CHUNK * 5));
        assert!(before.chunks.iter().zip(&*messages.chunks).all(|(one, other)| Arc::ptr_eq(one, other)));
    }
}
