//! Colours for code: which bytes of a line are a comment, a string, a number, a keyword.
//!
//! One lexer for all languages, told apart by a row in a table. It looks at each byte once and keeps only whether a comment or a string goes on to
//! the next line. Where a language is richer than the table, the colour is wrong and the text is right.

use std::ops::Range;

/// Lines longer than this have no colours.
const LONGEST: usize = 4_000;

/// What some bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Comment,
    Text,
    Number,
    Keyword,
    /// A name that begins with a capital letter: mostly a type.
    Type,
}

impl Class {
    /// The element's class, short because there are many.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Comment => "c",
            Self::Text => "s",
            Self::Number => "n",
            Self::Keyword => "k",
            Self::Type => "t",
        }
    }
}

/// A family of languages that look alike to a lexer.
#[derive(Debug)]
pub(super) struct Language {
    line_comments: &'static [&'static str],
    block_comment: Option<(&'static str, &'static str)>,
    /// Signs that begin and end a text. The second says whether it may go on over lines.
    quotes: &'static [(&'static str, bool)],
    /// Separated by spaces.
    keywords: &'static str,
    types: bool,
}

const C_KEYWORDS: &str = "abstract as async auto await bool boolean break byte case catch char class const constexpr continue \
    crate default defer delete do double dyn else enum export extends extern false final finally float \
    fn for from func function go goto if impl implements import in instanceof int interface internal is \
    let long loop map match mod move mut namespace new nil null of override package private protected \
    pub public range readonly ref return select self Self short signed sizeof static string struct super \
    switch template this throw throws trait true try type typedef typeof undefined union unsafe unsigned \
    use using val var virtual void volatile where while with yield";
const SCRIPT_KEYWORDS: &str = "and as assert async await begin break case class continue def del do done elif else elsif end esac \
    except export False false fi finally for from function global if import in is lambda local module \
    nil None nonlocal not or pass raise rescue return self set then True true try unless until when \
    while with yield";
const QUERY_KEYWORDS: &str = "add all alter and as asc begin by case commit constraint create default delete desc distinct drop \
    else end exists foreign from group having in index insert into is join key left like limit not null \
    on or order primary references returning select set table then union unique update using values when \
    where with";
const DATA_KEYWORDS: &str = "false no null off on true yes";

static C_LIKE: Language = Language {
    line_comments: &["//"],
    block_comment: Some(("/*", "*/")),
    quotes: &[("\"", true), ("`", true)],
    keywords: C_KEYWORDS,
    types: true,
};
static SCRIPT: Language = Language {
    line_comments: &["#"],
    block_comment: None,
    quotes: &[("\"\"\"", true), ("'''", true), ("\"", false), ("'", false)],
    keywords: SCRIPT_KEYWORDS,
    types: true,
};
static QUERY: Language = Language {
    line_comments: &["--"],
    block_comment: Some(("/*", "*/")),
    quotes: &[("'", true), ("\"", false)],
    keywords: QUERY_KEYWORDS,
    types: false,
};
static DATA: Language = Language {
    line_comments: &["#"],
    block_comment: None,
    quotes: &[("\"", false), ("'", false)],
    keywords: DATA_KEYWORDS,
    types: false,
};
static MARKUP: Language = Language {
    line_comments: &[],
    block_comment: Some(("<!--", "-->")),
    quotes: &[("\"", true)],
    keywords: "",
    types: false,
};
static STYLE: Language = Language {
    line_comments: &[],
    block_comment: Some(("/*", "*/")),
    quotes: &[("\"", false), ("'", false)],
    keywords: "",
    types: false,
};

/// The language of a file, by its name.
pub(super) fn language(path: &str) -> Option<&'static Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if matches!(name, "Makefile" | "Dockerfile" | "justfile" | "Gemfile" | "Rakefile" | ".gitignore" | ".env")
    {
        return Some(&SCRIPT);
    }
    match name.rsplit_once('.')?.1 {
        "rs" | "c" | "h" | "cc" | "cpp" | "hpp" | "cxx" | "java" | "kt" | "kts" | "swift" | "go" | "js"
        | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "cs" | "php" | "scala" | "dart" | "zig" | "proto"
        | "groovy" | "gradle" => Some(&C_LIKE),
        "py" | "pyi" | "rb" | "sh" | "bash" | "zsh" | "pl" | "r" | "ex" | "exs" | "jl" | "nix" | "cmake"
        | "mk" => Some(&SCRIPT),
        "sql" => Some(&QUERY),
        "toml" | "yml" | "yaml" | "ini" | "cfg" | "conf" | "json" | "lock" | "properties" => Some(&DATA),
        "html" | "htm" | "xml" | "svg" | "vue" | "svelte" => Some(&MARKUP),
        "css" | "scss" | "less" => Some(&STYLE),
        _other => None,
    }
}

/// What goes on from one line to the next: the sign that will end it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Carried {
    comment: bool,
    text: Option<&'static str>,
}

/// The coloured bytes of one line, in order.
pub(super) fn line(
    language: &'static Language,
    text: &str,
    carried: &mut Carried,
) -> Vec<(Range<usize>, Class)> {
    if text.len() > LONGEST {
        *carried = Carried::default();
        return Vec::new();
    }
    Lexer { language, text, at: 0, found: Vec::new() }.run(carried)
}

