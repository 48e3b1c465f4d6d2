//! Whether a text calls somebody by name: as a word of its own that its author has written, not in what is quoted or is code.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Whether a text in Markdown mentions this account with `@` before its name.
pub(crate) fn mentions(markdown: &str, name: &str) -> bool {
    !name.is_empty() && is_called(&spoken(markdown), name)
}

/// What of a text its author says: without quotes, code and markup.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other markup shows nothing that its author says")]
fn spoken(markdown: &str) -> String {
    let syntax = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_GFM;
    let mut text = String::new();
    let mut left_out = 0_usize;
    for event in Parser::new_ext(markdown, syntax) {
        match event {
            Event::Start(Tag::BlockQuote(_) | Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::Image { .. }) => {
                left_out += 1;
            }
            Event::End(TagEnd::BlockQuote(_) | TagEnd::CodeBlock | TagEnd::HtmlBlock | TagEnd::Image) => {
                left_out = left_out.saturating_sub(1);
                text.push('\n');
            }
            Event::Text(part) if left_out == 0 => text.push_str(&part),
            // What stands beside code is no part of a word with it.
            Event::Code(_) => text.push('`'),
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::TableCell)
            | Event::SoftBreak
            | Event::HardBreak => text.push('\n'),
            _ => {}
        }
    }
    text
}

/// Whether `@name` stands in a text between others than the characters of names.
fn is_called(text: &str, name: &str) -> bool {
    let (text, call) = (text.to_ascii_lowercase(), format!("@{}", name.to_ascii_lowercase()));
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(&call)) {
        let (start, end) = (from + found, from + found + call.len());
        let before = text.get(..start).and_then(|before| before.chars().next_back());
        let mut after = text.get(end..).unwrap_or_default().chars();
        let goes_on = match after.next() {
            // At the end of a sentence, or within a longer name.
            Some('.') => after.next().is_some_and(char::is_alphanumeric),
            Some(next) => is_of_a_name(next) || next == '/',
            None => false,
        };
        if !before.is_some_and(|before| is_of_a_name(before) || matches!(before, '@' | '/' | '.' | '\\'))
            && !goes_on
        {
            return true;
        }
        from = end;
    }
    false
}

fn is_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_called_in_words_of_ones_own() {
        for text in [
            "@agent fix this",
            "Please, @agent.",
            "please\n@Agent: have a look",
            "(@agent)",
            "> she said no\n\n@agent do it",
            "**@agent** now",
            "`code` @agent",
            "- item\n- @agent do that",
            "@agents, @agent!",
            "| a |\n|---|\n| @agent |",
        ] {
            assert!(mentions(text, "agent"), "{text}");
        }
        for text in [
            "",
            "agent, fix this",
            "> @agent fix this",
            "> > @agent",
            "`@agent`",
            "```\n@agent\n```",
            "    @agent indented code",
            "<!-- @agent -->",
            "<!--\n@agent\n-->",
            "![@agent](https://a.example/x.png)",
            "me@agent",
            "@agent-two",
            "@agent_2",
            "@agent.example.com",
            "@agent/team",
            "@agents",
            "@@agent",
            "https://a.example/@agent",
            "`x`@agentx",
        ] {
            assert!(!mentions(text, "agent"), "{text}");
        }
        assert!(!mentions("@ everybody", ""));
        assert!(mentions("ß @ünïcode ß", "ünïcode"));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(text in "(.|\\n){0,200}", name in "[a-z]{1,5}") {
            let quoted: String = text.lines().map(|line| format!("> {line}\n")).collect();
            prop_assert!(!quoted.contains("\n\n") || quoted.is_empty());
            mentions(&text, &name);
        }
    }
}
