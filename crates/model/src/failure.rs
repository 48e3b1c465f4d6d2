//! What went wrong with one try, and what may be done about it. One reader serves the error bodies of all
//! providers, because compatible servers mix each other's forms.

use std::time::Duration;

use cofferdam_domain::event::ModelFailure;
use serde_json::Value;

/// What may be done about a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Try the same model again, then another.
    Again,
    /// This model will not answer for now; another may.
    Elsewhere,
    /// Send the conversation without the reasoning that the provider no longer accepts.
    DropReasoning,
    /// Send less.
    Compact,
    /// A person must see to the key.
    Key,
    /// Nothing: the provider will never take this request.
    Nothing,
}

/// One failed try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) remedy: Remedy,
    /// What happened, for people, without the remedy.
    pub(crate) message: String,
    /// How long the provider asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(remedy: Remedy, message: impl Into<String>) -> Self {
        Self { remedy, message: message.into(), retry_after: None }
    }

    /// The connection or the stream broke.
    pub(crate) fn again(message: impl Into<String>) -> Self {
        Self::new(Remedy::Again, message)
    }

    /// An event that does not say what the wire format promises.
    pub(crate) fn garbled(what: &str) -> Self {
        Self::again(format!("the answer could not be read: {what}"))
    }

    /// What the agent is told.
    pub(crate) const fn kind(&self) -> ModelFailure {
        match self.remedy {
            Remedy::Again | Remedy::Elsewhere => ModelFailure::Unavailable,
            Remedy::Compact => ModelFailure::ContextOverflow,
            Remedy::Key => ModelFailure::Unauthorised,
            Remedy::DropReasoning | Remedy::Nothing => ModelFailure::Rejected,
        }
    }

    /// The failure that an HTTP answer other than success stands for.
    pub(crate) fn from_response(status: u16, body: &[u8]) -> Self {
        let error = ErrorBody::read(body);
        let words = error.words();
        let what = if error.message.is_empty() {
            format!("HTTP {status}")
        } else {
            format!("HTTP {status}: {}", error.message)
        };
        let remedy = match status {
            _ if status != 429 && is_overflow(&words) => Remedy::Compact,
            401 | 403 => Remedy::Key,
            402 => Remedy::Elsewhere,
            _ if is_out_of_credit(&words) => Remedy::Elsewhere,
            413 => Remedy::Compact,
            // 408 and 409 are what gateways say when a try was lost; 425 asks for another.
            408 | 409 | 425 | 429 | 500..=599 => Remedy::Again,
            400 | 422 if is_about_reasoning(&words) => Remedy::DropReasoning,
            _ => Remedy::Nothing,
        };
        let retry_after = error.retry_after;
        Self { remedy, message: what, retry_after }
    }

    /// The failure that an error inside a stream stands for. There the provider's words stand in for the
    /// status.
    pub(crate) fn from_stream(body: &Value) -> Self {
        let error = ErrorBody::from_value(body);
        let words = error.words();
        let status = error.status.unwrap_or_else(|| {
            let known = [
                ("authentication_error", 401),
                ("permission_error", 403),
                ("permission_denied", 403),
                ("invalid_request_error", 400),
                ("invalid_prompt", 400),
                ("invalid_argument", 400),
                ("not_found_error", 404),
            ];
            known.iter().find(|(word, _)| words.contains(word)).map_or(500, |(_, status)| *status)
        });
        let mut failure = Self::from_response(status, body.to_string().as_bytes());
        failure.message = format!("error inside the answer: {}", error.message);
        failure
    }
}

/// What the known forms of error bodies have in common.
#[derive(Debug, Default)]
struct ErrorBody {
    message: String,
    /// The machine-readable names: type, code, status.
    names: String,
    status: Option<u16>,
    retry_after: Option<Duration>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => Self { message: excerpt(&String::from_utf8_lossy(body)), ..Self::default() },
        }
    }

    /// Anthropic and OpenAI: `{"error":{"type","code","message"}}`; Gemini: the same with `status`, sometimes
    /// in an array; Ollama: `{"error":"…"}`; vLLM: `{"object":"error","message","type","code"}`; FastAPI:
    /// `{"detail"}`.
    fn from_value(value: &Value) -> Self {
        let value = value.get(0).unwrap_or(value);
        let error = value.get("error").or_else(|| value.pointer("/response/error")).unwrap_or(value);
        let message = [error.get("message"), value.get("message"), value.get("detail"), Some(error)]
            .into_iter()
            .flatten()
            .find_map(Value::as_str)
            .map_or_else(|| excerpt(&error.to_string()), excerpt);
        let names = ["type", "code", "status"]
            .iter()
            .filter_map(|name| error.get(name))
            .map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_lowercase))
            .collect::<Vec<_>>()
            .join(" ");
        let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        // google.rpc.RetryInfo: {"retryDelay":"7s"}.
        let retry_after =
            error.get("details").and_then(Value::as_array).into_iter().flatten().find_map(|detail| {
                let seconds = detail.get("retryDelay")?.as_str()?.strip_suffix('s')?.parse().ok()?;
                Duration::try_from_secs_f64(seconds).ok()
            });
        Self { message, names, status: status.filter(|code| (400..600).contains(code)), retry_after }
    }

    fn words(&self) -> String {
        format!("{} {}", self.names, self.message.to_lowercase())
    }
}

