//! OpenAI Responses: `POST /v1/responses`
//! (<https://developers.openai.com/api/reference/resources/responses>), without state on the server: `store`
//! is off and reasoning travels encrypted.

mod decode;
mod encode;

pub(crate) use encode::Responses;
