//! `read`: shows a file, or a part of it, with line numbers.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, amount::counted, message::Image};
use cofferdam_sandbox::{FileProblem, SandboxError};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    files::{CHUNK, Seen, missing},
    picture,
    place::Place,
    text::{shorten, size},
    tool::{Context, Failure, Tool, outcome},
};

/// Lines that are shown at once.
const MAX_LINES: u64 = 2000;
/// Bytes of lines that are shown at once, their numbers included.
const MAX_BYTES: usize = 48_000;
/// Characters of a line that are shown.
const MAX_LINE: usize = 2000;
/// Bytes of a file that are looked through for its lines.
const MAX_SCAN: u64 = 256 << 20;

static DEFINITION: Definition = Definition {
    name: "read",
    description: "Read a file: numbered lines, at most 2000 lines or 48 kB at once. Shows pictures (png, jpeg, gif, webp). \
                  Outside of /workspace too.",
    fields: &[
        Field::required("path", Kind::Text, "").or(&["filepath", "file", "filename", "absolutepath"]),
        Field::optional("offset", Kind::Count { least: 0, most: u64::MAX }, "first line, from 1").or(&[
            "startline",
            "line",
            "start",
        ]),
        Field::optional("limit", Kind::Count { least: 1, most: MAX_LINES }, "lines")
            .or(&["lines", "maxlines"]),
    ],
    parallel: true,
    read_only: true,
    example: r#"{"path":"src/main.rs","offset":1,"limit":200}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct Read {
    seen: Arc<Seen>,
}

impl Read {
    pub(crate) const fn new(seen: Arc<Seen>) -> Self {
        Self { seen }
    }
}

#[async_trait]
impl Tool for Read {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let place = Place::of(arguments.text("path"))?;
        let first = match context.sandbox.read(place.absolute(), 0, CHUNK).await {
            Ok(data) => data,
            Err(SandboxError::File { problem: FileProblem::Missing, .. }) => {
                return Err(missing(context.sandbox, &place).await);
            }
            Err(SandboxError::File { problem: FileProblem::IsDirectory, .. }) => {
                return Err(Failure(format!("{place} is a directory: use `list` or `glob`.")));
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(media_type) = Image::kind(&first.bytes) {
            return show_picture(context, &place, media_type, first.size).await;
        }
        if let Some(kind) = binary(&first.bytes) {
            return Ok(outcome(format!(
                "{place}: {kind}, {}. Not text: look at it with a command (file, xxd, strings).",
                size(first.size)
            )));
        }
        let from = arguments.count("offset").unwrap_or(1).max(1);
        let mut window = Window::new(from, arguments.count("limit").unwrap_or(MAX_LINES));
        let version = first.version;
        let file_size = first.size;
        let mut bytes = first.bytes;
        let mut offset = 0;
        while !bytes.is_empty() && offset < MAX_SCAN {
            offset += bytes.len() as u64;
            window.feed(&bytes);
            if offset >= file_size {
                break;
            }
            bytes = context.sandbox.read(place.absolute(), offset, CHUNK).await?.bytes;
        }
        window.end();
        self.seen.note(&place, version);
        window.report(&place, offset >= file_size).map(outcome)
    }
}

/// The lines of a file from one on, as many as may be shown, taken from its bytes as they come.
struct Window {
    from: u64,
    limit: u64,
    /// Lines that have ended so far.
    lines: u64,
    /// The line that has not ended yet; never more than can be shown of it.
    line: Vec<u8>,
    /// Bytes of that line that were not kept.
    beyond: usize,
    text: String,
    shown: u64,
    full: bool,
    invalid: usize,
    carriage_returns: u64,
    byte_order_mark: bool,
}

/// Bytes of a line that are kept: enough for every character that can be shown.
const KEPT: usize = MAX_LINE * 4 + 4;

impl Window {
    const fn new(from: u64, limit: u64) -> Self {
        Self {
            from,
            limit,
            lines: 0,
            line: Vec::new(),
            beyond: 0,
            text: String::new(),
            shown: 0,
            full: false,
            invalid: 0,
            carriage_returns: 0,
            byte_order_mark: false,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ended) = match piece.split_last() {
                Some((b'\n', content)) => (content, true),
                Some(_) | None => (piece, false),
            };
            let room = KEPT.saturating_sub(self.line.len()).min(content.len());
            self.line.extend_from_slice(&content[..room]);
            self.beyond += content.len() - room;
            if ended {
                self.line_ended(true);
            }
        }
    }

    /// The file is over; what is left is a last line without an end.
    fn end(&mut self) {
        if !self.line.is_empty() {
            self.line_ended(false);
        }
    }

