//! A playbook: a task with gaps, written once by whoever knows how something is to be asked for, and begun by anybody who may begin tasks.
//!
//! It is one text: a head with its name, what it is for and its parameters, and below that the task, with `{{parameter}}` where a value goes. What
//! is not understood is refused, in the playbook as in the values. A value is put in as it is and never read as anything: not as a place for another
//! value, not as part of the head.

mod parameter;
mod words;

use std::{collections::BTreeMap, fmt, str::FromStr};

use cofferdam_domain::{
    Digest,
    hidden::{Hidden, hidden},
    task::{MAX_NAME, MAX_PROMPT, is_base},
};

pub use parameter::{Accepts, Parameter};

use crate::{FrontMatter, FrontMatterError, SkillName, Value, split};
use words::Words;

/// Bytes of a playbook.
pub const MOST_PLAYBOOK: usize = 64 * 1024;
/// Characters of a description.
const MOST_DESCRIPTION: usize = 1024;
/// Parameters of a playbook.
const MOST_PARAMETERS: usize = 32;
/// What a head may have.
const KEYS: [&str; 7] = ["name", "description", "parameters", "model", "policy", "plan_first", "base"];

/// A playbook's name: 1 to 64 small letters, digits and single hyphens between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaybookName(String);

impl PlaybookName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaybookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlaybookName {
    type Err = InvalidPlaybook;

    fn from_str(text: &str) -> Result<Self, InvalidPlaybook> {
        // As skills are called, so that nobody has to know two ways.
        let name: SkillName = text.parse().map_err(|_| InvalidPlaybook::Name)?;
        Ok(Self(name.as_str().to_owned()))
    }
}

/// Why a text is no playbook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaybook {
    /// It is too long.
    #[error("it has {0} bytes: a playbook has at most {MOST_PLAYBOOK}")]
    TooLong(usize),
    /// It has characters that no text has.
    #[error("line {0} has a control character: take it out")]
    Control(usize),
    /// It has no head.
    #[error(
        "it has no front matter: a playbook begins with a line `---`, its `name`, its `description`, its `parameters`, and a line `---`"
    )]
    NoHead,
    /// Its head cannot be read.
    #[error("{0}")]
    Head(#[from] FrontMatterError),
    /// Its head has something that nobody asks for.
    #[error("its front matter has {0:?}, which means nothing: it may have {known}", known = KEYS.join(", "))]
    Key(String),
    /// It has no name, or none that can be one.
    #[error("its `name` has to have 1 to 64 small letters, digits and single hyphens between them")]
    Name,
    /// It does not say what it is for.
    #[error("its `description` has to have 1 to {MOST_DESCRIPTION} characters in one line")]
    Description,
    /// A setting is none.
    #[error("its `{0}` {1}")]
    Setting(&'static str, &'static str),
    /// It has too many parameters.
    #[error("it has {0} parameters, at most {MOST_PARAMETERS} are accepted")]
    Parameters(usize),
    /// A parameter is none.
    #[error("the parameter {0:?} {1}")]
    Parameter(String, String),
    /// What stands below the head is no task.
    #[error("what stands below its front matter {0}")]
    Words(String),
}

/// Why values do not make a task of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValues {
    /// A value for nothing.
    #[error("there is no parameter {0:?}: {1}")]
    Unknown(String, String),
    /// A value is missing.
    #[error("the parameter {0} has no value, and needs one: {1}")]
    Missing(String, String),
    /// A value that cannot be one.
    #[error("the value of {0} {1}")]
    Value(String, String),
    /// They make too long a task.
    #[error("with these values the task has more than {MAX_PROMPT} bytes: shorten them")]
    TooLong,
}

/// A task with gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct Playbook {
    /// What it is called by.
    pub name: PlaybookName,
    /// What it is for.
    pub description: String,
    /// What is to be said each time, in the order in which it is asked for.
    pub parameters: Vec<Parameter>,
    /// The model that works on it, if one was named.
    pub model: Option<String>,
    /// The policy of the organisation's under which that happens, if one was named.
    pub policy: Option<String>,
    /// Whether the agent may change nothing before somebody has approved its plan.
    pub plan_first: bool,
    /// The ref to start from, if one was named.
    pub base: Option<String>,
    /// The digest of its text.
    pub digest: Digest,
    /// Characters of its text that cannot be seen.
    pub hidden: usize,
    words: Words,
}

impl Playbook {
    /// Reads a playbook.
    ///
    /// # Errors
    /// [`InvalidPlaybook`], which says what is to be changed.
    pub fn parse(text: &str) -> Result<Self, InvalidPlaybook> {
        if text.len() > MOST_PLAYBOOK {
            return Err(InvalidPlaybook::TooLong(text.len()));
        }
        let is_odd = |line: &str| line.strip_suffix('\r').unwrap_or(line).chars().any(is_odd_control);
        if let Some(at) = text.split('\n').position(is_odd) {
            return Err(InvalidPlaybook::Control(at + 1));
        }
        let (head, body) = split(text)?;
        let head = head.ok_or(InvalidPlaybook::NoHead)?;
        if let Some(key) = head.keys().find(|key| !KEYS.contains(key)) {
            return Err(InvalidPlaybook::Key(excerpt(key)));
        }
        let parameters = parameters(&head)?;
        let words = Words::parse(&body.replace("\r\n", "\n"), &parameters).map_err(InvalidPlaybook::Words)?;
        let description = text_of(&head, "description")?.ok_or(InvalidPlaybook::Description)?;
        if description.chars().count() > MOST_DESCRIPTION || description.contains('\n') {
            return Err(InvalidPlaybook::Description);
        }
        Ok(Self {
            name: text_of(&head, "name")?.ok_or(InvalidPlaybook::Name)?.parse()?,
            description: description.to_owned(),
            model: name_of(&head, "model")?,
            policy: name_of(&head, "policy")?,
            plan_first: flag(&head, "plan_first")
                .map_err(|problem| InvalidPlaybook::Setting("plan_first", problem))?
                .unwrap_or(false),
            base: base(&head)?,
            digest: Digest::of(text.as_bytes()),
            hidden: hidden(&text.chars().collect::<Vec<_>>()).len(),
            parameters,
            words,
        })
    }

