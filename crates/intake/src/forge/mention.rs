//! Whether a text calls somebody by name: as a word of its own that its author has written, not in what is quoted or is code.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Whether a text in Markdown mentions this account with `@` before its name.
pub(crate) fn mentions(markdown: &str, name: &str) -> bool {
    !name.is_empty() && is_called(&spoken(markdown), name)
}

/// What somebody who calls us wants, where that is one of a few things that need no agent to be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That we review the pull request.
    Review,
    /// That what the branch it is meant for has gained is taken in: this branch, in lower case, or whichever it is.
    Base(Option<String>),
}

/// The wish that a text in Markdown begins with right after the name: `@agent review`, `@agent please rebase`, `@agent merge main`.
pub(crate) fn wish(markdown: &str, name: &str) -> Option<Wish> {
    let spoken = spoken(markdown);
    let (_, after) = call(&spoken, name)?;
    let after = after.to_lowercase();
    let line = after
        .trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, ':' | ','))
        .lines()
        .next()
        .unwrap_or_default();
    let plain = |word: &str| word.trim_matches(['.', ',', '!', '?', ':', ';', '`', '"', '\'']).to_owned();
    let mut words = line.split_whitespace().map(plain).filter(|word| !word.is_empty() && word != "please");
    match (words.next()?.as_str(), words.next().as_deref(), words.next().as_deref()) {
        ("review" | "re-review", _, _) => Some(Wish::Review),
        ("rebase", _, _) => Some(Wish::Base(None)),
        ("update", Some("branch"), None) | ("update", Some("the"), Some("branch")) => Some(Wish::Base(None)),
        ("merge", Some("base"), None) | ("merge", Some("the"), Some("base")) => Some(Wish::Base(None)),
        // Which branch that is, is for whoever knows the pull request to say: `merge this` is none.
        ("merge", Some(branch), None) => Some(Wish::Base(Some(branch.to_owned()))),
        ("merge", Some("in"), Some(branch)) => Some(Wish::Base(Some(branch.to_owned()))),
        _ => None,
    }
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
    call(text, name).is_some()
}

/// What stands before and after `@name` in a text, where that is between others than the characters of names.
fn call<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let call = format!("@{}", name.to_ascii_lowercase());
    // As long as the text, byte for byte.
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower.get(from..).and_then(|rest| rest.find(&call)) {
        let (start, end) = (from + found, from + found + call.len());
        let (before, after) = (text.get(..start)?, text.get(end..)?);
        let last = before.chars().next_back();
        let mut next = after.chars();
        let goes_on = match next.next() {
            // At the end of a sentence, or within a longer name.
            Some('.') => next.next().is_some_and(char::is_alphanumeric),
            Some(next) => is_of_a_name(next) || next == '/',
            None => false,
        };
        if !last.is_some_and(|last| is_of_a_name(last) || matches!(last, '@' | '/' | '.' | '\\')) && !goes_on
        {
            return Some((before, after));
        }
        from = end;
    }
    None
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

    #[test]
    fn a_few_wishes_are_understood() {
        let base = |branch: Option<&str>| Some(Wish::Base(branch.map(str::to_owned)));
        for (text, expected) in [
            ("@agent review", Some(Wish::Review)),
            ("Thanks!\n\n@Agent, please **review** this.", Some(Wish::Review)),
            ("@agent: review the second commit only", Some(Wish::Review)),
            ("@agent rebase", base(None)),
            ("@agent please rebase!", base(None)),
            ("@agent merge main", base(Some("main"))),
            ("@agent merge in release/1.x", base(Some("release/1.x"))),
            ("@agent merge the base", base(None)),
            ("@agent update the branch.", base(None)),
            ("@agent merge", None),
            ("@agent merge this when it is green", None),
            ("@agent update the documentation", None),
            ("@agent make the review page faster", None),
            ("> @agent review", None),
            ("review, @agent", None),
            ("@agent\nreview", Some(Wish::Review)),
            ("@agent", None),
        ] {
            assert_eq!(wish(text, "agent"), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(text in "(.|\\n){0,200}", name in "[a-z]{1,5}") {
            let quoted: String = text.lines().map(|line| format!("> {line}\n")).collect();
            prop_assert!(!quoted.contains("\n\n") || quoted.is_empty());
            mentions(&text, &name);
            wish(&text, &name);
        }
    }
}
