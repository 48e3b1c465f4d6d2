//! Credentials: secrets that the door adds to requests, and the places where it does.
//!
//! A secret is read by the worker, held in the worker, and written into one header of a request that has exactly the
//! credential's host and one of its methods and paths. What the sandbox sent in that header is thrown away. Nothing here
//! prints a value: problems name the credential, the place that was looked in, and what to do.

mod command;
mod config;
mod github_app;
mod problem;
mod scan;
mod source;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    sync::Arc,
};

use async_trait::async_trait;
use cofferdam_domain::{
    Secret,
    egress::{HostName, PathPattern},
};
use http::{HeaderName, HeaderValue, header};

pub use config::{
    CommandSource, Credential, CredentialSource, GithubAppSource, HeaderFormat, InvalidFormat,
    InvalidRepository, KvVersion, PathTemplate, RepositoryName, VaultLogin, VaultSource,
};
pub use problem::CredentialProblem;
pub use scan::{Reflected, ReflectionPatterns, ReflectionScan};

use crate::{decide::Request, fetch::Fetch};
use source::Source;

/// Headers that usually log in.
const LOGINS: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("private-token"),
    HeaderName::from_static("job-token"),
    HeaderName::from_static("x-api-key"),
];

/// What reading credentials needs of the worker.
#[derive(Clone)]
pub struct CredentialHost {
    /// The worker's environment.
    pub variables: BTreeMap<String, OsString>,
    /// How it speaks TLS: with the host's roots.
    pub tls: Arc<rustls::ClientConfig>,
}

/// Whoever keeps secrets under names for one organisation.
#[async_trait]
pub trait Keeper: Send + Sync {
    /// The secret with this name, as it is now.
    ///
    /// # Errors
    /// Why it cannot be had and what to do, to be read after "the store".
    async fn secret(&self, name: &str) -> Result<Secret, String>;
}

/// The credentials of a worker, or of one of its sessions. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Arc<BTreeMap<String, Entry>>,
}

#[derive(Clone)]
struct Entry {
    credential: Arc<Credential>,
    /// Nothing where they need a repository and the session has none.
    paths: Vec<PathPattern>,
    source: Arc<Source>,
}

/// What the door writes into a request.
pub struct Injection {
    /// The header.
    pub header: HeaderName,
    /// Its value, marked as sensitive.
    pub value: HeaderValue,
    /// What must not come back.
    pub patterns: Arc<ReflectionPatterns>,
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injection").field("header", &self.header).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.entries.keys()).finish()
    }
}

impl Credentials {
    /// From configuration and discovery. Sources are not asked yet.
    ///
    /// # Errors
    /// When two have one name, or one cannot work as it is written.
    pub fn new(configured: Vec<Credential>, host: CredentialHost) -> Result<Self, CredentialProblem> {
        let fetch = Fetch::new(Arc::clone(&host.tls));
        let variables = Arc::new(host.variables);
        let mut entries = BTreeMap::new();
        for credential in configured {
            check(&credential)?;
            let name = credential.name.clone();
            let source = Arc::new(Source::new(&credential, Arc::clone(&variables), fetch.clone()));
            let entry =
                Entry { paths: patterns(&credential, None), credential: Arc::new(credential), source };
            if entries.insert(name.clone(), entry).is_some() {
                return Err(CredentialProblem::Twice { name });
            }
        }
        Ok(Self { entries: Arc::new(entries) })
    }

    /// The same for one session: what is bound to the session's repository is bound to this one, and tokens that are made
    /// for a session are made anew.
    #[must_use]
    pub fn for_session(&self, repository: Option<&RepositoryName>) -> Self {
        let bound = |entry: &Entry| Entry {
            credential: Arc::clone(&entry.credential),
            paths: patterns(&entry.credential, repository),
            source: Source::for_session(&entry.source, repository),
        };
        Self {
            entries: Arc::new(
                self.entries.iter().map(|(name, entry)| (name.clone(), bound(entry))).collect(),
            ),
        }
    }

