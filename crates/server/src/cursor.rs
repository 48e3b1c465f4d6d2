//! Where the next page of a list begins, as a text that nobody is meant to take apart.

use cofferdam_domain::{
    Digest,
    ids::{Id, Kind},
};

use crate::problem::{self, Problem};

const CHECK: usize = 4;

/// The cursor after this entry.
pub(crate) fn after<K: Kind>(id: Id<K>) -> String {
    let raw = id.as_u128().to_be_bytes();
    hex::encode([&raw[..], &check::<K>(&raw)].concat())
}

/// The entry that a cursor stands after. Only what [`after`] gave is one, and only for the same kind of list.
pub(crate) fn read<K: Kind>(text: &str) -> Result<Id<K>, Problem> {
    let wrong = || {
        Problem::new(problem::Kind::Malformed, "the cursor is none that this list gave: begin without one")
    };
    let mut bytes = [0; 16 + CHECK];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong())?;
    let (raw, sum) = bytes.split_first_chunk::<16>().ok_or_else(wrong)?;
    let id = Id::from_u128(u128::from_be_bytes(*raw));
    if sum == check::<K>(raw) && after(id) == text { Ok(id) } else { Err(wrong()) }
}

fn check<K: Kind>(raw: &[u8]) -> [u8; CHECK] {
    let digest = Digest::of(&[b"cursor ", K::PREFIX.as_bytes(), raw].concat());
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
        assert_ne!(after(AuditId::from_u128(id.as_u128())), cursor);
        for wrong in
            ["", "00", "x", &cursor[1..], &cursor.to_uppercase(), &format!("{cursor}0"), &id.to_string()]
        {
            assert!(read::<cofferdam_domain::ids::SessionKind>(wrong).is_err(), "{wrong}");
        }
    }
}
