//! Words of pages among those of the platform.

use cofferdam_domain::hidden::replace_hidden;

/// A text of a page's as one quoted line of at most so many characters: it cannot end its quotation marks, begin a line, or hide anything.
#[must_use]
pub fn quoted(text: &str, most: usize) -> String {
    let mut line = String::from("\"");
    line.push_str(&inner(text, most));
    line.push('"');
    line
}

/// The same without the marks.
fn inner(text: &str, most: usize) -> String {
    let mut words = String::new();
    let mut count = 0;
    let mut blank = false;
    for character in text.trim().chars() {
        if character.is_whitespace() {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) {
            words.push(' ');
            count += 1;
        }
        if count >= most {
            words.push('…');
            break;
        }
        count += 1;
        match character {
            '"' | '\\' => {
                words.push('\\');
                words.push(character);
            }
            other => words.push(other),
        }
    }
    replace_hidden(&words, |character| character.escape_unicode().to_string())
}

/// Lines of a page's, each marked as quoted, with what cannot be seen written out.
#[must_use]
pub fn shown(text: &str) -> String {
    let clean = replace_hidden(text, |character| match character {
        '\r' => String::new(),
        other => other.escape_unicode().to_string(),
    });
    let lines: Vec<String> = clean.lines().map(|line| format!("> {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_hidden_and_nothing_ends_the_quotation() {
        assert_eq!(quoted(" a\n\tb \"c\" \u{202e}d\u{200b}", 100), r#""a b \"c\" \u{202e}d\u{200b}""#);
        assert_eq!(quoted("abcdef", 3), "\"abc…\"");
        assert_eq!(shown("a\u{1b}[31m\r\nb"), "> a\\u{1b}[31m\n> b");
    }

    proptest! {
        #[test]
        fn one_line_whatever_comes(text in ".{0,80}", most in 0usize..40) {
            let line = quoted(&text, most);
            prop_assert_eq!(line.lines().count(), 1);
            let inside = &line[1..line.len() - 1];
            let plain = inside.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!plain.contains('"'));
        }
    }
}