    /// The task, with these values in their places. An empty one is none: its parameter's default is taken, where it has one.
    ///
    /// # Errors
    /// [`InvalidValues`], which names the parameter.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, InvalidValues> {
        self.fill_marked(values, &BTreeMap::new())
    }

    /// The same, where some values are others' words: each is held against its parameter like any other, and in its places stands its mark, by which it
    /// is found elsewhere. One of a few values that the playbook itself names stands there as it is.
    ///
    /// # Errors
    /// [`InvalidValues`], which names the parameter.
    pub fn fill_marked(
        &self,
        values: &BTreeMap<String, String>,
        marks: &BTreeMap<String, String>,
    ) -> Result<String, InvalidValues> {
        let known = || self.parameters.iter().map(|parameter| parameter.name.as_str()).collect::<Vec<_>>();
        if let Some(odd) = values.keys().find(|name| !known().contains(&name.as_str())) {
            let there = match known().join(", ") {
                none if none.is_empty() => "this playbook has none".to_owned(),
                some => format!("there are {some}"),
            };
            return Err(InvalidValues::Unknown(excerpt(odd), there));
        }
        let mut filled = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            let given = values.get(&parameter.name).map(String::as_str).filter(|value| !value.is_empty());
            filled.push(match given.or(parameter.default.as_deref()) {
                Some(value) => {
                    parameter
                        .check(value)
                        .map_err(|problem| InvalidValues::Value(parameter.name.clone(), problem))?;
                    let chosen = matches!(parameter.accepts, Accepts::OneOf(_)) || given.is_none();
                    marks.get(&parameter.name).filter(|_| !chosen).map_or(value, String::as_str)
                }
                None if parameter.required => {
                    let (name, wanted) = (parameter.name.clone(), parameter.description.clone());
                    return Err(InvalidValues::Missing(name, wanted));
                }
                None => "",
            });
        }
        self.words.with(&filled).ok_or(InvalidValues::TooLong)
    }
}

fn parameters(head: &FrontMatter) -> Result<Vec<Parameter>, InvalidPlaybook> {
    let tables = head.tables("parameters")?;
    match head.get("parameters") {
        Some(Value::Text(text)) if !text.is_empty() => {
            return Err(InvalidPlaybook::Setting("parameters", "are a list: each begins with `- name: …`"));
        }
        Some(Value::Nested) if tables.is_empty() => {
            return Err(InvalidPlaybook::Setting("parameters", "stand below it, each on lines of its own"));
        }
        Some(Value::List(_) | Value::Text(_) | Value::Table(_) | Value::Nested) | None => {}
    }
    if tables.len() > MOST_PARAMETERS {
        return Err(InvalidPlaybook::Parameters(tables.len()));
    }
    let mut parameters: Vec<Parameter> = Vec::with_capacity(tables.len());
    for table in &tables {
        let parameter = Parameter::of(table)?;
        if parameters.iter().any(|known| known.name == parameter.name) {
            return Err(InvalidPlaybook::Parameter(parameter.name, "is there twice".to_owned()));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

/// A text of the head; what is a list or a table is not taken for one that is missing.
fn text_of<'h>(head: &'h FrontMatter, key: &'static str) -> Result<Option<&'h str>, InvalidPlaybook> {
    match head.get(key) {
        Some(Value::List(_) | Value::Table(_) | Value::Nested) => {
            Err(InvalidPlaybook::Setting(key, "is a text: put it in quotes"))
        }
        Some(Value::Text(_)) | None => Ok(head.text(key)),
    }
}

fn name_of(head: &FrontMatter, key: &'static str) -> Result<Option<String>, InvalidPlaybook> {
    let name = text_of(head, key)?;
    if name.is_some_and(|name| name.chars().count() > MAX_NAME || name.contains(char::is_control)) {
        return Err(InvalidPlaybook::Setting(key, "is no name"));
    }
    Ok(name.map(str::to_owned))
}

fn base(head: &FrontMatter) -> Result<Option<String>, InvalidPlaybook> {
    let base = text_of(head, "base")?;
    if base.is_some_and(|base| !is_base(base)) {
        return Err(InvalidPlaybook::Setting("base", "is no name of a branch, tag or commit"));
    }
    Ok(base.map(str::to_owned))
}

/// `true` or `false` under a key.
fn flag(head: &FrontMatter, key: &str) -> Result<Option<bool>, &'static str> {
    match (head.get(key), head.text(key)) {
        (None, _) => Ok(None),
        (Some(_), Some("true")) => Ok(Some(true)),
        (Some(_), Some("false")) => Ok(Some(false)),
        (Some(_), _) => Err("is either true or false"),
    }
}

/// Control characters that say nothing in a text of several lines.
fn is_odd_control(character: char) -> bool {
    Hidden::of(character) == Some(Hidden::Control) && !matches!(character, '\t' | '\n')
}

/// As much of what somebody wrote as an error shows.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests;
