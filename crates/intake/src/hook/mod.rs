//! Sessions that other programs ask for: monitoring, trackers, whatever can post signed JSON.
//!
//! The operator says what is to be done, on which repository and by which policy; a delivery fills the places in that text that the operator has
//! left for it, and what fills them stands in a section of its own, labelled as what it is: text that anybody may have written who can
//! cause an error or write an issue. It is bounded, its hidden characters are shown, and nothing of it is looked at to decide what is permitted.
//!
//! Where to start reading: `settings`, `proof` (who may post), `way` (what becomes of it), `template` (what the agent reads).

mod proof;
mod settings;
mod template;
mod way;
mod when;
mod words;

use std::num::NonZeroU32;

use cofferdam_domain::Digest;
use serde_json::Value;

use self::{proof::Proof, template::is_pointer, when::Condition, words::Words};
pub use self::{
    proof::{Encoding, InvalidProof, ProofSettings},
    settings::{HookSettings, IdSettings, InvalidHook},
    way::HookWay,
    when::ConditionSettings,
};
use crate::job::Job;

/// Bytes of a delivery that are taken.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// A hook whose settings make sense.
#[derive(Debug, Clone)]
pub struct Hook {
    name: String,
    proof: Proof,
    id: Option<IdSettings>,
    event: Option<IdSettings>,
    when: Vec<Condition>,
    words: Words,
    same: Vec<String>,
    per_hour: NonZeroU32,
    job: Job,
}

impl Hook {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What deliveries about the same thing have in common; `None` where there is nothing.
    fn same(&self, body: &Value) -> Option<String> {
        let values: Vec<_> = self.same.iter().map(|pointer| body.pointer(pointer)).collect();
        if values.iter().all(|value| value.is_none_or(Value::is_null)) {
            return None;
        }
        let values = serde_json::to_vec(&values).unwrap_or_default();
        Some(format!("hook/{}/{}", self.name, Digest::of(&values)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_those_of_the_rfc() {
        for text in ["/a", "/a/0/b~1c", "/", "/m~0n", "/a b"] {
            assert!(is_pointer(text), "{text}");
        }
        for text in ["", "a", "a/b", "/a~", "/a~2", "/a\n", &format!("/{}", "a".repeat(256))] {
            assert!(!is_pointer(text), "{text}");
        }
    }
}
