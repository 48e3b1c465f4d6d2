//! The head of a Markdown file between two lines `---`: the part of YAML 1.2 that such heads are written in.
//!
//! It is a table of keys with texts, lists of texts, and tables of texts. Plain, quoted and block scalars, both kinds of lists and comments
//! are understood; whatever is nested deeper is passed over. Anchors, aliases, tags and merges are refused, so nothing is larger than it
//! is written. What YAML forbids but everybody writes is taken as it is meant: a colon or a leading asterisk in a plain text.

mod tables;

use tables::Kept;

/// Bytes of a head.
const MOST_BYTES: usize = 16 * 1024;
/// Keys of a head.
const MOST_KEYS: usize = 64;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; empty where nothing stands there.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// A table of texts.
    Table(Vec<(String, String)>),
    /// Something nested, which nobody here asks for.
    Nested,
}

/// A head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontMatter {
    entries: Vec<(String, Value)>,
    /// The lines below each key that has some, for whoever asks for the tables in them.
    below: Vec<(String, Vec<Kept>)>,
}

/// Why a head cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontMatterError {
    /// It has no end.
    #[error("its front matter has no end: a line `---` has to close it")]
    Open,
    /// It is too long.
    #[error("its front matter is longer than {MOST_BYTES} bytes or {MOST_KEYS} keys")]
    TooLong,
    /// A line is not understood.
    #[error("line {line} of its front matter {problem}")]
    Line {
        /// Which, counted from 1 as in the file.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl FrontMatter {
    /// What stands under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The tables that are listed under `key`, one after each `- `; none where nothing stands there.
    ///
    /// # Errors
    /// When something else stands there, or what is in one of them cannot be read: with the line.
    pub fn tables(&self, key: &str) -> Result<Vec<Self>, FrontMatterError> {
        let below = self.below.iter().find(|(known, _)| known == key);
        below.map_or(Ok(Vec::new()), |(_, lines)| tables::read(lines))
    }

    /// The text under `key`, if there is one.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            Some(Value::Text(_) | Value::List(_) | Value::Table(_) | Value::Nested) | None => None,
        }
    }

    /// The texts under `key`: those of a list, or of one text with commas between them.
    #[must_use]
    pub fn texts(&self, key: &str) -> Vec<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => commas(text),
            Some(Value::List(texts)) => texts.iter().map(String::as_str).collect(),
            Some(Value::Table(_) | Value::Nested) | None => Vec::new(),
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }
}

/// The parts between commas that stand outside braces.
fn commas(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    let parts = text.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The head of a text and what comes after it. A text without a head is all text.
///
/// # Errors
/// [`FrontMatterError`], with the line.
pub fn split(text: &str) -> Result<(Option<FrontMatter>, &str), FrontMatterError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = fence(text) else { return Ok((None, text)) };
    let mut lines = Vec::new();
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if fence(line).is_some_and(str::is_empty) {
            let body = rest.get(at + line.len()..).unwrap_or_default();
            return Ok((Some(parse(&lines)?), body));
        }
        at += line.len();
        if at > MOST_BYTES {
            return Err(FrontMatterError::TooLong);
        }
        lines.push(line.trim_end());
    }
    Err(FrontMatterError::Open)
}

/// What comes after a first line `---`.
fn fence(text: &str) -> Option<&str> {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.trim_end() == "---").then_some(rest)
}

/// A line that says something, with its number in the file and how far it is indented.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

impl Line<'_> {
    const fn wrong(&self, problem: &'static str) -> FrontMatterError {
        FrontMatterError::Line { line: self.number, problem }
    }
}

fn parse(lines: &[&str]) -> Result<FrontMatter, FrontMatterError> {
    let lines: Vec<Line<'_>> =
        lines.iter().enumerate().map(|(index, line)| measured(index + 2, line)).collect();
    table(&lines)
}

/// The keys of a table, each at the beginning of a line.
fn table(lines: &[Line<'_>]) -> Result<FrontMatter, FrontMatterError> {
    let mut read = FrontMatter::default();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if is_nothing(line) {
            at += 1;
            continue;
        }
        if line.indent > 0 {
            return Err(line.wrong("is indented under nothing"));
        }
        let (key, rest) = key_of(line)?;
        if read.get(&key).is_some() {
            return Err(line.wrong("has a key that was there before"));
        }
        if read.entries.len() >= MOST_KEYS {
            return Err(FrontMatterError::TooLong);
        }
        // What belongs to the key: everything indented, and list entries that are not.
        let list = rest.is_empty();
        let below = lines[at + 1..].iter().take_while(|next| {
            is_blank(next) || next.indent > 0 || list && (next.text == "-" || next.text.starts_with("- "))
        });
        let count = below.count();
        let below = &lines[at + 1..at + 1 + count];
        if count > 0 {
            read.below.push((key.clone(), below.iter().map(Kept::of).collect()));
        }
        read.entries.push((key, value(line, rest, below)?));
        at += 1 + count;
    }
    Ok(read)
}

