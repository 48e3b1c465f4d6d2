//! What is shown, written down piece by piece from what the Markdown parser says: what it says nothing about is not there.

use pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};

use super::{
    Concealed, Concealment, Rendered,
    html::{self, FOLDED, PICTURE, UNFOLDED},
    letters,
};

/// Characters of a link's address that are shown.
const LONGEST_ADDRESS: usize = 300;
/// Containers within each other that are told apart by indentation.
const DEEPEST: usize = 40;

#[derive(Default)]
pub(super) struct Page {
    text: String,
    pub(super) concealed: Concealed,
    /// What each line of the open containers begins with, the outermost first.
    margins: Vec<Margin>,
    /// Open containers that are too deep for a margin.
    deeper: usize,
    /// The number of the next item of each open list.
    lists: Vec<Option<u64>>,
    /// Addresses of open links, and where their text begins.
    links: Vec<(String, usize)>,
    /// Open pictures, of which nothing is shown.
    pictures: usize,
    /// HTML of the block that is open.
    html: Option<String>,
    code: Option<String>,
    /// Open parts that are folded.
    folded: usize,
    cells: usize,
}

/// What a line within a container begins with: the first, then the others.
struct Margin {
    first: Option<String>,
    rest: String,
}

impl Page {
    pub(super) fn take(&mut self, event: Event<'_>) {
        if self.pictures > 0 && !matches!(event, Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image))
        {
            self.unseen(&event);
            return;
        }
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match (&mut self.code, &mut self.html) {
                (Some(block), _) | (None, Some(block)) => block.push_str(&text),
                (None, None) => self.write(&text),
            },
            Event::Code(code) => self.fenced_in_line(&code),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.write(&text),
            Event::Html(html) => match &mut self.html {
                Some(block) => block.push_str(&html),
                None => self.html(&html),
            },
            Event::InlineHtml(html) => self.html(&html),
            Event::FootnoteReference(name) => self.write(&format!("[^{name}]")),
            Event::SoftBreak | Event::HardBreak => self.line(),
            Event::Rule => {
                self.block();
                self.write("---");
            }
            Event::TaskListMarker(done) => self.write(if done { "[x] " } else { "[ ] " }),
        }
    }

    pub(super) fn finish(mut self) -> Rendered {
        while self.folded > 0 {
            self.folded -= 1;
            self.block();
            self.write(UNFOLDED);
        }
        let text = letters::seen(self.text.trim(), &mut self.concealed);
        Rendered { text, concealed: self.concealed }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.block();
                self.write(&format!("{} ", "#".repeat(level as usize)));
            }
            Tag::BlockQuote(_) => {
                self.block();
                self.margin(None, "> ".to_owned());
            }
            Tag::CodeBlock(kind) => self.begin_code(&kind),
            Tag::HtmlBlock => self.html = Some(String::new()),
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.block();
                }
                self.lists.push(first);
            }
            Tag::Item => self.begin_item(),
            Tag::FootnoteDefinition(name) => {
                self.block();
                self.margin(Some(format!("[^{name}]: ")), " ".repeat(4));
            }
            Tag::Table(_) => self.block(),
            Tag::TableHead | Tag::TableRow => {
                self.line();
                self.write("|");
            }
            Tag::TableCell => self.write(" "),
            Tag::Strong => self.write("**"),
            Tag::Emphasis => self.write("*"),
            Tag::Strikethrough => self.write("~~"),
            Tag::Link { dest_url, title, .. } => {
                self.concealed.add(Concealment::Attribute, title.chars().count());
                self.links.push((dest_url.into_string(), self.text.len()));
            }
            Tag::Image { dest_url, title, .. } => {
                if self.pictures == 0 {
                    self.write(PICTURE);
                }
                self.pictures += 1;
                let characters = dest_url.chars().count() + title.chars().count();
                self.concealed.add(Concealment::Picture, characters);
            }
            Tag::MetadataBlock(_) => self.code = Some(String::new()),
            Tag::Paragraph | Tag::DefinitionListTitle | Tag::DefinitionListDefinition => self.block(),
            Tag::DefinitionList | Tag::Superscript | Tag::Subscript => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) | TagEnd::Item | TagEnd::FootnoteDefinition => self.end_margin(),
            TagEnd::CodeBlock | TagEnd::MetadataBlock(_) => self.end_code(),
            TagEnd::HtmlBlock => {
                let html = self.html.take().unwrap_or_default();
                self.html_block(&html);
            }
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::TableHead => {
                self.line();
                let rule = "| --- ".repeat(self.cells);
                self.write(&rule);
                self.write("|");
                self.cells = 0;
            }
            TagEnd::TableRow => self.cells = 0,
            TagEnd::TableCell => {
                self.cells += 1;
                self.write(" |");
            }
            TagEnd::Strong => self.write("**"),
            TagEnd::Emphasis => self.write("*"),
            TagEnd::Strikethrough => self.write("~~"),
            TagEnd::Link => self.end_link(),
            TagEnd::Image => self.pictures = self.pictures.saturating_sub(1),
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::Table
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript => {}
        }
    }

    /// What stands for a picture where it cannot be shown.
    fn unseen(&mut self, event: &Event<'_>) {
        if let Event::Text(text)
        | Event::Code(text)
        | Event::InlineMath(text)
        | Event::DisplayMath(text)
        | Event::InlineHtml(text)
        | Event::Html(text) = event
        {
            self.concealed.add(Concealment::Picture, text.chars().count());
        }
    }

    fn begin_item(&mut self) {
        let depth = self.lists.len();
        let marker = match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}. ");
                *number = number.saturating_add(1);
                marker
            }
            Some(None) | None => "- ".to_owned(),
        };
        if depth > 0 {
            self.line();
        }
        let rest = " ".repeat(marker.len());
        self.margin(Some(marker), rest);
    }

    fn begin_code(&mut self, kind: &CodeBlockKind<'_>) {
        self.block();
        let said: &str = match kind {
            CodeBlockKind::Fenced(said) => said,
            CodeBlockKind::Indented => "",
        };
        let (language, rest) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
        let is_language = |character: char| character.is_ascii_alphanumeric() || "+-#_.".contains(character);
        if language.len() <= 20 && language.chars().all(is_language) {
            self.concealed.add(Concealment::Attribute, rest.chars().count());
            self.code = Some(format!("{language}\n"));
        } else {
            self.concealed.add(Concealment::Attribute, said.chars().count());
            self.code = Some("\n".to_owned());
        }
    }

    fn end_code(&mut self) {
        let Some(code) = self.code.take() else { return };
        let fence = "`".repeat(longest_run(&code).max(2) + 1);
        self.write(&fence);
        let mut lines = code.trim_end_matches('\n').split('\n');
        self.write(lines.next().unwrap_or_default());
        for line in lines {
            self.text.push('\n');
            self.write(line);
        }
        self.text.push('\n');
        self.write(&fence);
    }

    fn fenced_in_line(&mut self, code: &str) {
        let fence = "`".repeat(longest_run(code) + 1);
        let gap = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
        self.write(&format!("{fence}{gap}{code}{gap}{fence}"));
    }

    /// An address that is not what the link says is shown beside it.
    fn end_link(&mut self) {
        let Some((address, began)) = self.links.pop() else { return };
        let said = self.text.get(began..).unwrap_or_default();
        let bare = address.strip_prefix("mailto:").unwrap_or(&address);
        if said == address || said == bare || address.is_empty() {
            return;
        }
        let shown: String = address.chars().take(LONGEST_ADDRESS).collect();
        self.concealed.add(Concealment::Attribute, address.chars().count() - shown.chars().count());
        self.write(&format!(" <{shown}>"));
    }

    fn html(&mut self, html: &str) {
        let read = html::read(html, &mut self.folded, &mut self.concealed);
        self.write(&read);
    }

    fn html_block(&mut self, html: &str) {
        let read = html::read(html, &mut self.folded, &mut self.concealed);
        let mut lines = read.lines().map(str::trim_end).filter(|line| !line.is_empty());
        let Some(first) = lines.next() else { return };
        self.block();
        self.write(first);
        for line in lines {
            self.line();
            self.write(line);
        }
    }

    /// Text within a line. A line end in it begins a line.
    fn write(&mut self, text: &str) {
        if self.folded > 0 && ![FOLDED, UNFOLDED].contains(&text.trim_end()) {
            self.concealed
                .add(Concealment::Folded, text.chars().filter(|character| *character != '\n').count());
        }
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.line();
            }
            if !line.is_empty() {
                self.indent();
                self.text.push_str(line);
            }
        }
    }

    /// Begins a line, unless one has just begun.
    fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// Begins a block: an empty line before it, unless it is the first thing in its container.
    fn block(&mut self) {
        if self.margins.last().is_some_and(|margin| margin.first.is_some()) {
            return;
        }
        self.line();
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn margin(&mut self, first: Option<String>, rest: String) {
        if self.margins.len() < DEEPEST {
            self.margins.push(Margin { first, rest });
        } else {
            self.deeper += 1;
        }
    }

    fn end_margin(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.margins.pop();
        }
    }

    /// Writes the margins at the beginning of a line.
    fn indent(&mut self) {
        let begins = self.text.is_empty() || self.text.ends_with('\n');
        let text = &mut self.text;
        for margin in &mut self.margins {
            match margin.first.take() {
                Some(first) => text.push_str(&first),
                None if begins => text.push_str(&margin.rest),
                None => {}
            }
        }
    }
}

fn longest_run(code: &str) -> usize {
    code.split(|character| character != '`').map(str::len).max().unwrap_or_default()
}
