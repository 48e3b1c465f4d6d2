//! What forges tell of themselves: deliveries, each proved, counted once and read strictly.
//!
//! A forge posts a JSON document for everything that happens on it. [`Delivery::accept`] looks at the proof before anything else looks at
//! the document; [`Delivery::read`] makes an [`Occasion`] of it, in the same words for every forge. What a delivery says is what its sender
//! knows: whether the actor may ask for anything is looked up at the forge, never taken from here.
//!
//! Sources: [GitHub], [GitLab], [Gitea] and [Forgejo] on their webhooks.
//!
//! [GitHub]: https://docs.github.com/en/webhooks/webhook-events-and-payloads
//! [GitLab]: https://docs.gitlab.com/user/project/integrations/webhook_events/
//! [Gitea]: https://docs.gitea.com/usage/webhooks
//! [Forgejo]: https://forgejo.org/docs/latest/user/webhooks/

mod delivery;
mod gitea;
mod github;
pub(crate) mod gitlab;
mod occasion;
pub(crate) mod shapes;

pub use delivery::{Delivery, DeliveryId, HookSecrets, LARGEST_DELIVERY, Refused};
pub(crate) use occasion::comment_name;
pub use occasion::{
    Account, AccountKind, Check, CheckEnd, Comment, CommentChange, Issue, IssueChange, LinePlace, Occasion,
    Pull, PullChange, PullState, Repository, RepositoryChange, Review, ReviewEnd, Thread, What,
};

/// The families of forges, by what they send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForgeKind {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and self-managed GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

impl ForgeKind {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea or Forgejo",
        }
    }
}

#[cfg(test)]
mod tests;
