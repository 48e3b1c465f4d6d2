//! An organisation's projects, members and tokens.

use axum::{Json, http::StatusCode, response::Response};
use cofferdam_domain::{ProjectId, Timestamp, TokenId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    body::{Body, Named, NoQuery},
    once::{Answer, Key, once},
    view::RankView,
};
use crate::{
    access::Signed,
    actions::{self, Invitee, NewTokenWish},
    problem::Problem,
};

super::resources! {
    (list_projects, create_project),
    (list_members, invite_member),
    (rank_member, remove_member),
    (link_member),
    (list_tokens, create_token),
    (revoke_token),
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct ProjectView {
    /// Its id
    #[schema(value_type = String)]
    id: ProjectId,
    /// Its name
    name: String,
    /// When it was made, in milliseconds since 1970
    #[schema(value_type = u64)]
    created: Timestamp,
}

/// All projects.
#[derive(Debug, Serialize, ToSchema)]
struct Projects {
    /// By name
    projects: Vec<ProjectView>,
}

/// List projects
#[utoipa::path(get, path = "/projects", tag = "Organisation", responses((status = 200, description = "By name", body = Projects)))]
async fn list_projects(signed: Signed, _: NoQuery) -> Result<Json<Projects>, Problem> {
    let projects = signed.tenant.projects().await?;
    let view = |project: cofferdam_store::Project| ProjectView {
        id: project.id,
        name: project.name,
        created: project.created,
    };
    Ok(Json(Projects { projects: projects.into_iter().map(view).collect() }))
}

/// A project to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProject {
    /// Its name, which no other project has
    #[schema(min_length = 1, max_length = 80)]
    name: String,
}

/// Make a project
#[utoipa::path(
    post,
    path = "/projects",
    tag = "Organisation",
    request_body = NewProject,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same answer again", min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The project", body = ProjectView))
)]
async fn create_project(
    signed: Signed,
    key: Key,
    _: NoQuery,
    body: Body<NewProject>,
) -> Result<Response, Problem> {
    let Body { value, request } = body;
    once(signed, key, request, move |signed, _| async move {
        let project = actions::create_project(&signed, value.name).await?;
        Answer::created(&ProjectView { id: project.id, name: project.name, created: project.created })
    })
    .await
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberView {
    /// The user
    #[schema(value_type = String)]
    user: UserId,
    /// Their name
    name: String,
    /// What they may do
    rank: RankView,
    /// Since when they belong to it, in milliseconds since 1970
    #[schema(value_type = u64)]
    since: Timestamp,
}

/// All members.
#[derive(Debug, Serialize, ToSchema)]
struct Members {
    /// By name
    members: Vec<MemberView>,
}

/// List members
#[utoipa::path(get, path = "/members", tag = "Organisation", responses((status = 200, description = "By name", body = Members)))]
async fn list_members(signed: Signed, _: NoQuery) -> Result<Json<Members>, Problem> {
    let members = signed.tenant.members().await?;
    let view = |member: cofferdam_store::Member| MemberView {
        user: member.user,
        name: member.name,
        rank: member.rank.into(),
        since: member.since,
    };
    Ok(Json(Members { members: members.into_iter().map(view).collect() }))
}

/// Somebody who should belong to the organisation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMember {
    /// Their name
    #[schema(min_length = 1, max_length = 80)]
    name: String,
    /// What they may do
    rank: RankView,
}

/// A link to sign in with.
#[derive(Debug, Serialize, ToSchema)]
struct SignInLink {
    /// The user
    #[schema(value_type = String)]
    user: UserId,
    /// The link. It holds once, and is shown once. None where people sign in by OpenID Connect alone
    link: Option<String>,
    /// Until when it holds, in milliseconds since 1970
    #[schema(value_type = Option<u64>)]
    expires: Option<Timestamp>,
}

fn link(invited: &actions::Invited) -> SignInLink {
    SignInLink {
        user: invited.user,
        link: invited.link.as_ref().map(|link| link.address.expose().to_owned()),
        expires: invited.link.as_ref().map(|link| link.expires),
    }
}

/// Invite somebody new
#[utoipa::path(
    post,
    path = "/members",
    tag = "Organisation",
    request_body = NewMember,
    responses((status = 201, description = "A link for them to sign in with", body = SignInLink))
)]
async fn invite_member(
    signed: Signed,
    _: NoQuery,
    body: Body<NewMember>,
) -> Result<(StatusCode, Json<SignInLink>), Problem> {
    let NewMember { name, rank } = body.value;
    let invited = actions::invite(&signed, Invitee::New(name, rank.into())).await?;
    Ok((StatusCode::CREATED, Json(link(&invited))))
}

