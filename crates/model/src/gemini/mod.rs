//! Google Gemini: `POST /v1beta/models/MODEL:streamGenerateContent?alt=sse`
//! (<https://ai.google.dev/api/generate-content>).

mod decode;
mod encode;

pub(crate) use encode::Gemini;
