//! A file that describes a kind of subagent: a head with `name` and `description`, and what it is told how it works.
//!
//! The same form as in `.claude/agents` (Claude Code, "Subagents"), whose heads are read as they are meant: tools by the names that they have there, models
//! that mean nothing here passed over. What a file says can only take something away from the built-in kind that it is one of.

use cofferdam_domain::{
    SubagentKind,
    delegation::{CustomShape, TOOL_GROUPS},
};

use crate::{FrontMatter, FrontMatterError, SkillName, split};

/// The file of a folder that describes a kind of subagent for an organisation.
pub const SUBAGENT_FILE: &str = "AGENT.md";
/// Characters of a description; what comes after them is left out.
const MOST_DESCRIPTION: usize = 1024;
/// Tools that a file names.
const MOST_TOOLS: usize = 64;

/// Names that other programs have for tools like ours, in lower case: (theirs, ours).
const FOREIGN_TOOLS: [(&str, &str); 8] = [
    ("bash", "shell"),
    ("process", "shell"),
    ("ls", "list"),
    ("multiedit", "edit"),
    ("notebookedit", "edit"),
    ("apply_patch", "edit"),
    ("search", "grep"),
    ("view", "read"),
];
/// Keys that say nothing which could have an effect here and that nobody has to be told of.
const PASSED_OVER: [&str; 7] = ["name", "description", "base", "tools", "model", "color", "version"];

