//! When a rule with a head is about what is being done: files of `.cursor/rules` (`globs`, `alwaysApply`) and of `.github/instructions` (`applyTo`).

use cofferdam_domain::event::{Applies, InstructionKind};

use crate::{FrontMatter, kind::rules_directory};

/// Globs of one rule.
const MOST_GLOBS: usize = 32;
/// Bytes of a glob.
const LONGEST_GLOB: usize = 256;

/// When the rule with this head applies.
pub(crate) fn applies(kind: InstructionKind, path: &str, head: Option<&FrontMatter>) -> Applies {
    let directory = rules_directory(path).unwrap_or_default().to_owned();
    let always = || {
        if directory.is_empty() { Applies::Always } else { Applies::Below { directory: directory.clone() } }
    };
    let Some(head) = head else {
        // One file for everything has no head; one of many that says nothing is for whoever wants it.
        return if rules_directory(path).is_some() || path.ends_with(".instructions.md") {
            Applies::OnRequest
        } else {
            always()
        };
    };
    let key = if kind == InstructionKind::Cursor { "globs" } else { "applyTo" };
    let globs: Vec<String> = head
        .texts(key)
        .into_iter()
        .filter(|glob| glob.len() <= LONGEST_GLOB)
        .take(MOST_GLOBS)
        .map(|glob| glob.trim_start_matches("./").trim_start_matches('/').to_owned())
        .collect();
    if head.text("alwaysApply") == Some("true")
        || globs.iter().any(|glob| matches!(glob.as_str(), "*" | "**" | "**/*"))
    {
        return always();
    }
    if globs.is_empty() { Applies::OnRequest } else { Applies::Matching { globs, directory } }
}
