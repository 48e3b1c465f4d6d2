//! A patch as git prints it, taken apart into files, hunks and lines.
//!
//! The format is git-diff(1)'s "generating patch text with -p". Paths are taken from the lines that name one path only (`---`, `+++`, `rename`,
//! and, where there is none, the first line when both of its halves are the same), because a space in `a/x b/x` is ambiguous.

/// Files of a patch that are taken apart.
const MOST_FILES: usize = 5_000;

/// A patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) files: Vec<File>,
    /// Whether there was more than was taken apart, or something that is no patch.
    pub(crate) incomplete: bool,
}

/// One path's change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// The path after the change, or before it where it is gone.
    pub(crate) path: String,
    pub(crate) change: FileChange,
    /// Lines about modes and the like, as git writes them.
    pub(crate) notes: Vec<String>,
    pub(crate) hunks: Vec<Hunk>,
    pub(crate) added: u64,
    pub(crate) removed: u64,
    /// Whether the content is not text.
    pub(crate) binary: bool,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum FileChange {
    Added,
    Deleted,
    #[default]
    Modified,
}

/// Lines that stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// What git says stands above: mostly a function's first line.
    pub(crate) above: String,
    pub(crate) lines: Vec<Line>,
}

/// One line, without its sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sign: Sign,
    /// Its number before and after, as far as it is there.
    pub(crate) old: Option<u32>,
    pub(crate) new: Option<u32>,
    pub(crate) text: String,
    /// Whether the file ends here without a line end.
    pub(crate) unended: bool,
}

/// What happened to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Same,
    Added,
    Removed,
}

impl Patch {
    /// Takes a patch apart.
    pub(crate) fn parse(text: &str) -> Self {
        let mut patch = Self::default();
        let mut lines =
            text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line)).peekable();
        while let Some(line) = lines.next() {
            if let Some(names) = line.strip_prefix("diff --git ") {
                if patch.files.len() == MOST_FILES {
                    patch.incomplete = true;
                    break;
                }
                patch.files.push(File { path: both_halves(names).unwrap_or_default(), ..File::default() });
                continue;
            }
            let Some(file) = patch.files.last_mut() else {
                patch.incomplete |= !line.trim().is_empty();
                continue;
            };
            if let Some(header) = hunk_header(line) {
                let (hunk, whole) = hunk(header, &mut lines);
                file.added += hunk.lines.iter().filter(|line| line.sign == Sign::Added).count() as u64;
                file.removed += hunk.lines.iter().filter(|line| line.sign == Sign::Removed).count() as u64;
                file.hunks.push(hunk);
                patch.incomplete |= !whole;
            } else {
                file.header(line);
            }
        }
        patch
    }
}

impl File {
    fn header(&mut self, line: &str) {
        if let Some(path) = line.strip_prefix("+++ ").or_else(|| line.strip_prefix("--- ")) {
            let path = unquoted(path.strip_suffix('\t').unwrap_or(path));
            if let Some(path) = path.strip_prefix("b/").or_else(|| path.strip_prefix("a/")) {
                path.clone_into(&mut self.path);
            }
        } else if line.starts_with("new file mode") {
            self.change = FileChange::Added;
            self.note(line);
        } else if line.starts_with("deleted file mode") {
            self.change = FileChange::Deleted;
            self.note(line);
        } else if line.starts_with("Binary files ") || line == "GIT binary patch" {
            self.binary = true;
        } else if ["old mode", "new mode", "similarity", "rename", "copy"]
            .iter()
            .any(|start| line.starts_with(start))
        {
            if let Some(path) = line.strip_prefix("rename to ").or_else(|| line.strip_prefix("copy to ")) {
                self.path = unquoted(path);
            }
            self.note(line);
        }
    }

    fn note(&mut self, line: &str) {
        if self.notes.len() < 8 {
            self.notes.push(line.chars().take(300).collect());
        }
    }
}

/// The path in `a/PATH b/PATH`.
fn both_halves(names: &str) -> Option<String> {
    if names.starts_with('"') {
        let half = names.len().checked_sub(1)? / 2;
        let (first, second) = (names.get(..half)?, names.get(half + 1..)?);
        let (first, second) = (unquoted(first), unquoted(second));
        let path = first.strip_prefix("a/")?;
        return (second.strip_prefix("b/")? == path).then(|| path.to_owned());
    }
    let half = names.len().checked_sub(1)? / 2;
    let path = names.get(..half)?.strip_prefix("a/")?;
    (names.get(half + 1..)?.strip_prefix("b/")? == path).then(|| path.to_owned())
}

/// A path that git has quoted (core.quotePath): with backslashes and octal bytes between double quotes.
fn unquoted(path: &str) -> String {
    let Some(inner) = path.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return path.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(first @ b'0'..=b'3') => {
                let mut value = u32::from(first - b'0');
                for _ in 0..2 {
                    if let Some(digit) = rest.next_if(|digit| matches!(digit, b'0'..=b'7')) {
                        value = value * 8 + u32::from(digit - b'0');
                    }
                }
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            Some(other) => bytes.push(other),
            None => bytes.push(b'\\'),
        }
    }
    cofferdam_domain::hidden::visible(&bytes)
}

