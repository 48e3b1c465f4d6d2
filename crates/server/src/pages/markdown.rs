//! Prose as markup: the Markdown that an agent, a requester or the gate wrote.
//!
//! Only structure survives. There is no raw HTML (it is shown as text), no picture (its description and host are shown), no link to
//! anything but `http` and `https`, and every link shows the host that it leads to, tells that host nothing and passes no trust on.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};

use super::text::{inert, plain, size};

/// Bytes of prose that are shown.
const MOST: usize = 24 * 1024;
/// Elements that may stand in each other.
const MOST_DEPTH: usize = 24;

/// Prose as inert markup, of bounded length.
pub(crate) fn prose(text: &str) -> Markup {
    prose_of(text, MOST)
}

/// The same with another bound, for texts whose length is bounded elsewhere.
pub(crate) fn prose_of(text: &str, most: usize) -> Markup {
    let end = text.floor_char_boundary(most);
    let mut writer = Writer::default();
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(&text[..end], options) {
        writer.event(event);
    }
    let body = writer.finish();
    html! {
        div.prose {
            (PreEscaped(body))
            @if end < text.len() { p.gap { "… " (size((text.len() - end) as u64)) " left out …" } }
        }
    }
}

/// Markup as it is being written.
#[derive(Default)]
struct Writer {
    out: String,
    /// What ends each element that is open, innermost last; `None` for one that is left out.
    open: Vec<Option<String>>,
    /// The table's columns, and the one that is being written.
    columns: Vec<Alignment>,
    column: usize,
    in_head: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(code) => {
                let code = html! { code { (inert(&code)) } };
                self.out.push_str(&code.into_string());
            }
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text)
            }
            Event::SoftBreak => self.out.push('\n'),
            Event::HardBreak => self.out.push_str("<br>"),
            Event::Rule => self.out.push_str("<hr>"),
            Event::TaskListMarker(done) => self.out.push_str(if done { "☑ " } else { "☐ " }),
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(&inert(text).into_string());
    }

    fn open(&mut self, start: &str, end: impl Into<String>) {
        // Left out beyond a depth: a browser's own limits would mend it in its own way.
        if self.open.len() >= MOST_DEPTH {
            self.open.push(None);
            return;
        }
        self.out.push_str(start);
        self.open.push(Some(end.into()));
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.open("<p>", "</p>"),
            Tag::Heading { level, .. } => {
                let level = heading(level);
                self.open(&format!("<h{level}>"), format!("</h{level}>"));
            }
            Tag::BlockQuote(_) => self.open("<blockquote>", "</blockquote>"),
            Tag::CodeBlock(kind) => {
                let language = match &kind {
                    CodeBlockKind::Fenced(language) => plain(language),
                    CodeBlockKind::Indented => String::new(),
                };
                // The language is only told to people.
                let title =
                    html! { pre tabindex="0" title=(language.chars().take(40).collect::<String>()) {} };
                let start = title.into_string().replace("</pre>", "<code>");
                self.open(&start, "</code></pre>");
            }
            Tag::List(Some(first)) => {
                let start = if first == 1 {
                    "<ol>".to_owned()
                } else {
                    format!("<ol start=\"{}\">", first.min(99_999))
                };
                self.open(&start, "</ol>");
            }
            Tag::List(None) => self.open("<ul>", "</ul>"),
            Tag::Item => self.open("<li>", "</li>"),
            Tag::Table(columns) => {
                self.columns = columns;
                self.open("<div class=\"wide\" tabindex=\"0\"><table>", "</tbody></table></div>");
            }
            Tag::TableHead => {
                self.column = 0;
                self.in_head = true;
                self.open("<thead><tr>", "</tr></thead><tbody>");
            }
            Tag::TableRow => {
                self.column = 0;
                self.open("<tr>", "</tr>");
            }
            Tag::TableCell => self.cell(),
            Tag::Emphasis => self.open("<em>", "</em>"),
            Tag::Strong => self.open("<strong>", "</strong>"),
            Tag::Strikethrough => self.open("<s>", "</s>"),
            Tag::Link { link_type, dest_url, .. } => self.link(link_type, &dest_url),
            Tag::Image { dest_url, .. } => self.picture(&dest_url),
            Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => self.open("<span>", "</span>"),
        }
    }

    fn cell(&mut self) {
        let element = if self.in_head { "th" } else { "td" };
        let class = match self.columns.get(self.column) {
            Some(Alignment::Right) => " class=\"num\"",
            Some(Alignment::Center) => " class=\"mid\"",
            Some(Alignment::None | Alignment::Left) | None => "",
        };
        self.column += 1;
        self.open(&format!("<{element}{class}>"), format!("</{element}>"));
    }

    fn link(&mut self, kind: LinkType, destination: &str) {
        let Some(address) = web_address(destination) else {
            // The words stay; where they wanted to lead is said, and leads nowhere.
            let shown = html! { " " code { (inert(destination.get(..200).unwrap_or(destination))) } };
            let shown = if kind == LinkType::Autolink { String::new() } else { shown.into_string() };
            self.open("<span>", format!("</span>{shown}"));
            return;
        };
        let host = address.host_str().unwrap_or_default().to_owned();
        let link =
            html! { a.out href=(address.as_str()) rel="noopener noreferrer nofollow" {} }.into_string();
        let told = html! { span.host { (inert(&host)) } }.into_string();
        self.open(link.trim_end_matches("</a>"), format!("</a>{told}"));
    }

    fn picture(&mut self, destination: &str) {
        let host = web_address(destination).and_then(|address| address.host_str().map(str::to_owned));
        let told =
            html! { span.host { "picture not loaded" @if let Some(host) = &host { ", " (inert(host)) } } };
        self.open("<span class=\"picture\">", format!("{}</span>", told.into_string()));
    }

    fn end(&mut self, end: TagEnd) {
        if end == TagEnd::TableHead {
            self.in_head = false;
        }
        if let Some(Some(end)) = self.open.pop() {
            self.out.push_str(&end);
        }
    }

    fn finish(mut self) -> String {
        while let Some(end) = self.open.pop() {
            self.out.push_str(&end.unwrap_or_default());
        }
        self.out
    }
}

