//! What a program is told when something is refused: an answer that it understands, and that says what to ask for.

use bytes::Bytes;
use cofferdam_domain::egress::Refusal;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::decide::Denied;

/// A refusal for which nothing can be asked.
pub(crate) fn denied(code: Refusal, reason: &str) -> Denied {
    Denied { code, reason: reason.to_owned(), ask: None }
}

/// The answer to a refused request: 403 with the reason as a problem document (RFC 9457).
pub(crate) fn answer(denied: &Denied) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(document(denied)));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("cofferdam-refused", HeaderValue::from_static(denied.code.as_str()));
    answer
}

/// The same as the last bytes of an HTTP/1 connection.
pub(crate) fn last_words(denied: &Denied) -> Vec<u8> {
    let body = document(denied);
    let mut bytes = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\ncofferdam-refused: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        denied.code.as_str(),
        body.len()
    )
    .into_bytes();
    bytes.extend(body.as_bytes());
    bytes
}

fn document(denied: &Denied) -> String {
    let mut document = json!({
        "type": format!("urn:cofferdam:refused:{}", denied.code.as_str()),
        "title": "refused by the egress policy of this session",
        "status": 403,
        "detail": denied.reason,
        "code": denied.code,
    });
    if let (Some(ask), Some(fields)) = (&denied.ask, document.as_object_mut()) {
        fields.insert("ask".to_owned(), json!(ask));
        fields.insert(
            "how".to_owned(),
            json!("an agent asks for this rule with its tool `request_access`; a person may grant it"),
        );
    }
    document.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let denied = denied(Refusal::Path, "no rule permits \"/x\"");
        let answer = answer(&denied);
        let last = String::from_utf8(last_words(&denied)).unwrap();
        let (head, body) = last.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.as_bytes(), answer.body());
        for (name, value) in answer.headers() {
            assert!(head.contains(&format!("{name}: {}\r\n", value.to_str().unwrap())), "{name} in {head}");
        }
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["code"], "path");
        assert_eq!(document["detail"], "no rule permits \"/x\"");
    }
}
