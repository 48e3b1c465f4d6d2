//! What a result has to look like: the part of JSON Schema (2020-12) that says something about plain data. What is not known is refused rather
//! than left out, so that nobody believes in a rule that nobody checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest schema, in bytes of JSON.
pub const MAX_SCHEMA: usize = 8 * 1024;
/// Schemas one inside the other.
const DEEPEST: usize = 8;
/// Schemas in all.
const MOST_NODES: usize = 200;
/// Values of an enumeration.
const MOST_VALUES: usize = 100;
/// Problems that are told of one value.
const MOST_PROBLEMS: usize = 10;

const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

/// A schema that can be checked. Its root is an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct ResultSchema(Value);

/// Why something is no such schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {at}: {why}")]
pub struct InvalidSchema {
    /// Where in it.
    pub at: String,
    /// Why, and what there may be.
    pub why: String,
}

impl TryFrom<Value> for ResultSchema {
    type Error = InvalidSchema;

    fn try_from(value: Value) -> Result<Self, InvalidSchema> {
        let invalid = |why: String| InvalidSchema { at: "$".to_owned(), why };
        let size = value.to_string().len();
        if size > MAX_SCHEMA {
            return Err(invalid(format!("a schema has at most {MAX_SCHEMA} bytes, this one {size}")));
        }
        if value.get("type").and_then(Value::as_str) != Some("object") {
            return Err(invalid("the result is an object: say \"type\": \"object\"".to_owned()));
        }
        check_schema(&value, "$", 0, &mut 0)?;
        Ok(Self(value))
    }
}

impl From<ResultSchema> for Value {
    fn from(schema: ResultSchema) -> Self {
        schema.0
    }
}

impl ResultSchema {
    /// The schema as JSON.
    #[must_use]
    pub const fn as_json(&self) -> &Value {
        &self.0
    }

    /// What is wrong with a value, if anything: each with its place.
    #[must_use]
    pub fn problems(&self, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        check(&self.0, value, "$", &mut problems);
        problems
    }
}

fn check_schema(schema: &Value, at: &str, depth: usize, nodes: &mut usize) -> Result<(), InvalidSchema> {
    let invalid = |why: &str| Err(InvalidSchema { at: shortened(at), why: why.to_owned() });
    let Some(schema) = schema.as_object() else { return invalid("a schema is an object") };
    *nodes += 1;
    if depth > DEEPEST || *nodes > MOST_NODES {
        return invalid("there are too many schemas, or too many one inside the other");
    }
    for (keyword, value) in schema {
        let fits = match keyword.as_str() {
            "type" => value.as_str().is_some_and(|name| TYPES.contains(&name)),
            "title" | "description" => value.is_string(),
            "additionalProperties" => value.is_boolean(),
            "minItems" | "maxItems" | "minLength" | "maxLength" => value.is_u64(),
            "minimum" | "maximum" => value.is_number(),
            "enum" => value.as_array().is_some_and(|all| (1..=MOST_VALUES).contains(&all.len())),
            "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
            "items" => {
                check_schema(value, &format!("{at}.items"), depth + 1, nodes)?;
                true
            }
            "properties" => {
                let Some(properties) = value.as_object() else { return invalid("properties is an object") };
                for (name, property) in properties {
                    check_schema(property, &format!("{at}.{name}"), depth + 1, nodes)?;
                }
                true
            }
            _ => {
                return Err(InvalidSchema {
                    at: shortened(at),
                    why: format!(
                        "{:?} is not known here; there are type, properties, required, additionalProperties, items, enum, minItems, maxItems, \
                         minLength, maxLength, minimum, maximum, title, description",
                        shortened(keyword)
                    ),
                });
            }
        };
        if !fits {
            return Err(InvalidSchema {
                at: shortened(at),
                why: format!("the value of {keyword:?} does not fit it"),
            });
        }
    }
    Ok(())
}

