//! A parameter of a playbook, and what may be its value.

use cofferdam_domain::hidden::Hidden;
use regex::{Regex, RegexBuilder};

use super::{InvalidPlaybook, excerpt, flag, is_odd_control};
use crate::{FrontMatter, Value};

/// Characters of a value where nothing else is said, and the most that can be said.
const USUAL: usize = 1_000;
const LONGEST: usize = 20_000;
/// Values to choose from, and the characters of one.
const MOST_CHOICES: usize = 50;
const LONGEST_CHOICE: usize = 200;
/// Characters of a name, a description and a pattern.
const LONGEST_NAME: usize = 40;
const LONGEST_DESCRIPTION: usize = 300;
const LONGEST_PATTERN: usize = 500;
/// Bytes of a compiled pattern.
const PATTERN_SIZE: usize = 1 << 20;
/// What a parameter may say of itself.
const KEYS: [&str; 8] =
    ["name", "description", "required", "default", "one_of", "pattern", "max_length", "multiline"];

/// What is to be said each time that a playbook is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// What it is called by: a letter, then letters, digits, `_` and `-`.
    pub name: String,
    /// What it is, for whoever fills it in; may be empty.
    pub description: String,
    /// Whether there must be a value.
    pub required: bool,
    /// The value where none is given.
    pub default: Option<String>,
    /// What may be its value.
    pub accepts: Accepts,
}

/// What may be a parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepts {
    /// One of these.
    OneOf(Vec<String>),
    /// A text.
    Text {
        /// Characters that it has at most.
        max_length: usize,
        /// Whether it may have several lines.
        multiline: bool,
        /// A regular expression that it meets as a whole.
        pattern: Option<String>,
    },
}

impl Parameter {
    pub(super) fn of(table: &FrontMatter) -> Result<Self, InvalidPlaybook> {
        let name = table.text("name").unwrap_or_default();
        let wrong = |problem: &str| InvalidPlaybook::Parameter(excerpt(name), problem.to_owned());
        let is_word =
            |character: char| character.is_ascii_lowercase() || matches!(character, '0'..='9' | '_' | '-');
        let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins || name.len() > LONGEST_NAME || !name.chars().all(is_word) {
            return Err(wrong(
                "has to have a `name` of at most 40 small letters, digits, `_` and `-` that begins with a letter",
            ));
        }
        if let Some(key) = table.keys().find(|key| !KEYS.contains(key)) {
            let known = KEYS.join(", ");
            return Err(wrong(&format!("has {:?}, which means nothing: it may have {known}", excerpt(key))));
        }
        let is_no_text = |key: &&&str| !matches!(table.get(key), Some(Value::Text(_)) | None);
        if let Some(key) = KEYS.iter().filter(|key| **key != "one_of").find(is_no_text) {
            return Err(wrong(&format!("has to have a text as its `{key}`: put it in quotes")));
        }
        let description = table.text("description").unwrap_or_default();
        if description.chars().count() > LONGEST_DESCRIPTION || description.contains('\n') {
            return Err(wrong("has to have a `description` of at most 300 characters in one line"));
        }
        let default = table.text("default").map(str::to_owned);
        let required =
            flag(table, "required").map_err(|problem| wrong(&format!("has `required`, which {problem}")))?;
        if required == Some(true) && default.is_some() {
            return Err(wrong("is `required` and has a `default`: leave out one of them"));
        }
        let parameter = Self {
            name: name.to_owned(),
            description: description.to_owned(),
            required: required.unwrap_or(true) && default.is_none(),
            accepts: accepts(table).map_err(|problem| wrong(&problem))?,
            default,
        };
        if let Some(default) = &parameter.default {
            parameter.check(default).map_err(|problem| wrong(&format!("has a `default` that {problem}")))?;
        }
        Ok(parameter)
    }

    /// Whether a text may be its value; why not, as the end of a sentence.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        match &self.accepts {
            Accepts::OneOf(choices) if choices.iter().any(|choice| choice == value) => Ok(()),
            Accepts::OneOf(choices) => Err(format!("is none of {}", choices.join(", "))),
            Accepts::Text { max_length, multiline, pattern } => {
                let length = value.chars().count();
                if length > *max_length {
                    return Err(format!("has {length} characters, at most {max_length} are accepted"));
                }
                check_characters(value, *multiline)?;
                match pattern {
                    Some(pattern) if !compiled(pattern)?.is_match(value) => {
                        Err(format!("does not fit `{pattern}`"))
                    }
                    Some(_) | None => Ok(()),
                }
            }
        }
    }
}

fn check_characters(value: &str, multiline: bool) -> Result<(), String> {
    let odd = value.chars().find(|character| match character {
        '\n' | '\t' => !multiline,
        other => is_odd_control(*other),
    });
    match odd {
        None => Ok(()),
        Some('\n') => Err("has to be one line".to_owned()),
        Some(odd) => Err(format!("has a control character (U+{:04X}): take it out", u32::from(odd))),
    }
}

fn accepts(table: &FrontMatter) -> Result<Accepts, String> {
    let of_text = ["pattern", "max_length", "multiline"].into_iter().find(|key| table.get(key).is_some());
    if let Some(choices) = table.get("one_of") {
        let Value::List(choices) = choices else {
            return Err("has to have a list as its `one_of`, such as [\"a\", \"b\"]".to_owned());
        };
        if let Some(key) = of_text {
            return Err(format!("has `one_of` and `{key}`: leave out one of them"));
        }
        let fits = |choice: &String| {
            (1..=LONGEST_CHOICE).contains(&choice.chars().count())
                && choice.chars().all(|character| Hidden::of(character).is_none())
        };
        if choices.is_empty() || choices.len() > MOST_CHOICES || !choices.iter().all(fits) {
            return Err(format!(
                "has to have 1 to {MOST_CHOICES} texts in its `one_of`, each with 1 to {LONGEST_CHOICE} characters, none of them invisible"
            ));
        }
        return Ok(Accepts::OneOf(choices.clone()));
    }
    let max_length = match table.text("max_length") {
        None => USUAL,
        Some(number) => number
            .parse()
            .ok()
            .filter(|number| (1..=LONGEST).contains(number))
            .ok_or_else(|| format!("has to have a number from 1 to {LONGEST} as its `max_length`"))?,
    };
    let pattern = table.text("pattern").map(str::to_owned);
    if let Some(pattern) = &pattern {
        compiled(pattern)?;
    }
    let multiline =
        flag(table, "multiline").map_err(|problem| format!("has `multiline`, which {problem}"))?;
    Ok(Accepts::Text { max_length, multiline: multiline.unwrap_or(false), pattern })
}

/// The pattern, to be met as a whole. It takes time in proportion to the value, whatever it is.
fn compiled(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!("has a `pattern` of more than {LONGEST_PATTERN} bytes"));
    }
    // By itself first: what closes a group of its own must not close the one around it.
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
    let built = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
    built.map_err(|_| "has a `pattern` that is no regular expression, or too large a one".to_owned())
}
