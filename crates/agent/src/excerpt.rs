//! Cutting text to size without losing both of its ends.

/// `text` if it has at most `limit` bytes; otherwise its beginning and its end with a note between them,
/// `limit` bytes and the note long.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(limit / 2);
    let tail = text.ceil_char_boundary(text.len() - (limit - limit / 2));
    let left_out = tail - head;
    format!("{}\n[… {left_out} bytes left out …]\n{}", &text[..head], &text[tail..])
}

/// The first line of `text` that says anything, at most `limit` bytes of it.
pub(crate) fn first_line(text: &str, limit: usize) -> &str {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    &line[..line.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_both_ends_and_the_bound(text in "\\PC{0,200}", limit in 0usize..300) {
            let cut = excerpt(&text, limit);
            if text.len() <= limit {
                prop_assert_eq!(cut, text);
            } else {
                prop_assert!(cut.len() <= limit + 48, "{} > {limit}", cut.len());
            }
        }
    }

    #[test]
    fn first_line_skips_blank_ones() {
        assert_eq!(first_line("\n  \n fix it \nnow", 80), "fix it");
        assert_eq!(first_line("häh", 2), "h");
    }
}
