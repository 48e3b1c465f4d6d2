//! Whom of those that a provider knows the server lets in, and as whom.
//!
//! Somebody is known by issuer and subject, which never change hands. Who comes for the first time is the member whose name is the address that the
//! provider has verified, or somebody new whom a rule of the configuration admits; from then on the subject counts alone. Whoever was removed here is
//! not let in again by a rule.

use cofferdam_domain::{AuditId, Rank, UserId};
use cofferdam_store::{AuditEntry, StoreError};
use serde_json::json;

use super::{
    claims::Claims,
    settings::{OpenId, OpenIdSettings, Who},
};
use crate::{
    actions::is_name,
    problem::{Kind, Problem},
    shared::Shared,
};

/// Somebody whom the provider knows.
pub(super) struct Person<'a> {
    pub(super) subject: &'a str,
    pub(super) claims: &'a Claims,
}

/// The member that the provider knows by this subject.
pub(super) async fn known(
    shared: &Shared,
    openid: &OpenId,
    subject: &str,
) -> Result<Option<UserId>, Problem> {
    let OpenIdSettings { issuer, org, .. } = &openid.settings;
    let Some(user) = shared.store().user_by_subject(issuer, subject).await? else { return Ok(None) };
    let members = shared.store().memberships(user).await?;
    Ok(members.iter().any(|(one, _)| one.id == *org).then_some(user))
}

/// Who comes for the first time. `None` when nobody has said that they may.
pub(super) async fn newcomer(
    shared: &Shared,
    openid: &OpenId,
    person: &Person<'_>,
) -> Result<Option<UserId>, Problem> {
    if let Some(user) = expected(shared, openid, person).await? {
        return Ok(Some(user));
    }
    let settings = &openid.settings;
    let Some(rank) = rank(settings, person.claims) else { return Ok(None) };
    if shared.store().user_by_subject(&settings.issuer, person.subject).await?.is_some() {
        // They were here before.
        return Ok(None);
    }
    let (name, subject) = (name(settings, person), (&*settings.issuer, person.subject));
    let made = shared.store().create_member(settings.org, &name, rank, subject, shared.now()).await;
    let user = match made {
        // The same person, in another window, at the same moment.
        Err(StoreError::Taken { .. }) => return known(shared, openid, person.subject).await,
        made => made?,
    };
    note(shared, openid, "member.added", &user.to_string(), json!({ "rank": rank, "by": "openid" })).await?;
    Ok(Some(user))
}

/// The member whose name is the verified address, if there is one whom the provider does not know by another subject.
async fn expected(shared: &Shared, openid: &OpenId, person: &Person<'_>) -> Result<Option<UserId>, Problem> {
    let OpenIdSettings { issuer, org, .. } = &openid.settings;
    let Some(email) = person.claims.verified_email() else { return Ok(None) };
    for member in shared.store().members(*org).await? {
        let is_meant = member.name.eq_ignore_ascii_case(&email);
        if is_meant && shared.store().bind_subject(member.user, issuer, person.subject).await? {
            note(shared, openid, "member.bound", &member.user.to_string(), json!({ "issuer": issuer }))
                .await?;
            return Ok(Some(member.user));
        }
    }
    Ok(None)
}

/// With which rank the first rule that fits admits somebody.
fn rank(settings: &OpenIdSettings, claims: &Claims) -> Option<Rank> {
    let email = claims.verified_email();
    let domain = email.as_deref().and_then(|email| email.split_once('@')).map(|(_, domain)| domain);
    let groups = claims.groups(&settings.groups_claim);
    let fits = |who: &Who| match who {
        Who::Email(wanted) => email.as_deref() == Some(wanted),
        Who::Domain(wanted) => domain == Some(wanted),
        Who::Group(wanted) => groups.contains(&wanted.as_str()),
    };
    settings.admit.iter().find(|admit| fits(&admit.who)).map(|admit| admit.rank)
}

/// What somebody new is called.
fn name(settings: &OpenIdSettings, person: &Person<'_>) -> String {
    let email = person.claims.verified_email();
    let names = [person.claims.text(&settings.name_claim), email.as_deref(), Some(person.subject)];
    names.into_iter().flatten().find(|name| is_name(name)).unwrap_or("somebody").to_owned()
}

/// Refuses somebody who is nobody here, and writes down that they tried.
pub(super) async fn refuse(shared: &Shared, openid: &OpenId, person: &Person<'_>) -> Problem {
    let email = person.claims.verified_email();
    tracing::warn!(
        "somebody whom the OpenID provider knows was not let in: no member, and no rule admits them"
    );
    let who = email.as_deref().unwrap_or("you, without an address that it has verified,");
    let detail = format!(
        "the sign-in service knows {who}, but nobody by that name is a member here: ask an administrator to add you"
    );
    if openid.refusals.may_write(shared.now()) {
        let told = json!({ "issuer": openid.settings.issuer, "email": email });
        if let Err(problem) = note(shared, openid, "sign_in.refused", person.subject, told).await {
            return problem;
        }
    }
    Problem::new(Kind::Forbidden, detail)
}

async fn note(
    shared: &Shared,
    openid: &OpenId,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<(), Problem> {
    let entry = AuditEntry {
        id: AuditId::generate(),
        at: shared.now(),
        by: "openid".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_string(),
    };
    Ok(shared.store().audit(openid.settings.org, entry).await?)
}
