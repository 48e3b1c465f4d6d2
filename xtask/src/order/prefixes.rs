//! A short list of prefixes that together cover the names of all functions that were entered, and few others.
//!
//! Names are longer than what tells them apart, and neighbours in a crate are often entered together: a line for each name would be ten times
//! the list. Over the tree of all names, each branch that holds something entered is either selected as a whole, for its idle bytes and the
//! price of a line, or left to its own branches.

use std::{cmp::min, collections::BTreeMap, iter, ops::AddAssign};

/// As many idle bytes may be selected when that saves a line of the list.
const PRICE: u64 = 600;

/// How much code has a name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes {
    /// Of functions that were entered.
    pub(super) entered: u64,
    /// Of functions that were not.
    pub(super) idle: u64,
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.entered += other.entered;
        self.idle += other.idle;
    }
}

/// All names, in order. Functions that differ in nothing but the hash of their name share one.
#[derive(Debug)]
pub(super) struct Prefixes(Vec<(String, Bytes)>);

impl FromIterator<(String, Bytes)> for Prefixes {
    fn from_iter<I: IntoIterator<Item = (String, Bytes)>>(functions: I) -> Self {
        let mut names: BTreeMap<String, Bytes> = BTreeMap::new();
        for (name, bytes) in functions {
            *names.entry(name).or_default() += bytes;
        }
        Self(names.into_iter().collect())
    }
}

impl Prefixes {
    /// The list, in order. Every name with entered bytes begins with one of these, and none of these with another.
    pub(super) fn covering(&self) -> Vec<&str> {
        choose(&self.0, 0).prefixes
    }

    /// The bytes of all functions whose names begin with one of these.
    pub(super) fn selected(&self, prefixes: &[&str]) -> u64 {
        let selected =
            self.0.iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        selected.map(|(_, bytes)| bytes.entered + bytes.idle).sum()
    }
}

/// What is chosen for some names.
#[derive(Default)]
struct Choice<'a> {
    /// Idle bytes that are selected, and the price of the lines.
    cost: u64,
    prefixes: Vec<&'a str>,
}

/// The cheapest choice for the names of one branch. They have more than `shared` bytes in common, and the first of these behind `shared` tells them
/// from all others; of all names, for which `shared` is 0, this need not be so.
fn choose(names: &[(String, Bytes)], shared: usize) -> Choice<'_> {
    let mut bytes = Bytes::default();
    for (_, more) in names {
        bytes += *more;
    }
    let (Some((first, own)), Some((last, _))) = (names.first(), names.last()) else {
        return Choice::default();
    };
    if bytes.entered == 0 {
        return Choice::default();
    }
    let common = iter::zip(first.bytes(), last.bytes()).take_while(|(one, other)| one == other).count();
    let whole = Choice { cost: bytes.idle + PRICE, prefixes: vec![&first[..min(common, shared + 1)]] };
    let ends_here = first.len() == common;
    if ends_here && own.entered > 0 {
        return whole;
    }
    let mut apart = Choice::default();
    let branches = if ends_here { &names[1..] } else { names };
    for branch in branches.chunk_by(|(one, _), (other, _)| one.as_bytes()[common] == other.as_bytes()[common])
    {
        let chosen = choose(branch, common);
        apart.cost += chosen.cost;
        apart.prefixes.extend(chosen.prefixes);
    }
    if whole.cost <= apart.cost { whole } else { apart }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn prefixes(names: &[(&str, u64, u64)]) -> Prefixes {
        names
            .iter()
            .map(|(name, entered, idle)| ((*name).to_owned(), Bytes { entered: *entered, idle: *idle }))
            .collect()
    }

    #[test]
    fn a_branch_is_selected_when_that_is_cheaper_than_lines() {
        let few =
            prefixes(&[("gate::a", 10, 0), ("gate::b", 0, 500), ("gate::c", 10, 0), ("store::a", 0, 50)]);
        assert_eq!(few.covering(), ["g"]);
        assert_eq!(few.selected(&few.covering()), 520);
        let many =
            prefixes(&[("gate::a", 10, 0), ("gate::b", 0, 5000), ("gate::c", 10, 0), ("store::a", 0, 50)]);
        assert_eq!(many.covering(), ["gate::a", "gate::c"]);
        assert_eq!(many.selected(&many.covering()), 20);
    }

    #[test]
    fn a_name_that_others_begin_with_selects_them() {
        let nested = prefixes(&[("step", 10, 0), ("step_back", 0, 9000), ("stop", 0, 9000)]);
        assert_eq!(nested.covering(), ["ste"]);
        assert!(prefixes(&[("step", 0, 10)]).covering().is_empty());
        assert!(prefixes(&[]).covering().is_empty());
    }

    #[test]
    fn functions_of_one_name_are_one() {
        let same = prefixes(&[("poll", 10, 0), ("poll", 0, 30), ("push", 0, 7000)]);
        assert_eq!(same.covering(), ["po"]);
        assert_eq!(same.selected(&["po"]), 40);
    }

    proptest! {
        #[test]
        fn all_that_is_entered_is_covered(
            names in vec(("[abc_]{1,6}", prop_oneof![Just(0), 1..3000_u64], 0..3000_u64), 0..60)
        ) {
            let names: Prefixes =
                names.into_iter().map(|(name, entered, idle)| (name, Bytes { entered, idle })).collect();
            let covering = names.covering();
            for (name, bytes) in &names.0 {
                let by = covering.iter().filter(|prefix| name.starts_with(**prefix)).count();
                prop_assert!(by <= 1, "{} is selected twice", name);
                prop_assert!(by == 1 || bytes.entered == 0, "{} is not covered", name);
            }
            for prefix in &covering {
                let entered = names.0.iter().any(|(name, bytes)| name.starts_with(prefix) && bytes.entered > 0);
                prop_assert!(entered, "{} selects nothing that was entered", prefix);
            }
            // No dearer than a line for each name, nor than all.
            let idle = |prefixes: &[&str]| {
                let entered: u64 = names.0.iter().map(|(_, bytes)| bytes.entered).sum();
                names.selected(prefixes) - entered + PRICE * prefixes.len() as u64
            };
            if !covering.is_empty() {
                let each: Vec<&str> =
                    names.0.iter().filter(|(_, bytes)| bytes.entered > 0).map(|(name, _)| name.as_str()).collect();
                prop_assert!(idle(&covering) <= idle(&each));
                prop_assert!(idle(&covering) <= idle(&[""]));
            }
        }
    }
}