/// Why a file describes no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubagent {
    /// It has no head.
    #[error(
        "it has no front matter: it begins with a line `---`, the kind's `name`, its `description`, and a line `---`"
    )]
    NoHead,
    /// Its head cannot be read.
    #[error("{0}")]
    Head(#[from] FrontMatterError),
    /// It has no name, or none that can be one.
    #[error("its `name` has to have 1 to 64 small letters, digits and single hyphens between them")]
    Name,
    /// Its name is that of a kind that is built in.
    #[error("{0} is built in: it needs another `name`")]
    BuiltIn(&'static str),
    /// It does not say what it is for.
    #[error("it has no `description`")]
    Description,
    /// It wants to be one of something that there is not.
    #[error("its `base` has to be one of explore, plan, implement, test and review")]
    Base,
    /// Nothing is left of its tools.
    #[error("none of the tools that it names is one that {0} has")]
    NoTools(&'static str),
    /// It says nothing.
    #[error("it has no text under its front matter")]
    Empty,
}

/// A kind of subagent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subagent {
    /// What it is called by.
    pub name: SkillName,
    /// What it is for, and when.
    pub description: String,
    /// What it comes down to.
    pub shape: CustomShape,
    /// What it asks for that has no effect here, for people.
    pub notes: Vec<String>,
}

impl Subagent {
    /// Reads a file that describes one, and its text.
    ///
    /// # Errors
    /// [`InvalidSubagent`], which says what is to be changed.
    pub fn parse(text: &str) -> Result<(Self, &str), InvalidSubagent> {
        let (head, body) = split(text)?;
        let kind = Self::of(&head.ok_or(InvalidSubagent::NoHead)?)?;
        if body.trim().is_empty() {
            return Err(InvalidSubagent::Empty);
        }
        Ok((kind, body))
    }

    fn of(head: &FrontMatter) -> Result<Self, InvalidSubagent> {
        let name = head.text("name").ok_or(InvalidSubagent::Name)?;
        if let Some(built_in) = SubagentKind::named(name) {
            return Err(InvalidSubagent::BuiltIn(built_in.name()));
        }
        let name = name.parse().map_err(|_| InvalidSubagent::Name)?;
        let description = head.text("description").ok_or(InvalidSubagent::Description)?;
        let mut notes = Vec::new();
        let (asked, unknown) = tools(head);
        if !unknown.is_empty() {
            notes.push(format!(
                "it names tools that are none here, which has no effect: {}",
                unknown.join(", ")
            ));
        }
        let base = match head.text("base") {
            Some(base) => SubagentKind::named(base).ok_or(InvalidSubagent::Base)?,
            None => smallest(asked.as_deref()),
        };
        let kept = asked.map(|asked| {
            let (kept, beyond): (Vec<_>, Vec<_>) = asked.into_iter().partition(|tool| has(base, tool));
            if !beyond.is_empty() {
                notes.push(format!(
                    "{} does not have {}: that has no effect",
                    base.name(),
                    beyond.join(", ")
                ));
            }
            kept
        });
        if kept.as_ref().is_some_and(Vec::is_empty) {
            return Err(InvalidSubagent::NoTools(base.name()));
        }
        let model = head.text("model");
        let role = model.and_then(SubagentKind::named);
        if let Some(other) = model.filter(|model| role.is_none() && *model != "inherit") {
            let other: String = other.chars().take(60).collect();
            notes.push(format!(
                "it names the model {other:?}, which has no effect: `model` is the kind whose model it has"
            ));
        }
        let others: Vec<&str> = head.keys().filter(|key| !PASSED_OVER.contains(key)).take(8).collect();
        if !others.is_empty() {
            notes.push(format!("it says things that have no effect: {}", others.join(", ")));
        }
        let description = description.chars().take(MOST_DESCRIPTION).collect();
        Ok(Self { name, description, shape: CustomShape { base, tools: kept, model: role }, notes })
    }
}

/// The tools that a head names, each once, and the names of which there is none; no list at all where it names none.
fn tools(head: &FrontMatter) -> (Option<Vec<String>>, Vec<String>) {
    let named = head.texts("tools");
    if named.is_empty() || named == ["*"] {
        return (None, Vec::new());
    }
    let (mut known, mut unknown): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for name in named.into_iter().take(MOST_TOOLS) {
        // `Bash(git log:*)`: which commands is nobody's to say in a file.
        let bare = name.split('(').next().unwrap_or(name).trim().to_lowercase();
        let ours =
            FOREIGN_TOOLS.iter().find(|(theirs, _)| *theirs == bare).map_or(bare.as_str(), |(_, ours)| ours);
        let (list, name) = match TOOL_GROUPS.contains(&ours) {
            true => (&mut known, ours.to_owned()),
            false => (&mut unknown, name.chars().take(60).collect()),
        };
        if !list.contains(&name) {
            list.push(name);
        }
    }
    (Some(known), unknown)
}

/// Whether a built-in kind has tools of this group.
fn has(base: SubagentKind, tool: &str) -> bool {
    match tool {
        "edit" | "write" => base.changes_files(),
        "shell" | "browser" | "computer" => base.runs_programs(),
        _ => true,
    }
}

/// The built-in kind with the fewest tools that has all of these. One that names none only reads.
fn smallest(tools: Option<&[String]>) -> SubagentKind {
    let needed = |kind: SubagentKind| tools.unwrap_or_default().iter().all(|tool| has(kind, tool));
    let upwards = [SubagentKind::Explore, SubagentKind::Test];
    upwards.into_iter().find(|kind| needed(*kind)).unwrap_or(SubagentKind::Implement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(head: &str) -> Result<Subagent, InvalidSubagent> {
        Subagent::parse(&format!("---\n{head}\n---\nDo it so.\n")).map(|(kind, _)| kind)
    }

    #[test]
    fn the_base_bounds_the_tools() {
        let shape = |head: &str| kind(&format!("name: a\ndescription: b\n{head}")).unwrap().shape;
        for (head, base, tools) in [
            ("", SubagentKind::Explore, None),
            ("tools: '*'", SubagentKind::Explore, None),
            ("base: review", SubagentKind::Review, None),
            ("tools: Read, Grep, Glob, LS", SubagentKind::Explore, Some("read grep glob list")),
            ("tools: [Read, Bash, process]", SubagentKind::Test, Some("read shell")),
            (
                "tools: Read, Bash(rm:*), MultiEdit, Write",
                SubagentKind::Implement,
                Some("read shell edit write"),
            ),
            ("base: explore\ntools: Read, Bash, Write", SubagentKind::Explore, Some("read")),
            ("base: implement\ntools: edit", SubagentKind::Implement, Some("edit")),
        ] {
            let read = shape(head);
            assert_eq!(
                (read.base, read.tools.map(|tools| tools.join(" ")).as_deref()),
                (base, tools),
                "{head}"
            );
        }
        assert_eq!(shape("model: plan").model, Some(SubagentKind::Plan));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let notes = kind("name: a\ndescription: b\nbase: explore\ntools: Read, Bash, WebFetch, mcp__x__y, Task\nmodel: opus\nnetwork: all\nhooks: x")
            .unwrap()
            .notes
            .join("; ");
        for told in ["explore does not have shell", "WebFetch, mcp__x__y, Task", "\"opus\"", "network, hooks"]
        {
            assert!(notes.contains(told), "{told}: {notes}");
        }
        assert!(kind("name: a\ndescription: b\nmodel: inherit\ncolor: red").unwrap().notes.is_empty());
        let long = kind(&format!("name: a\ndescription: Use: this {}", "x".repeat(5_000))).unwrap();
        assert_eq!(long.description.chars().count(), MOST_DESCRIPTION);
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, told) in [
            ("Do it.", "no front matter"),
            ("---\nname: a\n", "no end"),
            ("---\nname: a\ndescription: &x b\n---\nx", "anchor"),
            ("---\ndescription: b\n---\nx", "its `name`"),
            ("---\nname: ../a\ndescription: b\n---\nx", "its `name`"),
            ("---\nname: explore\ndescription: b\n---\nx", "explore is built in"),
            ("---\nname: a\n---\nx", "no `description`"),
            ("---\nname: a\ndescription: b\nbase: root\n---\nx", "its `base`"),
            ("---\nname: a\ndescription: b\ntools: Task\n---\nx", "none of the tools"),
            ("---\nname: a\ndescription: b\nbase: plan\ntools: Bash\n---\nx", "that plan has"),
            ("---\nname: a\ndescription: b\n---\n \n", "no text"),
        ] {
            let problem = Subagent::parse(text).unwrap_err().to_string();
            assert!(problem.contains(told), "{told}: {problem}");
        }
    }
}
