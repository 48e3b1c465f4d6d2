//! Several attempts at one task, of which people or a rule choose one.

use serde::{Deserialize, Serialize};

use crate::{Digest, SessionId};

/// The most attempts at one task.
pub const MOST_ATTEMPTS: u16 = 8;

/// Which one of several attempts at the same task a session is. It delivers nothing before it has been chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The first of them, which stands for all.
    pub group: SessionId,
    /// Which, counted from 1.
    pub number: u16,
    /// How many there are.
    pub of: u16,
    /// Who chooses.
    #[serde(default)]
    pub choose: Choose,
}

/// Who chooses among several attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// A person.
    #[default]
    Ask,
    /// The platform: the one that is ranked first, once all are through.
    Best,
}

impl Choose {
    /// The variant's name as stored, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Best => "best",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Ask, Self::Best].into_iter().find(|choose| choose.name() == name)
    }
}

impl Attempt {
    /// All attempts of a group, in order.
    pub fn all(group: SessionId, of: u16, choose: Choose) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { group, number, of, choose })
    }

    /// The session that it is. What they are called follows from the first, so that making them again makes no others.
    #[must_use]
    pub fn session(&self) -> SessionId {
        if self.number <= 1 {
            return self.group;
        }
        let digest = Digest::of(format!("{} attempt {}", self.group, self.number).as_bytes());
        let mut random = [0; 16];
        random.copy_from_slice(&digest.as_bytes()[..16]);
        // An id of its usual form (RFC 9562, section 5.7), with the time of the first.
        let rest = u128::from_be_bytes(random) & ((1 << 80) - 1) & !(0xf << 76) & !(0b11 << 62);
        let time = self.group.as_u128() >> 80 << 80;
        SessionId::from_u128(time | rest | 7 << 76 | 0b10 << 62)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_session_of_its_own_and_always_the_same() {
        let group = SessionId::generate();
        let all: Vec<SessionId> =
            Attempt::all(group, MOST_ATTEMPTS, Choose::Ask).map(|attempt| attempt.session()).collect();
        assert_eq!(all[0], group);
        let again: Vec<SessionId> =
            Attempt::all(group, MOST_ATTEMPTS, Choose::Best).map(|attempt| attempt.session()).collect();
        assert_eq!(all, again);
        let mut unlike = all.clone();
        unlike.sort();
        unlike.dedup();
        assert_eq!(unlike.len(), usize::from(MOST_ATTEMPTS));
        for session in all {
            assert_eq!(session.to_string().parse::<SessionId>().unwrap(), session);
        }
    }

    #[test]
    fn names_are_those_of_the_log() {
        for choose in [Choose::Ask, Choose::Best] {
            assert_eq!(serde_json::to_value(choose).unwrap(), choose.name());
            assert_eq!(Choose::named(choose.name()), Some(choose));
        }
        assert_eq!(Choose::named("any"), None);
    }
}
