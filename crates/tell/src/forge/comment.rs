//! The one comment that says how a session stands: first in a line, then what the platform knows, then what others say of it, quoted.

use std::fmt::Write as _;

use cofferdam_domain::Subject;
use cofferdam_forge::remote::Site;
use cofferdam_gate::sanitise_prose;

use crate::{
    report::{Markup, Report},
    story::Story,
};

/// Bytes of one quotation.
const LONGEST: usize = 3_000;

/// The comment.
pub(super) fn comment(story: &Story, site: &Site, path: &str, page: Option<&str>) -> String {
    let pull = story.agent.pull_request();
    let pull_page = pull.map(|pull| site.page(path, Subject::Pull(pull.number)).to_string());
    let report = Report { story, markup: &Markdown, page, pull_page };
    let mut text = format!("{}\n\n", report.opening());
    for fact in report.facts() {
        _ = writeln!(text, "- {fact}");
    }
    for (who, words) in report.quotations() {
        _ = write!(text, "\n{who}\n\n{}", quoted(&words, LONGEST));
    }
    text
}

/// Somebody's words as an inert quotation of bounded length.
pub(super) fn quoted(words: &str, most: usize) -> String {
    let words = words.trim();
    if words.len() <= most {
        return sanitise_prose(words);
    }
    sanitise_prose(&format!(
        "{} … (cut: the session has all of it)",
        &words[..words.floor_char_boundary(most)]
    ))
}

/// As forges have it.
struct Markdown;

impl Markup for Markdown {
    fn plain(&self, words: &str) -> String {
        words.to_owned()
    }

    fn strong(&self, words: &str) -> String {
        format!("**{words}**")
    }

    fn link(&self, words: &str, address: &str) -> String {
        format!("[{words}](<{address}>)")
    }

    fn code(&self, name: &str) -> String {
        format!("`{name}`")
    }
}
