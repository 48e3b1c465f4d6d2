//! A tool call in one line.

use cofferdam_domain::ToolCall;
use serde_json::{Map, Value};

use crate::terminal::excerpt;

/// What a call is about comes first, without its name.
const SUBJECTS: [&str; 6] = ["command", "path", "pattern", "action", "outcome", "question"];
/// The most characters of one argument beside the subject.
const ARGUMENT: usize = 60;
/// The most characters in all.
const LINE: usize = 160;

/// The arguments of a call for people: `src/lib.rs offset: 7 limit: 40`. As the model wrote them where they are no object.
pub(super) fn describe(call: &ToolCall) -> String {
    let Ok(arguments) = serde_json::from_str::<Map<String, Value>>(&call.arguments) else {
        return excerpt(&call.arguments, LINE);
    };
    let subject = SUBJECTS
        .into_iter()
        .find_map(|name| Some((name, arguments.get(name)?.as_str().filter(|text| !text.is_empty())?)));
    let first = subject.map(|(_, text)| text.to_owned());
    let others = arguments
        .iter()
        .filter(|(name, _)| subject.is_none_or(|(subject, _)| subject != name.as_str()))
        .map(|(name, value)| format!("{name}: {}", argument(value)));
    excerpt(&first.into_iter().chain(others).collect::<Vec<_>>().join(" "), LINE)
}

/// The beginning of a text, how many there are of a list, anything else as it is.
fn argument(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", excerpt(text, ARGUMENT)),
        Value::Array(items) => format!("[{}]", items.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            excerpt(&value.to_string(), ARGUMENT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        for (arguments, shown) in [
            (r#"{"command":"cargo test\n  --offline"}"#, "cargo test --offline"),
            (r#"{"path":"src/lib.rs","offset":7}"#, "src/lib.rs offset: 7"),
            (r#"{"edits":[{"old_text":"a"}],"path":"a.rs"}"#, "a.rs edits: [1]"),
            (r#"{"summary":"It \"is\" so.","outcome":"done"}"#, r#"done summary: "It \"is\" so.""#),
            (r#"{"path":""}"#, r#"path: """#),
            (r#"{"cut": "off"#, r#"{"cut": "off"#),
            ("{}", ""),
        ] {
            let call = ToolCall {
                provider_id: "1".to_owned(),
                name: "tool".to_owned(),
                arguments: arguments.to_owned(),
                opaque: None,
            };
            assert_eq!(describe(&call), shown);
        }
    }
}
