//! The transcript's file format, read strictly.

use std::io;

use cofferdam_domain::{
    event::{EditFormat, ModelInfo},
    message::Family,
};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The largest transcript that is read, in bytes.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// What Cofferdam's agent says when it asks for a summary.
const SUMMARISE: &str = "near the end of the context window";

/// A transcript, checked.
#[derive(Debug, Clone)]
pub struct Transcript {
    pub(super) info: ModelInfo,
    pub(super) after: After,
    pub(super) steps: Vec<Step>,
    pub(super) summary: Option<Summary>,
}

/// What is wrong with a transcript.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    /// It is not TOML, or has unknown or missing keys.
    #[error("it is not a transcript: see the documentation of the format")]
    Format(#[from] toml::de::Error),
    /// A step contradicts itself.
    #[error("{step}: {what}")]
    Step {
        /// Which.
        step: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What follows the last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum After {
    /// The next request fails.
    #[default]
    Fail,
    /// The last step again and again.
    Repeat,
    /// Answers without content.
    Silence,
}

/// A failure to play before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which.
    pub kind: FaultKind,
    /// How many tries fail.
    #[serde(default = "once")]
    pub times: u32,
}

/// The failures that a transcript can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is cut in the middle of the answer.
    Disconnect,
    /// The provider says that it is overloaded.
    Overload,
}

const fn once() -> u32 {
    1
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) contains: Vec<String>,
    pub(super) lacks: Vec<String>,
    pub(super) matches: Option<Regex>,
    pub(super) find: Vec<Regex>,
    pub(super) reasoning: String,
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    pub(super) stop: Option<Stop>,
    pub(super) fault: Option<Fault>,
    pub(super) delay_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) tool: String,
    pub(super) arguments: Arguments,
}

#[derive(Debug, Clone)]
pub(super) enum Arguments {
    Object(Map<String, Value>),
    Raw(String),
}

