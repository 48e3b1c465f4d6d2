//! Which model does what in a session, where that is not one model for everything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ModelInfo;

/// A kind of work that a model of its own may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelRole {
    /// Finding out what is to be done, before a person has approved a plan.
    Plan,
    /// Making a part of a change.
    Implement,
    /// Looking around without changing anything.
    Explore,
    /// Running and writing tests.
    Test,
    /// Looking over a change.
    Review,
    /// Writing down what a conversation that has become too long was about.
    Compact,
}

impl ModelRole {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Plan, Self::Implement, Self::Explore, Self::Test, Self::Review, Self::Compact];

    /// Its name, as configuration and logs have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Implement => "implement",
            Self::Explore => "explore",
            Self::Test => "test",
            Self::Review => "review",
            Self::Compact => "compact",
        }
    }
}

/// The models of a session beside its own, by what they do. Whatever has none here is done by the session's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Routes(BTreeMap<ModelRole, ModelInfo>);

impl Routes {
    /// Whether one model does everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The model for this kind of work, if it has one of its own.
    #[must_use]
    pub fn get(&self, role: ModelRole) -> Option<&ModelInfo> {
        self.0.get(&role)
    }
}

impl FromIterator<(ModelRole, ModelInfo)> for Routes {
    fn from_iter<T: IntoIterator<Item = (ModelRole, ModelInfo)>>(models: T) -> Self {
        Self(models.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_log() {
        for role in ModelRole::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
    }
}
