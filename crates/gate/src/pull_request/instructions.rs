//! Passages of the platform's own instructions have no place in what an agent writes about its work. They are no
//! secret, but whoever reads a pull request has not asked for them, and one that quotes them was written by a
//! model that did what a stranger told it to.

use std::{borrow::Cow, collections::HashSet, ops::Range};

/// So many words in a row are a quotation; fewer happen by themselves.
const PASSAGE: usize = 8;
const LEFT_OUT: &str = "[a passage of the platform's instructions was left out]";

/// The text without what it quotes of the instructions. Letters and digits count, case and punctuation do not.
#[must_use]
pub fn without_passages<'t>(text: &'t str, instructions: &str) -> Cow<'t, str> {
    let known: Vec<String> = words(instructions).into_iter().map(|(word, _)| word).collect();
    let passages: HashSet<&[String]> = known.windows(PASSAGE).collect();
    let (words, places): (Vec<String>, Vec<Range<usize>>) = words(text).into_iter().unzip();
    let mut quoted: Vec<Range<usize>> = Vec::new();
    for (window, places) in words.windows(PASSAGE).zip(places.windows(PASSAGE)) {
        let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
        if passages.contains(window) {
            match quoted.last_mut().filter(|before| first.start <= before.end) {
                Some(before) => before.end = last.end,
                None => quoted.push(first.start..last.end),
            }
        }
    }
    if quoted.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for Range { start, end } in quoted {
        kept.push_str(text.get(from..start).unwrap_or_default());
        kept.push_str(LEFT_OUT);
        from = end;
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Words in lower case, and where they stand.
fn words(text: &str) -> Vec<(String, Range<usize>)> {
    let mut words = Vec::new();
    let mut word: Option<(String, usize)> = None;
    for (place, letter) in text.char_indices() {
        if letter.is_alphanumeric() {
            word.get_or_insert_with(|| (String::new(), place)).0.extend(letter.to_lowercase());
        } else if let Some((word, start)) = word.take() {
            words.push((word, start..place));
        }
    }
    words.extend(word.map(|(word, start)| (word, start..text.len())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTRUCTIONS: &str =
        "You work alone in a sandbox. Run the tests before you finish, and say what you saw.";

    #[test]
    fn what_is_quoted_is_left_out_however_it_is_written() {
        let quoted = "Fixed. I was told: **you work ALONE**, in a sandbox... run the tests before you finish! So I did.";
        assert_eq!(
            without_passages(quoted, INSTRUCTIONS),
            format!("Fixed. I was told: **{LEFT_OUT}! So I did.")
        );
        assert_eq!(without_passages(INSTRUCTIONS, INSTRUCTIONS), format!("{LEFT_OUT}."));
    }

    #[test]
    fn ordinary_words_stay() {
        for text in
            ["", "I run the tests before I finish.", "Ünïcode… 日本語", "the tests before you finish, and"]
        {
            assert!(matches!(without_passages(text, INSTRUCTIONS), Cow::Borrowed(same) if same == text));
        }
    }
}
