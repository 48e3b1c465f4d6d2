//! Which provider is asked, and whom of those that it knows the server lets in.

use cofferdam_domain::{OrgId, Rank, Secret};
use reqwest::Url;

use super::{claims::address, provider::Provider};
use crate::outward;

/// How one signs in by OpenID Connect.
#[derive(Debug, Clone)]
pub struct OpenIdSettings {
    /// Who says who somebody is, as `https://…`, exactly as its id tokens name it.
    pub issuer: String,
    /// What this server is called there.
    pub client: String,
    /// What proves that to the provider; nothing for a public client.
    pub secret: Option<Secret>,
    /// Into which organisation one signs in.
    pub org: OrgId,
    /// The claim that new users are called by.
    pub name_claim: String,
    /// The claim that lists somebody's groups.
    pub groups_claim: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Who may come in without being a member: the first that fits says with which rank. Nobody where there is none.
    pub admit: Vec<Admit>,
    /// Whether people of the server can make no links to sign in with.
    pub only: bool,
}

/// Somebody who may come in without being a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admit {
    /// Who.
    pub who: Who,
    /// As what.
    pub rank: Rank,
}

/// Who is meant, by what the provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// One address, if the provider has verified it.
    Email(String),
    /// All addresses of a domain that the provider has verified.
    Domain(String),
    /// A group.
    Group(String),
}

/// Why somebody cannot sign in like this.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidOpenId {
    /// The issuer is no address of a provider.
    #[error(
        "{0:?} is no issuer: give the https:// address that the provider names itself by, without query and fragment"
    )]
    Issuer(String),
    /// Something must be said.
    #[error("the {0} is empty: take it from where the server is registered at the provider")]
    Empty(&'static str),
    /// Somebody who can never come.
    #[error("{0:?} is no {1}: nobody would ever be admitted by it")]
    Admit(String, &'static str),
    /// There is no TLS to be had.
    #[error("no HTTP client can be made: {0}")]
    Client(String),
}

/// Sign-in by OpenID Connect: a provider, and what is expected of it.
#[derive(Debug)]
pub struct OpenId {
    pub(super) settings: OpenIdSettings,
    pub(super) provider: Provider,
    pub(super) refusals: super::Refusals,
}

impl OpenId {
    /// With these settings. Asks nobody yet.
    ///
    /// # Errors
    /// When they make no sense.
    pub fn new(mut settings: OpenIdSettings) -> Result<Self, InvalidOpenId> {
        let wrong = || InvalidOpenId::Issuer(settings.issuer.chars().take(200).collect());
        let issuer = Url::parse(&settings.issuer).ok().filter(is_private).ok_or_else(wrong)?;
        if issuer.query().is_some() || issuer.fragment().is_some() {
            return Err(wrong());
        }
        for (what, text) in [
            ("client_id", &settings.client),
            ("name_claim", &settings.name_claim),
            ("groups_claim", &settings.groups_claim),
        ] {
            if text.trim().is_empty() {
                return Err(InvalidOpenId::Empty(what));
            }
        }
        for admit in &mut settings.admit {
            admit.who = checked(&admit.who)?;
        }
        let http = outward::client_for(&issuer).ok_or_else(|| InvalidOpenId::Client("no TLS".to_owned()))?;
        let http = http.build().map_err(|error| InvalidOpenId::Client(error.to_string()))?;
        let provider = Provider::new(http, settings.issuer.clone());
        Ok(Self { settings, provider, refusals: super::Refusals::default() })
    }

    /// Whether links to sign in with are made only where the store is.
    pub(crate) const fn is_only_way(&self) -> bool {
        self.settings.only
    }

    /// The provider's host, for people.
    pub(crate) fn host(&self) -> String {
        let issuer = Url::parse(&self.settings.issuer).ok();
        issuer.and_then(|issuer| issuer.host_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Whether nobody on the way can read what is sent there, or change what comes back.
pub(super) fn is_private(url: &Url) -> bool {
    let bare = url.has_host() && url.username().is_empty() && url.password().is_none();
    bare && (url.scheme() == "https" || url.scheme() == "http" && outward::is_loopback(url))
}

/// In the form in which it is compared.
fn checked(who: &Who) -> Result<Who, InvalidOpenId> {
    match who {
        Who::Email(text) => match address(text) {
            Some(address) => Ok(Who::Email(address)),
            None => Err(InvalidOpenId::Admit(text.clone(), "address")),
        },
        Who::Domain(text) => match address(&format!("a@{text}")) {
            Some(_) => Ok(Who::Domain(text.to_ascii_lowercase())),
            None => Err(InvalidOpenId::Admit(text.clone(), "domain")),
        },
        Who::Group(text) if text.is_empty() => Err(InvalidOpenId::Admit(text.clone(), "group")),
        Who::Group(text) => Ok(Who::Group(text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Owner;

    use super::*;

    fn settings() -> OpenIdSettings {
        OpenIdSettings {
            issuer: "https://accounts.example.com".to_owned(),
            client: "cofferdam".to_owned(),
            secret: None,
            org: Owner::LOCAL.org,
            name_claim: "name".to_owned(),
            groups_claim: "groups".to_owned(),
            scopes: Vec::new(),
            admit: Vec::new(),
            only: false,
        }
    }

    #[test]
    fn mistakes_are_said() {
        assert_eq!(OpenId::new(settings()).unwrap().host(), "accounts.example.com");
        for issuer in [
            "",
            "accounts.example.com",
            "http://accounts.example.com",
            "https://u:p@accounts.example.com",
            "https://accounts.example.com?a",
            "https://accounts.example.com/#a",
            "ftp://localhost",
        ] {
            let refused = OpenId::new(OpenIdSettings { issuer: issuer.to_owned(), ..settings() });
            assert!(matches!(refused, Err(InvalidOpenId::Issuer(_))), "{issuer}");
        }
        for issuer in ["http://127.0.0.1:9000/a", "http://localhost", "https://a.example/tenant/v2.0"] {
            assert!(
                OpenId::new(OpenIdSettings { issuer: issuer.to_owned(), ..settings() }).is_ok(),
                "{issuer}"
            );
        }
        let empty = OpenId::new(OpenIdSettings { client: " ".to_owned(), ..settings() });
        assert!(matches!(empty, Err(InvalidOpenId::Empty("client_id"))));
        for who in [
            Who::Email("ann".to_owned()),
            Who::Email("a@b@c.example".to_owned()),
            Who::Domain("@example.com".to_owned()),
            Who::Domain(String::new()),
            Who::Group(String::new()),
        ] {
            let admit = vec![Admit { who, rank: Rank::Member }];
            let refused = OpenId::new(OpenIdSettings { admit, ..settings() });
            assert!(matches!(refused, Err(InvalidOpenId::Admit(..))), "{refused:?}");
        }
    }
}
