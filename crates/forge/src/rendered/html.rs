//! Tags and comments among Markdown: which of it is read.
//!
//! A forge takes out what could act (scripts, styles, handlers) and shows the rest. What the tokenizer does not call a tag or a comment is
//! taken as text, also within elements that a browser would not show: more is read than a person sees, never less.

use std::cell::RefCell;

use html5ever::{
    tendril::StrTendril,
    tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts},
};

use super::{Concealed, Concealment};

/// Stands where a folded part begins.
pub(super) const FOLDED: &str = "[folded:]";
/// Stands where it ends.
pub(super) const UNFOLDED: &str = "[end of the folded part]";
/// Stands for a picture.
pub(super) const PICTURE: &str = "[picture]";

/// Elements that begin a line of their own.
const LINES: &[&str] = &[
    "blockquote",
    "br",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "summary",
    "table",
    "tr",
    "ul",
];

/// What is read of a piece of HTML. `folded` says how many folded parts are open, and is kept up to date.
pub(super) fn read(html: &str, folded: &mut usize, concealed: &mut Concealed) -> String {
    let written = html.chars().count();
    let sink = Reader(RefCell::new(Reading { folded: *folded, ..Reading::default() }));
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    // Nothing asks the tokenizer to stop, so that it reads all.
    while !input.is_empty() {
        drop(tokenizer.feed(&input));
    }
    tokenizer.end();
    let Reading { read, comments, plain, folded: open } = tokenizer.sink.0.into_inner();
    *folded = open;
    concealed.add(Concealment::Comment, comments);
    concealed.add(Concealment::Attribute, written.saturating_sub(comments + plain));
    read
}

struct Reader(RefCell<Reading>);

#[derive(Default)]
struct Reading {
    /// What is read.
    read: String,
    /// Characters in comments, with what marks them.
    comments: usize,
    /// Characters that are read or mark a tag without saying anything.
    plain: usize,
    folded: usize,
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        self.0.borrow_mut().take(token);
        TokenSinkResult::Continue
    }
}

impl Reading {
    fn take(&mut self, token: Token) {
        match token {
            Token::TagToken(tag) => self.tag(&tag),
            // With the marks around it, so that an empty comment counts as well.
            Token::CommentToken(comment) => self.comments += comment.chars().count() + "<!---->".len(),
            Token::CharacterTokens(text) => {
                self.plain += text.chars().count();
                self.read.push_str(&text);
            }
            Token::NullCharacterToken => self.read.push('\u{fffd}'),
            Token::DoctypeToken(_) | Token::EOFToken | Token::ParseError(_) => {}
        }
    }

    fn tag(&mut self, tag: &Tag) {
        let name: &str = &tag.name;
        self.plain += name.chars().count() + "<>".len() + usize::from(tag.kind == TagKind::EndTag);
        if LINES.contains(&name) && !self.read.ends_with('\n') {
            self.read.push('\n');
        }
        match (name, tag.kind) {
            ("details", TagKind::StartTag)
                if tag.attrs.iter().all(|attribute| &*attribute.name.local != "open") =>
            {
                self.folded += 1;
                self.read.push_str(FOLDED);
                self.read.push('\n');
            }
            ("details", TagKind::EndTag) if self.folded > 0 => {
                self.folded -= 1;
                self.read.push_str(UNFOLDED);
                self.read.push('\n');
            }
            ("img" | "picture" | "video" | "svg", TagKind::StartTag) => self.read.push_str(PICTURE),
            _ => {}
        }
    }
}