/// Headings stand below those of the page.
const fn heading(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 | HeadingLevel::H2 => 4,
        HeadingLevel::H3 => 5,
        HeadingLevel::H4 | HeadingLevel::H5 | HeadingLevel::H6 => 6,
    }
}

/// An address that a link may lead to: on the web, at a host with a name or address, without a user's name in it.
pub(crate) fn web_address(text: &str) -> Option<url::Url> {
    let address = url::Url::parse(text).ok().filter(|_| text.len() <= 2_000)?;
    let web = matches!(address.scheme(), "http" | "https") && address.host_str().is_some();
    (web && address.username().is_empty() && address.password().is_none()).then_some(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pages::parsed::Parsed;

    /// Elements that prose may become.
    const ELEMENTS: [&str; 29] = [
        "html",
        "div",
        "p",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "pre",
        "code",
        "ol",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "em",
        "strong",
        "s",
        "a",
        "span",
        "br",
        "hr",
        "head",
        "body",
        "i",
        "b",
    ];
    const ATTRIBUTES: [&str; 6] = ["class", "title", "tabindex", "href", "rel", "start"];

    fn check(text: &str) -> Result<(), TestCaseError> {
        for element in Parsed::piece(&prose(text).into_string()).elements {
            prop_assert!(ELEMENTS.contains(&element.name.as_str()), "{}", element.name);
            for (name, value) in &element.attributes {
                prop_assert!(ATTRIBUTES.contains(&name.as_str()), "{name}");
                if name == "href" {
                    prop_assert!(value.starts_with("http://") || value.starts_with("https://"), "{value}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn structure_survives_and_activity_does_not() {
        let shown = |text: &str| prose(text).into_string();
        assert_eq!(
            shown("# A *b*\n\n- c\n"),
            "<div class=\"prose\"><h4>A <em>b</em></h4><ul><li>c</li></ul></div>"
        );
        assert!(shown("<script>alert(1)</script>").contains("&lt;script&gt;"));
        assert!(shown("[x](javascript:alert(1))").contains("<code>javascript:alert(1)</code>"));
        let link = shown("[docs](https://docs.example/a?b)");
        assert!(
            link.contains("rel=\"noopener noreferrer nofollow\"")
                && link.contains("<span class=\"host\">docs.example</span>")
        );
        assert!(!shown("[x](https://user:secret@evil.example/)").contains("<a"));
        let picture = shown("![see](https://evil.example/a.png)");
        assert!(!picture.contains("<img") && picture.contains("picture not loaded, evil.example"));
        assert!(shown("a\u{202e}b").contains("U+202E"));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = "> ".repeat(3_000) + "x";
        assert!(shown_depth(&deep) <= MOST_DEPTH + 3);
        assert!(prose(&"word ".repeat(100_000)).into_string().len() < MOST + 200);
        fn shown_depth(text: &str) -> usize {
            let page = Parsed::piece(&prose(text).into_string());
            page.elements.iter().map(|element| element.depth).max().unwrap_or(0)
        }
    }

    proptest! {
        #[test]
        fn any_text_is_inert(text in any::<String>()) {
            check(&text)?;
        }

        #[test]
        fn markup_is_inert(pieces in prop::collection::vec(prop::sample::select(vec![
            "<", ">", "\"", "'", "&", "`", "```", "\n", "\n\n", "> ", "- ", "1. ", "# ", "|", "|-|-|\n", "[", "](", ")", "![", "<img src=x onerror=a>",
            "<script>", "</script>", "javascript:", "https://a.example", "data:text/html,x", "&#60;", "*", "_", "~~", "\\", "\t", " ", "x",
            "<!--", "-->", "<![CDATA[", "\u{202e}", "\0", "[ ] ", "<https://b.example>",
        ]), 0..60)) {
            check(&pieces.concat())?;
        }
    }
}