struct Header<'a> {
    old: u32,
    old_count: u32,
    new: u32,
    new_count: u32,
    above: &'a str,
}

/// `@@ -1,2 +1,3 @@ above`.
fn hunk_header(line: &str) -> Option<Header<'_>> {
    let (ranges, above) = line.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(u32, u32)> {
        match text.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let ((old, old_count), (new, new_count)) = (range(old)?, range(new)?);
    Some(Header { old, old_count, new, new_count, above: above.trim() })
}

/// The lines of a hunk. Its header says how many there are, so that a line which looks like a header stays a line. `false` when
/// there are fewer.
fn hunk<'a>(
    header: Header<'_>,
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> (Hunk, bool) {
    let mut hunk = Hunk { above: header.above.chars().take(200).collect(), lines: Vec::new() };
    let (mut old, mut new) = (header.old, header.new);
    let (mut old_left, mut new_left) = (header.old_count, header.new_count);
    while old_left > 0 || new_left > 0 {
        let wanted = |line: &&str| match line.as_bytes().first() {
            Some(b'+') => new_left > 0,
            Some(b'-') => old_left > 0,
            // Some tools drop the space of an empty line.
            Some(b' ') | None => old_left > 0 && new_left > 0,
            Some(b'\\') => true,
            Some(_) => false,
        };
        let Some(line) = lines.next_if(wanted) else { return (hunk, false) };
        let text = line.get(1..).unwrap_or_default().to_owned();
        let mut push =
            |sign, old, new| hunk.lines.push(Line { sign, old, new, text: text.clone(), unended: false });
        match line.as_bytes().first() {
            Some(b'+') => {
                push(Sign::Added, None, Some(new));
                (new, new_left) = (new.saturating_add(1), new_left - 1);
            }
            Some(b'-') => {
                push(Sign::Removed, Some(old), None);
                (old, old_left) = (old.saturating_add(1), old_left - 1);
            }
            Some(b'\\') => unended(&mut hunk),
            Some(_) | None => {
                push(Sign::Same, Some(old), Some(new));
                (old, new) = (old.saturating_add(1), new.saturating_add(1));
                (old_left, new_left) = (old_left - 1, new_left - 1);
            }
        }
    }
    if lines.next_if(|line| line.starts_with('\\')).is_some() {
        unended(&mut hunk);
    }
    (hunk, true)
}

fn unended(hunk: &mut Hunk) {
    if let Some(last) = hunk.lines.last_mut() {
        last.unended = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATCH: &str = "diff --git a/src/a b.rs b/src/a b.rs\nindex 1..2 100644\n--- a/src/a b.rs\n+++ b/src/a b.rs\n@@ -1,3 +1,4 @@ fn main() {\n one\n-two\n+2\n+--- a/x\n three\n\\ No newline at end of file\ndiff --git a/gone b/gone\ndeleted file mode 100755\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\ndiff --git a/p.png b/p.png\nnew file mode 100644\nBinary files /dev/null and b/p.png differ\n";

    #[test]
    fn files_hunks_and_lines() {
        let patch = Patch::parse(PATCH);
        assert!(!patch.incomplete);
        let paths: Vec<&str> = patch.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["src/a b.rs", "gone", "p.png"]);
        let first = &patch.files[0];
        assert_eq!((first.added, first.removed, first.hunks[0].above.as_str()), (2, 1, "fn main() {"));
        let numbers: Vec<_> = first.hunks[0].lines.iter().map(|line| (line.old, line.new)).collect();
        assert_eq!(
            numbers,
            [(Some(1), Some(1)), (Some(2), None), (None, Some(2)), (None, Some(3)), (Some(3), Some(4))]
        );
        assert_eq!(first.hunks[0].lines[3].text, "--- a/x", "a line is no header");
        assert!(first.hunks[0].lines[4].unended);
        assert_eq!(patch.files[1].change, FileChange::Deleted);
        assert!(patch.files[2].binary && patch.files[2].change == FileChange::Added);
    }

    #[test]
    fn what_is_cut_or_odd_is_said() {
        assert!(Patch::parse("diff --git a/x b/x\n@@ -1,5 +1,5 @@\n one\n").incomplete);
        assert!(Patch::parse("<html>").incomplete);
        let quoted = Patch::parse(
            "diff --git \"a/\\303\\244\\n\" \"b/\\303\\244\\n\"\nold mode 100644\nnew mode 100755\n",
        );
        assert_eq!(quoted.files[0].path, "ä\\u{a}");
        assert_eq!(quoted.files[0].notes, ["old mode 100644", "new mode 100755"]);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_line_is_invented(pieces in prop::collection::vec(prop::sample::select(vec![
            "diff --git a/x b/x", "--- a/x", "+++ b/x", "@@ -1,2 +1,2 @@", "@@ -4294967295,2 +1 @@", " a", "-b", "+c", "", "\\ No newline", "é", "\"a/\\",
        ]), 0..40)) {
            let text = pieces.join("\n");
            let patch = Patch::parse(&text);
            let lines: usize = patch.files.iter().flat_map(|file| &file.hunks).map(|hunk| hunk.lines.len()).sum();
            prop_assert!(lines <= pieces.len());
        }

        #[test]
        fn any_text(text in any::<String>()) {
            Patch::parse(&text);
        }
    }
}
