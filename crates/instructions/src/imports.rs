//! Files that a text names for its reader to be shown as well: `@path` (Claude Code, "Memory", "CLAUDE.md imports"; Gemini CLI, "Memory Import
//! Processor").

/// Names of one text that are looked at.
const MOST_NAMES: usize = 64;
/// Bytes of a path.
const LONGEST_PATH: usize = 512;

/// What stands in a text after `@` and may be the path of a file, outside of code.
pub(crate) fn mentions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, Some(mark)) => fence = Some(mark),
            (Some(_), _) => {}
            (None, None) => {
                // Every second part stands between backticks.
                for part in line.split('`').step_by(2) {
                    found.extend(
                        part.split_whitespace().filter_map(|word| word.strip_prefix('@')).map(trimmed),
                    );
                }
            }
        }
    }
    found.retain(|path| {
        !path.is_empty() && path.len() <= LONGEST_PATH && (path.contains('/') || path.contains('.'))
    });
    found.truncate(MOST_NAMES);
    found
}

/// A path without what ends the sentence that it stands in.
fn trimmed(word: &str) -> &str {
    word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\''])
}

/// Where in the repository a path leads that the file `from` names; `None` where that is outside of it.
pub(crate) fn within(from: &str, path: &str) -> Option<String> {
    if path.starts_with(['/', '~', '-']) || path.contains(['\\', '\0', '\n']) {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    let git = parts.iter().any(|part| part.eq_ignore_ascii_case(".git") || part.starts_with('-'));
    (!parts.is_empty() && !git).then(|| parts.join("/"))
}

/// The files that the text of the file `from` names, as paths from the root of the repository, and the names that lead out of it.
#[must_use]
pub fn named(from: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for path in mentions(text) {
        match within(from, path) {
            Some(path) if !inside.contains(&path) => inside.push(path),
            Some(_) => {}
            None => outside.push(path.to_owned()),
        }
    }
    (inside, outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_meant() {
        let text = "See @docs/style.md and (@a.md), mail me@example.com, @someone.\n`@code.md` but @../up.md.\n```\n@fenced.md\n```\n@~/x.md @/etc/passwd @a/../../../../b.md";
        assert_eq!(
            named("a/b/CLAUDE.md", text),
            (
                vec!["a/b/docs/style.md".to_owned(), "a/up.md".to_owned()],
                vec!["~/x.md".to_owned(), "/etc/passwd".to_owned(), "a/../../../../b.md".to_owned()]
            )
        );
        assert_eq!(within("CLAUDE.md", "../x.md"), None);
        assert_eq!(within("CLAUDE.md", ".git/config"), None);
        assert_eq!(within("CLAUDE.md", "--output=x.md"), None);
        assert_eq!(within("CLAUDE.md", "./x/./y.md"), Some("x/y.md".to_owned()));
    }
}
