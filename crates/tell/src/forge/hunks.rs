//! Which lines a patch shows: only those can be remarked on where forges are strict.

use std::collections::{BTreeMap, HashMap};

/// The lines that a patch shows, as the change leaves them: by path and number, with the number that each had before if it was left as it was.
#[derive(Debug, Default)]
pub(super) struct Shown(HashMap<String, BTreeMap<u64, Option<u64>>>);

impl Shown {
    /// Reads a patch as git writes one (git-diff(1), "Generating patch text with -p"). What cannot be read shows nothing: a path that git has to
    /// quote, a part that is cut off.
    pub(super) fn of(patch: &[u8]) -> Self {
        let mut shown = Self::default();
        let mut path: Option<String> = None;
        let mut hunk = Hunk::default();
        for line in patch.split(|byte| *byte == b'\n') {
            if hunk.goes_on() {
                if let (Some((now, before)), Some(path)) = (hunk.take(line), &path) {
                    shown.0.entry(path.clone()).or_default().insert(now, before);
                }
            } else if let Some(name) = line.strip_prefix(b"+++ ") {
                path = std::str::from_utf8(name).ok().and_then(path_of);
            } else if line.starts_with(b"diff --git ") {
                path = None;
            } else if let Some(found) = std::str::from_utf8(line).ok().and_then(Hunk::begin) {
                hunk = found;
            }
        }
        shown
    }

    /// Whether a line is shown, and if so, which one it was before.
    pub(super) fn line(&self, path: &str, line: u64) -> Option<Option<u64>> {
        self.0.get(path)?.get(&line).copied()
    }
}

/// A name with blanks in it ends with a tab.
fn path_of(name: &str) -> Option<String> {
    Some(name.strip_prefix("b/")?.trim_end_matches('\t').to_owned())
}

/// What is left of the part of a patch that is being read.
#[derive(Debug, Default)]
struct Hunk {
    before: u64,
    now: u64,
    left_before: u64,
    left_now: u64,
}

impl Hunk {
    /// `@@ -1,5 +1,6 @@ …`; a count of one is left out.
    fn begin(line: &str) -> Option<Self> {
        let (places, _) = line.strip_prefix("@@ -")?.split_once(" @@")?;
        let (before, now) = places.split_once(" +")?;
        let number = |place: &str| {
            let (start, count) = place.split_once(',').unwrap_or((place, "1"));
            Some((start.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
        };
        let ((before, left_before), (now, left_now)) = (number(before)?, number(now)?);
        Some(Self { before, now, left_before, left_now })
    }

    const fn goes_on(&self) -> bool {
        self.left_before > 0 || self.left_now > 0
    }

    /// The next line: its number now, and before, if it is there now.
    fn take(&mut self, line: &[u8]) -> Option<(u64, Option<u64>)> {
        let (now, before) = (self.now, self.before);
        match line.first() {
            Some(b'+') => {
                self.now = self.now.saturating_add(1);
                self.left_now = self.left_now.saturating_sub(1);
                Some((now, None))
            }
            Some(b'-') => {
                self.before = self.before.saturating_add(1);
                self.left_before = self.left_before.saturating_sub(1);
                None
            }
            Some(b' ') => {
                self.now = self.now.saturating_add(1);
                self.before = self.before.saturating_add(1);
                self.left_now = self.left_now.saturating_sub(1);
                self.left_before = self.left_before.saturating_sub(1);
                Some((now, Some(before)))
            }
            // "\ No newline at end of file"
            Some(b'\\') => None,
            // It is cut off here.
            Some(_) | None => {
                *self = Self::default();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATCH: &str = "diff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -2,4 +2,5 @@ fn a() {\n two\n-three\n\
                         --- a trap\n+drei\n+++ b/trap\n+four\n five\n@@ -20 +21 @@\n-old\n+new\n\\ No newline at end of file\n\
                         diff --git a/b c b/b c\nnew file mode 100644\n--- /dev/null\n+++ b/b c\t\n@@ -0,0 +1,2 @@\n+one\n+two\n\
                         diff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";

    #[test]
    fn the_lines_of_a_patch_are_those_that_it_shows() {
        let shown = Shown::of(PATCH.as_bytes());
        let of =
            |path: &str| (1..30).filter_map(|line| Some((line, shown.line(path, line)?))).collect::<Vec<_>>();
        let expected = [(2, Some(2)), (3, None), (4, None), (5, None), (6, Some(5)), (21, None)];
        assert_eq!(of("src/a.rs"), expected);
        assert_eq!(of("b c"), [(1, None), (2, None)]);
        assert_eq!((of("gone"), of("trap"), of("/dev/null")), (vec![], vec![], vec![]));
    }

    #[test]
    fn what_is_cut_off_shows_nothing_more() {
        let cut = PATCH.split_inclusive('\n').take(7).collect::<String>();
        let shown = Shown::of(
            format!("{cut}[the rest of the patch is left out here]\n+++ b/x\n@@ -0,0 +1 @@\n+a\n").as_bytes(),
        );
        assert_eq!((shown.line("src/a.rs", 2), shown.line("src/a.rs", 3)), (Some(Some(2)), None));
        assert_eq!(shown.line("x", 1), Some(None));
    }

    proptest! {
        #[test]
        fn no_patch_is_too_strange(parts in prop::collection::vec("(@@ -[0-9]{1,20},[0-9]{1,20} \\+[0-9]{1,20} @@|\\+\\+\\+ b/[a-c]|[+ \\\\-].{0,5}|.{0,9})", 0..40)) {
            Shown::of(parts.join("\n").as_bytes());
        }
    }
}
