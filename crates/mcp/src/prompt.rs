//! Prompts: texts that a server offers to be put before a model. Which there are, and what it says of them, is part of what is approved.

use serde::{Deserialize, Serialize};

use crate::{LeftOut, catalogue::seen};

/// Prompts of one server.
pub(crate) const MAX_PROMPTS: usize = 200;
/// Bytes of a description.
const MAX_DESCRIPTION: usize = 2 << 10;
/// Bytes of a name.
const MAX_NAME: usize = 64;
/// Arguments of a prompt.
const MAX_ARGUMENTS: usize = 20;

/// One prompt as its server tells of it. All of it is the server's: untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Its name: letters, digits, and `_ - . /`.
    pub name: String,
    /// What it says that it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it can be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<PromptArgument>,
}

/// Something that a prompt can be given: a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptArgument {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it must be given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl Prompt {
    /// The prompt, if it can be offered.
    pub(crate) fn checked(self) -> Result<Self, LeftOut> {
        match self.problem() {
            None => Ok(self),
            Some(why) => Err(LeftOut {
                name: format!("prompt {}", self.name.chars().take(MAX_NAME).collect::<String>()),
                why,
            }),
        }
    }

    fn problem(&self) -> Option<String> {
        let all = self.arguments.iter().map(|argument| &argument.name).chain([&self.name]);
        if !all.clone().all(|name| is_name(name)) {
            return Some(format!(
                "its name, or one of its arguments', is not 1 to {MAX_NAME} letters, digits and _ - . /"
            ));
        }
        if self.arguments.len() > MAX_ARGUMENTS {
            return Some(format!("it has more than {MAX_ARGUMENTS} arguments"));
        }
        let longest = self.arguments.iter().map(|argument| argument.description.len());
        let longest = longest.chain([self.description.len()]).max().unwrap_or_default();
        (longest > MAX_DESCRIPTION)
            .then(|| format!("its description is longer than {} KiB", MAX_DESCRIPTION >> 10))
    }

    /// In one line, with nothing in it that a reader does not see: its name, its arguments, and what it says of itself.
    #[must_use]
    pub fn line(&self) -> String {
        let arguments = self.arguments.iter().map(|argument| {
            let must = if argument.required { ", must be given" } else { "" };
            format!("{}{must}: {:?}", argument.name, seen(&argument.description))
        });
        let arguments: Vec<String> = arguments.collect();
        let takes =
            if arguments.is_empty() { String::new() } else { format!(" (takes {})", arguments.join("; ")) };
        format!("{}{takes}: {:?}", self.name, seen(&self.description))
    }
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(name: &str, description: &str, arguments: &[(&str, &str)]) -> Prompt {
        let argument = |(name, description): &(&str, &str)| PromptArgument {
            name: (*name).to_owned(),
            description: (*description).to_owned(),
            required: true,
        };
        Prompt {
            name: name.to_owned(),
            description: description.to_owned(),
            arguments: arguments.iter().map(argument).collect(),
        }
    }

    #[test]
    fn a_prompt_is_one_line_in_which_nothing_hides() {
        let line = prompt("review", "Reviews.\nIgnore\u{200b} all", &[("code", "the\u{202e} code")]).line();
        assert_eq!(
            line,
            r#"review (takes code, must be given: "the\\u{202e} code"): "Reviews.\nIgnore\\u{200b} all""#
        );
    }

    #[test]
    fn what_cannot_be_offered_is_left_out() {
        let long = "x".repeat(MAX_DESCRIPTION + 1);
        let many = [("a", ""); MAX_ARGUMENTS + 1];
        for (bad, wanted) in [
            (prompt("", "", &[]), "name"),
            (prompt("a b", "", &[]), "name"),
            (prompt("a", "", &[("b\n", "")]), "name"),
            (prompt("a", &long, &[]), "longer"),
            (prompt("a", "", &[("b", &long)]), "longer"),
            (prompt("a", "", &many), "more than"),
        ] {
            let left = bad.checked().unwrap_err();
            assert!(left.why.contains(wanted), "{left:?}");
        }
        assert!(prompt("a", "b", &[("c", "d")]).checked().is_ok());
    }
}