fn measured(number: usize, line: &str) -> Line<'_> {
    let text = line.trim_start_matches([' ', '\t']);
    Line { number, indent: line.len() - text.len(), text }
}

const fn is_blank(line: &Line<'_>) -> bool {
    line.text.is_empty()
}

fn is_nothing(line: &Line<'_>) -> bool {
    is_blank(line) || line.text.starts_with('#')
}

/// `key: rest`, the rest without a comment's sign being looked at.
fn key_of<'a>(line: &Line<'a>) -> Result<(String, &'a str), FrontMatterError> {
    let (key, rest) = match line.text.strip_prefix(['"', '\'']) {
        Some(quoted) => {
            quoted.split_once(['"', '\'']).and_then(|(key, rest)| Some((key, rest.strip_prefix(':')?)))
        }
        None => line.text.split_once(':'),
    }
    .ok_or_else(|| line.wrong("is no `key: value`"))?;
    let is_word = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    if key.is_empty() || !key.chars().all(is_word) {
        return Err(line.wrong("is no `key: value`: a key has letters, digits and hyphens"));
    }
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(line.wrong("has no space after its colon"));
    }
    Ok((key.to_owned(), rest.trim()))
}

fn value(line: &Line<'_>, rest: &str, below: &[Line<'_>]) -> Result<Value, FrontMatterError> {
    match rest.chars().next() {
        None | Some('#') => nested(below),
        Some('|' | '>') => block(line, rest, below).map(Value::Text),
        Some('[') => list(line, &joined(rest, below)),
        Some('{') => Ok(Value::Nested),
        Some(_) => scalar(line, &joined(rest, below)).map(Value::Text),
    }
}

/// A text and the lines that go on with it.
fn joined(rest: &str, below: &[Line<'_>]) -> String {
    let mut text = uncommented(rest).to_owned();
    for line in below.iter().filter(|line| !is_nothing(line)) {
        text.push(' ');
        text.push_str(uncommented(line.text));
    }
    text
}

/// A line without its comment. In quotes there is none.
fn uncommented(text: &str) -> &str {
    if text.starts_with(['"', '\'']) {
        return text;
    }
    text.split_once(" #").map_or(text, |(text, _)| text).trim_end()
}

/// A plain or quoted text.
fn scalar(line: &Line<'_>, text: &str) -> Result<String, FrontMatterError> {
    let mut characters = text.chars();
    match characters.next() {
        None => Ok(String::new()),
        Some(quote @ ('"' | '\'')) => {
            let (text, rest) = quoted(line, quote, characters.as_str())?;
            let rest = rest.trim();
            if rest.is_empty() || rest.starts_with('#') {
                Ok(text)
            } else {
                Err(line.wrong("has something after its closing quote"))
            }
        }
        Some('&') => Err(line.wrong("has an anchor, which is not accepted")),
        Some('!') => Err(line.wrong("has a tag, which is not accepted")),
        // A glob begins with an asterisk too.
        Some('*')
            if !text[1..].is_empty()
                && text[1..].chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') =>
        {
            Err(line.wrong("has an alias, which is not accepted"))
        }
        Some(_) if matches!(text, "~" | "null") => Ok(String::new()),
        Some(_) => Ok(text.to_owned()),
    }
}

/// The text up to the closing quote, and what comes after it.
fn quoted<'a>(line: &Line<'_>, quote: char, text: &'a str) -> Result<(String, &'a str), FrontMatterError> {
    let mut read = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' if quote == '\'' && characters.as_str().starts_with('\'') => {
                characters.next();
                read.push('\'');
            }
            _ if character == quote => return Ok((read, characters.as_str())),
            '\\' if quote == '"' => {
                let escaped =
                    escape(&mut characters).ok_or_else(|| line.wrong("has an escape that is not known"))?;
                read.push(escaped);
            }
            _ => read.push(character),
        }
    }
    Err(line.wrong("has a quote that is never closed"))
}

