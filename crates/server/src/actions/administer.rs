//! Who belongs to an organisation, with what rights, under which rules. Everything that is done here is written down in the organisation's
//! audit log.

use std::time::Duration;

use cofferdam_domain::{ProjectId, Rank, Secret, Timestamp, TokenId, UserId, policy::Narrowing};
use cofferdam_store::{DayBudget, NewToken, Project, Purse};
use serde_json::json;

use super::{conflict, meaningless, name, path_name};
use crate::{
    access::{OpenId, Signed},
    problem::{Kind, Problem},
    proof::{self, Purpose},
};

/// How long a link to sign in holds.
pub(crate) const LINK_TIME: Duration = Duration::from_secs(15 * 60);
/// The longest that a token holds, in days.
pub(crate) const MAX_TOKEN_DAYS: u32 = 366;
const DAY: u64 = 24 * 60 * 60 * 1000;
/// The longest text of a policy, in bytes.
const MAX_POLICY: usize = 256 << 10;
/// The longest secret, in bytes.
const MAX_SECRET: usize = 64 << 10;

/// Writes down what was done.
pub(super) async fn note(
    signed: &Signed,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<(), Problem> {
    Ok(signed.tenant.audit(action, subject, &detail.to_string(), signed.now()).await?)
}

/// Makes a project.
pub(crate) async fn create_project(signed: &Signed, wanted: String) -> Result<Project, Problem> {
    let project = signed.tenant.create_project(&name("name", wanted)?, signed.now()).await?;
    note(signed, "project.created", &project.id.to_string(), json!({ "name": project.name })).await?;
    Ok(project)
}

/// Somebody who may sign in.
pub(crate) struct Invited {
    pub(crate) user: UserId,
    /// By a link; not where people sign in by OpenID Connect alone.
    pub(crate) link: Option<InvitedBy>,
}

/// A link to sign in with, once.
pub(crate) struct InvitedBy {
    /// The whole address, with what proves it.
    pub(crate) address: Secret,
    /// Until when it holds.
    pub(crate) expires: Timestamp,
}

/// Who is invited.
pub(crate) enum Invitee {
    /// Somebody new, of this name and rank.
    New(String, Rank),
    /// Somebody who belongs to it already.
    Member(UserId),
}

/// Makes a link to sign in with, once. Where people sign in by OpenID Connect alone, only somebody on the server's own machine gets one; others
/// make members, who are then known by their name, if that is an address.
pub(crate) async fn invite(signed: &Signed, invitee: Invitee) -> Result<Invited, Problem> {
    let now = signed.now();
    let has_links = signed.is_here() || !signed.shared.openid().is_some_and(OpenId::is_only_way);
    let user = match invitee {
        Invitee::New(wanted, rank) => {
            let user = signed.tenant.create_user(&name("name", wanted)?, None, now).await?;
            signed.tenant.set_rank(user, Some(rank), now).await?;
            note(signed, "member.added", &user.to_string(), json!({ "rank": rank })).await?;
            user
        }
        Invitee::Member(user) => {
            is_member(signed, user).await?;
            if !has_links {
                return Err(conflict(
                    "people sign in by OpenID Connect alone here; for an emergency, `cofferdam admin link` on the server's machine makes a link",
                ));
            }
            user
        }
    };
    if !has_links {
        return Ok(Invited { user, link: None });
    }
    let (secret, proof) = proof::generate(Purpose::Link)?;
    let expires = Timestamp(now.0.saturating_add(u64::try_from(LINK_TIME.as_millis()).unwrap_or(u64::MAX)));
    signed.tenant.invite(user, proof, expires).await?;
    note(signed, "member.invited", &user.to_string(), json!({ "expires": expires })).await?;
    let address = Secret::new(format!("{}/sign-in/{}", signed.shared.origin(), secret.expose()));
    Ok(Invited { user, link: Some(InvitedBy { address, expires }) })
}

/// Refuses a user who is not of the organisation, and writes down that somebody asked.
async fn is_member(signed: &Signed, user: UserId) -> Result<(), Problem> {
    let members = signed.tenant.members().await?;
    if members.iter().any(|member| member.user == user) {
        return Ok(());
    }
    note(signed, "tenancy.foreign_id", &user.to_string(), json!({})).await?;
    Err(Problem::not_found("member"))
}

/// Gives a member another rank.
pub(crate) async fn set_rank(signed: &Signed, user: UserId, rank: Rank) -> Result<(), Problem> {
    is_member(signed, user).await?;
    signed.tenant.set_rank(user, Some(rank), signed.now()).await?;
    signed.shared.rights_changed();
    note(signed, "member.ranked", &user.to_string(), json!({ "rank": rank })).await
}

/// Removes a member, with all their tokens and stays.
pub(crate) async fn remove_member(signed: &Signed, user: UserId) -> Result<(), Problem> {
    is_member(signed, user).await?;
    signed.tenant.set_rank(user, None, signed.now()).await?;
    signed.shared.rights_changed();
    note(signed, "member.removed", &user.to_string(), json!({})).await
}

/// A token that somebody wants for themselves.
#[derive(Debug, Clone)]
pub(crate) struct NewTokenWish {
    pub(crate) name: String,
    /// The most that it may do.
    pub(crate) rank: Rank,
    /// The only project that it may be used in.
    pub(crate) project: Option<ProjectId>,
    /// For how many days it holds.
    pub(crate) days: u32,
}

/// A token that was made.
pub(crate) struct MadeToken {
    pub(crate) id: TokenId,
    /// Shown once.
    pub(crate) token: Secret,
    pub(crate) expires: Timestamp,
}

/// Makes a token. It can do no more than who makes it.
pub(crate) async fn create_token(signed: &Signed, wish: NewTokenWish) -> Result<MadeToken, Problem> {
    let NewTokenWish { name: wanted, rank, project, days } = wish;
    if !(1..=MAX_TOKEN_DAYS).contains(&days) {
        return Err(meaningless(format!("a token holds for 1 to {MAX_TOKEN_DAYS} days")));
    }
    let actor = signed.actor();
    if !actor.may(rank) {
        return Err(Problem::new(
            Kind::Forbidden,
            format!("you are {}: a token of yours can be no more", actor.rank.name()),
        ));
    }
    let project = project.or(actor.project);
    let (token, proof) = proof::generate(Purpose::Token)?;
    let expires = Timestamp(signed.now().0.saturating_add(u64::from(days) * DAY));
    let new = NewToken { name: name("name", wanted)?, user: actor.user, rank, project, expires, proof };
    let id = signed.tenant.create_token(new, signed.now()).await?;
    note(
        signed,
        "token.created",
        &id.to_string(),
        json!({ "rank": rank, "project": project, "expires": expires }),
    )
    .await?;
    Ok(MadeToken { id, token, expires })
}

/// Makes a token worthless.
pub(crate) async fn revoke_token(signed: &Signed, token: TokenId) -> Result<(), Problem> {
    if !signed.tenant.revoke_token(token).await? {
        return Err(Problem::not_found("token"));
    }
    signed.shared.rights_changed();
    note(signed, "token.revoked", &token.to_string(), json!({})).await
}

/// Keeps a named policy.
pub(crate) async fn put_policy(signed: &Signed, wanted: String, text: &str) -> Result<(), Problem> {
    let wanted = path_name("name", wanted)?;
    if text.len() > MAX_POLICY {
        return Err(meaningless(format!("the policy is longer than {MAX_POLICY} bytes")));
    }
    serde_json::from_str::<Narrowing>(text).map_err(|error| {
        meaningless(format!("this is no policy: {error}").chars().take(400).collect::<String>())
    })?;
    signed.tenant.put_policy(&wanted, Some(text), signed.now()).await?;
    let digest = cofferdam_domain::Digest::of(text.as_bytes());
    note(signed, "policy.changed", &wanted, json!({ "digest": digest })).await
}

/// Removes a named policy. Sessions that have begun under it keep it.
pub(crate) async fn remove_policy(signed: &Signed, wanted: &str) -> Result<(), Problem> {
    if !signed.tenant.policies().await?.iter().any(|(known, _)| known == wanted) {
        return Err(Problem::not_found("policy"));
    }
    signed.tenant.put_policy(wanted, None, signed.now()).await?;
    note(signed, "policy.removed", wanted, json!({})).await
}

/// Keeps a secret, encrypted. Nobody can read it here again.
pub(crate) async fn put_credential(signed: &Signed, wanted: String, secret: Secret) -> Result<(), Problem> {
    let wanted = path_name("name", wanted)?;
    let length = secret.expose().len();
    let plain = !secret.expose().contains(['\0', '\r', '\n']);
    if length == 0 || length > MAX_SECRET || !plain {
        return Err(meaningless(format!("a credential is one line of 1 to {MAX_SECRET} bytes")));
    }
    let sealed = signed.shared.seal().seal(signed.actor().org, &wanted, &secret).await.map_err(|error| {
        tracing::warn!(error = %cofferdam_domain::causes::with_causes(&error), "a credential could not be encrypted");
        conflict(error.reason)
    })?;
    signed.tenant.put_secret(&wanted, &sealed, signed.now()).await?;
    note(signed, "credential.changed", &wanted, json!({})).await
}

/// Removes a secret.
pub(crate) async fn remove_credential(signed: &Signed, wanted: &str) -> Result<(), Problem> {
    if !signed.tenant.remove_secret(wanted).await? {
        return Err(Problem::not_found("credential"));
    }
    note(signed, "credential.removed", wanted, json!({})).await
}

/// Sets what may be spent in a day.
pub(crate) async fn set_budget(signed: &Signed, purse: Purse, budget: DayBudget) -> Result<(), Problem> {
    let subject = match purse {
        Purse::Org => "organisation".to_owned(),
        Purse::Project(project) => project.to_string(),
        Purse::User(user) => user.to_string(),
    };
    signed.tenant.set_budget(purse, budget).await?;
    let DayBudget { cost, tokens, sandbox_ms, concurrent, pull_requests } = budget;
    let detail = json!({
        "cost": cost, "tokens": tokens, "sandbox_ms": sandbox_ms, "concurrent": concurrent, "pull_requests": pull_requests,
    });
    note(signed, "budget.changed", &subject, detail).await
}
