//! The page on which attempts at one task are compared, and the choice among them.

use axum::{Extension, response::Response};
use cofferdam_domain::SessionId;
use serde::Deserialize;

use super::{
    answer::{Html, page, to},
    fields::Fields,
    views::Views,
};
use crate::{
    access::Signed,
    actions,
    api::Named,
    pages::{attempts, shell::Place},
    problem::Problem,
};

pub(super) async fn compare(
    signed: Signed,
    Named(id): Named<SessionId>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let group = actions::attempts(&signed, id).await?;
    let content = attempts::page(&current.row, &current.view()?.facts, &group);
    let title = format!("Attempts · {}", current.row.title);
    Ok(page(&signed, Place::Sessions, &title, &content))
}

/// The head that was looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    commit: String,
}

pub(super) async fn choose(
    signed: Signed,
    Named(id): Named<SessionId>,
    Fields(form): Fields<Chosen>,
) -> Result<Response, Problem> {
    actions::choose(&signed, id, &form.commit).await?;
    Ok(to(&format!("/sessions/{id}/attempts")))
}
