//! Where the next page of a list begins, as a text that nobody is meant to take apart.

use cofferdam_domain::{
    Digest,
    ids::{Id, Kind},
};

use crate::problem::{self, Problem};

const CHECK: usize = 4;

/// What the list of all that arrived is called. No id begins so.
const ARRIVED: &str = "arrived";

/// The cursor after this entry.
pub(crate) fn after<K: Kind>(id: Id<K>) -> String {
    sealed(K::PREFIX, id.as_u128())
}

/// The cursor after this one of all that arrived.
pub(crate) fn after_number(number: u64) -> String {
    sealed(ARRIVED, number.into())
}

fn sealed(list: &str, entry: u128) -> String {
    let raw = entry.to_be_bytes();
    hex::encode([&raw[..], &check(list, &raw)].concat())
}

/// The entry that a cursor stands after. Only what [`after`] gave is one, and only for the same kind of list.
pub(crate) fn read<K: Kind>(text: &str) -> Result<Id<K>, Problem> {
    opened(K::PREFIX, text).map(Id::from_u128).ok_or_else(wrong)
}

/// The one of all that arrived that a cursor stands after.
pub(crate) fn read_number(text: &str) -> Result<u64, Problem> {
    opened(ARRIVED, text).and_then(|number| number.try_into().ok()).ok_or_else(wrong)
}

fn opened(list: &str, text: &str) -> Option<u128> {
    let mut bytes = [0; 16 + CHECK];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    let (raw, sum) = bytes.split_first_chunk::<16>()?;
    let entry = u128::from_be_bytes(*raw);
    (sum == check(list, raw) && sealed(list, entry) == text).then_some(entry)
}

fn wrong() -> Problem {
    Problem::new(problem::Kind::Malformed, "the cursor is none that this list gave: begin without one")
}

fn check(list: &str, raw: &[u8]) -> [u8; CHECK] {
    let digest = Digest::of(&[b"cursor ", list.as_bytes(), raw].concat());
    let mut sum = [0; CHECK];
    sum.copy_from_slice(&digest.as_bytes()[..CHECK]);
    sum
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{AuditId, SessionId};

    use super::*;

    #[test]
    fn only_what_was_given_is_taken() {
        let id = SessionId::generate();
        let cursor = after(id);
        assert_eq!(read(&cursor).unwrap(), id);
        assert!(read::<cofferdam_domain::ids::AuditKind>(&cursor).is_err(), "another list's");
        assert_eq!(read_number(&after_number(u64::MAX)).unwrap(), u64::MAX);
        assert!(read_number(&cursor).is_err(), "nor a number for an id");
        assert_ne!(after(AuditId::from_u128(id.as_u128())), cursor);
        for wrong in
            ["", "00", "x", &cursor[1..], &cursor.to_uppercase(), &format!("{cursor}0"), &id.to_string()]
        {
            assert!(read::<cofferdam_domain::ids::SessionKind>(wrong).is_err(), "{wrong}");
        }
    }
}