    fn line_ended(&mut self, with_feed: bool) {
        let mut line = std::mem::take(&mut self.line);
        let beyond = std::mem::take(&mut self.beyond);
        self.lines += 1;
        if self.lines == 1 && line.starts_with(b"\xef\xbb\xbf") {
            self.byte_order_mark = true;
            line.drain(..3);
        }
        if with_feed && beyond == 0 && line.last() == Some(&b'\r') {
            self.carriage_returns += 1;
            line.pop();
        }
        if self.lines < self.from || self.full || self.shown == self.limit {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let more = if beyond > 0 { format!("[and {beyond} more bytes]") } else { String::new() };
        let numbered = format!("{}\t{}{more}\n", self.lines, shorten(&text, MAX_LINE));
        if self.text.len() + numbered.len() > MAX_BYTES {
            self.full = true;
            return;
        }
        self.invalid += line.utf8_chunks().map(|chunk| chunk.invalid().len()).sum::<usize>();
        self.text.push_str(&numbered);
        self.shown += 1;
    }

    fn report(self, place: &Place, complete: bool) -> Result<String, Failure> {
        if self.lines == 0 {
            return Ok("[empty file]".to_owned());
        }
        let total = if complete { self.lines.to_string() } else { format!("more than {}", self.lines) };
        if self.shown == 0 {
            return Err(Failure(format!("{place} has {total} lines; there is no line {}.", self.from)));
        }
        let mut text = self.text;
        let last = self.from + self.shown - 1;
        if last < self.lines || self.from > 1 || !complete {
            text.push_str(&format!("[lines {} to {last} of {total}", self.from));
            if last < self.lines || !complete {
                text.push_str(&format!("; go on with offset {}", last + 1));
            }
            text.push_str("]\n");
        }
        if self.carriage_returns > 0 {
            let which = if self.carriage_returns == self.lines { "all lines" } else { "some lines" };
            text.push_str(&format!("[{which} end with CRLF]\n"));
        }
        if self.byte_order_mark {
            text.push_str("[starts with a byte order mark]\n");
        }
        if self.invalid > 0 {
            text.push_str(&format!(
                "[{} not UTF-8, shown as \u{fffd}]\n",
                counted(self.invalid as u64, "byte")
            ));
        }
        text.truncate(text.trim_end_matches('\n').len());
        Ok(text)
    }
}

async fn show_picture(
    context: &Context<'_>,
    place: &Place,
    media_type: &str,
    file_size: u64,
) -> Result<ToolOutcome, Failure> {
    let what = format!("{place}: {media_type}, {}", size(file_size));
    if file_size > picture::MAX_FILE {
        return Ok(outcome(format!(
            "{what}. Too large to be shown: scale it down below {}.",
            size(picture::MAX_FILE)
        )));
    }
    let mut bytes = Vec::new();
    loop {
        let data = context.sandbox.read(place.absolute(), bytes.len() as u64, CHUNK).await?;
        bytes.extend_from_slice(&data.bytes);
        if data.bytes.is_empty() || bytes.len() as u64 >= file_size {
            break;
        }
    }
    let kept = picture::keep(context.blobs, bytes)
        .await
        .map_err(|why| Failure(format!("{what}. It cannot be shown: {why}.")))?;
    let note = kept.note.map_or(String::new(), |note| format!("; {note}"));
    Ok(ToolOutcome { images: vec![kept.image], whole: kept.whole, ..outcome(format!("[{what}{note}]")) })
}

/// What kind of file it is, if it is not text: by its first bytes, or because there is a NUL among the first
/// 8 kB.
fn binary(bytes: &[u8]) -> Option<String> {
    let kinds: [(&[u8], &str); 9] = [
        (b"\x7fELF", "ELF program or library"),
        (b"PK\x03\x04", "zip archive"),
        (b"\x1f\x8b", "gzip data"),
        (b"%PDF-", "PDF document"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"\xca\xfe\xba\xbe", "Java class"),
        (b"\0asm", "WebAssembly module"),
        (b"\xff\xfe", "UTF-16 text (convert it with iconv)"),
        (b"\xfe\xff", "UTF-16 text (convert it with iconv)"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some((*kind).to_owned());
    }
    let start = &bytes[..bytes.len().min(8192)];
    if !start.contains(&0) {
        return None;
    }
    let hex: Vec<String> = start.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(format!("binary file beginning {}", hex.join(" ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(bytes: &[u8], chunk: usize, from: u64, limit: u64) -> Result<String, String> {
        let mut window = Window::new(from, limit);
        bytes.chunks(chunk).for_each(|bytes| window.feed(bytes));
        window.end();
        window.report(&Place::workspace().child("f"), true).map_err(|failure| failure.0)
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(lines in prop::collection::vec("[a€\r]{0,9}", 1..30), chunk in 1usize..40, from in 1u64..40) {
            let text = lines.join("\n");
            prop_assert_eq!(window(text.as_bytes(), chunk, from, 5), window(text.as_bytes(), 1 << 20, from, 5));
        }

        #[test]
        fn always_bounded(length in 0usize..200_000, count in 1usize..50) {
            let text = ("x".repeat(length) + "\n").repeat(count);
            let shown = window(text.as_bytes(), 1 << 20, 1, 2000).unwrap();
            prop_assert!(shown.len() <= crate::MAX_TEXT);
        }
    }

    #[test]
    fn says_how_to_go_on() {
        let text: String = (1..=10).map(|number| format!("l{number}\n")).collect();
        assert_eq!(
            window(text.as_bytes(), 3, 2, 2).unwrap(),
            "2\tl2\n3\tl3\n[lines 2 to 3 of 10; go on with offset 4]"
        );
        assert_eq!(window(text.as_bytes(), 3, 10, 2).unwrap(), "10\tl10\n[lines 10 to 10 of 10]");
        assert_eq!(window(text.as_bytes(), 3, 11, 2).unwrap_err(), "f has 10 lines; there is no line 11.");
        assert_eq!(
            window(b"\xef\xbb\xbfa\r\nb\xff\r\n", 9, 1, 9).unwrap(),
            "1\ta\n2\tb\u{fffd}\n[all lines end with CRLF]\n[starts with a byte order mark]\n[1 byte not UTF-8, shown as \u{fffd}]"
        );
    }
}
