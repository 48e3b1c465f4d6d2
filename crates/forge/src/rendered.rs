//! What somebody wrote on a forge, as a person reads it there.
//!
//! A person who assigns an issue has read what the forge showed: no comment in the markup, no attribute, no definition that nothing refers
//! to, no character that cannot be seen. A model would read all of it. So what a session is given is built from what is shown and nothing
//! else: what is not shown is left out or made visible, and counted, so that whoever looks at the session knows that there was something.
//!
//! The text stays as untrusted as its author: this only keeps what it says and what was approved the same.
//!
//! Sources: [CommonMark] and [GitHub Flavored Markdown] for what is shown; [UTS #39] for letters that look alike.
//!
//! [CommonMark]: https://spec.commonmark.org/0.31.2/
//! [GitHub Flavored Markdown]: https://github.github.com/gfm/
//! [UTS #39]: https://www.unicode.org/reports/tr39/

mod html;
mod letters;
mod page;

use std::collections::BTreeMap;

use pulldown_cmark::{Options, Parser};

use self::page::Page;

/// Characters of one text that are read at the most; what is beyond is not given to anybody but counted.
pub const MOST_CHARACTERS: usize = 256 * 1024;

/// A text as a person reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// What is read, as plain Markdown.
    pub text: String,
    /// What was written and is not read, or not as it was written.
    pub concealed: Concealed,
}

/// How much of a text is not what it seems, by the way in which it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concealed(BTreeMap<Concealment, usize>);

/// A way to write what is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concealment {
    /// A comment in the markup. Left out.
    Comment,
    /// A tag's attributes, the title of a link, what follows the language of a code block. Left out.
    Attribute,
    /// A picture: its address and the text that stands for it where it cannot be shown. Left out.
    Picture,
    /// A definition for links, which shows nothing itself. Left out; links are shown with their address.
    Definition,
    /// A part that is folded until somebody opens it. Marked.
    Folded,
    /// Characters without a picture, or that reorder others. Written out as `\u{…}`.
    Invisible,
    /// Letters of another script within a word, which look like those around them. Written out as `\u{…}`.
    LookAlike,
    /// What was beyond the most that is read. Left out.
    Surplus,
}

impl Concealment {
    /// What it is, for people, after a number of characters.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Comment => "in hidden comments, left out",
            Self::Attribute => "in attributes and titles, left out",
            Self::Picture => "in pictures, left out",
            Self::Definition => "in link definitions, left out",
            Self::Folded => "in folded parts, shown unfolded",
            Self::Invisible => "invisible, shown as \\u{…}",
            Self::LookAlike => "of another script within a word, shown as \\u{…}",
            Self::Surplus => "too many, left out",
        }
    }
}

impl Concealed {
    /// Whether all that was written is read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many characters are concealed in each way.
    pub fn iter(&self) -> impl Iterator<Item = (Concealment, usize)> {
        self.0.iter().map(|(kind, characters)| (*kind, *characters))
    }

    fn add(&mut self, kind: Concealment, characters: usize) {
        if characters > 0 {
            *self.0.entry(kind).or_default() += characters;
        }
    }
}

/// Reads a text in GitHub's Markdown, which GitLab, Forgejo and Gitea write as well.
#[must_use]
pub fn rendered(markdown: &str) -> Rendered {
    let (markdown, surplus) = bounded(markdown);
    let syntax = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let parser = Parser::new_ext(markdown, syntax);
    let mut page = Page::default();
    page.concealed.add(Concealment::Surplus, surplus);
    for (_, definition) in parser.reference_definitions().iter() {
        let written = markdown.get(definition.span.clone()).unwrap_or_default();
        page.concealed.add(Concealment::Definition, written.chars().count());
    }
    for event in parser {
        page.take(event);
    }
    page.finish()
}

/// Reads one line that is no Markdown: a title, the name of a branch or a label.
#[must_use]
pub fn rendered_line(line: &str) -> Rendered {
    let (line, surplus) = bounded(line);
    let mut concealed = Concealed::default();
    concealed.add(Concealment::Surplus, surplus);
    let one: String = line.chars().map(|character| if character == '\n' { ' ' } else { character }).collect();
    Rendered { text: letters::seen(one.trim(), &mut concealed), concealed }
}

fn bounded(text: &str) -> (&str, usize) {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => {
            (text.get(..end).unwrap_or_default(), text.get(end..).unwrap_or_default().chars().count())
        }
        None => (text, 0),
    }
}

#[cfg(test)]
mod tests;
