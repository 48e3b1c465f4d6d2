//! Request bodies that grow at their end only.
//!
//! The bytes of earlier messages are kept and sent again as they are: nothing is serialised twice, and the
//! prefix that a provider's prompt cache sees is the same from request to request by construction.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use cofferdam_domain::{Block, Digest, Message, ModelRequest, ToolSpec, message::Image};

use crate::{
    BlobSource,
    wire::{Given, Wire},
};

/// A body in the making: what of a conversation has been encoded so far.
#[derive(Default)]
pub(crate) struct Body {
    /// What the kept bytes stand for.
    kept: Option<Kept>,
    /// Header and messages.
    bytes: Vec<u8>,
    /// Messages before this one are sent without reasoning.
    reasoning_from: usize,
}

struct Kept {
    epoch: u32,
    system: Arc<str>,
    tools: Arc<[ToolSpec]>,
    messages: Vec<Arc<Message>>,
}

impl Kept {
    /// Whether `request` goes on where this ends. Messages are shared, so this compares addresses in all but
    /// odd cases.
    fn is_begun_by(&self, request: &ModelRequest) -> bool {
        self.epoch == request.epoch
            && (Arc::ptr_eq(&self.system, &request.system) || self.system == request.system)
            && (Arc::ptr_eq(&self.tools, &request.tools) || self.tools == request.tools)
            && self.messages.len() <= request.messages.len()
            && self
                .messages
                .iter()
                .zip(&request.messages)
                .all(|(one, other)| Arc::ptr_eq(one, other) || one == other)
    }
}

impl Body {
    /// The body for `request`.
    pub(crate) async fn build(
        &mut self,
        wire: &mut dyn Wire,
        request: &ModelRequest,
        blobs: &dyn BlobSource,
    ) -> Bytes {
        if !self.kept.as_ref().is_some_and(|kept| kept.is_begun_by(request)) {
            if self.kept.as_ref().is_some_and(|kept| kept.epoch != request.epoch) {
                self.reasoning_from = 0;
            }
            self.bytes.clear();
            wire.header(request, &mut self.bytes);
            self.kept = None;
        }
        let kept = self.kept.get_or_insert_with(|| Kept {
            epoch: request.epoch,
            system: Arc::clone(&request.system),
            tools: Arc::clone(&request.tools),
            messages: Vec::new(),
        });
        for (index, message) in request.messages.iter().enumerate().skip(kept.messages.len()) {
            let pictures = pictures(message, blobs).await;
            let given = Given { pictures: &pictures, reasoning: index >= self.reasoning_from };
            wire.append(message, &given, &mut self.bytes);
            kept.messages.push(Arc::clone(message));
        }
        let mut body = Vec::with_capacity(self.bytes.len() + 512);
        body.extend_from_slice(&self.bytes);
        wire.tail(request, &mut body);
        body.into()
    }

    /// The bytes of header and messages so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sends the conversation so far without its reasoning from now on. `false` when that is so already.
    pub(crate) fn drop_reasoning(&mut self) -> bool {
        let messages = self.kept.take().map_or(0, |kept| kept.messages.len());
        let news = self.reasoning_from < messages;
        self.reasoning_from = self.reasoning_from.max(messages);
        news
    }
}

async fn pictures(message: &Message, blobs: &dyn BlobSource) -> HashMap<Digest, Vec<u8>> {
    let mut pictures = HashMap::new();
    for image in images(message) {
        let digest = image.blob.digest;
        if !pictures.contains_key(&digest)
            && let Some(bytes) = blobs.get(digest).await
        {
            pictures.insert(digest, bytes);
        }
    }
    pictures
}

fn images(message: &Message) -> impl Iterator<Item = &Image> {
    message.blocks.iter().flat_map(|block| match block {
        Block::Image(image) => std::slice::from_ref(image),
        Block::ToolResult(result) => result.images.as_slice(),
        Block::Text { .. } | Block::Reasoning(_) | Block::ToolCall(_) => &[],
    })
}
