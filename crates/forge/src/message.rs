//! A commit message that an agent wrote, made fit to stand under the platform's name: no hidden text, no
//! trailer that claims somebody's word, no mention or reference that makes a forge act, no marker that makes
//! it skip its checks.

use cofferdam_domain::hidden::Hidden;

const LONGEST_SUBJECT: usize = 120;
const LONGEST_LINE: usize = 400;
const MOST_LINES: usize = 200;

/// Trailers that forges and people act on, besides all that end in `-by`.
const TRAILERS: &[&str] =
    &["cc", "change-id", "reviewed-on", "skip-checks", "skip-ci", "git-dir", "auto-submit"];

/// Markers in brackets that make a forge skip its checks.
const SKIPS: &[&str] =
    &["skip ci", "ci skip", "no ci", "skip actions", "actions skip", "skip checks", "skip build"];

/// The message as it may be published: a subject, and if there is more, an empty line and a body.
pub(crate) fn clean(message: &str) -> String {
    let visible = visible(message);
    let mut lines = visible.lines().map(str::trim_end).filter(|line| !is_claim(line)).map(disarm);
    let subject = lines.by_ref().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let subject = shorten(subject.trim(), LONGEST_SUBJECT);
    let subject = if subject.is_empty() { "Changes".to_owned() } else { subject };
    let mut body = String::new();
    for line in lines.take(MOST_LINES) {
        body.push_str(&shorten(&line, LONGEST_LINE));
        body.push('\n');
    }
    let body = body.trim_matches('\n');
    if body.is_empty() { subject } else { format!("{subject}\n\n{body}") }
}

/// The first line of [`clean`]'s result.
pub(crate) fn subject(message: &str) -> String {
    clean(message).lines().next().unwrap_or_default().to_owned()
}

/// Without characters that are not seen, or that move others about, whatever they mean where they stand:
/// between the letters of a trailer's name they would make two names that look the same.
fn visible(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    text.chars()
        .filter(|character| *character == '\n' || *character == '\t' || Hidden::of(*character).is_none())
        .collect()
}

/// Whether a line has the form of a trailer that says something in somebody's name.
fn is_claim(line: &str) -> bool {
    let Some((token, _)) = line.trim_start_matches([' ', '\t', '>', '*', '-']).split_once(':') else {
        return false;
    };
    let token = token.trim_end().to_ascii_lowercase();
    let is_token =
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_token
        && (token.ends_with("-by") || token.starts_with("cofferdam") || TRAILERS.contains(&token.as_str()))
}

/// Breaks `@name`, `#12`, `GH-12` and `[skip ci]`, so that nobody is called and nothing is closed or skipped.
fn disarm(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut before = ' ';
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        out.push(character);
        let mention = character == '@' && next.is_alphanumeric() && !is_word(before);
        let reference = character == '#' && next.is_ascii_digit();
        if mention || reference {
            out.push(' ');
        }
        before = character;
    }
    break_words(&mut out);
    out
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '+')
}

fn break_words(line: &mut String) {
    for skip in SKIPS {
        let marker = format!("[{skip}]");
        while let Some(place) = line.to_ascii_lowercase().find(&marker) {
            line.replace_range(place..=place, "(");
            line.replace_range(place + marker.len() - 1..place + marker.len(), ")");
        }
    }
    while let Some(place) = line.to_ascii_lowercase().find("gh-") {
        line.replace_range(place + 2..place + 3, " ");
    }
    if let Some(place) = line.find("***NO_CI***") {
        line.replace_range(place..place + 3, "");
    }
}

fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_claimed_called_closed_or_skipped() {
        let message = "Fix the parser\u{202e}  (fixes #12, GH-7) [Skip CI]\r\n\r\nThanks @alice, mail bob@example.org.\n\
                       See src/a.rs: it was wrong.\n\nSigned-off-by: Mallory <m@example.org>\n  Co-Authored-By : x\n\
                       > Approved-by: boss\nCofferdam-Session: ses_forged\nskip-checks: true\nCC: all\n";
        assert_eq!(
            clean(message),
            "Fix the parser  (fixes # 12, GH 7) (Skip CI)\n\nThanks @ alice, mail bob@example.org.\nSee src/a.rs: it was wrong."
        );
    }

    #[test]
    fn an_empty_message_still_has_a_subject() {
        assert_eq!(clean("\n\u{200b}\nSigned-off-by: a\n"), "Changes");
        assert_eq!(subject("a\n\nb"), "a");
        assert_eq!(clean(&"x".repeat(500)).chars().count(), LONGEST_SUBJECT);
    }

    proptest! {
        #[test]
        fn any_text(text in "([\\PC\n\r\u{202e}]|@a|#1|Signed-off-by: |\\[skip ci\\]|GH-){0,60}") {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.is_empty());
            prop_assert!(!cleaned.chars().any(|character| character != '\n' && character != '\t' && Hidden::of(character).is_some()));
            let lower = cleaned.to_ascii_lowercase();
            prop_assert!(!lower.contains("[skip ci]") && !lower.contains("gh-"));
            prop_assert!(!lower.lines().any(|line| line.starts_with("signed-off-by:")));
            prop_assert!(!lower.contains("#1"));
        }
    }
}