#[derive(Debug, Clone)]
pub(super) struct Summary {
    pub(super) when: Regex,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stop {
    EndTurn,
    ToolUse,
    MaxTokens,
    Refusal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    after: After,
    #[serde(default)]
    context_window: Option<u64>,
    #[serde(default)]
    max_output: Option<u32>,
    #[serde(default)]
    edits: Option<EditFormat>,
    #[serde(default)]
    images: bool,
    #[serde(default, rename = "step")]
    steps: Vec<StepTable>,
    #[serde(default)]
    summary: Option<SummaryTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SummaryTable {
    #[serde(default)]
    when: Option<String>,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepTable {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    expect: Expect,
    #[serde(default)]
    find: Vec<String>,
    #[serde(default)]
    reasoning: String,
    #[serde(default)]
    text: String,
    #[serde(default, rename = "call")]
    calls: Vec<CallTable>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    fault: Option<Fault>,
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expect {
    contains: Vec<String>,
    lacks: Vec<String>,
    matches: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallTable {
    tool: String,
    #[serde(default)]
    args: Option<Map<String, Value>>,
    #[serde(default)]
    json: Option<String>,
    #[serde(default)]
    raw: Option<String>,
}

impl Transcript {
    /// Reads a transcript.
    ///
    /// # Errors
    /// When the text is not TOML of the form that the module's documentation shows.
    pub fn parse(text: &str) -> Result<Self, TranscriptError> {
        let file: File = toml::from_str(text)?;
        let info = ModelInfo {
            provider: "scripted".to_owned(),
            name: file.name,
            family: Family::Scripted,
            context_window: file.context_window.unwrap_or(200_000),
            max_output: file.max_output.unwrap_or(32_000),
            prices: None,
            edits: file.edits.unwrap_or(EditFormat::Replace),
            images: file.images,
            transcript: None,
        };
        let steps = file
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| step.check(index))
            .collect::<Result<Vec<_>, _>>()?;
        if steps.is_empty() {
            return Err(wrong("transcript", "it has no [[step]]"));
        }
        let summary = file.summary.map(|summary| {
            let when = regex("summary", summary.when.as_deref().unwrap_or(SUMMARISE))?;
            Ok::<_, TranscriptError>(Summary { when, text: summary.text })
        });
        Ok(Self { info, after: file.after, steps, summary: summary.transpose()? })
    }

    /// What the agent is told about the model that plays it.
    #[must_use]
    pub const fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// How many steps it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.steps.len()
    }

    /// Never: a transcript without steps does not parse.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl StepTable {
    fn check(self, index: usize) -> Result<Step, TranscriptError> {
        let name = self.name.unwrap_or_else(|| format!("step {}", index + 1));
        let matches = self.expect.matches.map(|text| regex(&name, &text)).transpose()?;
        let find = self.find.iter().map(|text| regex(&name, text)).collect::<Result<_, _>>()?;
        let calls = self.calls.into_iter().map(|call| call.check(&name)).collect::<Result<_, _>>()?;
        Ok(Step {
            contains: self.expect.contains,
            lacks: self.expect.lacks,
            matches,
            find,
            reasoning: self.reasoning,
            text: self.text,
            calls,
            stop: self.stop,
            fault: self.fault,
            delay_ms: self.delay_ms,
            name,
        })
    }
}

impl CallTable {
    fn check(self, step: &str) -> Result<Call, TranscriptError> {
        let arguments = match (self.args, self.json, self.raw) {
            (Some(args), None, None) => Arguments::Object(args),
            (None, None, None) => Arguments::Object(Map::new()),
            (None, None, Some(raw)) => Arguments::Raw(raw),
            (None, Some(json), None) => {
                let object = serde_json::from_str(&json).map_err(|error| {
                    wrong(step, &format!("json of the call of {} is not an object: {error}", self.tool))
                })?;
                Arguments::Object(object)
            }
            _ => {
                return Err(wrong(
                    step,
                    &format!("give the call of {} only one of args, json and raw", self.tool),
                ));
            }
        };
        Ok(Call { tool: self.tool, arguments })
    }
}

fn regex(step: &str, text: &str) -> Result<Regex, TranscriptError> {
    Regex::new(text).map_err(|error| wrong(step, &format!("bad regular expression: {error}")))
}

fn wrong(step: &str, what: &str) -> TranscriptError {
    TranscriptError::Step { step: step.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the module's documentation.
    fn example() -> String {
        let source = include_str!("mod.rs");
        let lines = source
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line));
        let inside: Vec<&str> =
            lines.skip_while(|line| *line != "```toml").skip(1).take_while(|line| *line != "```").collect();
        inside.join("\n")
    }

    #[test]
    fn the_example_parses() {
        let transcript = Transcript::parse(&example()).unwrap();
        assert_eq!((transcript.len(), transcript.info().name.as_str()), (3, "fix the sum"));
        assert_eq!(transcript.steps[2].fault, Some(Fault { kind: FaultKind::Disconnect, times: 2 }));
        assert!(transcript.summary.is_some());
    }

    #[test]
    fn slips_are_named() {
        let error = |text: &str| match Transcript::parse(&format!("name = 'x'\n{text}")).unwrap_err() {
            TranscriptError::Format(error) => error.to_string(),
            other @ (TranscriptError::Read(_) | TranscriptError::Step { .. }) => other.to_string(),
        };
        assert!(error("").contains("no [[step]]"));
        assert!(error("[[step]]\ntexts = 'a'").contains("texts"));
        assert!(error("[[step]]\nexpect.matches = '('").starts_with("step 1: bad regular expression"));
        assert!(
            error("[[step]]\nname = 'b'\ncall = [{tool='t', json='[1]'}]")
                .starts_with("b: json of the call of t")
        );
        assert!(error("[[step]]\ncall = [{tool='t', raw='', args={}}]").contains("only one of"));
    }
}
