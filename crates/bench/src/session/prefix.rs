//! Whether a request contains the one before it whole, so that a provider's prompt cache can serve it.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// How many requests extend the one before them.
pub(crate) fn extending<B: AsRef<[u8]>>(bodies: &[B]) -> Result<usize> {
    let mut extending = 0;
    let mut before: Option<Value> = None;
    for body in bodies {
        let mut request: Value = serde_json::from_slice(body.as_ref()).context("a request is not JSON")?;
        without_marks(&mut request);
        extending += usize::from(before.is_some_and(|before| extends(&before, &request)));
        before = Some(request);
    }
    Ok(extending)
}

/// Cache marks say where a prefix ends. They are not part of the prompt, and move.
fn without_marks(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("cache_control");
            fields.values_mut().for_each(without_marks);
        }
        Value::Array(items) => items.iter_mut().for_each(without_marks),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// The same settings and system prompt, and lists that begin as they did.
fn extends(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return false };
    before.len() == after.len()
        && before.iter().all(|(name, old)| match (old, after.get(name)) {
            (Value::Array(old), Some(Value::Array(new))) => new.starts_with(old),
            (old, new) => new == Some(old),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_the_same_extends() {
        let count = |bodies: &[&str]| extending(bodies).unwrap();
        let first = r#"{"system":"s","messages":[{"a":1,"cache_control":{}}]}"#;
        assert_eq!(count(&[first]), 0);
        assert_eq!(count(&[first, r#"{"system":"s","messages":[{"a":1},{"b":2}]}"#, first]), 1);
        assert_eq!(count(&[first, r#"{"system":"t","messages":[{"a":1},{"b":2}]}"#]), 0);
        assert_eq!(count(&[first, r#"{"system":"s","messages":[{"a":2},{"b":2}]}"#]), 0);
        assert_eq!(count(&[first, r#"{"system":"s","messages":[{"a":1}],"new":1}"#]), 0);
        assert!(extending(&["{"]).is_err());
    }
}
