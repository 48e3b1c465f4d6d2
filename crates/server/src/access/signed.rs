//! The extractor that every route takes on which something can be seen or done.

use axum::{extract::FromRequestParts, http::request::Parts};
use cofferdam_domain::{Actor, Timestamp};
use cofferdam_store::Tenant;

use super::{Presented, refuse_cross_site};
use crate::{
    problem::{Kind, Problem},
    shared::Shared,
};

/// Somebody who is known, and what of the store is theirs.
#[derive(Clone)]
pub(crate) struct Signed {
    /// What is theirs.
    pub(crate) tenant: Tenant,
    /// What all requests share.
    pub(crate) shared: Shared,
    /// What the request showed; nothing where there was none.
    presented: Option<Presented>,
}

impl Signed {
    /// Somebody who asks on this machine, not by a request.
    pub(crate) fn here(shared: &Shared, actor: Actor) -> Self {
        let tenant = Tenant::new(shared.store().clone(), actor);
        Self { tenant, shared: shared.clone(), presented: None }
    }

    /// Who it is.
    pub(crate) fn actor(&self) -> &Actor {
        self.tenant.actor()
    }

    /// Their name, as text for people.
    pub(crate) fn name(&self) -> String {
        self.actor().name.clone()
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Whether they ask on this machine, not by a request.
    pub(crate) const fn is_here(&self) -> bool {
        self.presented.is_none()
    }

    /// Whether they still are who they were, with the same rights. When that cannot be found out they are not.
    pub(crate) async fn still(&self) -> bool {
        let Some(presented) = self.presented else { return true };
        let now = presented.actor(&**self.shared.store(), self.now()).await;
        matches!(now, Ok(Some(actor)) if actor == *self.actor())
    }
}

impl FromRequestParts<Shared> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let unknown = || {
            Problem::new(
                Kind::Unauthenticated,
                "sign in, or send an API token that is neither expired nor revoked as `Authorization: Bearer cfd_…`",
            )
        };
        let presented = Presented::of(&parts.headers, shared.origin()).ok_or_else(unknown)?;
        if matches!(presented, Presented::Cookie(_)) && !parts.method.is_safe() {
            refuse_cross_site(&parts.headers, shared.origin())?;
        }
        let actor = presented.actor(&**shared.store(), shared.now()).await.map_err(Problem::from)?;
        let tenant = Tenant::new(shared.store().clone(), actor.ok_or_else(unknown)?);
        Ok(Self { tenant, shared: shared.clone(), presented: Some(presented) })
    }
}