/// YAML 1.2, section 5.7.
fn escape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let digits = match characters.next()? {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        same @ ('"' | '\\' | '/' | ' ') => return Some(same),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let code: String = characters.take(digits).collect();
    if code.len() < digits {
        return None;
    }
    char::from_u32(u32::from_str_radix(&code, 16).ok()?)
}

/// `[a, "b", c]`.
fn list(line: &Line<'_>, text: &str) -> Result<Value, FrontMatterError> {
    let unclosed = || line.wrong("has a list that is never closed");
    let inner =
        text.strip_prefix('[').and_then(|text| text.trim_end().strip_suffix(']')).ok_or_else(unclosed)?;
    let mut texts = Vec::new();
    let mut rest = inner.trim();
    while let Some(first) = rest.chars().next() {
        match first {
            '[' | '{' => return Ok(Value::Nested),
            quote @ ('"' | '\'') => {
                let (text, after) = quoted(line, quote, &rest[1..])?;
                texts.push(text);
                let after = after.trim_start();
                rest = match after.strip_prefix(',') {
                    Some(after) => after.trim_start(),
                    None if after.is_empty() => "",
                    None => return Err(line.wrong("has no comma between two entries")),
                };
            }
            _ => {
                // A glob may have braces with commas in them.
                let part = commas(rest).first().copied().unwrap_or_default();
                let start = rest.find(part).unwrap_or(0) + part.len();
                let text = scalar(line, part)?;
                if !text.is_empty() {
                    texts.push(text);
                }
                let after = rest.get(start..).unwrap_or_default().trim_start();
                rest = after.strip_prefix(',').unwrap_or_default().trim_start();
            }
        }
    }
    Ok(Value::List(texts))
}

