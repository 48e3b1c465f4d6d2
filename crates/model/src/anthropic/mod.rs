//! Anthropic Messages: `POST /v1/messages` (<https://platform.claude.com/docs/en/api/messages>).

mod decode;
mod encode;

pub(crate) use encode::{Anthropic, Thinking};