struct Lexer<'a> {
    language: &'static Language,
    text: &'a str,
    at: usize,
    found: Vec<(Range<usize>, Class)>,
}

impl Lexer<'_> {
    fn run(mut self, carried: &mut Carried) -> Vec<(Range<usize>, Class)> {
        if carried.comment {
            self.comment(0, carried);
        } else if let Some(quote) = carried.text {
            self.quoted(0, quote, true, carried);
        }
        while self.at < self.text.len() {
            self.next(carried);
        }
        self.found
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self, carried: &mut Carried) {
        let rest = self.rest();
        let start = self.at;
        if self.language.line_comments.iter().any(|sign| rest.starts_with(sign)) {
            self.at = self.text.len();
            self.found.push((start..self.at, Class::Comment));
            return;
        }
        if let Some((sign, _)) = self.language.block_comment.filter(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            self.comment(start, carried);
            return;
        }
        if let Some((quote, lasts)) = self.language.quotes.iter().find(|(quote, _)| rest.starts_with(quote)) {
            self.at += quote.len();
            self.quoted(start, quote, *lasts, carried);
            return;
        }
        let Some(first) = rest.chars().next() else { return };
        if first.is_alphabetic() || first == '_' {
            self.word(start);
        } else if first.is_ascii_digit() {
            self.at += rest
                .find(|next: char| !next.is_ascii_alphanumeric() && !matches!(next, '_' | '.'))
                .unwrap_or(rest.len());
            self.found.push((start..self.at, Class::Number));
        } else {
            self.at += first.len_utf8();
        }
    }

    fn word(&mut self, start: usize) {
        let rest = self.rest();
        let length = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
        self.at += length;
        let word = &self.text[start..self.at];
        // Queries are written in both cases.
        let lower = (!self.language.types).then(|| word.to_ascii_lowercase());
        let known = lower.as_deref().unwrap_or(word);
        if self.language.keywords.split(' ').any(|keyword| keyword == known) {
            self.found.push((start..self.at, Class::Keyword));
        } else if self.language.types && word.starts_with(char::is_uppercase) && length > 1 {
            self.found.push((start..self.at, Class::Type));
        }
    }

    fn comment(&mut self, start: usize, carried: &mut Carried) {
        let end = self.language.block_comment.map_or("*/", |(_, end)| end);
        let found = self.rest().find(end);
        carried.comment = found.is_none();
        self.at = found.map_or(self.text.len(), |place| self.at + place + end.len());
        self.found.push((start..self.at, Class::Comment));
    }

    fn quoted(&mut self, start: usize, quote: &'static str, lasts: bool, carried: &mut Carried) {
        let mut escaped = false;
        let mut end = None;
        for (place, character) in self.rest().char_indices() {
            if !escaped && self.rest()[place..].starts_with(quote) {
                end = Some(self.at + place + quote.len());
                break;
            }
            escaped = !escaped && character == '\\';
        }
        carried.text = (end.is_none() && lasts).then_some(quote);
        self.at = end.unwrap_or(self.text.len());
        self.found.push((start..self.at, Class::Text));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(path: &str, lines: &[&str]) -> Vec<String> {
        let language = language(path).unwrap();
        let mut carried = Carried::default();
        let one = |text: &&str| {
            let found = line(language, text, &mut carried);
            found
                .into_iter()
                .map(|(range, class)| format!("{}:{}", class.name(), &text[range]))
                .collect::<Vec<_>>()
                .join(" ")
        };
        lines.iter().map(one).collect()
    }

    #[test]
    fn code_has_colours() {
        assert_eq!(
            shown(
                "a.rs",
                &["pub fn a(b: Option<u8>) -> u64 { 0x1f } // end", "/* one", "two */ let s = \"a\\\"b\";"]
            ),
            ["k:pub k:fn t:Option n:0x1f c:// end", "c:/* one", "c:two */ k:let s:\"a\\\"b\""]
        );
        assert_eq!(
            shown("a.py", &["def f(): # x", "    '''a", "b''' + 'c'"]),
            ["k:def c:# x", "s:'''a", "s:b''' s:'c'"]
        );
        assert_eq!(shown("a.sql", &["SELECT a -- b"]), ["k:SELECT c:-- b"]);
        assert_eq!(shown("a.yml", &["on: true # y"]), ["k:on k:true c:# y"]);
        assert!(language("a.unknown").is_none() && language("LICENSE").is_none());
    }

    proptest! {
        #[test]
        fn ranges_are_in_order_and_within(texts in prop::collection::vec("[a-zA-Z0-9/*\"'`#\\\\ é<>!-]{0,40}", 0..8), path in "a\\.(rs|py|sql|toml|html|css)") {
            let mut carried = Carried::default();
            for text in &texts {
                let mut end = 0;
                for (range, _) in line(language(&path).unwrap(), text, &mut carried) {
                    prop_assert!(range.start >= end && range.end <= text.len() && text.is_char_boundary(range.start));
                    end = range.end;
                }
            }
        }
    }
}
