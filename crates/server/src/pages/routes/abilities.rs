//! The pages about skills and MCP servers, for admins, and what their forms do.

use axum::response::Response;
use cofferdam_domain::{Digest, Rank};
use cofferdam_instructions::packed;
use cofferdam_store::KeptSkill;
use serde::Deserialize;

use super::{
    answer::{Html, page, to},
    fields::Fields,
};
use crate::{
    access::Signed,
    actions,
    api::Named,
    pages::{
        servers,
        shell::Place,
        skills::{self, Seen},
    },
    problem::{Kind, Problem},
};

const SKILLS: &str = "/skills";

fn for_admins(signed: &Signed, what: &str) -> Result<(), Problem> {
    if signed.actor().may(Rank::Admin) {
        Ok(())
    } else {
        Err(Problem::new(Kind::Forbidden, format!("{what} are for admins")))
    }
}

pub(super) async fn skills(signed: Signed) -> Result<Html, Problem> {
    for_admins(&signed, "skills")?;
    let content = skills::list(&signed.tenant.skills().await?, signed.now());
    Ok(page(&signed, Place::Settings, "Skills", &content))
}

pub(super) async fn skill(
    signed: Signed,
    Named((name, digest)): Named<(String, Digest)>,
) -> Result<Html, Problem> {
    for_admins(&signed, "skills")?;
    let mut found = signed.tenant.skills().await?.into_iter();
    let found = found.rfind(|skill| skill.name == name && skill.digest == digest);
    let seen = seen(found.ok_or_else(|| Problem::not_found("skill"))?)?;
    let content = skills::show(&seen, signed.now());
    Ok(page(&signed, Place::Settings, &seen.skill.name, &content))
}

/// What is in a skill, held against its digest once more: that is what is approved.
fn seen(skill: KeptSkill) -> Result<Seen, Problem> {
    let files = serde_json::from_str(&skill.files).map_err(|error| Problem::internal(&error))?;
    let (notices, wrong) = match packed(&skill.name, &files) {
        Ok(gathered) => {
            let mut notices = gathered.notices;
            let hidden: u64 = gathered.files.iter().map(|file| u64::from(file.hidden)).sum();
            if hidden > 0 {
                notices.push(format!("{hidden} characters in it cannot be seen; they stand in boxes below"));
            }
            let same = gathered.files.iter().all(|file| file.digest == skill.digest);
            (notices, (!same).then(|| "its files have another one".to_owned()))
        }
        Err(problem) => (Vec::new(), Some(problem)),
    };
    Ok(Seen { skill, files, notices, wrong })
}

/// Which version was looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approved {
    digest: Digest,
}

pub(super) async fn approve_skill(
    signed: Signed,
    Named(name): Named<String>,
    Fields(form): Fields<Approved>,
) -> Result<Response, Problem> {
    actions::approve_skill(&signed, &name, form.digest).await?;
    Ok(to(SKILLS))
}

pub(super) async fn revoke_skill(signed: Signed, Named(name): Named<String>) -> Result<Response, Problem> {
    actions::revoke_skill(&signed, &name).await?;
    Ok(to(SKILLS))
}

pub(super) async fn servers(signed: Signed) -> Result<Html, Problem> {
    for_admins(&signed, "MCP servers")?;
    let mut approved = signed.tenant.approved_servers().await?;
    let configured = signed.shared.choices().servers.iter().map(|name| {
        let known = approved.iter().position(|server| server.name == *name);
        servers::Seen {
            name: name.clone(),
            configured: true,
            approved: known.map(|known| approved.remove(known)),
        }
    });
    let mut seen: Vec<servers::Seen> = configured.collect();
    let left = approved.into_iter();
    seen.extend(left.map(|server| servers::Seen {
        name: server.name.clone(),
        configured: false,
        approved: Some(server),
    }));
    Ok(page(&signed, Place::Settings, "MCP servers", &servers::list(&seen, signed.now())))
}
