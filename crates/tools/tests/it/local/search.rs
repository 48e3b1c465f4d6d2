//! Searches with ripgrep's libraries, in the test's own process.

use std::{
    cmp::Reverse,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cofferdam_sandbox::{FoundFile, FoundLine, SandboxError, Search, SearchResult};
use grep_regex::RegexMatcherBuilder;
use grep_searcher::{Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch};

pub(super) fn run(root: &Path, search: &Search) -> Result<SearchResult, SandboxError> {
    let wrong = |error: &dyn std::fmt::Display| SandboxError::Search(error.to_string());
    let glob = match &search.glob {
        Some(glob) => {
            let glob = if glob.contains('/') { glob.clone() } else { format!("**/{glob}") };
            let built = globset::GlobBuilder::new(&glob).literal_separator(true).build();
            Some(built.map_err(|error| wrong(&error))?.compile_matcher())
        }
        None => None,
    };
    let ignores = !search.hidden;
    let mut files: Vec<PathBuf> = ignore::WalkBuilder::new(root)
        .standard_filters(ignores)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .build()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .map(ignore::DirEntry::into_path)
        .filter(|path| glob.as_ref().is_none_or(|glob| glob.is_match(path.strip_prefix(root).unwrap())))
        .collect();
    let limit = search.limit as usize;
    let Some(pattern) = &search.pattern else {
        files.sort_by_key(|path| Reverse(path.metadata().unwrap().modified().unwrap()));
        let cut = files.len() > limit;
        files.truncate(limit);
        let files = files.iter().map(|path| found(root, search, path, Vec::new())).collect();
        return Ok(SearchResult { files, cut });
    };
    let matcher = RegexMatcherBuilder::new()
        .multi_line(true)
        .fixed_strings(search.literal)
        .case_insensitive(search.ignore_case)
        .build(pattern)
        .map_err(|error| wrong(&error))?;
    let mut searcher = SearcherBuilder::new()
        .multi_line(search.multiline)
        .before_context(search.context as usize)
        .after_context(search.context as usize)
        .build();
    let mut result = SearchResult::default();
    let mut left = limit;
    for path in files {
        let mut lines = Lines { found: Vec::new(), left: &mut left, cut: &mut result.cut };
        searcher.search_path(&matcher, &path, &mut lines).unwrap();
        let lines = lines.found;
        if !lines.is_empty() {
            result.files.push(found(root, search, &path, lines));
        }
    }
    Ok(result)
}

/// A search in one file names it by its absolute path inside.
fn found(root: &Path, search: &Search, path: &Path, lines: Vec<FoundLine>) -> FoundFile {
    let shown = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
    let path = if shown.is_empty() { search.root.as_bytes() } else { shown };
    FoundFile { path: path.to_vec(), lines }
}

struct Lines<'a> {
    found: Vec<FoundLine>,
    left: &'a mut usize,
    cut: &'a mut bool,
}

impl Lines<'_> {
    fn push(&mut self, number: u64, line: &[u8], is_match: bool) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        self.found.push(FoundLine { number, text: text[..text.len().min(1000)].to_vec(), is_match });
    }
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        for (number, line) in (found.line_number().unwrap()..).zip(found.lines()) {
            if *self.left == 0 {
                *self.cut = true;
                return Ok(false);
            }
            *self.left -= 1;
            self.push(number, line, true);
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, found: &SinkContext<'_>) -> io::Result<bool> {
        if *self.left > 0 {
            self.push(found.line_number().unwrap(), found.bytes(), false);
        }
        Ok(true)
    }
}
