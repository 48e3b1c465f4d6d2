//! A forge as it is configured: where it is, what it is, and as whom it is asked.

use std::{fmt, time::Duration};

use cofferdam_domain::{Secret, Subject};
use url::Url;

use crate::{RepositoryAddress, hook::ForgeKind};

/// Characters of a forge's name.
const LONGEST_NAME: usize = 40;
/// The forges that everybody on the internet can reach, by their names.
const OPEN: [&str; 3] = ["github.com", "gitlab.com", "codeberg.org"];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A forge.
#[derive(Debug, Clone)]
pub struct Site {
    name: String,
    kind: ForgeKind,
    web: Url,
    api: Url,
    credential: SiteCredential,
    open: bool,
    patience: Duration,
}

/// As whom a forge is asked.
#[derive(Debug, Clone)]
pub enum SiteCredential {
    /// As the account, project or group that this token is of.
    Token(Secret),
    /// As an app, which has a token for each repository made when it needs one. Only GitHub has them.
    App {
        /// The app's number or its client id.
        id: String,
        /// Its private key, in PEM.
        key: Secret,
    },
}

/// Why a forge cannot be asked as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// Its name is none.
    #[error("{0:?} is no name of a forge: give it up to {LONGEST_NAME} lower-case letters, digits and `-`")]
    Name(String),
    /// An address is none.
    #[error("the `{key}` of the forge is no address: give an https:// URL without user, query or fragment")]
    Address {
        /// The key in the configuration.
        key: &'static str,
    },
    /// A credential would cross a network in the clear.
    #[error(
        "the `{key}` of the forge is http://, and a credential must not travel unencrypted: use https://; only for a forge on this machine, say `plain_http = true`"
    )]
    Plain {
        /// The key in the configuration.
        key: &'static str,
    },
    /// The token is none.
    #[error(
        "the forge's token is empty or has characters that no token has: put in the token and nothing else"
    )]
    Token,
    /// Only GitHub has apps.
    #[error("{} has no apps: give it a `token`", .0.name())]
    App(ForgeKind),
}

impl Site {
    /// A forge at `web`, the address that people know. Its API is found by its kind unless it is elsewhere. `plain_http` allows http:// on this
    /// machine's loopback addresses, and nowhere else.
    ///
    /// # Errors
    /// [`SiteError`], each naming what to write instead.
    pub fn new(
        name: &str,
        kind: ForgeKind,
        web: &str,
        api: Option<&str>,
        credential: SiteCredential,
        plain_http: bool,
    ) -> Result<Self, SiteError> {
        let in_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(in_name) {
            return Err(SiteError::Name(name.chars().take(LONGEST_NAME).collect()));
        }
        match &credential {
            SiteCredential::Token(token) if !is_token(token.expose()) => return Err(SiteError::Token),
            SiteCredential::App { .. } if kind != ForgeKind::GitHub => return Err(SiteError::App(kind)),
            SiteCredential::Token(_) | SiteCredential::App { .. } => {}
        }
        let web = address("url", web, plain_http)?;
        let api = match api {
            Some(api) => address("api", api, plain_http)?,
            None => api_of(kind, &web),
        };
        let open = web.scheme() == "https" && web.host_str().is_some_and(|host| OPEN.contains(&host));
        Ok(Self { name: name.to_owned(), kind, web, api, credential, open, patience: PATIENCE })
    }

    /// The same, with what is known of who can reach it: everybody on the internet, or not. Unless told, only of the great public ones it is known
    /// that everybody can.
    #[must_use]
    pub const fn opened(mut self, open: bool) -> Self {
        self.open = open;
        self
    }

    /// Whether everybody on the internet can reach it, so that what it calls public is.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// The same, with another time that an answer may take: 30 seconds unless told.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its family.
    #[must_use]
    pub const fn kind(&self) -> ForgeKind {
        self.kind
    }

    /// The address that people know.
    #[must_use]
    pub const fn web(&self) -> &Url {
        &self.web
    }

    /// Where its API is.
    #[must_use]
    pub const fn api(&self) -> &Url {
        &self.api
    }

    /// As whom it is asked.
    #[must_use]
    pub const fn credential(&self) -> &SiteCredential {
        &self.credential
    }

    /// How long an answer may take.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Where git finds a repository of it, by its path: the only address to which the forge's credential goes.
    #[must_use]
    pub fn clone_url(&self, path: &str) -> Url {
        self.at(&format!("{path}.git"))
    }

