//! Who may do what: organisations, projects, users, and the rights that they have.

use serde::{Deserialize, Serialize};

use crate::{OrgId, ProjectId, SignInId, TokenId, UserId};

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The organisation. Nobody of another one ever learns that it exists.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// Who asked for it.
    pub user: UserId,
}

impl Owner {
    /// The owner of what is done on the command line without a server: the organisation, the project and the user that every store has from
    /// the start.
    pub const LOCAL: Self =
        Self { org: OrgId::from_u128(0), project: ProjectId::from_u128(0), user: UserId::from_u128(0) };
}

/// What a user may do in an organisation. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// See everything.
    Viewer,
    /// Ask for work, steer it, decide about what it asks for, merge.
    Member,
    /// Decide who belongs to it, what the policies are, which secrets there are, what may be spent.
    Admin,
}

impl Rank {
    /// The variant's name as stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    /// The rank with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Member, Self::Admin].into_iter().find(|rank| rank.name() == name)
    }
}

/// Through what somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A browser that is signed in.
    Browser(SignInId),
    /// An API token.
    Token(TokenId),
}

/// Who acts, with what rights: what a request is answered for. The rank is the least of the user's in the organisation and the token's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// In which organisation.
    pub org: OrgId,
    /// Who.
    pub user: UserId,
    /// Their name, as text for people.
    pub name: String,
    /// What they may do.
    pub rank: Rank,
    /// The only project in which they may do it, for a token that is limited to one.
    pub project: Option<ProjectId>,
    /// Through what.
    pub access: Access,
}

impl Actor {
    /// Whether they may do what takes this rank.
    #[must_use]
    pub fn may(&self, rank: Rank) -> bool {
        self.rank >= rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_stored() {
        for rank in [Rank::Viewer, Rank::Member, Rank::Admin] {
            assert_eq!(Rank::named(rank.name()), Some(rank));
            assert_eq!(serde_json::to_value(rank).unwrap(), rank.name());
        }
        assert_eq!(Rank::named("owner"), None);
        assert!(Rank::Viewer < Rank::Member && Rank::Member < Rank::Admin);
    }
}
