//! The `[server.openid]` table: who else says who somebody is.

use anyhow::{Context, Result};
use cofferdam_domain::{OrgId, Rank};
use cofferdam_server::{Admit, OpenId, OpenIdSettings, Who};
use cofferdam_store::seal::KeySource;
use serde::Deserialize;

use super::KeyPlace;

/// A provider, and whom of those that it knows the server lets in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenIdTable {
    /// The address that the provider names itself by.
    issuer: String,
    /// What this server is called there.
    client_id: String,
    /// Where the secret is that proves it; a public client has none.
    client_secret: Option<KeyPlace>,
    /// Into which organisation one signs in.
    #[serde(default = "local")]
    pub(crate) organisation: String,
    /// The claim that new users are called by.
    #[serde(default = "name")]
    name_claim: String,
    /// The claim that lists somebody's groups.
    #[serde(default = "groups")]
    groups_claim: String,
    /// What is asked for beside `openid`.
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    /// Whether people of the server can make no links to sign in with.
    #[serde(default)]
    pub(crate) only: bool,
    /// Who may come in without being a member.
    #[serde(default)]
    admit: Vec<AdmitTable>,
}

/// Somebody who may come in: one of the first three.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct AdmitTable {
    email: Option<String>,
    domain: Option<String>,
    group: Option<String>,
    rank: Rank,
}

impl OpenIdTable {
    /// What the server takes, for this organisation.
    pub(crate) async fn open(&self, org: OrgId) -> Result<OpenId> {
        let secret = match &self.client_secret {
            Some(place) => {
                let source = KeySource::from(place);
                let text = source.text().await.map_err(anyhow::Error::msg);
                let text = text.and_then(|text| {
                    anyhow::ensure!(!text.expose().is_empty(), "there is nothing in it");
                    Ok(text)
                });
                Some(text.with_context(|| format!("the client_secret cannot be read from {source}"))?)
            }
            None => None,
        };
        let admit: Result<_> = self.admit.iter().map(AdmitTable::read).collect();
        Ok(OpenId::new(OpenIdSettings {
            issuer: self.issuer.clone(),
            client: self.client_id.clone(),
            secret,
            org,
            name_claim: self.name_claim.clone(),
            groups_claim: self.groups_claim.clone(),
            scopes: self.scopes.clone(),
            admit: admit?,
            only: self.only,
        })?)
    }
}

impl AdmitTable {
    fn read(&self) -> Result<Admit> {
        let who = match (&self.email, &self.domain, &self.group) {
            (Some(email), None, None) => Who::Email(email.clone()),
            (None, Some(domain), None) => Who::Domain(domain.clone()),
            (None, None, Some(group)) => Who::Group(group.clone()),
            _ => anyhow::bail!("[[server.openid.admit]] takes exactly one of email, domain and group"),
        };
        Ok(Admit { who, rank: self.rank })
    }
}

fn local() -> String {
    "local".to_owned()
}

fn name() -> String {
    "name".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

fn scopes() -> Vec<String> {
    vec!["email".to_owned(), "profile".to_owned()]
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Owner;

    use super::*;

    const LEAST: &str = "issuer = \"https://accounts.example.com\"\nclient_id = \"cofferdam\"\n";

    async fn open(more: &str) -> Result<OpenId> {
        toml::from_str::<OpenIdTable>(&format!("{LEAST}{more}"))?.open(Owner::LOCAL.org).await
    }

    #[tokio::test]
    async fn mistakes_are_named() {
        open("").await.unwrap();
        open("[[admit]]\ngroup = \"team\"\nrank = \"viewer\"\n").await.unwrap();
        for (text, wanted) in [
            ("client_secret = \"hunter2\"\n", "client_secret"),
            ("client_secret = { file = \"/nowhere/secret\" }\n", "/nowhere/secret"),
            ("client_secret = { command = [\"true\"] }\n", "nothing in it"),
            ("[[admit]]\nrank = \"viewer\"\n", "exactly one"),
            (
                "[[admit]]\nemail = \"a@b.example\"\ndomain = \"b.example\"\nrank = \"viewer\"\n",
                "exactly one",
            ),
            ("[[admit]]\ndomain = \"@b.example\"\nrank = \"viewer\"\n", "no domain"),
            ("[[admit]]\ndomain = \"b.example\"\nrank = \"owner\"\n", "owner"),
            ("onyl = true\n", "onyl"),
        ] {
            let error = format!("{:#}", open(text).await.unwrap_err());
            assert!(error.contains(wanted) && !error.contains("hunter2\n"), "{text}: {error}");
        }
    }
}
