//! The skills that an organisation gives its sessions: put there, approved by their digest, revoked. All of it is written down.

use std::collections::BTreeMap;

use cofferdam_domain::{Digest, Rank};
use cofferdam_instructions::packed;
use cofferdam_store::{KeptSkill, TenantError};
use serde_json::json;

use super::{administer::note, meaningless};
use crate::{access::Signed, problem::Problem};

/// Puts a version there; its digest, and what whoever approves it should know.
pub(crate) async fn add_skill(
    signed: &Signed,
    name: &str,
    files: BTreeMap<String, String>,
) -> Result<(Digest, Vec<String>), Problem> {
    // Nobody else learns what is wrong with theirs.
    if !signed.actor().may(Rank::Admin) {
        return Err(TenantError::Forbidden { needs: Rank::Admin }.into());
    }
    let gathered = packed(name, &files).map_err(meaningless)?;
    let skill = gathered.files.first().ok_or_else(|| meaningless("there is no skill in these files"))?;
    let mut notices = gathered.notices.clone();
    if skill.hidden > 0 {
        notices.push(format!("{} characters in it cannot be seen", skill.hidden));
    }
    let kept = KeptSkill {
        name: name.to_owned(),
        digest: skill.digest,
        files: serde_json::to_string(&files).map_err(|error| Problem::internal(&error))?,
        by: signed.name(),
        at: signed.now(),
        approved: None,
    };
    if signed.tenant.put_skill(kept).await? {
        note(signed, "skill.added", name, json!({ "digest": skill.digest })).await?;
    }
    Ok((skill.digest, notices))
}

/// Approves the version with this digest.
pub(crate) async fn approve_skill(signed: &Signed, name: &str, digest: Digest) -> Result<(), Problem> {
    if !signed.tenant.approve_skill(name, digest, &signed.name(), signed.now()).await? {
        return Err(Problem::not_found("skill"));
    }
    note(signed, "skill.approved", name, json!({ "digest": digest })).await
}

/// Removes all versions of a skill.
pub(crate) async fn revoke_skill(signed: &Signed, name: &str) -> Result<(), Problem> {
    if !signed.tenant.revoke_skill(name).await? {
        return Err(Problem::not_found("skill"));
    }
    note(signed, "skill.revoked", name, json!({})).await
}
