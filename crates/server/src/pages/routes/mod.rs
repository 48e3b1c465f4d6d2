//! Where each page is, and what its forms lead to.

mod abilities;
mod act;
mod administer;
mod answer;
mod attempts;
mod fields;
mod forges;
mod live;
mod memory;
mod organisation;
mod playbooks;
mod sessions;
mod show;
mod views;

pub(crate) use organisation::arrived;

use axum::{
    Extension, Router,
    extract::Path,
    http::{HeaderValue, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};

use super::assets;
use crate::{problem::Problem, shared::Shared};

/// All pages.
pub(crate) fn router() -> Router<Shared> {
    let pages = Router::new()
        .route("/", get(sessions::list))
        .route("/live", get(live::list))
        .route("/new", get(sessions::new).post(sessions::create))
        .route("/sign-in", get(organisation::sign_in))
        .route("/sign-in/{secret}", get(organisation::sign_in_link))
        .route("/usage", get(organisation::usage))
        .route("/audit", get(organisation::audit))
        .route("/told", get(organisation::told))
        .route("/deliveries", get(organisation::deliveries))
        .merge(of_session())
        .merge(settings())
        .merge(memory())
        .merge(forges())
        .merge(abilities())
        .merge(crate::access::sign_in::router())
        .layer(Extension(views::Views::default()))
        .layer(middleware::map_response(answer::problem_as_page));
    Router::new().route("/assets/{hash}/{name}", get(asset)).merge(pages)
}

fn of_session() -> Router<Shared> {
    Router::new()
        .route("/sessions/{id}", get(show::session))
        .route("/sessions/{id}/fragments", get(show::fragments))
        .route("/sessions/{id}/live", get(live::session))
        .route("/sessions/{id}/diff", get(show::diff))
        .route("/sessions/{id}/evidence", get(show::evidence))
        .route("/sessions/{id}/pull-request", get(show::pull_request))
        .route("/sessions/{id}/output/{digest}", get(show::output))
        .route("/sessions/{id}/events/{seq}", get(show::event))
        .route("/sessions/{id}/messages", post(act::message))
        .route("/sessions/{id}/pause", post(act::pause))
        .route("/sessions/{id}/continue", post(act::go_on))
        .route("/sessions/{id}/cancel", post(act::cancel))
        .route("/sessions/{id}/freeze", post(act::freeze))
        .route("/sessions/{id}/release", post(act::release))
        .route("/sessions/{id}/archive", post(act::archive))
        .route("/sessions/{id}/answers", post(act::answer))
        .route("/sessions/{id}/plan", post(act::plan))
        .route("/sessions/{id}/access/{digest}", post(act::access))
        .route("/sessions/{id}/rollback", post(act::roll_back))
        .route("/sessions/{id}/fork", post(act::fork))
        .route("/sessions/{id}/attempts", get(attempts::compare))
        .route("/sessions/{id}/choose", post(attempts::choose))
        .route("/sessions/{id}/merge", post(act::merge))
        .route("/sessions/{id}/close", post(act::close))
}

fn settings() -> Router<Shared> {
    Router::new()
        .route("/settings", get(administer::settings))
        .route("/settings/tokens", post(administer::create_token))
        .route("/settings/tokens/{id}/revoke", post(administer::revoke_token))
        .route("/settings/members", post(administer::invite))
        .route("/settings/members/{id}", post(administer::set_rank))
        .route("/settings/members/{id}/link", post(administer::link))
        .route("/settings/members/{id}/remove", post(administer::remove_member))
        .route("/settings/policies", post(administer::add_policy))
        .route("/settings/policies/{name}", post(administer::put_policy))
        .route("/settings/policies/{name}/remove", post(administer::remove_policy))
        .route("/settings/credentials", post(administer::put_credential))
        .route("/settings/credentials/{name}/remove", post(administer::remove_credential))
        .route("/settings/projects", post(administer::create_project))
        .route("/settings/budgets/{purse}", post(administer::set_budget))
}

fn abilities() -> Router<Shared> {
    Router::new()
        .route("/playbooks", get(playbooks::list).post(playbooks::add))
        .route("/playbooks/{name}", get(playbooks::show).post(playbooks::begin))
        .route("/playbooks/{name}/remove", post(playbooks::remove))
        .route("/skills", get(abilities::skills))
        .route("/skills/{name}/{digest}", get(abilities::skill))
        .route("/skills/{name}/approval", post(abilities::approve_skill))
        .route("/skills/{name}/revoke", post(abilities::revoke_skill))
        .route("/mcp", get(abilities::servers))
}

fn memory() -> Router<Shared> {
    Router::new()
        .route("/memory", get(memory::list).post(memory::note))
        .route("/memory/{id}", post(memory::amend))
        .route("/memory/{id}/remove", post(memory::remove))
        .route("/memory/proposals/{id}/approve", post(memory::approve))
        .route("/memory/proposals/{id}/reject", post(memory::reject))
}

fn forges() -> Router<Shared> {
    Router::new()
        .route("/forges", get(forges::list))
        .route("/forges/connect", post(forges::connect))
        .route("/forges/apps", post(forges::finish))
        .route("/forges/apps/return", get(forges::back))
        .route("/forges/{name}/settings", post(forges::set))
        .route("/forges/{name}/remove", get(forges::ask_to_remove).post(forges::remove))
}

/// The stylesheet, the script, the icon. They say nothing about anybody, so nobody needs to be signed in.
async fn asset(Path((_, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let asset = assets::named(&name).ok_or_else(|| Problem::not_found("file"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type())),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.content()).into_response())
}
