//! What is said in Slack, as blocks: our words in its markup, the words of others literally.
//!
//! In its markup `&`, `<` and `>` are what acts, so none of them stands in it that was not put there here; what others say stands in elements of
//! rich text, in which nothing acts at all. So nobody is mentioned, and nothing is a link but what leads to the session's page.
//!
//! Sources: [Formatting], [Blocks], and their limits: 3,000 characters a section, 50 blocks.
//!
//! [Formatting]: https://docs.slack.dev/messaging/formatting-message-text
//! [Blocks]: https://docs.slack.dev/reference/block-kit/blocks

use cofferdam_domain::hidden::replace_hidden;
use serde_json::{Value, json};

use super::methods::Text;
use crate::report::Markup;

/// Characters of a section, and of one quotation.
const LONGEST: usize = 2_900;
const LONGEST_QUOTE: usize = 2_000;
/// Quotations of one message.
const MOST_QUOTES: usize = 8;

/// As Slack has it.
pub(super) struct Mrkdwn;

impl Markup for Mrkdwn {
    fn plain(&self, words: &str) -> String {
        escaped(words)
    }

    fn strong(&self, words: &str) -> String {
        format!("*{}*", escaped(words))
    }

    fn link(&self, words: &str, address: &str) -> String {
        // What is code stays it, outside of the link.
        match words.strip_prefix('`').and_then(|words| words.strip_suffix('`')) {
            Some(code) => format!("<{}|{code}>", address_of(address)),
            None => format!("<{}|{}>", address_of(address), escaped(words)),
        }
    }

    fn code(&self, name: &str) -> String {
        format!("`{}`", escaped(&name.replace('`', "'")))
    }
}

/// Our words as they stand in Slack's markup.
pub(super) fn escaped(words: &str) -> String {
    let shown = replace_hidden(words, |character| character.escape_unicode().to_string());
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn address_of(address: &str) -> String {
    address.replace('<', "%3C").replace('>', "%3E").replace('|', "%7C").replace('&', "&amp;")
}

/// A message. `opening` and `facts` are in Slack's markup; of the quotations the first words are ours, the others somebody else's.
pub(super) fn message(
    opening: &str,
    facts: &[String],
    quotations: &[(&str, String)],
    page: Option<&str>,
) -> Text {
    let mut blocks = vec![section(opening)];
    if !facts.is_empty() {
        let lines: Vec<String> = facts.iter().map(|fact| format!("• {fact}")).collect();
        blocks.push(section(&within(&lines)));
    }
    for (who, words) in quotations.iter().take(MOST_QUOTES) {
        blocks.push(quotation(who, words));
    }
    if let Some(page) = page {
        blocks.push(json!({ "type": "actions", "elements": [{
            "type": "button",
            "action_id": "open",
            "text": { "type": "plain_text", "text": "Open its page", "emoji": false },
            "url": page,
        }] }));
    }
    Text { plain: opening.to_owned(), blocks: Value::Array(blocks) }
}

fn section(markup: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": markup, "verbatim": true } })
}

/// As many lines as fit.
fn within(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        if text.chars().count() + line.chars().count() >= LONGEST {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line);
    }
    text
}

/// Somebody's words, which do nothing.
fn quotation(who: &str, words: &str) -> Value {
    let words = replace_hidden(words.trim(), |character| character.escape_unicode().to_string());
    let mut shown: String = words.chars().take(LONGEST_QUOTE).collect();
    if shown.len() < words.len() {
        shown.push_str("… (cut: the session's page has all of it)");
    }
    if shown.is_empty() {
        shown.push_str("(nothing)");
    }
    json!({ "type": "rich_text", "elements": [
        { "type": "rich_text_section", "elements": [{ "type": "text", "text": who, "style": { "bold": true } }] },
        { "type": "rich_text_quote", "elements": [{ "type": "text", "text": shown }] },
    ] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_others_say_does_nothing() {
        let hostile = "<!channel> <@U1> <https://evil.example|here> &lt;!here&gt; *bold* \u{202e}x";
        let text = message("*At work.*", &[Mrkdwn.code(hostile)], &[("Why:", hostile.to_owned())], None);
        let facts = text.blocks[1]["text"]["text"].as_str().unwrap();
        assert!(
            !facts.contains('<') && facts.contains("&lt;!channel&gt;") && facts.contains("\\u{202e}"),
            "{facts}"
        );
        let quote = &text.blocks[2]["elements"][1]["elements"][0];
        assert_eq!(quote["type"], "text");
        assert!(!text.plain.contains("channel"));
        assert_eq!(text.blocks.as_array().unwrap().len(), 3, "no button without a page");
    }

    #[test]
    fn links_lead_where_they_say() {
        let page = "https://c.example/sessions/x?a=1&b=<|>";
        assert_eq!(
            Mrkdwn.link("its page", page),
            "<https://c.example/sessions/x?a=1&amp;b=%3C%7C%3E|its page>"
        );
        assert_eq!(Mrkdwn.link(&Mrkdwn.code("ses_1"), "https://c.example/"), "<https://c.example/|ses_1>");
    }

    proptest! {
        #[test]
        fn whatever_is_said_fits_and_is_inert(words in "(.|\\n){0,5000}", count in 0_usize..20) {
            let facts: Vec<String> = std::iter::repeat_n(Mrkdwn.plain(&words), count).collect();
            let quotations: Vec<(&str, String)> = std::iter::repeat_n(("Why:", words), count).collect();
            let text = message("*x*", &facts, &quotations, Some("https://c.example/"));
            for block in text.blocks.as_array().unwrap() {
                if let Some(markup) = block["text"]["text"].as_str() {
                    prop_assert!(markup.chars().count() <= 3_000 && !markup.contains(['<', '>']));
                }
            }
            prop_assert!(text.blocks.as_array().unwrap().len() <= 12);
        }
    }
}