    /// The same for one organisation: what is stored comes from this keeper.
    #[must_use]
    pub fn kept_by(&self, keeper: &Arc<dyn Keeper>) -> Self {
        let bound = |entry: &Entry| Entry { source: Source::kept_by(&entry.source, keeper), ..entry.clone() };
        Self {
            entries: Arc::new(
                self.entries.iter().map(|(name, entry)| (name.clone(), bound(entry))).collect(),
            ),
        }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The names of those with which something can be changed: all that are for more than reading.
    pub fn writing(&self) -> impl Iterator<Item = &str> {
        let writes = |entry: &Entry| entry.credential.methods.iter().any(|method| !method.only_reads());
        self.entries.iter().filter(move |(_, entry)| writes(entry)).map(|(name, _)| name.as_str())
    }

    /// The header that makes this request with the credential. The secret is read, or made, if that has not been done
    /// or is too long ago.
    ///
    /// # Errors
    /// When there is none of that name, it is not for this request, or its source does not give it.
    pub async fn for_request(
        &self,
        name: &str,
        request: &Request<'_>,
    ) -> Result<Injection, CredentialProblem> {
        let entry =
            self.entries.get(name).ok_or_else(|| CredentialProblem::Unknown { name: name.to_owned() })?;
        let credential = &entry.credential;
        let fits = credential.host == *request.host
            && credential.scheme == request.scheme
            && credential.port() == request.port
            && credential.methods.contains(request.method)
            && entry.paths.iter().any(|pattern| pattern.matches(request.path));
        if !fits {
            let what = format!("{} {}{}", request.method, request.host, request.path);
            return Err(CredentialProblem::Elsewhere { name: name.to_owned(), what });
        }
        let value = entry.source.value().await?;
        Ok(Injection {
            header: credential.header.clone(),
            value: value.header.clone(),
            patterns: Arc::clone(&value.patterns),
        })
    }

    /// What no request of a sandbox may contain: values of these credentials, as far as they are known or can be without asking anybody.
    pub(crate) async fn held(&self) -> Vec<Arc<ReflectionPatterns>> {
        for entry in self.entries.values() {
            entry.source.learn().await;
        }
        self.known()
    }

    /// The same, as far as they are known by now.
    pub(crate) fn known(&self) -> Vec<Arc<ReflectionPatterns>> {
        self.entries.values().flat_map(|entry| entry.source.known()).collect()
    }

    /// Which headers of a sandbox's requests to this host are thrown away: those that credentials for it use, and
    /// those that usually log in, so that nobody comes with a credential of their own where the session has one.
    #[must_use]
    pub fn stripped_headers(&self, host: &HostName) -> Vec<HeaderName> {
        let own = self.entries.values().filter(|entry| entry.credential.host == *host);
        let mut headers: Vec<HeaderName> = own.map(|entry| entry.credential.header.clone()).collect();
        if !headers.is_empty() {
            headers.extend(LOGINS);
        }
        headers.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        headers.dedup();
        headers
    }

    /// Variables for the inside, each with a stand-in that is good for nothing.
    #[must_use]
    pub fn placeholders(&self) -> Vec<(String, String)> {
        let stand_in = |entry: &Entry| {
            let value = format!("placeholder-{}-added-at-the-door", entry.credential.name);
            entry
                .credential
                .placeholder
                .iter()
                .map(move |variable| (variable.clone(), value.clone()))
                .collect::<Vec<_>>()
        };
        self.entries.values().flat_map(stand_in).collect()
    }

    /// Whether each can be had now: the problems of those that cannot.
    pub async fn problems(&self) -> Vec<CredentialProblem> {
        let mut problems = Vec::new();
        for entry in self.entries.values() {
            problems.extend(entry.source.value().await.err());
        }
        problems
    }
}

fn patterns(credential: &Credential, repository: Option<&RepositoryName>) -> Vec<PathPattern> {
    credential.paths.iter().filter_map(|path| path.pattern(repository)).collect()
}

/// What a parser of one field cannot see.
fn check(credential: &Credential) -> Result<(), CredentialProblem> {
    let problem = |reason: &str| Err(CredentialProblem::misconfigured(&credential.name, reason));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if credential.name.is_empty() || credential.name.len() > 64 || !credential.name.bytes().all(plain) {
        return problem("a name has 1 to 64 letters, digits, `-`, `_` and `.`");
    }
    if credential.methods.is_empty() || credential.paths.is_empty() {
        return problem(
            "without methods or paths it could never be used: leave them out for reading everything, or list some",
        );
    }
    let mut seen = BTreeSet::new();
    for variable in &credential.placeholder {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let first = variable.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !first || !variable.bytes().all(word) || !seen.insert(variable) {
            return problem("a placeholder is the name of a variable, each once: letters, digits and `_`");
        }
    }
    source::check(credential)
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::egress::{Method, RequestPath, Scheme};

    use super::*;
    use crate::decide::Body;

    pub(super) fn host() -> CredentialHost {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let variables = BTreeMap::from([("TOKEN".to_owned(), OsString::from("s3cret-value\n"))]);
        CredentialHost { variables, tls: Arc::new(tls) }
    }

    fn credentials(text: &str) -> Result<Credentials, CredentialProblem> {
        Credentials::new(vec![toml::from_str(text).unwrap()], host())
    }

    async fn used(
        credentials: &Credentials,
        method: Method,
        name: &str,
        path: &str,
    ) -> Result<Injection, CredentialProblem> {
        let (name, path): (HostName, RequestPath) = (name.parse().unwrap(), path.parse().unwrap());
        let request = Request {
            scheme: Scheme::Https,
            host: &name,
            port: 443,
            method: &method,
            path: &path,
            query: None,
            body: Body::None,
            upgrade: false,
        };
        credentials.for_request("forge", &request).await
    }

    const FORGE: &str = r#"
        name = "forge"
        host = "api.example.com"
        paths = ["/repos/{repository}/**"]
        header = "x-token"
        format = "token {}"
        placeholder = ["FORGE_TOKEN"]
        source = { env = "TOKEN" }
    "#;

    #[tokio::test]
    async fn only_where_it_belongs() {
        let repository = "acme/tool".parse().unwrap();
        let credentials = credentials(FORGE).unwrap();
        let session = credentials.for_session(Some(&repository));
        let injection =
            used(&session, Method::GET, "api.example.com", "/repos/acme/tool/pulls").await.unwrap();
        assert_eq!(injection.value.as_bytes(), b"token s3cret-value");
        assert!(injection.value.is_sensitive());
        assert!(injection.patterns.are_in(b"echo: s3cret-value"));
        for (method, host, path) in [
            (Method::POST, "api.example.com", "/repos/acme/tool/pulls"),
            (Method::GET, "api2.example.com", "/repos/acme/tool/pulls"),
            (Method::GET, "api.example.com", "/repos/acme/other/pulls"),
            (Method::GET, "api.example.com", "/user"),
        ] {
            let problem = used(&session, method, host, path).await.unwrap_err();
            assert!(matches!(problem, CredentialProblem::Elsewhere { .. }), "{problem}");
        }
        // Without a repository the paths match nothing.
        assert!(used(&credentials, Method::GET, "api.example.com", "/repos/acme/tool/pulls").await.is_err());
    }

    /// Keeps one secret.
    struct One;

    #[async_trait]
    impl Keeper for One {
        async fn secret(&self, name: &str) -> Result<Secret, String> {
            if name == "forge" { Ok(Secret::new("kept-secret-value")) } else { Err("has none".to_owned()) }
        }
    }

    #[tokio::test]
    async fn what_is_stored_comes_from_the_keeper_of_the_organisation() {
        let stored = |name: &str| {
            let source = format!("{{ stored = {name:?} }}");
            credentials(&FORGE.replace("{ env = \"TOKEN\" }", &source).replace("{repository}", "a/b"))
        };
        let keeper: Arc<dyn Keeper> = Arc::new(One);
        let nobodys = stored("forge").unwrap();
        let ours = nobodys.kept_by(&keeper).for_session(None);
        let ask = async |credentials: &Credentials| {
            used(credentials, Method::GET, "api.example.com", "/repos/a/b/pulls").await
        };
        assert_eq!(ask(&ours).await.unwrap().value.as_bytes(), b"token kept-secret-value");
        assert!(ours.known().iter().any(|patterns| patterns.are_in(b"a kept-secret-value b")));
        let problem = ask(&nobodys).await.unwrap_err().to_string();
        assert!(problem.contains("no organisation"), "{problem}");
        let problem = ask(&stored("other").unwrap().kept_by(&keeper)).await.unwrap_err().to_string();
        assert!(problem.contains("the store has none"), "{problem}");
        assert!(stored("").unwrap_err().to_string().contains("stored needs"));
    }

    #[tokio::test]
    async fn headers_and_placeholders() {
        let credentials = credentials(FORGE).unwrap();
        let stripped = credentials.stripped_headers(&"api.example.com".parse().unwrap());
        let names: Vec<&str> = stripped.iter().map(HeaderName::as_str).collect();
        let logins = ["authorization", "cookie", "job-token", "private-token", "proxy-authorization"];
        assert_eq!(names, [&logins[..], &["x-api-key", "x-token"]].concat());
        assert!(credentials.stripped_headers(&"other.example.com".parse().unwrap()).is_empty());
        let [(variable, value)] = credentials.placeholders().try_into().unwrap();
        assert_eq!(variable, "FORGE_TOKEN");
        assert!(!value.contains("s3cret"));
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn mistakes_say_what_to_do() {
        for (change, expected) in [
            (("\"forge\"", "\"a forge\""), "letters"),
            (("[\"FORGE_TOKEN\"]", "[\"A=B\"]"), "variable"),
            (("[\"/repos/{repository}/**\"]", "[]"), "never be used"),
        ] {
            let problem = credentials(&FORGE.replace(change.0, change.1)).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        let both = vec![toml::from_str(FORGE).unwrap(), toml::from_str(FORGE).unwrap()];
        assert!(matches!(Credentials::new(both, host()), Err(CredentialProblem::Twice { .. })));
        let unset = credentials(&FORGE.replace("TOKEN\" }", "NOT_THERE\" }")).unwrap();
        let [problem] = unset.problems().await.try_into().unwrap();
        assert!(problem.to_string().contains("NOT_THERE is not set"), "{problem}");
        let given = Credential {
            source: CredentialSource::Given(Secret::new("short")),
            ..toml::from_str(FORGE).unwrap()
        };
        let [problem] = Credentials::new(vec![given], host()).unwrap().problems().await.try_into().unwrap();
        assert!(problem.to_string().contains("shorter"), "{problem}");
    }
}