/// Make a link for a member to sign in with
#[utoipa::path(
    post,
    path = "/members/{user}/link",
    tag = "Organisation",
    params(("user" = String, Path, description = "The member")),
    responses((status = 201, description = "The link", body = SignInLink))
)]
async fn link_member(
    signed: Signed,
    Named(user): Named<UserId>,
    _: NoQuery,
) -> Result<(StatusCode, Json<SignInLink>), Problem> {
    let invited = actions::invite(&signed, Invitee::Member(user)).await?;
    Ok((StatusCode::CREATED, Json(link(&invited))))
}

/// What a member may do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRank {
    /// From now on
    rank: RankView,
}

/// Give a member another rank
#[utoipa::path(
    put,
    path = "/members/{user}",
    tag = "Organisation",
    request_body = NewRank,
    params(("user" = String, Path, description = "The member")),
    responses((status = 204, description = "It is done"))
)]
async fn rank_member(
    signed: Signed,
    Named(user): Named<UserId>,
    _: NoQuery,
    body: Body<NewRank>,
) -> Result<StatusCode, Problem> {
    actions::set_rank(&signed, user, body.value.rank.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a member
///
/// With all their tokens, and signed out everywhere.
#[utoipa::path(
    delete,
    path = "/members/{user}",
    tag = "Organisation",
    params(("user" = String, Path, description = "The member")),
    responses((status = 204, description = "They are gone"))
)]
async fn remove_member(
    signed: Signed,
    Named(user): Named<UserId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::remove_member(&signed, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token, without what proves it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
struct TokenView {
    /// Its id
    #[schema(value_type = String)]
    id: TokenId,
    /// What it is called
    name: String,
    /// Whose it is
    #[schema(value_type = String)]
    user: UserId,
    /// The most that it may do
    rank: RankView,
    /// The only project that it may be used in
    #[schema(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// When it was made, in milliseconds since 1970
    #[schema(value_type = u64)]
    created: Timestamp,
    /// From when on it is worth nothing, in milliseconds since 1970
    #[schema(value_type = u64)]
    expires: Timestamp,
    /// When it was last used, to the minute
    #[schema(value_type = Option<u64>)]
    used: Option<Timestamp>,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
struct Tokens {
    /// Your own; everybody's for an admin
    tokens: Vec<TokenView>,
}

/// List tokens
#[utoipa::path(get, path = "/tokens", tag = "Organisation", responses((status = 200, description = "Your own; everybody's for an admin", body = Tokens)))]
async fn list_tokens(signed: Signed, _: NoQuery) -> Result<Json<Tokens>, Problem> {
    let tokens = signed.tenant.tokens().await?;
    let view = |token: cofferdam_store::Token| TokenView {
        id: token.id,
        name: token.name,
        user: token.user,
        rank: token.rank.into(),
        project: token.project,
        created: token.created,
        expires: token.expires,
        used: token.used,
    };
    Ok(Json(Tokens { tokens: tokens.into_iter().map(view).collect() }))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What it is called
    #[schema(min_length = 1, max_length = 80)]
    name: String,
    /// The most that it may do: no more than you
    rank: RankView,
    /// The only project that it may be used in
    #[schema(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// For how many days it holds
    #[schema(minimum = 1, maximum = 366)]
    days: u32,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
struct TokenMade {
    /// Its id
    #[schema(value_type = String)]
    id: TokenId,
    /// The token. It is shown once
    token: String,
    /// From when on it is worth nothing, in milliseconds since 1970
    #[schema(value_type = u64)]
    expires: Timestamp,
}

/// Make a token for yourself
///
/// There is no `Idempotency-Key` here: the answer is not kept, so that nobody can read the token again. A token that was lost on the way is
/// listed, and can be revoked.
#[utoipa::path(
    post,
    path = "/tokens",
    tag = "Organisation",
    request_body = NewToken,
    responses((status = 201, description = "The token, shown once", body = TokenMade))
)]
async fn create_token(
    signed: Signed,
    _: NoQuery,
    body: Body<NewToken>,
) -> Result<(StatusCode, Json<TokenMade>), Problem> {
    let NewToken { name, rank, project, days } = body.value;
    let made =
        actions::create_token(&signed, NewTokenWish { name, rank: rank.into(), project, days }).await?;
    let view = TokenMade { id: made.id, token: made.token.expose().to_owned(), expires: made.expires };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Revoke a token
#[utoipa::path(
    delete,
    path = "/tokens/{token}",
    tag = "Organisation",
    params(("token" = String, Path, description = "The token's id")),
    responses((status = 204, description = "It is worth nothing any more"))
)]
async fn revoke_token(
    signed: Signed,
    Named(token): Named<TokenId>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    actions::revoke_token(&signed, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
