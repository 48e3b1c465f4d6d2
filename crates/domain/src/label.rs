//! Where content came from and who may see it.
//!
//! Content carries its label from the moment it enters. Joining two pieces of content joins their labels: the
//! result is as untrusted as the worse of the two and for no wider audience than the narrower.

use serde::{Deserialize, Serialize};

/// How far what a text *says* may be believed, from most to least. No level lets a text widen what is
/// permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// Written by the platform itself, or by its administrator.
    Trusted,
    /// Written by the requester or somebody with the right to push.
    Member,
    /// Everything else: files, outputs, pages, outsiders, the model.
    Untrusted,
}

/// Who may see the content, from widest to narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Anybody.
    Public,
    /// Whoever may read the session's repository.
    Repository,
    /// The requester and the administrators.
    Requester,
}

/// Integrity and audience of one piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// How far it may be believed.
    pub integrity: Integrity,
    /// Who may see it.
    pub audience: Audience,
}

impl Label {
    /// What comes out of a sandbox or a model: untrusted, and for those who may read the repository.
    pub const SANDBOX: Self = Self { integrity: Integrity::Untrusted, audience: Audience::Repository };
    /// What the person who asked wrote.
    pub const REQUESTER: Self = Self { integrity: Integrity::Member, audience: Audience::Repository };
    /// What the platform itself computed.
    pub const PLATFORM: Self = Self { integrity: Integrity::Trusted, audience: Audience::Repository };

    /// The label of content made from both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { integrity: self.integrity.max(other.integrity), audience: self.audience.max(other.audience) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_never_widens() {
        let secret = Label { integrity: Integrity::Trusted, audience: Audience::Requester };
        let joined = secret.join(Label::SANDBOX);
        assert_eq!(joined, Label { integrity: Integrity::Untrusted, audience: Audience::Requester });
    }
}
