//! One spelling for all the spellings that some file system takes for the same path.
//!
//! A protected path must not be reachable by a name that looks different here and means the same on the
//! reviewer's or the runner's machine. So paths are compared after folding: composed (NFC), in one case,
//! without the characters that HFS+ ignores, with `\` as a separator, and without what NTFS drops (trailing
//! dots and spaces, streams after `:`). Two paths that fold to the same text clash on some machine.

use cofferdam_domain::hidden::Hidden;
use unicode_normalization::UnicodeNormalization;

/// The folded form of a path as git stores it.
pub(crate) fn fold_path(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let parts: Vec<String> = text.split(['/', '\\']).map(fold_part).collect();
    parts.join("/")
}

/// Folds case, composition and ignorable characters, and nothing that belongs to paths alone.
pub(crate) fn fold_text(text: &str) -> String {
    // Upper before lower case: U+017F and U+212A are letters whose lower case alone is not the one they are
    // matched with.
    let visible: String = text.chars().filter(|character| !is_ignored(*character)).collect();
    visible.to_uppercase().to_lowercase().nfc().collect()
}

fn fold_part(part: &str) -> String {
    let folded = fold_text(part);
    if folded == "." || folded == ".." {
        return folded;
    }
    let stem = folded.split(':').next().unwrap_or_default();
    stem.trim_end_matches(['.', ' ']).trim_start_matches(' ').to_owned()
}

/// Characters that HFS+ ignores when it compares names, and others that nobody sees. Control characters stay:
/// no file system drops them.
fn is_ignored(character: char) -> bool {
    Hidden::of(character).is_some_and(|kind| kind != Hidden::Control)
}

/// Whether a folded part of a path is git's own directory on some file system: `.git`, or its short name on
/// NTFS.
pub(crate) fn is_dot_git(folded_part: &str) -> bool {
    folded_part == ".git"
        || folded_part.strip_prefix("git~").is_some_and(|rest| {
            !rest.is_empty() && rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_dot_git() {
        for path in [
            ".git",
            ".GIT",
            ".Git ",
            ".git.",
            ".git. .",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git::$INDEX_ALLOCATION",
            "git~1",
            "GIT~1",
            ".gi\u{e0041}t",
        ] {
            assert!(is_dot_git(&fold_path(path.as_bytes())), "{path:?}");
        }
        for path in [".gitignore", "git", "git~", ".github", "x.git", "git~1x"] {
            assert!(!is_dot_git(&fold_path(path.as_bytes())), "{path:?}");
        }
    }

    #[test]
    fn folding_joins_what_file_systems_join() {
        let same = [
            ("AGENTS.md", "agents.MD"),
            ("Agent\u{17f}.md", "agents.md"),
            ("cafe\u{301}", "caf\u{e9}"),
            (".github\\workflows\\x.yml", ".github/workflows/x.yml"),
            ("\u{212a}ey", "key"),
        ];
        for (left, right) in same {
            assert_eq!(fold_path(left.as_bytes()), fold_path(right.as_bytes()), "{left}");
        }
        assert_ne!(fold_path(b"a/b"), fold_path(b"a.b"));
        assert_eq!(fold_path(b"../x/./y"), "../x/./y");
    }
}
