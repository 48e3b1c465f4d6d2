//! How much of each request a provider's prompt cache could serve: the part that is byte for byte the beginning of the request before.

use serde_json::Value;

/// What a model reads, in the order in which it does: tools, system prompt, messages. Cache marks say where a prefix ends, and are no part of it.
pub(super) fn canonical(mut body: Value) -> Vec<u8> {
    without_marks(&mut body);
    let mut text = Vec::new();
    for name in ["tools", "instructions", "system", "messages", "input"] {
        match body.get(name) {
            Some(Value::Array(items)) => items.iter().for_each(|item| text.extend(item.to_string().bytes())),
            Some(other) => text.extend(other.to_string().bytes()),
            None => {}
        }
    }
    text
}

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

/// Prompts one after another.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    before: Option<Vec<u8>>,
    /// Requests that contain the one before whole.
    pub(super) extending: usize,
    same: usize,
    all: usize,
}

impl Prompts {
    pub(super) fn add(&mut self, prompt: Vec<u8>) {
        self.all += prompt.len();
        if let Some(before) = &self.before {
            let same = before.iter().zip(&prompt).take_while(|(old, new)| old == new).count();
            self.same += same;
            self.extending += usize::from(same == before.len());
        }
        self.before = Some(prompt);
    }

    /// The share of all bytes that a perfect cache could serve.
    pub(super) fn kept(&self) -> f64 {
        self.same as f64 / self.all.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_begins_the_same_is_kept() {
        let mut prompts = Prompts::default();
        let first = json!({ "messages": [{ "a": 1, "cache_control": {} }], "tools": ["t"] });
        let second = json!({ "tools": ["t"], "messages": [{ "a": 1 }, { "b": 2 }] });
        let third = json!({ "tools": ["t"], "messages": [{ "c": 1 }] });
        for body in [first, second, third] {
            prompts.add(canonical(body));
        }
        assert_eq!(prompts.extending, 1);
        // "t"{"a":1} is 10 bytes, with {"b":2} 17; the third has "t"{" in common with it.
        assert!((prompts.kept() - 15.0 / 37.0).abs() < 1e-9, "{}", prompts.kept());
    }
}
