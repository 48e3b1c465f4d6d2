//! Texts as they are compared, and their grams. No I/O.

use std::collections::BTreeSet;

use cofferdam_domain::OrgId;

/// The longest gram, in characters. Shorter texts are found by grams of their own length.
const GRAM: usize = 3;

/// So many grams of a text that is searched for are asked for: what few of them leave over is looked at.
const ASKED: usize = 6;

/// No title and no repository's name is longer than this, in folded characters: one makes at most three, and 600 are kept.
const LONGEST: usize = 1800;

/// A text to be found, as it is compared.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    folded: String,
    length: usize,
}

impl Sought {
    /// The text, without what no text that is kept has.
    pub(crate) fn new(text: &str) -> Self {
        let folded: String = folded(text).take(LONGEST + 1).collect();
        let length = folded.chars().count();
        Self { folded, length }
    }

    /// Whether every session has it.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.length == 0
    }

    /// Whether no session can have it.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.length > LONGEST
    }

    /// Whether one of these texts has it.
    pub(crate) fn is_in(&self, texts: [&str; 2]) -> bool {
        texts.into_iter().any(|text| {
            // Most texts are plain: the same, only sooner.
            let plain = text.is_ascii() && !text.contains('\0');
            let folded = if plain { text.to_ascii_lowercase() } else { folded(text).collect() };
            folded.contains(&self.folded)
        })
    }

    /// Grams that every text with it has: at least one, unless it is everywhere.
    pub(crate) fn grams(&self, org: OrgId) -> Vec<i64> {
        let characters: Vec<char> = self.folded.chars().collect();
        let all: Vec<&[char]> = characters.windows(GRAM.min(self.length).max(1)).collect();
        // From its begin to its end, as far from each other as can be: neighbours say nearly the same.
        let few = ASKED.min(all.len());
        let last = all.len().saturating_sub(1);
        let spread = (0..few).map(|number| number * last / few.saturating_sub(1).max(1));
        let grams: BTreeSet<i64> =
            spread.filter_map(|place| all.get(place)).map(|characters| gram(org, characters)).collect();
        grams.into_iter().collect()
    }
}

/// All grams of a session's texts.
pub(crate) fn grams(org: OrgId, texts: [&str; 2]) -> BTreeSet<i64> {
    let mut grams = BTreeSet::new();
    for text in texts {
        let characters: Vec<char> = folded(text).collect();
        for length in 1..=GRAM {
            grams.extend(characters.windows(length).map(|characters| gram(org, characters)));
        }
    }
    grams
}

/// Characters as they are compared: what differs in case alone is the same. Each stands for itself, so that a part of a text is folded to a
/// part of the folded text.
fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    // Down, up and down again: ẞ, ß and SS are the same, and so are σ and ς.
    text.chars()
        .filter(|character| *character != '\0')
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

/// A gram's number: FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>). Two with the same number cost a search a look at a session that
/// does not fit, nothing else. Each organisation has numbers of its own, so that nobody's search takes longer because of what others have.
fn gram(org: OrgId, characters: &[char]) -> i64 {
    let of_text = characters.iter().flat_map(|character| u32::from(*character).to_be_bytes());
    number(org.as_u128().to_be_bytes().into_iter().chain(of_text))
}

/// The organisation's own number: that of no characters.
pub(crate) fn number_of(org: OrgId) -> i64 {
    gram(org, &[])
}

fn number(bytes: impl Iterator<Item = u8>) -> i64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORG: OrgId = OrgId::from_u128(7);

    fn fold(text: &str) -> String {
        folded(text).collect()
    }

    #[test]
    fn case_makes_no_difference_in_any_script() {
        for character in (0..0x0002_0000).filter_map(char::from_u32) {
            let text = character.to_string();
            let once = fold(&text);
            for other in [text.to_lowercase(), text.to_uppercase(), once.clone()] {
                assert_eq!(fold(&other), once, "{character:?}");
            }
            assert!(once.chars().count() <= 3, "{character:?}");
        }
        for (one, other) in
            [("STRASSE", "straße"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ПАРСЕР", "парсер"), ("ԲԱՐԵՒ", "բարեւ")]
        {
            assert_eq!(fold(one), fold(other));
        }
        assert_ne!(fold("é"), fold("e"));
        assert_eq!(fold("a\0b"), "ab");
    }

    #[test]
    fn a_text_that_nothing_can_have_is_known() {
        assert!(Sought::new(&"x".repeat(5_000_000)).is_nowhere());
        assert!(!Sought::new(&"x".repeat(600)).is_nowhere());
        assert!(Sought::new("").is_everywhere() && Sought::new("\0").is_everywhere());
        assert!(Sought::new("").grams(ORG).is_empty());
    }

    #[test]
    fn what_no_text_that_is_kept_has_parts_nothing() {
        assert!(Sought::new("ab\0c").is_in(["A\0B\0C", ""]));
        assert!(Sought::new("ßc").is_in(["", "S\0SC"]));
    }

    #[test]
    fn organisations_have_grams_of_their_own() {
        let other = grams(OrgId::from_u128(8), ["parser", ""]);
        assert!(grams(ORG, ["parser", ""]).is_disjoint(&other));
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_text_has_its_grams(title in ".{0,60}", repository in "[a-z/ßİΣé]{0,30}", from in 0..60_usize, length in 1..30_usize) {
            for text in [&title, &repository] {
                let part: String = text.chars().skip(from % (text.chars().count() + 1)).take(length).collect();
                let sought = Sought::new(&part);
                let all = grams(ORG, [&title, &repository]);
                prop_assert!(sought.is_everywhere() || !sought.grams(ORG).is_empty());
                prop_assert!(sought.grams(ORG).len() <= ASKED);
                prop_assert!(sought.grams(ORG).iter().all(|gram| all.contains(gram)), "{part:?}");
                prop_assert!(sought.is_in([&title, &repository]));
            }
        }
    }
}