/// A bounded, printable part of a text from outside.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX: usize = 400;
    let mut kept: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX).collect();
    if kept.len() < text.len() && text.chars().count() > MAX {
        kept.push('…');
    }
    kept.trim().to_owned()
}

/// How the providers say that the prompt does not fit.
fn is_overflow(words: &str) -> bool {
    const SIGNS: &[&str] = &[
        "prompt is too long",                   // Anthropic
        "exceed context limit",                 // Anthropic, prompt and max_tokens together
        "request_too_large",                    // Anthropic, more than 32 MB
        "context_length_exceeded",              // OpenAI
        "exceeds the context window",           // OpenAI Responses
        "maximum context length",               // vLLM, OpenRouter
        "exceed_context_size_error",            // llama.cpp
        "exceeds the available context size",   // llama.cpp
        "exceeds the maximum number of tokens", // Gemini
    ];
    SIGNS.iter().any(|sign| words.contains(sign))
}

/// How the providers say that the account is empty: waiting does not help.
fn is_out_of_credit(words: &str) -> bool {
    ["insufficient_quota", "credit balance is too low", "billing_hard_limit_reached", "insufficient credits"]
        .iter()
        .any(|sign| words.contains(sign))
}

/// How the providers say that reasoning sent back is not theirs: the model, the account or the conversation
/// has changed since.
fn is_about_reasoning(words: &str) -> bool {
    [
        "thinking` block",
        "thinking block",
        "signature in",
        "invalid signature",
        "thought signature",
        "thought_signature",
        "encrypted content",
        "encrypted_content",
        "reasoning summar",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_own_error_bodies() {
        let cases: &[(u16, &str, Remedy)] = &[
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210345 tokens > 200000 maximum"}}"#,
                Remedy::Compact,
            ),
            (
                400,
                r#"{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
                Remedy::Compact,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
                Remedy::Compact,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 8192 tokens.","type":"BadRequestError","code":400}"#,
                Remedy::Compact,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]"#,
                Remedy::Compact,
            ),
            (
                413,
                r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
                Remedy::Compact,
            ),
            (
                401,
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                Remedy::Key,
            ),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Remedy::Elsewhere,
            ),
            (
                429,
                r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#,
                Remedy::Again,
            ),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Remedy::Again,
            ),
            (404, r#"{"error":"model 'qwen' not found"}"#, Remedy::Nothing),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.3.content.0: Invalid `signature` in `thinking` block"}}"#,
                Remedy::DropReasoning,
            ),
            (
                400,
                r#"{"error":{"message":"Your organization must be verified to generate reasoning summaries.","type":"invalid_request_error","param":"reasoning.summary","code":"unsupported_value"}}"#,
                Remedy::DropReasoning,
            ),
            (500, "<html>bad gateway</html>", Remedy::Again),
        ];
        for (status, body, remedy) in cases {
            assert_eq!(Failure::from_response(*status, body.as_bytes()).remedy, *remedy, "{body}");
        }
    }

    #[test]
    fn gemini_says_when_to_come_back() {
        let body = r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"7.5s"}]}}"#;
        assert_eq!(
            Failure::from_response(429, body.as_bytes()).retry_after,
            Some(Duration::from_millis(7500))
        );
    }

    #[test]
    fn errors_inside_a_stream() {
        let remedy = |json: &str| Failure::from_stream(&serde_json::from_str(json).unwrap()).remedy;
        assert_eq!(
            remedy(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
            Remedy::Again
        );
        assert_eq!(
            remedy(r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#),
            Remedy::Nothing
        );
        assert_eq!(
            remedy(
                r#"{"type":"response.failed","response":{"error":{"code":"context_length_exceeded","message":"x"}}}"#
            ),
            Remedy::Compact
        );
        assert_eq!(remedy(r#"{"error":{"code":502,"message":"upstream"}}"#), Remedy::Again);
    }

    #[test]
    fn foreign_text_is_bounded_and_printable() {
        let long = "a\u{1b}[31m".repeat(1000);
        let kept = excerpt(&long);
        assert!(kept.chars().count() <= 401 && !kept.contains('\u{1b}'));
    }
}
