//! Finds lines in files by a pattern.

use std::{
    fs::File,
    io::{self, Read},
    time::Instant,
};

use cofferdam_hand::protocol::{
    message::{MAX_CONTEXT, Search, SearchProblem},
    records::{Found, MAX_LINE},
    text::{Bytes, Notice},
};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};

use super::{Results, init, walk::Files};

/// The most memory for the line being searched, or for the whole file where the pattern crosses lines.
const MAX_HEAP: usize = 32 << 20;
/// The most memory for a compiled pattern.
const MAX_PATTERN: usize = 16 << 20;

/// Searches all files until results are over.
pub(super) fn search(
    files: &Files,
    pattern: &str,
    request: &Search,
    results: &mut Results,
) -> Result<(), SearchProblem> {
    let matcher = matcher(pattern, request)?;
    let mut searcher = searcher(request);
    for path in files.in_order() {
        if results.is_over() {
            break;
        }
        // Gone, unreadable, or no longer a file: passed over like any other that cannot be searched.
        let Ok((file, _)) = init::open_regular(&path) else { continue };
        let mut sink = Lines { found: Vec::new(), left: results.left, more: false, binary: false };
        let timed = Timed { file, deadline: results.deadline };
        let searched = searcher.search_reader(&matcher, timed, &mut sink);
        // Over the heap bound, or out of time: part of this file was not searched, and that must show.
        results.incomplete |= searched.is_err();
        if !sink.binary && !sink.found.is_empty() {
            results.left = sink.left;
            results.write(files.shown(&path), sink.found);
        }
        results.over |= sink.more;
    }
    Ok(())
}

fn matcher(pattern: &str, request: &Search) -> Result<RegexMatcher, SearchProblem> {
    let mut builder = RegexMatcherBuilder::new();
    builder
        .multi_line(true)
        .fixed_strings(request.literal)
        .case_insensitive(request.ignore_case)
        .dot_matches_new_line(request.multiline)
        .size_limit(MAX_PATTERN);
    if !request.multiline {
        builder.line_terminator(Some(b'\n'));
    }
    builder.build(pattern).map_err(|error| {
        let crosses_lines = matches!(error.kind(), grep_regex::ErrorKind::NotAllowed(_));
        let remedy = if crosses_lines { "; to match across lines, search with multiline" } else { "" };
        SearchProblem::Pattern(Notice::new(format!("{error}{remedy}")))
    })
}

fn searcher(request: &Search) -> Searcher {
    let context = usize::try_from(request.context.min(MAX_CONTEXT)).unwrap_or(0);
    SearcherBuilder::new()
        .line_number(true)
        .multi_line(request.multiline)
        .before_context(context)
        .after_context(context)
        .heap_limit(Some(MAX_HEAP))
        .binary_detection(BinaryDetection::quit(0))
        .build()
}

/// A file that cannot be read any more when the time is over, so that a large one cannot hold up the search.
struct Timed {
    file: File,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.read(buffer)
    }
}

/// Collects the lines of one file.
struct Lines {
    found: Vec<Found>,
    /// Matching lines that may still be found.
    left: u32,
    /// Whether there was another one after that.
    more: bool,
    /// Whether the file is no text.
    binary: bool,
}

impl Lines {
    fn push(&mut self, number: Option<u64>, line: &[u8], is_match: bool) {
        let text = Bytes(shortened(line).to_vec());
        self.found.push(Found::Line { number: number.unwrap_or(0), text, is_match });
    }
}

impl Sink for Lines {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        for (number, line) in (found.line_number().unwrap_or(0)..).zip(found.lines()) {
            if self.left == 0 {
                self.more = true;
                return Ok(false);
            }
            self.left -= 1;
            self.push(Some(number), line, true);
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        // After the last match that is wanted, lines before the next one are of no use.
        if self.left > 0 || *context.kind() == grep_searcher::SinkContextKind::After {
            self.push(context.line_number(), context.bytes(), false);
        }
        Ok(true)
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.binary = true;
        Ok(false)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.binary |= finish.binary_byte_offset().is_some();
        Ok(())
    }
}

/// A line without its end, cut at the bound but not within a character.
fn shortened(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= MAX_LINE {
        return line;
    }
    // At most three bytes of a character can be on this side of the cut.
    let continues = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let cut = (MAX_LINE - 3..=MAX_LINE).rev().find(|at| !continues(at)).unwrap_or(MAX_LINE);
    line.get(..cut).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(shortened(b"short\r\n"), b"short");
        let ascii = [b'a'; 2000];
        assert_eq!(shortened(&ascii).len(), MAX_LINE);
        let umlauts = format!("a{}", "ü".repeat(1000));
        assert_eq!(shortened(umlauts.as_bytes()).len(), MAX_LINE - 1);
        let invalid = [0x80; 2000];
        assert_eq!(shortened(&invalid).len(), MAX_LINE);
    }
}
