//! What an edit changed, short enough to be shown after every edit.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::shorten;

/// Lines of a diff that are shown.
const MAX_LINES: usize = 80;
/// Characters of one of its lines.
const MAX_LINE: usize = 300;
/// Longer computation falls back to a coarser diff.
const PATIENCE: Duration = Duration::from_millis(200);

/// A unified diff with two lines of context and no file header, cut after [`MAX_LINES`], and the counts of
/// added and removed lines.
pub(crate) fn changes(old: &str, new: &str) -> (String, usize, usize) {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let (mut added, mut removed) = (0, 0);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        lines.push(hunk.header().to_string());
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Insert => {
                    added += 1;
                    '+'
                }
                ChangeTag::Delete => {
                    removed += 1;
                    '-'
                }
                ChangeTag::Equal => ' ',
            };
            let text = change.value().trim_end_matches(['\r', '\n']);
            lines.push(format!("{sign}{}", shorten(text, MAX_LINE)));
        }
    }
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("[… {more} more lines of this diff]"));
    }
    (lines.join("\n"), added, removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_counted() {
        let old: String = (1..=20).map(|number| format!("{number}\n")).collect();
        let new = old.replace("10\n", "ten\nand a half\n");
        let (diff, added, removed) = changes(&old, &new);
        assert_eq!((added, removed), (2, 1));
        assert_eq!(diff, "@@ -8,5 +8,6 @@\n 8\n 9\n-10\n+ten\n+and a half\n 11\n 12");
    }

    #[test]
    fn long_diffs_are_cut() {
        let new: String = (1..=500).map(|number| format!("{number}\n")).collect();
        let (diff, added, _) = changes("", &new);
        assert_eq!(added, 500);
        assert_eq!(diff.lines().count(), MAX_LINES + 1);
    }
}
