//! Arguments of one call: parsed, renamed, checked, with errors from which a model can write the call again.

use cofferdam_domain::ToolCall;
use serde_json::{Map, Value};

use super::definition::{Definition, Field, Kind, signature};
use crate::{text::closest, tool::Failure};

/// Arguments of some tools that only comment on the call. Models trained on those tools send them anywhere.
const COMMENTARY: [&str; 6] =
    ["description", "explanation", "justification", "reasoning", "security_risk", "thought"];

/// Problems of one call that are told.
const MAX_PROBLEMS: usize = 20;

/// Checked arguments: every required field is there, and every field has its kind.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Understands what the model wrote.
    pub(crate) fn of(call: &ToolCall, definition: &Definition) -> Result<Self, Failure> {
        let mut object = parse(&call.arguments, definition.bare).map_err(|problem| {
            Failure(format!(
                "The arguments of {} are not a JSON object: {problem}\nExample: {}",
                definition.name, definition.example
            ))
        })?;
        (definition.adapt)(&mut object);
        let mut problems = Vec::new();
        let checked = check(object, definition.fields, "", &mut problems);
        if problems.is_empty() {
            return Ok(Self(checked));
        }
        Err(Failure(format!(
            "Bad arguments for {}:\n- {}\nIt takes: {}\nExample: {}",
            definition.name,
            shown_problems(&problems),
            signature(definition.fields),
            definition.example
        )))
    }

    /// A text; empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_default()
    }

    /// A text, if it is there.
    pub(crate) fn optional_text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A number, if it is there.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// A place, if it is there.
    pub(crate) fn point(&self, name: &str) -> Option<(u64, u64)> {
        match self.0.get(name)?.as_array()?.as_slice() {
            [x, y] => Some((x.as_u64()?, y.as_u64()?)),
            _ => None,
        }
    }

    /// Whether a flag is set.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// An object of any form, if it is there.
    pub(crate) fn object(&self, name: &str) -> Option<Value> {
        self.0.get(name).filter(|value| value.is_object()).cloned()
    }

    /// The objects of a list.
    pub(crate) fn items(&self, name: &str) -> Vec<Self> {
        let items = self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).cloned().map(Self).collect()
    }
}

fn shown_problems(problems: &[String]) -> String {
    let shown = problems[..problems.len().min(MAX_PROBLEMS)].join("\n- ");
    match problems.len().saturating_sub(MAX_PROBLEMS) {
        0 => shown,
        more => format!("{shown}\n- and {more} more"),
    }
}

/// A JSON object, also one that was encoded twice. Nothing at all counts as an empty object; a bare text is
/// the argument `bare`.
fn parse(text: &str, bare: Option<&str>) -> Result<Map<String, Value>, String> {
    let start = text.trim_start();
    if start.is_empty() {
        return Ok(Map::new());
    }
    if let Some(name) = bare
        && !start.starts_with(['{', '[', '"'])
    {
        return Ok(Map::from_iter([(name.to_owned(), Value::from(text))]));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) | Err(_) => Err("they are a string.".to_owned()),
        },
        Ok(other) => Err(format!("they are {}.", kind_of(&other))),
        Err(error) if error.is_eof() => Err(format!(
            "they end too early, after {} bytes. If your answer was cut at its length limit, do the work in smaller calls.",
            text.len()
        )),
        Err(error) => Err(format!("{error}, here: {}", around(text, &error))),
    }
}

