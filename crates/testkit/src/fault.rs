//! The ways in which a provider fails, in its own words.

use axum::http::StatusCode;
use cofferdam_domain::message::Family;
use serde_json::{Value, json};

/// One failure, played in place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// HTTP 429; the text is the value of `retry-after`.
    RateLimited(String),
    /// HTTP 500.
    ServerError,
    /// HTTP 529 from Anthropic, 503 from the others.
    Overloaded,
    /// HTTP 401; the body repeats the key, as some do.
    Unauthorised,
    /// HTTP 404: no such model.
    NoSuchModel,
    /// The prompt does not fit.
    ContextOverflow,
    /// The account is empty.
    OutOfCredit,
    /// The reasoning that was sent back is not accepted.
    BadReasoning,
    /// HTTP 307 to another host.
    Redirect,
    /// HTTP 200 with a web page.
    WebPage,
    /// The answer begins and the connection is cut.
    Cut,
    /// The answer begins and nothing more comes.
    Stall,
    /// The answer begins and ends in an error event.
    ErrorInStream,
    /// An event stream of nonsense.
    Garbage,
    /// The right answer, a byte at a time.
    SlowDrip,
}

impl Fault {
    /// The HTTP answer, for faults that are one.
    pub(crate) fn response(&self, family: Family, key: &str) -> Option<(StatusCode, Value)> {
        let (status, kind, message) = match self {
            Self::RateLimited(_) => {
                (429, "rate_limit_error", "This request would exceed your rate limit".to_owned())
            }
            Self::ServerError => (500, "api_error", "Internal server error".to_owned()),
            Self::Overloaded if family == Family::Anthropic => {
                (529, "overloaded_error", "Overloaded".to_owned())
            }
            Self::Overloaded => {
                (503, "server_error", "The model is overloaded. Please try again later.".to_owned())
            }
            Self::Unauthorised => (401, "authentication_error", format!("Incorrect API key provided: {key}")),
            Self::NoSuchModel => (404, "not_found_error", "model: no-such-model".to_owned()),
            Self::ContextOverflow => return Some(overflow(family)),
            Self::OutOfCredit => (429, "insufficient_quota", "You exceeded your current quota".to_owned()),
            Self::BadReasoning => (400, "invalid_request_error", bad_reasoning(family).to_owned()),
            Self::Redirect
            | Self::WebPage
            | Self::Cut
            | Self::Stall
            | Self::ErrorInStream
            | Self::Garbage
            | Self::SlowDrip => return None,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some((status, error(family, status, kind, &message)))
    }

    /// The event that ends an answer with an error.
    pub(crate) fn event(family: Family) -> String {
        let message = "The server had an error while processing your request";
        match family {
            Family::Anthropic => {
                let data =
                    json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
                format!("event: error\ndata: {data}\n\n")
            }
            Family::OpenaiResponses => {
                let response =
                    json!({"status": "failed", "error": {"code": "server_error", "message": message}});
                format!(
                    "event: response.failed\ndata: {}\n\n",
                    json!({"type": "response.failed", "response": response})
                )
            }
            Family::OpenaiChat | Family::Scripted => {
                format!("data: {}\n\n", json!({"error": {"code": 502, "message": message}, "choices": []}))
            }
            Family::Gemini => {
                format!(
                    "data: {}\r\n\r\n",
                    json!({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})
                )
            }
        }
    }
}

/// An error body in the family's form.
pub(crate) fn error(family: Family, status: StatusCode, kind: &str, message: &str) -> Value {
    match family {
        Family::Anthropic => {
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
        }
        Family::OpenaiResponses | Family::OpenaiChat | Family::Scripted => {
            json!({"error": {"message": message, "type": kind, "param": null, "code": kind}})
        }
        Family::Gemini => {
            json!({"error": {"code": status.as_u16(), "message": message, "status": kind.to_uppercase()}})
        }
    }
}

/// How each provider says that a prompt does not fit.
fn overflow(family: Family) -> (StatusCode, Value) {
    let body = match family {
        Family::Anthropic => {
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 212345 tokens > 200000 maximum"}})
        }
        Family::OpenaiResponses => json!({"error": {
            "message": "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "type": "invalid_request_error", "param": "input", "code": "context_length_exceeded",
        }}),
        Family::OpenaiChat | Family::Scripted => json!({"error": {
            "code": 400, "message": "the request exceeds the available context size. try increasing the context size or enable context shift",
            "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192,
        }}),
        Family::Gemini => json!({"error": {
            "code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "status": "INVALID_ARGUMENT",
        }}),
    };
    (StatusCode::BAD_REQUEST, body)
}

fn bad_reasoning(family: Family) -> &'static str {
    match family {
        Family::Anthropic => "messages.1.content.0: Invalid `signature` in `thinking` block",
        Family::OpenaiResponses | Family::OpenaiChat | Family::Scripted => {
            "The encrypted content for item rs_1 could not be verified. Reason: Encrypted content could not be decrypted or parsed."
        }
        Family::Gemini => "Thought signature is not valid",
    }
}
