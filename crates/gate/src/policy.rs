//! The part of a session's policy that the gate goes by.

use cofferdam_domain::Policy;
use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::fold::fold_text;

/// What the gate goes by. Made once from the session's policy.
#[derive(Debug, Clone)]
pub struct GatePolicy {
    protected: GlobSet,
    rounds: u32,
}

/// A glob of `protected_paths` does not parse.
#[derive(Debug, thiserror::Error)]
#[error("protected_paths: {glob:?} is not a glob; use for example \"infra/**\" or \"**/*.tf\"")]
pub struct InvalidGlob {
    /// The text in question.
    pub glob: String,
    /// What is wrong with it.
    #[source]
    pub source: globset::Error,
}

impl GatePolicy {
    /// The gate's part of `policy`.
    ///
    /// # Errors
    /// When one of its globs does not parse.
    pub fn new(policy: &Policy) -> Result<Self, InvalidGlob> {
        let mut set = GlobSetBuilder::new();
        for text in &policy.protected_paths {
            let invalid = |source| InvalidGlob { glob: text.clone(), source };
            // Globs are compared with folded paths, so they are folded too. A directory protects what is in
            // it.
            let folded = fold_text(text.trim_start_matches("./").trim_start_matches('/'));
            let folded = folded.trim_end_matches('/');
            set.add(Glob::new(folded).map_err(invalid)?);
            set.add(Glob::new(&format!("{folded}/**")).map_err(invalid)?);
        }
        let protected =
            set.build().map_err(|source| InvalidGlob { glob: policy.protected_paths.join(", "), source })?;
        Ok(Self { protected, rounds: policy.gate_rounds })
    }

    /// Whether a path, folded, is one that the policy protects.
    pub(crate) fn protects(&self, folded_path: &str) -> bool {
        self.protected.is_match(folded_path)
    }

    /// How often findings may be sent back to the agent.
    #[must_use]
    pub const fn rounds(&self) -> u32 {
        self.rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::fold_path;

    #[test]
    fn globs_hold_for_every_spelling_and_for_what_is_inside() {
        let policy = Policy { protected_paths: vec!["Infra/".into(), "**/*.tf".into()], ..Policy::default() };
        let policy = GatePolicy::new(&policy).unwrap();
        for path in ["infra/a/b.txt", "INFRA/x", "infra", "a/b/MAIN.TF", "infra./x", "inf\u{200d}ra/x"] {
            assert!(policy.protects(&fold_path(path.as_bytes())), "{path}");
        }
        assert!(!policy.protects("src/infra.rs"));
    }

    #[test]
    fn a_bad_glob_is_named() {
        let policy = Policy { protected_paths: vec!["a[".into()], ..Policy::default() };
        assert_eq!(GatePolicy::new(&policy).unwrap_err().glob, "a[");
    }
}