/// The text around a parse error, with a mark where it was noticed.
fn around(text: &str, error: &serde_json::Error) -> String {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = text.floor_char_boundary(before + error.column().saturating_sub(1));
    let from = text.floor_char_boundary(at.saturating_sub(40));
    let to = text.ceil_char_boundary((at + 40).min(text.len()));
    format!("{}⟨here⟩{}", &text[from..at], &text[at..to]).replace('\n', "⏎")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The fields under their own names, with values of their own kinds. What does not fit is described in
/// `problems`.
fn check(
    object: Map<String, Value>,
    fields: &[Field],
    prefix: &str,
    problems: &mut Vec<String>,
) -> Map<String, Value> {
    let mut checked = Map::new();
    for (name, value) in object {
        if value.is_null() {
            continue;
        }
        let Some(field) = find(fields, &name) else {
            if !COMMENTARY.contains(&name.as_str()) {
                problems.push(unknown(&name, fields, prefix));
            }
            continue;
        };
        match take(value, field, &format!("{prefix}{}", field.name), problems) {
            // The field's own name wins over an alias.
            Some(value) if name == field.name => {
                checked.insert(name, value);
            }
            Some(value) => {
                checked.entry(field.name).or_insert(value);
            }
            None => {}
        }
    }
    for field in fields.iter().filter(|field| field.required && !checked.contains_key(field.name)) {
        // A field that was there but did not fit has its own line already.
        let named = format!("`{prefix}{}`", field.name);
        if !problems.iter().any(|problem| problem.starts_with(&named)) {
            problems.push(format!("{named} is missing: {}", field.expectation()));
        }
    }
    checked
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    let plain = plain(name);
    fields.iter().find(|field| {
        field.name == name || self::plain(field.name) == plain || field.aliases.contains(&plain.as_str())
    })
}

/// A name without regard to its case and separators: `filePath`, `file-path` and `file_path` are one.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

fn unknown(name: &str, fields: &[Field], prefix: &str) -> String {
    let name: String = name.chars().take(60).collect();
    match closest(&name, fields.iter().map(|field| field.name)) {
        Some(near) => format!("`{prefix}{name}` is unknown; did you mean `{near}`?"),
        None => format!("`{prefix}{name}` is unknown"),
    }
}

/// The value as the field's kind, with the slips that models make mended: numbers and flags as strings, lists
/// as JSON text.
fn take(value: Value, field: &Field, path: &str, problems: &mut Vec<String>) -> Option<Value> {
    let taken = match (&field.kind, &value) {
        (Kind::Text | Kind::CommandLine, Value::String(_)) => Some(value.clone()),
        (Kind::CommandLine, Value::Array(words)) => command_line(words),
        (Kind::Count { least, most }, Value::Number(_) | Value::String(_)) => {
            whole_number(&value).filter(|number| number >= least).map(|number| Value::from(number.min(*most)))
        }
        (Kind::Point, Value::Array(_)) => point(&value),
        (Kind::Point, Value::String(text)) => serde_json::from_str(text).ok().and_then(|value| point(&value)),
        (Kind::Flag, Value::Bool(_)) => Some(value.clone()),
        (Kind::Flag, Value::String(word)) => word.to_lowercase().parse().ok().map(Value::Bool),
        (Kind::Choice { words, aliases }, Value::String(word)) => choice(words, aliases, word),
        (Kind::Word { known }, Value::String(word)) => {
            choice(known, &[], word).or_else(|| Some(word.trim().into()))
        }
        (Kind::Object, Value::Object(_)) => Some(value.clone()),
        (Kind::Object, Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object),
        (Kind::Items(fields), _) => return items(&value, fields, field, path, problems),
        (
            Kind::Text
            | Kind::CommandLine
            | Kind::Count { .. }
            | Kind::Point
            | Kind::Flag
            | Kind::Choice { .. }
            | Kind::Word { .. }
            | Kind::Object,
            _,
        ) => None,
    };
    if taken.is_none() {
        problems.push(format!("`{path}` must be {}, not {}", field.expectation(), shown(&value)));
    }
    taken
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let text = value.to_string();
            if text.chars().count() <= 60 {
                return text;
            }
            format!("{}…", text.chars().take(60).collect::<String>())
        }
        Value::Array(list) if list.is_empty() => "an empty list".to_owned(),
        Value::Null | Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
    }
}

fn whole_number(value: &Value) -> Option<u64> {
    let float = match value {
        Value::Number(number) => match number.as_u64() {
            Some(whole) => return Some(whole),
            None => number.as_f64()?,
        },
        Value::String(text) => return text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    // 2^53: up to here every whole number has one f64.
    (float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
}

/// Parts of pixels are left out.
fn point(value: &Value) -> Option<Value> {
    let [x, y] = value.as_array()?.as_slice() else { return None };
    let side = |value: &Value| match value.as_f64() {
        Some(parts) if parts.fract() != 0.0 => whole_number(&parts.floor().into()),
        Some(_) | None => whole_number(value),
    };
    Some(Value::from(vec![side(x)?, side(y)?]))
}

fn choice(words: &[&str], aliases: &[(&str, &str)], given: &str) -> Option<Value> {
    let plain = plain(given);
    let word = words.iter().find(|word| self::plain(word) == plain).copied();
    let other = || aliases.iter().find(|(other, _)| self::plain(other) == plain).map(|(_, word)| *word);
    word.or_else(other).map(Value::from)
}

fn items(
    value: &Value,
    fields: &[Field],
    field: &Field,
    path: &str,
    problems: &mut Vec<String>,
) -> Option<Value> {
    let decoded = match value.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        None => value.clone(),
    };
    let list = match decoded {
        Value::Array(list) if !list.is_empty() => list,
        Value::Object(_) => vec![decoded],
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            problems.push(format!("`{path}` must be {}, not {}", field.expectation(), shown(value)));
            return None;
        }
    };
    let mut checked = Vec::with_capacity(list.len());
    for (index, item) in list.into_iter().enumerate() {
        let at = format!("{path}[{index}]");
        if let Value::Object(item) = item {
            checked.push(Value::Object(check(item, fields, &format!("{at}."), problems)));
        } else {
            let expected = signature(fields);
            problems.push(format!("`{at}` must be an object with {expected}, not {}", shown(&item)));
        }
    }
    Some(Value::Array(checked))
}

