//! OpenAI-compatible Chat Completions: `POST /v1/chat/completions`, as spoken by OpenAI, OpenRouter, Ollama,
//! vLLM, llama.cpp and many others (<https://developers.openai.com/api/reference/resources/chat>).

mod decode;
mod encode;
mod reasoning;

pub(crate) use encode::{Chat, Dialect};
