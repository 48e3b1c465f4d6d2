//! Which files advise agents, by their paths. The formats: AGENTS.md (agents.md), Agent Skills (agentskills.io, "Specification"), and what
//! the documentation of Claude Code, Gemini CLI, GitHub Copilot and Cursor says about theirs.

use cofferdam_domain::event::InstructionKind;

/// Folders whose folders are skills, when there is a `SKILL.md` in them.
const SKILL_ROOTS: [&str; 2] = ["skills", "skill"];

/// Folders whose Markdown files describe kinds of subagents, the first before the others; the last is the organisation's, which no repository has.
const KIND_ROOTS: [&str; 3] = [".cofferdam/agents", ".claude/agents", ORGANISATION_KINDS];
/// Where the kinds of subagents of an organisation stand among a session's texts.
pub(crate) const ORGANISATION_KINDS: &str = "/organisation/agents";

/// What kind of text the file at `path` is, if it is one.
#[must_use]
pub fn kind_of(path: &str) -> Option<InstructionKind> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if describes_kind(directory, name) {
        return Some(InstructionKind::Subagent);
    }
    match name {
        "AGENTS.md" => Some(InstructionKind::Agents),
        "CLAUDE.md" => Some(InstructionKind::Claude),
        "GEMINI.md" => Some(InstructionKind::Gemini),
        "copilot-instructions.md" => (directory == ".github").then_some(InstructionKind::Copilot),
        ".cursorrules" => directory.is_empty().then_some(InstructionKind::Cursor),
        "SKILL.md" => skill_folder(path).map(|_| InstructionKind::Skill),
        _ if name.ends_with(".instructions.md") => {
            let below = format!("{directory}/");
            below.starts_with(".github/instructions/").then_some(InstructionKind::Copilot)
        }
        _ if name.ends_with(".mdc") => rules_directory(path).map(|_| InstructionKind::Cursor),
        _ => None,
    }
}

/// Whether a file describes a kind of subagent.
fn describes_kind(directory: &str, name: &str) -> bool {
    let stem = name.strip_suffix(".md").unwrap_or_default();
    KIND_ROOTS.contains(&directory) && !stem.is_empty() && !stem.eq_ignore_ascii_case("readme")
}

/// Which of several files that describe a kind of the same name counts: the one with the smallest number.
pub(crate) fn standing(path: &str) -> usize {
    KIND_ROOTS.iter().position(|root| path.starts_with(root)).unwrap_or(KIND_ROOTS.len())
}

/// Whether a path may be one of those, or a file of a skill: quick, for paths of whole trees.
#[must_use]
pub fn is_candidate(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let named = matches!(
        name,
        b"AGENTS.md" | b"CLAUDE.md" | b"GEMINI.md" | b"copilot-instructions.md" | b".cursorrules"
    ) || name.ends_with(b".mdc")
        || name.ends_with(b".instructions.md");
    let maybe = |path: &str| {
        skill_folder(path).is_some()
            || path.rsplit_once('/').is_some_and(|(directory, name)| describes_kind(directory, name))
    };
    named || std::str::from_utf8(path).is_ok_and(maybe)
}

/// The folder of the skill that a file would be in.
#[must_use]
pub fn skill_folder(path: &str) -> Option<&str> {
    let mut parts = path.match_indices('/').map(|(at, _)| at);
    let mut start = 0;
    while let Some(end) = parts.next() {
        if SKILL_ROOTS.contains(&path.get(start..end)?) {
            return path.get(..parts.next()?);
        }
        start = end + 1;
    }
    None
}

/// The directory whose `.cursor/rules` a file is in.
pub(crate) fn rules_directory(path: &str) -> Option<&str> {
    if path.starts_with(".cursor/rules/") {
        return Some("");
    }
    path.split_once("/.cursor/rules/").map(|(directory, _)| directory)
}

/// The directory that a file like `AGENTS.md` is about.
pub(crate) fn directory_of(path: &str) -> &str {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    if directory == ".claude" { "" } else { directory.strip_suffix("/.claude").unwrap_or(directory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_advises_is_known_by_its_path() {
        for (path, kind) in [
            ("AGENTS.md", InstructionKind::Agents),
            ("a/b/AGENTS.md", InstructionKind::Agents),
            (".claude/CLAUDE.md", InstructionKind::Claude),
            ("GEMINI.md", InstructionKind::Gemini),
            (".github/copilot-instructions.md", InstructionKind::Copilot),
            (".github/instructions/deep/a.instructions.md", InstructionKind::Copilot),
            (".cursor/rules/a/b.mdc", InstructionKind::Cursor),
            ("web/.cursor/rules/b.mdc", InstructionKind::Cursor),
            (".cursorrules", InstructionKind::Cursor),
            (".claude/skills/pdf/SKILL.md", InstructionKind::Skill),
            ("skills/pdf/SKILL.md", InstructionKind::Skill),
            (".cofferdam/agents/migrator.md", InstructionKind::Subagent),
            (".claude/agents/code-reviewer.md", InstructionKind::Subagent),
        ] {
            assert_eq!(kind_of(path), Some(kind), "{path}");
            assert!(is_candidate(path.as_bytes()), "{path}");
        }
        for path in [
            "agents.md",
            "AGENTS.md.bak",
            "docs/copilot-instructions.md",
            "a.mdc",
            "SKILL.md",
            "skills/SKILL.md",
            "a.instructions.md",
            ".github/instructionsx/a.instructions.md",
            "sub/.cursorrules",
            "sub/.claude/agents/x.md",
            ".claude/agents/deep/x.md",
            ".claude/agents/x.txt",
            ".claude/agents/README.md",
            ".claude/agents/.md",
            "agents/x.md",
            "",
        ] {
            assert_eq!(kind_of(path), None, "{path}");
        }
        assert_eq!(skill_folder("a/skills/pdf/scripts/x.py"), Some("a/skills/pdf"));
        assert_eq!(skill_folder("skills/pdf"), None);
        assert_eq!(directory_of("a/.claude/CLAUDE.md"), "a");
    }
}