/// A command line from a list: the script of `sh -c script`, else every word quoted where it needs to be.
fn command_line(words: &[Value]) -> Option<Value> {
    let words: Vec<&str> = words.iter().map(Value::as_str).collect::<Option<_>>()?;
    if let [shell, flag, script] = words.as_slice()
        && matches!(*shell, "bash" | "sh" | "/bin/bash" | "/bin/sh" | "/usr/bin/bash" | "/usr/bin/sh")
        && matches!(*flag, "-c" | "-lc" | "-ec" | "-cl")
    {
        return Some((*script).into());
    }
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Some(quoted.join(" ").into())
}

fn quoted(word: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::definition::as_they_are;

    const PART: &[Field] = &[
        Field::required("old_text", Kind::Text, "").or(&["oldstring"]),
        Field::optional("all", Kind::Flag, ""),
    ];
    static DEFINITION: Definition = Definition {
        name: "sample",
        description: "",
        fields: &[
            Field::required("path", Kind::Text, "").or(&["filepath"]),
            Field::optional("limit", Kind::Count { least: 1, most: 100 }, ""),
            Field::optional("run", Kind::CommandLine, ""),
            Field::optional(
                "state",
                Kind::Choice { words: &["in_progress", "done"], aliases: &[("completed", "done")] },
                "",
            ),
            Field::optional("parts", Kind::Items(PART), ""),
        ],
        parallel: true,
        read_only: false,
        example: r#"{"path":"a"}"#,
        adapt: as_they_are,
        bare: None,
    };

    fn arguments(text: &str) -> Result<Arguments, String> {
        let call =
            ToolCall { provider_id: "x".into(), name: "sample".into(), arguments: text.into(), opaque: None };
        Arguments::of(&call, &DEFINITION).map_err(|failure| failure.0)
    }

    #[test]
    fn slips_are_mended_quietly() {
        let taken = arguments(
            r#"{"filePath":"a","limit":"7","state":"Completed","run":["bash","-lc","ls | wc"],
                "parts":"[{\"old_string\":\"x\",\"all\":\"True\"}]","description":"why","unused":null}"#,
        )
        .unwrap();
        assert_eq!(taken.text("path"), "a");
        assert_eq!(taken.count("limit"), Some(7));
        assert_eq!(taken.text("state"), "done");
        assert_eq!(taken.text("run"), "ls | wc");
        assert_eq!(taken.items("parts")[0].text("old_text"), "x");
        assert!(taken.items("parts")[0].flag("all"));
        assert_eq!(arguments(r#"{"path":"a","limit":1e9}"#).unwrap().count("limit"), Some(100));
        assert_eq!(
            arguments(r#"{"path":"a","run":["echo","it's"]}"#).unwrap().text("run"),
            r"echo 'it'\''s'"
        );
        assert_eq!(arguments(r#""{\"path\":\"a\"}""#).unwrap().text("path"), "a");
        assert_eq!(arguments(r#"{"path":"own","file_path":"alias"}"#).unwrap().text("path"), "own");
    }

    #[test]
    fn errors_name_field_and_remedy() {
        insta::assert_snapshot!(
            arguments(r#"{"limt":5,"state":"later","parts":[{"all":1},3],"limit":0}"#).unwrap_err()
        );
        insta::assert_snapshot!(arguments("{\"path\": \"a\",\n \"limit\": }").unwrap_err());
        insta::assert_snapshot!(arguments(r#"{"path":"a/very/long"#).unwrap_err());
        insta::assert_snapshot!(arguments("[1]").unwrap_err());
    }

    proptest! {
        #[test]
        fn nothing_panics_and_errors_are_bounded(text in ".{0,200}") {
            if let Err(problem) = arguments(&text) {
                prop_assert!(problem.len() < 2000);
            }
        }

        #[test]
        fn quoting_keeps_every_word_apart(words in prop::collection::vec("[a-z '\"$`\\\\]{0,8}", 1..5)) {
            let values: Vec<Value> = words.iter().map(|word| Value::from(word.as_str())).collect();
            let line = command_line(&values).unwrap();
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf '%s\\n' {}", line.as_str().unwrap())])
                .output()
                .unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), words.join("\n") + "\n");
        }
    }
}
