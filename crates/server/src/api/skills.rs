//! The skills that an organisation gives its sessions.

use std::collections::BTreeMap;

use axum::{Json, http::StatusCode};
use cofferdam_domain::{Digest, Timestamp};
use cofferdam_store::KeptSkill;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Body, Named, NoQuery};
use crate::{access::Signed, actions, problem::Problem};

super::resources! {
    (list_skills),
    (put_skill, revoke_skill),
    (approve_skill),
}

/// One version of a skill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Skill)]
struct SkillView {
    /// What it is called by
    name: String,
    /// The digest of its files
    #[schema(value_type = String)]
    digest: Digest,
    /// Who put it there
    by: String,
    /// When, in milliseconds since 1970
    #[schema(value_type = u64)]
    at: Timestamp,
    /// Who has approved it, if somebody has
    approved_by: Option<String>,
    /// When, in milliseconds since 1970
    #[schema(value_type = Option<u64>)]
    approved_at: Option<Timestamp>,
}

impl From<KeptSkill> for SkillView {
    fn from(skill: KeptSkill) -> Self {
        let KeptSkill { name, digest, files: _, by, at, approved } = skill;
        let (approved_by, approved_at) = approved.unzip();
        Self { name, digest, by, at, approved_by, approved_at }
    }
}

/// All versions of all skills.
#[derive(Debug, Serialize, ToSchema)]
struct Skills {
    /// By name, the oldest version first
    skills: Vec<SkillView>,
}

/// List skills
#[utoipa::path(get, path = "/skills", tag = "Rules", responses((status = 200, description = "By name", body = Skills)))]
async fn list_skills(signed: Signed, _: NoQuery) -> Result<Json<Skills>, Problem> {
    let skills = signed.tenant.skills().await?;
    Ok(Json(Skills { skills: skills.into_iter().map(SkillView::from).collect() }))
}

/// The files of a skill.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SkillFiles {
    /// Texts by their paths in the skill's folder, `SKILL.md` among them
    #[schema(value_type = Object)]
    files: BTreeMap<String, String>,
}

/// What was put there.
#[derive(Debug, Serialize, ToSchema)]
struct AddedSkill {
    /// The digest of its files: what is to be approved
    #[schema(value_type = String)]
    digest: Digest,
    /// What whoever approves it should know
    notices: Vec<String>,
}

/// Put a version of a skill there
///
/// Sessions do not have it before it is approved.
#[utoipa::path(
    put,
    path = "/skills/{name}",
    tag = "Rules",
    request_body = SkillFiles,
    params(("name" = String, Path, description = "Its name, as in its SKILL.md")),
    responses((status = 200, description = "It is there", body = AddedSkill))
)]
async fn put_skill(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
    body: Body<SkillFiles>,
) -> Result<Json<AddedSkill>, Problem> {
    let (digest, notices) = actions::add_skill(&signed, &name, body.value.files).await?;
    Ok(Json(AddedSkill { digest, notices }))
}

/// A decision about a skill.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SkillApproval {
    /// The digest of the version that was looked at
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
    digest: Digest,
}

/// Approve a version of a skill
///
/// Sessions that begin from now on have it, in the place of any other version.
#[utoipa::path(
    post,
    path = "/skills/{name}/approval",
    tag = "Rules",
    request_body = SkillApproval,
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is approved"))
)]
async fn approve_skill(
    signed: Signed,
    Named(name): Named<String>,
    _: NoQuery,
    body: Body<SkillApproval>,
) -> Result<StatusCode, Problem> {
    actions::approve_skill(&signed, &name, body.value.digest).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revoke a skill
///
/// All its versions go; sessions that have begun keep what they have.
#[utoipa::path(
    delete,
    path = "/skills/{name}",
    tag = "Rules",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"))
)]
async fn revoke_skill(signed: Signed, Named(name): Named<String>, _: NoQuery) -> Result<StatusCode, Problem> {
    actions::revoke_skill(&signed, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