    /// Where people read an issue or a pull request of a repository.
    #[must_use]
    pub fn page(&self, path: &str, subject: Subject) -> Url {
        let (list, number) = match (self.kind, subject) {
            (ForgeKind::GitHub | ForgeKind::Gitea, Subject::Issue(number)) => ("issues", number),
            (ForgeKind::GitHub, Subject::Pull(number)) => ("pull", number),
            (ForgeKind::Gitea, Subject::Pull(number)) => ("pulls", number),
            (ForgeKind::GitLab, Subject::Issue(number)) => ("-/issues", number),
            (ForgeKind::GitLab, Subject::Pull(number)) => ("-/merge_requests", number),
        };
        self.at(&format!("{path}/{list}/{number}"))
    }

    /// The ref under which a repository keeps the head of a pull request, also of one from another repository.
    ///
    /// GitHub: <https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/checking-out-pull-requests-locally>,
    /// GitLab: <https://docs.gitlab.com/user/project/merge_requests/versions/>; Gitea has it as GitHub.
    #[must_use]
    pub fn reference_of(&self, pull: u64) -> String {
        match self.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => format!("refs/pull/{pull}/head"),
            ForgeKind::GitLab => format!("refs/merge-requests/{pull}/head"),
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.web.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    /// The path of a repository, `owner/name`, if it is one of this forge.
    #[must_use]
    pub fn owns(&self, address: &RepositoryAddress) -> Option<String> {
        let RepositoryAddress::Remote(remote) = address else { return None };
        let path = self.below(remote.url())?;
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let parts = path.split('/').count();
        let whole = match self.kind {
            ForgeKind::GitHub | ForgeKind::Gitea => parts == 2,
            ForgeKind::GitLab => parts >= 2,
        };
        (whole && path.split('/').all(|part| !part.is_empty())).then(|| path.to_owned())
    }

    /// What follows this forge's address in the URL of a repository.
    fn below(&self, url: &str) -> Option<String> {
        if let Some((place, path)) = url.split_once(':').filter(|_| !url.contains("://")) {
            let host = place.rsplit('@').next()?;
            return self.is_ssh_host(host).then(|| path.to_owned());
        }
        let url = Url::parse(url).ok()?;
        if url.scheme() == "ssh" {
            return self.is_ssh_host(url.host_str()?).then(|| url.path().to_owned());
        }
        if url.origin() != self.web.origin() {
            return None;
        }
        let rest = url.path().strip_prefix(self.web.path().trim_end_matches('/'))?;
        rest.starts_with('/').then(|| rest.to_owned())
    }

    /// Forges listen for SSH on their own host, or on `ssh.` of it where port 22 does not pass.
    fn is_ssh_host(&self, host: &str) -> bool {
        let own = self.web.host_str().unwrap_or_default();
        let host = host.to_ascii_lowercase();
        host == own || host.strip_prefix("ssh.") == Some(own)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.web)
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn address(key: &'static str, text: &str, plain_http: bool) -> Result<Url, SiteError> {
    let mut url = Url::parse(text).map_err(|_| SiteError::Address { key })?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !bare || !url.has_host() {
        return Err(SiteError::Address { key });
    }
    match url.scheme() {
        "https" => {}
        "http" if plain_http && is_loopback(&url) => {}
        "http" => return Err(SiteError::Plain { key }),
        _ => return Err(SiteError::Address { key }),
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether the address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    cofferdam_domain::loopback::is_loopback(url.host_str().unwrap_or_default())
}

/// Where a forge's API is, where nothing else is said.
///
/// GitHub: <https://docs.github.com/en/enterprise-server/rest/quickstart>, GitLab: <https://docs.gitlab.com/api/rest/>, Gitea:
/// <https://docs.gitea.com/development/api-usage>.
fn api_of(kind: ForgeKind, web: &Url) -> Url {
    let mut api = web.clone();
    let end = match kind {
        ForgeKind::GitHub if web.host_str() == Some("github.com") => {
            api.set_path("");
            return if api.set_host(Some("api.github.com")).is_ok() { api } else { web.clone() };
        }
        ForgeKind::GitHub => "v3",
        ForgeKind::GitLab => "v4",
        ForgeKind::Gitea => "v1",
    };
    api.set_path(&format!("{}/api/{end}", web.path().trim_end_matches('/')));
    api
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RemoteRepository;

    fn token() -> SiteCredential {
        SiteCredential::Token(Secret::new("t0ken"))
    }

    fn site(kind: ForgeKind, web: &str) -> Site {
        Site::new("forge", kind, web, None, token(), true).unwrap()
    }

    #[test]
    fn an_api_is_found_by_its_kind() {
        for (kind, web, api) in [
            (ForgeKind::GitHub, "https://github.com", "https://api.github.com/"),
            (ForgeKind::GitHub, "https://git.example.org/", "https://git.example.org/api/v3"),
            (ForgeKind::GitLab, "https://example.org/gitlab/", "https://example.org/gitlab/api/v4"),
            (ForgeKind::Gitea, "http://127.0.0.1:3000", "http://127.0.0.1:3000/api/v1"),
        ] {
            assert_eq!(site(kind, web).api().as_str(), api);
        }
        let elsewhere = Site::new(
            "a",
            ForgeKind::Gitea,
            "https://a.example",
            Some("https://b.example/x/"),
            token(),
            false,
        );
        assert_eq!(elsewhere.unwrap().api().as_str(), "https://b.example/x");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let gitea = |name: &str, web: &str, plain| {
            Site::new(name, ForgeKind::Gitea, web, None, token(), plain).map(|_| ()).unwrap_err()
        };
        let plain = SiteError::Plain { key: "url" };
        let address = SiteError::Address { key: "url" };
        assert_eq!(gitea("a", "http://example.org", true), plain);
        assert_eq!(gitea("a", "http://127.0.0.1.example.org", true), plain);
        assert_eq!(gitea("a", "http://127.0.0.1", false), plain);
        for bad in [
            "https://u@example.org",
            "https://example.org/?a",
            "ftp://example.org",
            "example.org",
            "https://",
        ] {
            assert_eq!(gitea("a", bad, true), address, "{bad}");
        }
        for bad in ["", "A", "a/b", "a b", &"a".repeat(41)] {
            assert!(matches!(gitea(bad, "https://example.org", false), SiteError::Name(_)), "{bad}");
        }
        for bad in ["", "a b", "a\n", "ä"] {
            let token = SiteCredential::Token(Secret::new(bad));
            let made = Site::new("a", ForgeKind::Gitea, "https://example.org", None, token, false);
            assert_eq!(made.map(|_| ()).unwrap_err(), SiteError::Token);
        }
        let app = SiteCredential::App { id: "1".into(), key: Secret::new("k") };
        let made = Site::new("a", ForgeKind::GitLab, "https://example.org", None, app, false);
        assert_eq!(made.map(|_| ()).unwrap_err(), SiteError::App(ForgeKind::GitLab));
    }

    #[test]
    fn a_forge_knows_its_own_repositories() {
        let owns = |site: &Site, url: &str| {
            site.owns(&RepositoryAddress::Remote(RemoteRepository::try_from(url.to_owned()).unwrap()))
        };
        let gitea = site(ForgeKind::Gitea, "https://git.example.org");
        for own in [
            "https://git.example.org/acme/site.git",
            "https://GIT.example.org/acme/site/",
            "https://git.example.org:443/acme/site",
            "ssh://git@git.example.org:2222/acme/site.git",
            "ssh://git@ssh.git.example.org/acme/site.git",
            "git@git.example.org:acme/site.git",
        ] {
            assert_eq!(owns(&gitea, own).as_deref(), Some("acme/site"), "{own}");
        }
        for other in [
            "https://git.example.org.evil.example/acme/site",
            "https://git.example.org:8443/acme/site",
            "https://evil.example/git.example.org/acme/site",
            "https://git.example.org/acme",
            "https://git.example.org/acme/site/wiki",
            "https://git.example.org/acme//site",
            "git@evil.example:acme/site.git",
        ] {
            assert_eq!(owns(&gitea, other), None, "{other}");
        }
        let below = site(ForgeKind::GitLab, "https://example.org/gitlab");
        assert_eq!(owns(&below, "https://example.org/gitlab/a/b/c.git").as_deref(), Some("a/b/c"));
        assert_eq!(owns(&below, "https://example.org/gitlabs/a/b.git"), None);
        assert_eq!(below.clone_url("a/b/c").as_str(), "https://example.org/gitlab/a/b/c.git");
        let page = |site: &Site, subject| site.page("a/b", subject).to_string();
        assert_eq!(page(&below, Subject::Pull(3)), "https://example.org/gitlab/a/b/-/merge_requests/3");
        assert_eq!(page(&gitea, Subject::Pull(3)), "https://git.example.org/a/b/pulls/3");
        assert_eq!(page(&gitea, Subject::Issue(3)), "https://git.example.org/a/b/issues/3");
    }
}
