//! A change as the rules look at it: text, folded paths and added lines made once, within one budget of work.

use cofferdam_domain::{
    Change, ChangeKind, FileChange, FileMode, Finding, Severity, amount::counted, change::FileSide,
};

use crate::{
    fold::fold_path,
    lines::{Line, only_in_new},
};

/// Bytes of content, old and new together, that are examined of one change. The rest is reported as not
/// examined.
const MAX_TOTAL: usize = 128 << 20;

/// Findings that one rule may make one by one; the rest becomes one finding that counts them.
pub(crate) const MAX_FINDINGS_PER_RULE: usize = 40;

/// Bytes of a path that are shown.
const MAX_SHOWN_PATH: usize = 300;

/// A change, prepared.
pub(crate) struct View<'a> {
    /// Its files.
    pub(crate) files: Vec<FileView<'a>>,
    /// The change itself.
    pub(crate) change: &'a Change,
}

/// One changed path, prepared.
pub(crate) struct FileView<'a> {
    /// The change itself.
    pub(crate) file: &'a FileChange,
    /// The path for people, bounded.
    pub(crate) shown: String,
    /// The path in its folded form.
    pub(crate) folded: String,
    /// The content before; empty where there is none, or where it is not examined.
    pub(crate) old: &'a [u8],
    /// The content after; empty where there is none, or where it is not examined.
    pub(crate) new: &'a [u8],
    /// Lines that only the new content has.
    pub(crate) added: Vec<Line<'a>>,
    /// Lines that only the old content has.
    pub(crate) removed: Vec<Line<'a>>,
    /// Whether the new content holds something that is not text.
    pub(crate) binary: bool,
    /// Whether there is new content that no rule has seen.
    pub(crate) unexamined: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(change: &'a Change) -> Self {
        let mut budget = MAX_TOTAL;
        let files = change.files.iter().map(|file| FileView::new(file, &mut budget)).collect();
        Self { files, change }
    }
}

impl<'a> FileView<'a> {
    fn new(file: &'a FileChange, budget: &mut usize) -> Self {
        let sides = [content(file.old.as_ref()), content(file.new.as_ref())];
        let size: usize = sides.iter().flatten().map(|bytes| bytes.len()).sum();
        let affordable = size <= *budget;
        if affordable {
            *budget -= size;
        }
        let [old, new] = sides.map(|side| side.filter(|_| affordable).unwrap_or_default());
        let missing =
            file.new.as_ref().is_some_and(|side| side.mode != FileMode::Gitlink && side.content.is_none());
        let binary = new.contains(&0);
        Self {
            shown: bounded(file.display_path(), MAX_SHOWN_PATH),
            folded: fold_path(&file.path),
            added: only_in_new(old, new),
            removed: only_in_new(new, old),
            unexamined: missing || (!affordable && file.new.is_some()),
            file,
            old,
            new,
            binary,
        }
    }

    /// The last part of the folded path.
    pub(crate) fn name(&self) -> &str {
        self.folded.rsplit('/').next().unwrap_or_default()
    }

    /// The folded name's extension without its dot; empty where there is none.
    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The entry after the change.
    pub(crate) fn new_side(&self) -> Option<&'a FileSide> {
        self.file.new.as_ref()
    }

    /// Whether the path is new, or was something else than a file before.
    pub(crate) fn is_added(&self) -> bool {
        self.file.kind == ChangeKind::Added
    }

    /// Whether the path lies where projects keep tests and their data.
    pub(crate) fn in_tests(&self) -> bool {
        const FOLDERS: &[&str] = &[
            "test",
            "tests",
            "spec",
            "specs",
            "__tests__",
            "testdata",
            "test-data",
            "test_data",
            "fixtures",
            "fixture",
            "testing",
            "__fixtures__",
            "e2e",
            "mocks",
            "__mocks__",
        ];
        let mut folders = self.folded.split('/').rev();
        let name = folders.next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        folders.any(|folder| FOLDERS.contains(&folder))
            || stem.starts_with("test_")
            || stem.ends_with("_test")
            || stem.ends_with("_spec")
            || stem == "tests"
            || stem == "conftest"
            || name.contains(".test.")
            || name.contains(".spec.")
            || self.file.display_path().rsplit('/').next().is_some_and(is_java_test)
    }
}

fn is_java_test(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    (name.ends_with(".java") || name.ends_with(".kt") || name.ends_with(".cs"))
        && (stem.ends_with("Test")
            || stem.ends_with("Tests")
            || stem.starts_with("Test")
            || stem.ends_with("IT"))
}

fn content(side: Option<&FileSide>) -> Option<&[u8]> {
    side.filter(|side| side.mode != FileMode::Gitlink).and_then(|side| side.content.as_deref())
}

/// At most `limit` bytes of a text, cut between characters, with a mark where something is left out.
pub(crate) fn bounded(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(limit)])
}

/// Where a rule puts what it sees.
pub(crate) struct Sink {
    rule: &'static str,
    findings: Vec<Finding>,
    left_out: Vec<(Severity, u64)>,
}

impl Sink {
    pub(crate) const fn new(rule: &'static str) -> Self {
        Self { rule, findings: Vec::new(), left_out: Vec::new() }
    }

    /// One finding in a file.
    pub(crate) fn add(&mut self, severity: Severity, path: &str, line: Option<u32>, why: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS_PER_RULE {
            let (rule, path) = (self.rule.to_owned(), path.to_owned());
            self.findings.push(Finding { rule, severity, path, line, why: bounded(why.into(), 1000) });
            return;
        }
        match self.left_out.iter_mut().find(|(left, _)| *left == severity) {
            Some((_, count)) => *count += 1,
            None => self.left_out.push((severity, 1)),
        }
    }

    /// All findings; those beyond the limit as one for each severity, so that none loses its effect.
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        for (severity, count) in self.left_out {
            self.findings.push(Finding {
                rule: self.rule.to_owned(),
                severity,
                path: String::new(),
                line: None,
                why: format!(
                    "and {} more of this rule and severity, not listed one by one",
                    counted(count, "finding")
                ),
            });
        }
        self.findings
    }
}