/// A list or a table on lines of its own.
fn nested(below: &[Line<'_>]) -> Result<Value, FrontMatterError> {
    let lines: Vec<&Line<'_>> = below.iter().filter(|line| !is_nothing(line)).collect();
    let Some(first) = lines.first() else { return Ok(Value::Text(String::new())) };
    let item = |text: &str| text == "-" || text.starts_with("- ");
    let flat = lines.iter().all(|line| line.indent == first.indent);
    if item(first.text) {
        if !flat || !lines.iter().all(|line| item(line.text)) {
            return Ok(Value::Nested);
        }
        let texts = lines
            .iter()
            .map(|line| scalar(line, uncommented(line.text.strip_prefix('-').unwrap_or_default().trim())));
        return Ok(Value::List(texts.collect::<Result<_, _>>()?));
    }
    if !flat {
        return Ok(Value::Nested);
    }
    if first.text.contains(": ") || first.text.ends_with(':') {
        let pairs = lines.iter().map(|line| {
            let (key, rest) = key_of(line)?;
            Ok((key, scalar(line, uncommented(rest))?))
        });
        return Ok(Value::Table(pairs.collect::<Result<_, FrontMatterError>>()?));
    }
    // A plain text that begins on the line below its key.
    let text: Vec<&str> = lines.iter().map(|line| uncommented(line.text)).collect();
    scalar(first, &text.join(" ")).map(Value::Text)
}

/// A literal (`|`) or folded (`>`) text; what ends it is not kept.
fn block(line: &Line<'_>, rest: &str, below: &[Line<'_>]) -> Result<String, FrontMatterError> {
    let header = uncommented(rest);
    let folded = header.starts_with('>');
    if header.len() > 3 || !header[1..].chars().all(|c| matches!(c, '+' | '-' | '1'..='9')) {
        return Err(line.wrong("has something after the sign for a block"));
    }
    let indent = below.iter().find(|line| !is_blank(line)).map_or(0, |line| line.indent);
    let mut text = String::new();
    let mut after_text = false;
    for line in below {
        if !is_blank(line) && line.indent < indent {
            return Err(line.wrong("is indented less than the block that it is in"));
        }
        let deeper = line.indent - indent.min(line.indent);
        if folded && after_text && !is_blank(line) && deeper == 0 {
            text.pop();
            text.push(' ');
        }
        text.extend(std::iter::repeat_n(' ', if is_blank(line) { 0 } else { deeper }));
        text.push_str(line.text);
        text.push('\n');
        after_text = !is_blank(line) && deeper == 0;
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> FrontMatter {
        split(&format!("---\n{text}\n---\nbody\n")).unwrap().0.unwrap()
    }

    fn problem(text: &str) -> String {
        split(&format!("---\n{text}\n---\n")).unwrap_err().to_string()
    }

    #[test]
    fn heads_as_people_write_them() {
        let read = head(
            "# a comment\nname: pdf-tools\ndescription: Use this when: a PDF is there # not told\nlicense: 'It''s free'\nquoted: \"a \\\"b\\\" \\u00e4\"\n\
             metadata:\n  author: someone\n  version: \"1.0\"\nallowed-tools: Bash(git:*) Read\nglobs: **/*.ts,src/{a,b}/*.js\nempty:\ntags: [a, \"b, c\", {d}]\n\
             list:\n- one\n- 'two'\nfolded: >-\n  first\n  second\n\n  third\nliteral: |\n  a\n    b\nplain: one\n  two\ndeep:\n  a:\n    b: c\nstars: *.md",
        );
        assert_eq!(read.text("name"), Some("pdf-tools"));
        assert_eq!(read.text("description"), Some("Use this when: a PDF is there"));
        assert_eq!(read.text("license"), Some("It's free"));
        assert_eq!(read.text("quoted"), Some("a \"b\" ä"));
        assert_eq!(
            read.get("metadata"),
            Some(&Value::Table(vec![("author".into(), "someone".into()), ("version".into(), "1.0".into())]))
        );
        assert_eq!(read.texts("globs"), ["**/*.ts", "src/{a,b}/*.js"]);
        assert_eq!(read.text("empty"), None);
        assert_eq!(read.get("tags"), Some(&Value::Nested));
        assert_eq!(read.texts("list"), ["one", "two"]);
        assert_eq!(read.text("folded"), Some("first second\n\nthird"));
        assert_eq!(read.text("literal"), Some("a\n  b"));
        assert_eq!(read.text("plain"), Some("one two"));
        assert_eq!(read.get("deep"), Some(&Value::Nested));
        assert_eq!(read.text("stars"), Some("*.md"));
        assert_eq!(head("a: [\"x, y\", z, '{q}']").texts("a"), ["x, y", "z", "{q}"]);
        assert_eq!(head("d:\n  on a line\n  of its own").text("d"), Some("on a line of its own"));
    }

    #[test]
    fn a_text_without_a_head_is_all_text() {
        for text in ["", "# Title\n---\na: b\n---\n", "----\n", "text"] {
            assert_eq!(split(text), Ok((None, text)));
        }
        assert_eq!(split("\u{feff}---\r\na: b\r\n---\r\nbody").unwrap().1, "body");
        assert_eq!(split("---\n---").unwrap(), (Some(FrontMatter::default()), ""));
    }

    #[test]
    fn what_would_grow_or_lie_is_refused() {
        for (text, wanted) in [
            ("a: &x b", "line 2 of its front matter has an anchor"),
            ("a: b\nc: *x", "line 3 of its front matter has an alias"),
            ("a: !!python/object b", "a tag"),
            ("- &x a", "`key: value`"),
            ("<<: *x", "a key has letters"),
            ("a: b\na: c", "was there before"),
            ("a: \"b", "never closed"),
            ("a: \"\\q\"", "an escape"),
            ("a: \"\\ud800\"", "an escape"),
            ("a: 'b' c", "after its closing quote"),
            ("a: [b", "never closed"),
            ("  a: b", "indented under nothing"),
            ("nothing", "`key: value`"),
            ("a:b", "no space"),
            ("a: |x\n  b", "sign for a block"),
        ] {
            assert!(problem(text).contains(wanted), "{text}: {}", problem(text));
        }
        assert_eq!(split("---\na: b\n"), Err(FrontMatterError::Open));
        assert_eq!(
            split(&format!("---\na: {}\n---\n", "x".repeat(MOST_BYTES))),
            Err(FrontMatterError::TooLong)
        );
        let keys: Vec<String> = (0..=MOST_KEYS).map(|key| format!("k{key}: v")).collect();
        assert!(problem(&keys.join("\n")).contains("longer than"));
    }

    proptest! {
        #[test]
        fn nothing_comes_from_nowhere(text in "(---\n)?([a-c]: |- |[ \n\"'\\[\\]{}&*!|>#,:xé\u{202e}]){0,40}\n---\n(x|\n)*") {
            if let Ok((head, body)) = split(&text) {
                prop_assert!(text.ends_with(body));
                let longest = head.iter().flat_map(FrontMatter::keys).map(|key| head.as_ref().and_then(|head| head.text(key)).map_or(0, str::len));
                prop_assert!(longest.max().unwrap_or(0) <= text.len());
            }
        }
    }
}
