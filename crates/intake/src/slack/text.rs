//! A message as a person reads it in Slack: what stands between `<` and `>` is shown for what it is, with the address that a link really leads to.
//!
//! Source: <https://docs.slack.dev/messaging/formatting-message-text>.

use std::collections::BTreeMap;

use cofferdam_forge::rendered_line;

/// Characters of one text that are read; Slack cuts its own at 40,000.
const MOST: usize = 64 * 1024;

/// A text as a person reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// What is read.
    pub text: String,
    /// What was written and is not read, or not as it was written: in which way, and how many characters.
    pub concealed: Vec<(String, u64)>,
    /// Who is mentioned, by their ids.
    pub mentioned: Vec<String>,
}

/// Reads a text in Slack's markup. What mentions `me` at its beginning is left out.
#[must_use]
pub fn shown(markup: &str, me: &str) -> Shown {
    let mut shown = Shown::default();
    let mut concealed: BTreeMap<String, u64> = BTreeMap::new();
    let (markup, surplus) = match markup.char_indices().nth(MOST) {
        Some((end, _)) => markup.split_at(end),
        None => (markup, ""),
    };
    if !surplus.is_empty() {
        concealed.insert("too many, left out".to_owned(), count(surplus.chars().count()));
    }
    let mut text = String::with_capacity(markup.len());
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        text.push_str(&decoded(&rest[..start]));
        let inside = &rest[start + 1..];
        let Some(end) = inside.find('>') else {
            rest = &rest[start..];
            break;
        };
        let part = &inside[..end];
        if let Some(user) = part.strip_prefix('@') {
            let user = user.split('|').next().unwrap_or_default();
            shown.mentioned.push(user.to_owned());
            if user != me || !text.trim().is_empty() {
                text.push_str(&format!("@{}", decoded(user)));
            }
        } else {
            text.push_str(&special(part));
        }
        rest = &inside[end + 1..];
    }
    text.push_str(&decoded(rest));
    // `>>>` quotes all that follows, as many lines as that is.
    let mut quoted = false;
    let lines = text.trim().lines().map(|line| {
        // Each line for itself: what is before its words is kept, which code has a meaning in.
        let indent = line.len() - line.trim_start_matches(' ').len();
        let seen = rendered_line(&line[indent..]);
        for (kind, characters) in seen.concealed.iter() {
            *concealed.entry(kind.words().to_owned()).or_default() += count(characters);
        }
        let margin = if quoted { "> " } else { "" };
        quoted |= line[indent..].starts_with(">>>");
        format!("{margin}{}{}", &line[..indent], seen.text)
    });
    shown.text = lines.collect::<Vec<_>>().join("\n");
    shown.concealed = concealed.into_iter().collect();
    shown
}

/// What is not a person: a channel, a group, everybody, a date, a link.
fn special(part: &str) -> String {
    let (target, label) = match part.split_once('|') {
        Some((target, label)) => (decoded(target), decoded(label)),
        None => (decoded(part), String::new()),
    };
    if let Some(channel) = target.strip_prefix('#') {
        return if label.is_empty() { format!("#{channel}") } else { format!("#{label} ({channel})") };
    }
    if let Some(command) = target.strip_prefix('!') {
        let mut parts = command.split('^');
        return match (parts.next().unwrap_or_default(), parts.next()) {
            ("subteam", Some(group)) if label.is_empty() => format!("@{group}"),
            ("subteam", Some(group)) => format!("{label} ({group})"),
            // The time that is meant, and where it leads, beside the words that stand for it.
            ("date", Some(time)) => match parts.nth(1) {
                Some(link) => format!("{label} ({time} seconds since 1970, {link})"),
                None => format!("{label} ({time} seconds since 1970)"),
            },
            (name, _) => format!("@{name}"),
        };
    }
    let address = target.strip_prefix("mailto:").unwrap_or(&target);
    if label.is_empty() || label == address || label == target {
        target
    } else {
        format!("{label} ({target})")
    }
}

/// The three characters that Slack writes otherwise. Once: `&amp;lt;` is `&lt;`.
fn decoded(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for (markup, wanted) in [
            ("<@U0BOT> mend it", "mend it"),
            ("please, <@U0BOT>, ask <@U1|ann>", "please, @U0BOT, ask @U1"),
            ("a &lt;b&gt; &amp;lt; &amp;amp;", "a <b> &lt; &amp;"),
            ("<https://a.example/x>", "https://a.example/x"),
            (
                "<https://evil.example/|https://good.example/>",
                "https://good.example/ (https://evil.example/)",
            ),
            ("<https://a.example/?b=1&amp;c=2|here>", "here (https://a.example/?b=1&c=2)"),
            ("<mailto:a@b.example|a@b.example>", "mailto:a@b.example"),
            ("<#C1|general> and <#C2>", "#general (C1) and #C2"),
            ("<!here> <!channel> <!subteam^S1|@devs>", "@here @channel @devs (S1)"),
            (
                "<!date^1392734382^{date}^https://evil.example/|today>",
                "today (1392734382 seconds since 1970, https://evil.example/)",
            ),
            ("unclosed <https://a.example", "unclosed <https://a.example"),
            ("```\n  fn a() {}\n```", "```\n  fn a() {}\n```"),
            ("&gt; quoted\nown", "> quoted\nown"),
            ("own\n&gt;&gt;&gt; all\n\nthat  follows", "own\n>>> all\n> \n> that  follows"),
            ("", ""),
        ] {
            assert_eq!(shown(markup, "U0BOT").text, wanted, "{markup}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_written_out_and_counted() {
        let read = shown("me\u{200b}nd\u{202e} it", "U0BOT");
        assert_eq!(read.text, "me\\u{200b}nd\\u{202e} it");
        assert_eq!(read.concealed, [("invisible, shown as \\u{…}".to_owned(), 2)]);
        let long = shown(&"ß".repeat(MOST + 10), "U0BOT");
        assert_eq!(long.concealed, [("too many, left out".to_owned(), 10)]);
        assert_eq!(shown("<@U1> <@U0BOT>", "U0BOT").mentioned, ["U1", "U0BOT"]);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(text in "(.|\\n|<|>|@|\\||!|\\^){0,200}") {
            let read = shown(&text, "U0BOT");
            let in_place = |character: char| matches!(character, '\n' | '\r' | '\t' | '\u{c}');
            prop_assert!(read.text.chars().all(|character| in_place(character) || !character.is_control()));
        }
    }
}
