//! Which deliveries are of interest.

use serde::Deserialize;
use serde_json::Value;

use super::is_pointer;

/// One condition of a `[[hook]]` table: what a delivery has in a place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionSettings {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// It is this: a text, a number, or true or false.
    pub is: Option<Value>,
    /// It is one of these.
    pub one_of: Option<Vec<Value>>,
    /// It is a list with this in it.
    pub contains: Option<Value>,
    /// Whether there is something.
    pub exists: Option<bool>,
}

/// What a delivery must have in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pointer: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    OneOf(Vec<Value>),
    Contains(Value),
    Exists(bool),
}

impl ConditionSettings {
    pub(super) fn condition(&self) -> Result<Condition, String> {
        let Self { pointer, is, one_of, contains, exists } = self.clone();
        if !is_pointer(&pointer) {
            return Err(format!("{pointer:?} is no JSON pointer, such as /data/action"));
        }
        let wanted = match (is, one_of, contains, exists) {
            (Some(value), None, None, None) => Wanted::OneOf(vec![value]),
            (None, Some(values), None, None) if !values.is_empty() => Wanted::OneOf(values),
            (None, None, Some(value), None) => Wanted::Contains(value),
            (None, None, None, Some(exists)) => Wanted::Exists(exists),
            _ => {
                return Err(format!(
                    "the condition on {pointer:?} has one of `is`, `one_of`, `contains` and `exists`"
                ));
            }
        };
        let plain = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
        let all_plain = match &wanted {
            Wanted::OneOf(values) => values.iter().all(plain),
            Wanted::Contains(value) => plain(value),
            Wanted::Exists(_) => true,
        };
        if !all_plain {
            return Err(format!("the condition on {pointer:?} is about a text, a number, or true or false"));
        }
        Ok(Condition { pointer, wanted })
    }
}

impl Condition {
    /// Where it looks.
    pub(super) fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Whether a delivery meets it.
    pub(super) fn holds(&self, body: &Value) -> bool {
        let found = body.pointer(&self.pointer).filter(|value| !value.is_null());
        match &self.wanted {
            Wanted::OneOf(values) => found.is_some_and(|found| values.contains(found)),
            Wanted::Contains(value) => {
                found.and_then(Value::as_array).is_some_and(|list| list.contains(value))
            }
            Wanted::Exists(exists) => found.is_some() == *exists,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(text: &str) -> Result<Condition, String> {
        let settings: ConditionSettings = toml::from_str(text).map_err(|error| error.to_string())?;
        settings.condition()
    }

    #[test]
    fn a_condition_holds_or_not() {
        let body = json!({ "action": "created", "n": 3, "yes": true, "labels": ["a", "b"], "none": null });
        for (text, holds) in [
            ("pointer = '/action'\nis = 'created'", true),
            ("pointer = '/action'\nis = 'removed'", false),
            ("pointer = '/n'\nis = 3", true),
            ("pointer = '/n'\nis = '3'", false),
            ("pointer = '/yes'\nis = true", true),
            ("pointer = '/action'\none_of = ['removed', 'created']", true),
            ("pointer = '/labels'\ncontains = 'b'", true),
            ("pointer = '/labels'\ncontains = 'c'", false),
            ("pointer = '/action'\ncontains = 'created'", false),
            ("pointer = '/none'\nexists = true", false),
            ("pointer = '/nothing'\nexists = false", true),
            ("pointer = '/labels/1'\nis = 'b'", true),
        ] {
            assert_eq!(condition(text).unwrap().holds(&body), holds, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in [
            "pointer = 'action'\nis = 1",
            "pointer = '/a'",
            "pointer = '/a'\nis = 1\nexists = true",
            "pointer = '/a'\none_of = []",
            "pointer = '/a'\nis = []",
            "pointer = '/a'\nmatches = 'x'",
        ] {
            assert!(condition(text).is_err(), "{text}");
        }
    }
}
