//! The word that was probably meant, for messages about mistyped ones.

/// The candidate that takes the fewest changes of single characters to become, if they are few for its length.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let few = word.chars().count() / 3 + 1;
    candidates
        .into_iter()
        .map(|candidate| (changes(word, candidate), candidate))
        .filter(|(count, candidate)| *count <= few && *count < candidate.chars().count())
        .min_by_key(|(count, _)| *count)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, taken out or replaced (V. I. Levenshtein, 1965). Words are short; of longer ones
/// only the beginnings are compared.
#[must_use]
pub fn changes(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let other: Vec<char> = other.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, character) in one.chars().take(LONGEST).enumerate() {
        let mut next = vec![line + 1];
        for (column, (wanted, pair)) in other.iter().zip(row.windows(2)).enumerate() {
            let [diagonal, above] = [0, 1].map(|at| pair.get(at).copied().unwrap_or_default());
            let left = next.get(column).copied().unwrap_or_default();
            next.push((diagonal + usize::from(*wanted != character)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_suggested_and_nothing_far() {
        let keys = ["name", "host", "methods", "paths", "body_limit"];
        for (word, wanted) in [
            ("path", Some("paths")),
            ("method", Some("methods")),
            ("hosts", Some("host")),
            ("bodylimit", Some("body_limit")),
            ("naem", Some("name")),
            ("certificate", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), wanted, "{word}");
        }
    }

    #[test]
    fn changes_are_counted() {
        for (one, other, wanted) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("a", "a", 0)]
        {
            assert_eq!(changes(one, other), wanted);
            assert_eq!(changes(other, one), wanted);
        }
    }
}
