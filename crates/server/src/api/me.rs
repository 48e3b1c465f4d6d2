//! Who asks, and what they can choose from.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::{body::NoQuery, view::Whoami};
use crate::{access::Signed, problem::Problem};

super::resources! {
    (whoami),
    (choices),
}

/// See who you are
#[utoipa::path(get, path = "/whoami", tag = "Organisation", responses((status = 200, description = "You, as far as this server knows", body = Whoami)))]
async fn whoami(signed: Signed, _: NoQuery) -> Json<Whoami> {
    let actor = signed.actor();
    Json(Whoami {
        organisation: actor.org,
        user: actor.user,
        name: actor.name.clone(),
        rank: actor.rank.into(),
        project: actor.project,
    })
}

/// What can be chosen for a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Choices)]
struct ChoicesView {
    /// Models; the first is taken where none is named
    models: Vec<String>,
    /// Named policies
    policies: Vec<String>,
}

/// See what can be chosen for a task
#[utoipa::path(get, path = "/choices", tag = "Sessions", responses((status = 200, description = "Models and policies", body = ChoicesView)))]
async fn choices(signed: Signed, _: NoQuery) -> Result<Json<ChoicesView>, Problem> {
    let policies = signed.tenant.policies().await?.into_iter().map(|(name, _)| name).collect();
    Ok(Json(ChoicesView { models: signed.shared.choices().models.clone(), policies }))
}
