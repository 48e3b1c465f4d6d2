//! An organisation's named policies, credentials and budgets, and what was spent.

use axum::{Json, http::StatusCode};
use cofferdam_domain::{ProjectId, Secret, Timestamp, UserId};
use cofferdam_store::{DayBudget, Purse, Spending};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Asked, Body, Named, NoQuery};
use crate::{
    access::Signed,
    actions,
    problem::{Kind, Problem},
};

super::resources! {
    (get_policy, put_policy, delete_policy),
    (list_credentials),
    (put_credential, delete_credential),
    (get_usage),
    (get_budget, put_budget),
}

/// A named policy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamedPolicy)]
struct PolicyView {
    /// Its name
    name: String,
    /// What it says; `docs/service.md` has its fields
    #[schema(value_type = Object)]
    policy: serde_json::Value,
}

/// See a named policy
#[utoipa::path(
    get,
    path = "/policies/{name}",
    tag = "Rules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The policy", body = PolicyView))
)]
async fn get_policy(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
) -> Result<Json<PolicyView>, Problem> {
    let policies = signed.tenant.policies().await?;
    let (name, text) =
        policies.into_iter().find(|(known, _)| *known == name).ok_or_else(|| Problem::not_found("policy"))?;
    let policy = serde_json::from_str(&text).map_err(|error| Problem::internal(&error))?;
    Ok(Json(PolicyView { name, policy }))
}

/// Keep a named policy
///
/// It narrows what the workers' own policy permits; sessions that have begun keep theirs.
#[utoipa::path(
    put,
    path = "/policies/{name}",
    tag = "Rules",
    request_body = Object,
    params(("name" = String, Path, description = "Its name: lower-case letters, digits, dashes, underscores and dots")),
    responses((status = 204, description = "It is kept"))
)]
async fn put_policy(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
    body: Body<serde_json::Map<String, serde_json::Value>>,
) -> Result<StatusCode, Problem> {
    let text = serde_json::to_string(&body.value).map_err(|error| Problem::internal(&error))?;
    actions::put_policy(&signed, name, &text).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a named policy
#[utoipa::path(
    delete,
    path = "/policies/{name}",
    tag = "Rules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"))
)]
async fn delete_policy(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::remove_policy(&signed, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A credential, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
struct CredentialView {
    /// Its name
    name: String,
    /// When it was put there, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
}

/// All credentials.
#[derive(Debug, Serialize, ToSchema)]
struct Credentials {
    /// By name
    credentials: Vec<CredentialView>,
}

/// List credentials
///
/// Only their names: what they are cannot be read again.
#[utoipa::path(get, path = "/credentials", tag = "Rules", responses((status = 200, description = "By name", body = Credentials)))]
async fn list_credentials(signed: Signed, _: NoQuery) -> Result<Json<Credentials>, Problem> {
    let credentials = signed.tenant.secrets().await?;
    let view = |secret: cofferdam_store::Sealed| CredentialView { name: secret.name, at: secret.at };
    Ok(Json(Credentials { credentials: credentials.into_iter().map(view).collect() }))
}

/// A secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    /// One line
    #[schema(min_length = 1, max_length = 65_536, write_only)]
    secret: String,
}

/// Keep a credential
#[utoipa::path(
    put,
    path = "/credentials/{name}",
    tag = "Rules",
    request_body = NewSecret,
    params(("name" = String, Path, description = "Its name: lower-case letters, digits, dashes, underscores and dots")),
    responses((status = 204, description = "It is kept, encrypted"))
)]
async fn put_credential(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
    body: Body<NewSecret>,
) -> Result<StatusCode, Problem> {
    actions::put_credential(&signed, name, Secret::new(body.value.secret)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a credential
#[utoipa::path(
    delete,
    path = "/credentials/{name}",
    tag = "Rules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"))
)]
async fn delete_credential(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::remove_credential(&signed, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose budget: of one project, of one user, or of the whole organisation where neither is said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// One project's
    #[param(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// One user's
    #[param(value_type = Option<String>)]
    user: Option<UserId>,
}

impl Whose {
    fn purse(self) -> Result<Purse, Problem> {
        match (self.project, self.user) {
            (None, None) => Ok(Purse::Org),
            (Some(project), None) => Ok(Purse::Project(project)),
            (None, Some(user)) => Ok(Purse::User(user)),
            (Some(_), Some(_)) => {
                Err(Problem::new(Kind::Malformed, "ask about a project or about a user, not about both"))
            }
        }
    }
}

/// What was spent today (UTC).
#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    /// Millionths of a US dollar
    cost: u64,
    /// Tokens, in and out
    tokens: u64,
    /// Milliseconds for which workers had sessions
    sandbox_ms: u64,
    /// Sessions that were made
    sessions: u64,
    /// Pull requests that were opened
    pull_requests: u64,
}

/// See what was spent today
#[utoipa::path(get, path = "/usage", tag = "Rules", params(Whose), responses((status = 200, description = "Since midnight (UTC)", body = Usage)))]
async fn get_usage(signed: Signed, Asked(whose): Asked<Whose>) -> Result<Json<Usage>, Problem> {
    let spent = signed.tenant.spent(whose.purse()?, signed.now()).await?;
    let Spending { cost, tokens, sandbox_ms, sessions, pull_requests } = spent;
    Ok(Json(Usage { cost, tokens, sandbox_ms, sessions, pull_requests }))
}

/// What may be spent in a day (UTC). What is not said has no limit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DayBudget)]
struct BudgetView {
    /// Millionths of a US dollar
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    cost: Option<u64>,
    /// Tokens, in and out
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    tokens: Option<u64>,
    /// Milliseconds for which workers have sessions
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    sandbox_ms: Option<u64>,
    /// Sessions that may be worked on at once
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    concurrent: Option<u64>,
    /// Pull requests that may be opened
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    pull_requests: Option<u64>,
}

/// See a budget
#[utoipa::path(get, path = "/budgets", tag = "Rules", params(Whose), responses((status = 200, description = "What may be spent in a day", body = BudgetView)))]
async fn get_budget(signed: Signed, Asked(whose): Asked<Whose>) -> Result<Json<BudgetView>, Problem> {
    let budget = signed.tenant.budget(whose.purse()?).await?;
    let DayBudget { cost, tokens, sandbox_ms, concurrent, pull_requests } = budget;
    Ok(Json(BudgetView { cost, tokens, sandbox_ms, concurrent, pull_requests }))
}

/// Set a budget
#[utoipa::path(
    put,
    path = "/budgets",
    tag = "Rules",
    request_body = BudgetView,
    params(Whose),
    responses((status = 204, description = "It holds from now on"))
)]
async fn put_budget(
    signed: Signed,
    Asked(whose): Asked<Whose>,
    body: Body<BudgetView>,
) -> Result<StatusCode, Problem> {
    const MOST: u64 = 1_000_000_000_000_000;
    let BudgetView { cost, tokens, sandbox_ms, concurrent, pull_requests } = body.value;
    if [cost, tokens, sandbox_ms, concurrent, pull_requests].into_iter().flatten().any(|limit| limit > MOST) {
        return Err(Problem::new(
            Kind::Meaningless,
            format!("a limit is at most {MOST}; leave it out for none"),
        ));
    }
    let budget = DayBudget { cost, tokens, sandbox_ms, concurrent, pull_requests };
    actions::set_budget(&signed, whose.purse()?, budget).await?;
    Ok(StatusCode::NO_CONTENT)
}
