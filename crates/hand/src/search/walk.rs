//! Which files a search looks at, in which order.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use cofferdam_hand::protocol::{
    message::{FileProblem, Search, SearchProblem},
    text::Notice,
};
use globset::{GlobBuilder, GlobMatcher};
use ignore::WalkBuilder;

use super::{Results, init};

/// The files below a root that a search is about.
pub(super) struct Files {
    root: PathBuf,
    is_file: bool,
    glob: Option<Glob>,
    hidden: bool,
}

struct Glob {
    matcher: GlobMatcher,
    /// Without a slash it is about names, in whatever directory.
    names_only: bool,
}

impl Files {
    /// From a request.
    pub(super) fn new(request: &Search) -> Result<Self, SearchProblem> {
        let root = request.root.as_path().to_owned();
        let found = fs::metadata(&root).map_err(|error| SearchProblem::Root(init::problem(error)))?;
        if !found.is_file() && !found.is_dir() {
            return Err(SearchProblem::Root(FileProblem::Special));
        }
        let glob = request.glob.as_deref().map(Glob::new).transpose()?;
        Ok(Self { root, is_file: found.is_file(), glob, hidden: request.hidden })
    }

    /// All of them, in the order of their paths.
    pub(super) fn in_order(&self) -> impl Iterator<Item = PathBuf> {
        let ignores = !self.hidden;
        let mut walk = WalkBuilder::new(&self.root);
        walk.hidden(ignores)
            .ignore(ignores)
            .git_ignore(ignores)
            .git_exclude(ignores)
            .parents(ignores)
            .git_global(false)
            // A workspace need not be a repository for its .gitignore to mean something.
            .require_git(false)
            .follow_links(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .sort_by_file_name(OsStr::cmp);
        // What cannot be read is passed over, as a person would expect of a search.
        walk.build()
            .filter_map(Result::ok)
            .filter(|entry| entry.depth() == 0 || entry.file_type().is_some_and(|kind| kind.is_file()))
            .map(ignore::DirEntry::into_path)
            .filter(|path| (self.is_file || *path != self.root) && self.matches(path))
    }

    /// Writes their names, newest first.
    pub(super) fn newest(&self, results: &mut Results) {
        let limit = usize::try_from(results.left).unwrap_or(usize::MAX);
        let mut newest = BinaryHeap::new();
        for path in self.in_order() {
            if results.is_over() {
                break;
            }
            let changed = fs::symlink_metadata(&path).and_then(|found| found.modified());
            // The heap gives up its greatest first: the oldest, and of those the last by name.
            newest.push((Reverse(changed.unwrap_or(SystemTime::UNIX_EPOCH)), path));
            if newest.len() > limit {
                newest.pop();
                // What comes may be newer still, so only the time ends this.
                results.incomplete = true;
            }
        }
        for (_, path) in newest.into_sorted_vec() {
            results.write(self.shown(&path), Vec::new());
        }
    }

    /// How a file is named in the results: below the root, or as the root if that is a file.
    pub(super) fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        if self.is_file { path } else { path.strip_prefix(&self.root).unwrap_or(path) }
    }

    fn matches(&self, path: &Path) -> bool {
        let Some(glob) = &self.glob else { return true };
        if glob.names_only || self.is_file {
            return path.file_name().is_some_and(|name| glob.matcher.is_match(name));
        }
        glob.matcher.is_match(self.shown(path))
    }
}

impl Glob {
    fn new(glob: &str) -> Result<Self, SearchProblem> {
        let below_root = glob.trim_start_matches("./").trim_start_matches('/');
        let glob = GlobBuilder::new(below_root)
            .literal_separator(true)
            .build()
            .map_err(|error| SearchProblem::Glob(Notice::new(error.to_string())))?;
        Ok(Self { names_only: !glob.glob().contains('/'), matcher: glob.compile_matcher() })
    }
}
