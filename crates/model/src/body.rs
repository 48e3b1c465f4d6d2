//! Request bodies that grow at their end only.
//!
//! The bytes of earlier messages are kept and sent again as they are: nothing is serialised twice, and the
//! prefix that a provider's prompt cache sees is the same from request to request by construction.
//!
//! They lie in pieces. A piece that is full is shared with the requests that are sent, never copied; only the
//! last one, which is still written to, is copied with the request's own end. So a request costs its own new
//! messages and less than a piece, however long the conversation has become.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use cofferdam_domain::{Block, Digest, Message, Messages, ModelRequest, ToolSpec, message::Image};
use http_body::{Frame, SizeHint};

use crate::{
    BlobSource,
    wire::{Given, Wire},
};

/// Bytes after which a piece is full: few enough to be copied in no time, and enough that hundreds of messages go to the kernel in a few
/// buffers.
const PIECE: usize = 64 << 10;

/// A body in the making: what of a conversation has been encoded so far.
#[derive(Default)]
pub(crate) struct Body {
    /// What the kept bytes stand for.
    kept: Option<Kept>,
    /// Header and messages: the full pieces.
    full: Vec<Bytes>,
    /// What comes after them.
    open: Vec<u8>,
    /// Messages before this one are sent without reasoning.
    reasoning_from: usize,
}

struct Kept {
    epoch: u32,
    system: Arc<str>,
    tools: Arc<[ToolSpec]>,
    messages: Messages,
}

impl Kept {
    /// Whether `request` goes on where this ends. Messages are shared, so this compares addresses in all but
    /// odd cases.
    fn is_begun_by(&self, request: &ModelRequest) -> bool {
        self.epoch == request.epoch
            && (Arc::ptr_eq(&self.system, &request.system) || self.system == request.system)
            && (Arc::ptr_eq(&self.tools, &request.tools) || self.tools == request.tools)
            && request.messages.starts_with(&self.messages)
    }
}

impl Body {
    /// The body for `request`.
    pub(crate) async fn build(
        &mut self,
        wire: &mut dyn Wire,
        request: &ModelRequest,
        blobs: &dyn BlobSource,
    ) -> Payload {
        if !self.kept.as_ref().is_some_and(|kept| kept.is_begun_by(request)) {
            if self.kept.as_ref().is_some_and(|kept| kept.epoch != request.epoch) {
                self.reasoning_from = 0;
            }
            self.full.clear();
            self.open.clear();
            wire.header(request, &mut self.open);
            self.kept = None;
        }
        let kept = self.kept.get_or_insert_with(|| Kept {
            epoch: request.epoch,
            system: Arc::clone(&request.system),
            tools: Arc::clone(&request.tools),
            messages: Messages::default(),
        });
        for (index, message) in request.messages.iter().enumerate().skip(kept.messages.len()) {
            let pictures = pictures(message, blobs).await;
            let given = Given { pictures: &pictures, reasoning: index >= self.reasoning_from };
            wire.append(message, &given, &mut self.open);
            kept.messages.push(Arc::clone(message));
            if self.open.len() >= PIECE {
                self.open.shrink_to_fit();
                self.full.push(std::mem::take(&mut self.open).into());
            }
        }
        let mut end = Vec::with_capacity(self.open.len() + 512);
        end.extend_from_slice(&self.open);
        wire.tail(request, &mut end);
        Payload::new(self.full.iter().cloned().chain([end.into()]))
    }

    /// The bytes of header and messages so far.
    pub(crate) fn len(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.open.len()
    }

    /// Sends the conversation so far without its reasoning from now on. `false` when that is so already.
    pub(crate) fn drop_reasoning(&mut self) -> bool {
        let messages = self.kept.take().map_or(0, |kept| kept.messages.len());
        let news = self.reasoning_from < messages;
        self.reasoning_from = self.reasoning_from.max(messages);
        news
    }
}

/// A whole body on its way, whose length is known beforehand.
pub(crate) struct Payload {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Payload {
    fn new(pieces: impl Iterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.collect();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, left }
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
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

#[cfg(test)]
mod tests;
