//! The head of a `SKILL.md`: Agent Skills, "Specification", section "SKILL.md format".

use std::{fmt, str::FromStr};

use crate::{FrontMatter, FrontMatterError, split};

/// Characters of a description.
const MOST_DESCRIPTION: usize = 1024;

/// A skill's name: 1 to 64 small letters, digits and single hyphens between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkillName(String);

impl SkillName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SkillName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SkillName {
    type Err = InvalidSkill;

    fn from_str(text: &str) -> Result<Self, InvalidSkill> {
        let letters = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if text.len() <= 64 && text.split('-').all(letters) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSkill::Name)
        }
    }
}

/// Why a file is no skill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSkill {
    /// It has no head.
    #[error(
        "it has no front matter: a skill begins with a line `---`, its `name`, its `description`, and a line `---`"
    )]
    NoHead,
    /// Its head cannot be read.
    #[error("{0}")]
    Head(#[from] FrontMatterError),
    /// It has no name, or none that can be one.
    #[error("its `name` has to have 1 to 64 small letters, digits and single hyphens between them")]
    Name,
    /// It does not say what it is for.
    #[error("its `description` has to have 1 to {MOST_DESCRIPTION} characters")]
    Description,
}

/// What a `SKILL.md` says about its skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// What it is called by.
    pub name: SkillName,
    /// What it is for, and when.
    pub description: String,
    /// What it asks for that has no effect here, for people.
    pub notes: Vec<String>,
}

impl Skill {
    /// Reads a `SKILL.md`. Tools that it claims for itself (`allowed-tools`) are noted and not given: what may be called is the policy's matter.
    ///
    /// # Errors
    /// [`InvalidSkill`], which says what is to be changed.
    pub fn parse(text: &str) -> Result<Self, InvalidSkill> {
        let (head, _) = split(text)?;
        Self::of(&head.ok_or(InvalidSkill::NoHead)?)
    }

    fn of(head: &FrontMatter) -> Result<Self, InvalidSkill> {
        let name = head.text("name").ok_or(InvalidSkill::Name)?.parse()?;
        let description = head.text("description").ok_or(InvalidSkill::Description)?;
        if description.chars().count() > MOST_DESCRIPTION {
            return Err(InvalidSkill::Description);
        }
        let mut notes = Vec::new();
        if !head.texts("allowed-tools").is_empty() {
            notes.push(
                "it names tools that it wants to be allowed (`allowed-tools`): that has no effect".to_owned(),
            );
        }
        if head.get("hooks").is_some() {
            notes.push("it names commands to be run by themselves (`hooks`): that has no effect".to_owned());
        }
        Ok(Self { name, description: description.to_owned(), notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(head: &str) -> Result<Skill, InvalidSkill> {
        Skill::parse(&format!("---\n{head}\n---\n# Do it\n"))
    }

    #[test]
    fn what_the_specification_permits() {
        let read = skill("name: pdf-processing\ndescription: Reads PDFs.\nlicense: MIT\ncompatibility: Needs git\nmetadata:\n  a: b").unwrap();
        assert_eq!((read.name.as_str(), read.description.as_str()), ("pdf-processing", "Reads PDFs."));
        assert!(read.notes.is_empty());
        assert_eq!(
            skill("name: a\ndescription: b\nallowed-tools: Bash(*)\nhooks:\n  - x: y").unwrap().notes.len(),
            2
        );
    }

    #[test]
    fn what_it_does_not() {
        for name in ["PDF", "-pdf", "pdf-", "a--b", "a b", "a/b", "..", &"a".repeat(65)] {
            assert_eq!(skill(&format!("name: {name}\ndescription: x")), Err(InvalidSkill::Name), "{name}");
        }
        assert_eq!(skill("name: a"), Err(InvalidSkill::Description));
        assert_eq!(
            skill(&format!("name: a\ndescription: {}", "x".repeat(1025))),
            Err(InvalidSkill::Description)
        );
        assert_eq!(Skill::parse("# Just text"), Err(InvalidSkill::NoHead));
        assert!(matches!(skill("name: &a b\ndescription: x"), Err(InvalidSkill::Head(_))));
    }
}