fn check(schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    let mut problem = |text: String| {
        if problems.len() < MOST_PROBLEMS {
            problems.push(format!("{}: {text}", shortened(at)));
        }
    };
    if let Some(wanted) = schema.get("type").and_then(Value::as_str)
        && !is_of_type(value, wanted)
    {
        return problem(format!("must be of type {wanted}"));
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array)
        && !all.contains(value)
    {
        problem(format!("must be one of {}", shortened(&Value::from(all.clone()).to_string())));
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    let mut counted = |what: &str, least: Option<u64>, most: Option<u64>, count: usize| {
        let count = count as u64;
        if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
            let least = least.unwrap_or_default();
            let most = most.map_or_else(|| "any number".to_owned(), |most| most.to_string());
            problem(format!("must have {least} to {most} {what}, has {count}"));
        }
    };
    match value {
        Value::String(text) => {
            counted("characters", bound("minLength"), bound("maxLength"), text.chars().count());
        }
        Value::Array(items) => {
            counted("items", bound("minItems"), bound("maxItems"), items.len());
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    check(schema, item, &format!("{at}[{index}]"), problems);
                }
            }
        }
        Value::Number(number) => {
            let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
            let number = number.as_f64().unwrap_or_default();
            if limit("minimum").is_some_and(|least| number < least)
                || limit("maximum").is_some_and(|most| number > most)
            {
                problem("is out of its range".to_owned());
            }
        }
        Value::Object(object) => check_object(schema, object, at, problems),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_object(schema: &Value, object: &Map<String, Value>, at: &str, problems: &mut Vec<String>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for name in required.iter().filter_map(Value::as_str).filter(|name| !object.contains_key(*name)) {
        if problems.len() < MOST_PROBLEMS {
            problems.push(format!("{}: {:?} is missing", shortened(at), shortened(name)));
        }
    }
    let closed = schema.get("additionalProperties").and_then(Value::as_bool) == Some(false);
    for (name, value) in object {
        match properties.and_then(|properties| properties.get(name)) {
            Some(schema) => check(schema, value, &format!("{at}.{name}"), problems),
            None if closed && problems.len() < MOST_PROBLEMS => {
                problems.push(format!("{}: {:?} is not wanted", shortened(at), shortened(name)));
            }
            None => {}
        }
    }
}

fn is_of_type(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Null => wanted == "null",
        Value::Bool(_) => wanted == "boolean",
        Value::String(_) => wanted == "string",
        Value::Array(_) => wanted == "array",
        Value::Object(_) => wanted == "object",
        Value::Number(number) => {
            let whole = number.is_u64()
                || number.is_i64()
                || number.as_f64().is_some_and(|float| float.fract() == 0.0);
            wanted == "number" || wanted == "integer" && whole
        }
    }
}

/// A place or a name, as much of it as is told.
fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema(value: Value) -> ResultSchema {
        value.try_into().unwrap()
    }

    #[test]
    fn what_a_value_lacks_is_said_with_its_place() {
        let schema = schema(json!({
            "type": "object",
            "properties": {
                "files": {"type": "array", "maxItems": 2, "items": {"type": "string", "minLength": 1}},
                "risk": {"enum": ["low", "high"]},
                "lines": {"type": "integer", "minimum": 1},
            },
            "required": ["files"],
            "additionalProperties": false,
        }));
        assert!(schema.problems(&json!({"files": ["a"], "risk": "low", "lines": 3.0})).is_empty());
        for (value, told) in [
            (json!([]), "$: must be of type object"),
            (json!({}), "$: \"files\" is missing"),
            (json!({"files": ["a", ""]}), "$.files[1]: must have 1 to any number characters, has 0"),
            (json!({"files": ["a", "b", "c"]}), "$.files: must have 0 to 2 items, has 3"),
            (json!({"files": [], "risk": "none"}), "$.risk: must be one of [\"low\",\"high\"]"),
            (json!({"files": [], "lines": 0}), "$.lines: is out of its range"),
            (json!({"files": [], "lines": 1.5}), "$.lines: must be of type integer"),
            (json!({"files": [], "more": 1}), "$: \"more\" is not wanted"),
        ] {
            assert_eq!(schema.problems(&value), [told], "{value}");
        }
        let many: Vec<Value> = (0..100).map(|_| json!(1)).collect();
        assert!(schema.problems(&json!({"files": many})).len() <= MOST_PROBLEMS);
    }

    #[test]
    fn what_is_not_checked_is_refused() {
        let deep =
            (0..20).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
        for (value, told) in [
            (json!({"type": "string"}), "$: the result is an object: say \"type\": \"object\""),
            (json!({"type": "object", "$ref": "#"}), "\"$ref\" is not known here"),
            (json!({"type": "object", "pattern": "(a+)+$"}), "\"pattern\" is not known here"),
            (json!({"type": "object", "properties": {"a": {"type": "text"}}}), "$.a: the value of \"type\""),
            (json!({"type": "object", "properties": {"a": deep}}), "too many"),
            (json!({"type": "object", "title": "x".repeat(9000)}), "at most 8192 bytes"),
        ] {
            let error = ResultSchema::try_from(value).unwrap_err().to_string();
            assert!(format!("at {told}").starts_with(&error) || error.contains(told), "{error}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z$]{0,12}".prop_map(Value::from),
            Just(json!("object")),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let name = prop_oneof![
                Just("type".to_owned()),
                Just("properties".to_owned()),
                Just("items".to_owned()),
                "[a-z]{1,6}".prop_map(String::from)
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_told_is_bounded(mut schema in any_value(), value in any_value()) {
            if let Some(object) = schema.as_object_mut() {
                object.insert("type".to_owned(), json!("object"));
            }
            match ResultSchema::try_from(schema) {
                Ok(schema) => prop_assert!(schema.problems(&value).iter().map(String::len).sum::<usize>() < 4096),
                Err(error) => prop_assert!(error.to_string().len() < 1024),
            }
        }
    }
}
