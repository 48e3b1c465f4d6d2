//! What git presents to a configured forge: asked for right before a command, given to that command only, and
//! cut out of whatever it says.
//!
//! It reaches git in its environment, as configuration that is bound to the one URL (git-config(1),
//! `http.<url>.extraHeader`, `GIT_CONFIG_COUNT`). So it stands in no argument, URL, file or configuration of a
//! mirror; the processes that inherit it are git's own transports, for no hook, filter or helper ever runs. A
//! server that redirects elsewhere is not followed.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::{Digest, OrgId, Secret};
use url::Url;

use crate::{
    GitError,
    address::transport_of,
    call::{Call, Output, Transport},
    mirror::DENIALS,
    remote::{At, GitCredential, Talk, TalkError},
    remote_forge::is_of_one_owner,
};

/// What git says, beside [`DENIALS`], when a server does not accept what is presented. Servers hide what somebody may not see: then it is
/// not found.
const REFUSALS: &[&str] = &["returned error: 401", "returned error: 403", "' not found", "not found: "];

/// How git gets at a repository of a configured forge. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    forge: String,
    org: OrgId,
    talk: Arc<dyn Talk>,
    at: At,
    url: String,
    /// Whether everybody on the internet may read the repository, as the forge says.
    public: bool,
    /// Whether everybody who reaches the forge may.
    shared: bool,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("forge", &self.forge)
            .field("at", &self.at)
            .field("url", &self.url)
            .field("public", &self.public)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl Access {
    pub(crate) fn new(forge: &str, org: OrgId, talk: Arc<dyn Talk>, at: At, url: String) -> Self {
        Self { forge: forge.to_owned(), org, talk, at, url, public: false, shared: false }
    }

    /// The same to a repository that everybody who reaches its forge may read, if `shared`; and everybody on the internet, if that reaches it.
    pub(crate) fn open_to_all(mut self, shared: bool, internet: bool) -> Self {
        (self.shared, self.public) = (shared, shared && internet);
        self
    }

    /// Whether everybody who reaches the forge may read the repository, as it says.
    pub(crate) const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether everybody on the internet may read the repository, as far as its forge says so.
    pub(crate) const fn is_public(&self) -> bool {
        self.public
    }

    /// The forge's name in the configuration.
    #[must_use]
    pub fn forge(&self) -> &str {
        &self.forge
    }

    /// The repository as the forge knows it now: its number stays when it is renamed or transferred.
    #[must_use]
    pub fn at(&self) -> &At {
        &self.at
    }

    /// Whether another repository is of the same owner on the same forge now.
    #[must_use]
    pub fn is_kin(&self, other: &Self) -> bool {
        self.forge == other.forge && self.org == other.org && is_of_one_owner(&self.at.path, &other.at.path)
    }

    /// Where git finds it now.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn transport(&self) -> Transport {
        transport_of(&self.url)
    }

    /// Names the repository, and whose account reads it, in file names.
    pub(crate) fn key(&self) -> String {
        // A forge may get the name that another one had: numbers are each host's own.
        let host = Url::parse(&self.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let text = format!("forge\0{}\0{}\0{host}\0{}", self.org, self.forge, self.at.id);
        Digest::of(text.as_bytes()).hex()[..32].to_owned()
    }

    /// Runs a command that talks to the forge, to whatever end it comes. Where the forge does not accept what was presented, which may have
    /// expired or been replaced meanwhile, it is run once more with what is to be presented now.
    pub(crate) async fn run<'c, E>(&self, call: impl Fn() -> Result<Call<'c>, E>) -> Result<Output, E>
    where
        E: From<TalkError> + From<GitError>,
    {
        let output = self.present(call()?).await?.run_to_any_end().await?;
        if output.code == Some(0) || !DENIALS.iter().any(|sign| output.stderr.contains(sign)) {
            return Ok(output);
        }
        Ok(self.present(call()?).await?.run_to_any_end().await?)
    }

    /// The same for a request of our own: user name and password as RFC 7617 has them.
    pub(crate) async fn basic(&self) -> Result<Secret, TalkError> {
        Ok(Secret::new(pair(&self.talk.git_credential(&self.at).await?)))
    }

    async fn present<'c>(&self, call: Call<'c>) -> Result<Call<'c>, TalkError> {
        let credential = self.talk.git_credential(&self.at).await?;
        Ok(call.transport(self.transport()).presenting(Presented::new(&self.url, &credential)))
    }
}

/// Whether git says that a server did not accept what was presented.
pub(crate) fn is_denial(said: &str) -> bool {
    DENIALS.iter().chain(REFUSALS).any(|sign| said.contains(sign))
}

/// What one command presents, and where.
#[derive(Debug)]
pub(crate) struct Presented {
    /// The setting's name, bound to the URL.
    name: OsString,
    /// Its value.
    header: Secret,
    /// What must not be in anything that is said.
    hidden: [Secret; 2],
}

impl Presented {
    /// What is presented to `url` and below it, as RFC 7617 has it.
    pub(crate) fn new(url: &str, credential: &GitCredential) -> Self {
        let pair = pair(credential);
        Self {
            name: format!("http.{url}.extraHeader").into(),
            header: Secret::new(format!("Authorization: Basic {pair}")),
            hidden: [Secret::new(pair), credential.password.clone()],
        }
    }

    /// The variables that hand it to git.
    pub(crate) fn variables(&self) -> [(&'static str, &OsStr); 3] {
        [
            ("GIT_CONFIG_COUNT", OsStr::new("1")),
            ("GIT_CONFIG_KEY_0", &self.name),
            ("GIT_CONFIG_VALUE_0", OsStr::new(self.header.expose())),
        ]
    }

    /// The same without it: a server may say back what it was told.
    pub(crate) fn cut_out_of(&self, said: Vec<u8>) -> Vec<u8> {
        self.hidden.iter().fold(said, |said, secret| without(said, secret.expose().as_bytes()))
    }
}

fn pair(credential: &GitCredential) -> String {
    STANDARD.encode(format!("{}:{}", credential.user, credential.password.expose()))
}

fn without(said: Vec<u8>, word: &[u8]) -> Vec<u8> {
    if word.is_empty() || !said.windows(word.len()).any(|window| window == word) {
        return said;
    }
    let mut kept = Vec::with_capacity(said.len());
    let mut rest = &said[..];
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(word) {
            kept.extend_from_slice(b"****");
            rest = after;
        } else {
            kept.push(rest[0]);
            rest = &rest[1..];
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented() -> Presented {
        let credential = GitCredential { user: "bot".into(), password: Secret::new("hunter2") };
        Presented::new("https://forge.example/a/b.git", &credential)
    }

    #[test]
    fn it_is_bound_to_its_url() {
        let [_, (_, name), (_, value)] =
            presented().variables().map(|(name, value)| (name, value.to_owned()));
        assert_eq!(name, "http.https://forge.example/a/b.git.extraHeader");
        assert_eq!(value, "Authorization: Basic Ym90Omh1bnRlcjI=");
    }

    #[test]
    fn it_is_in_nothing_that_is_said() {
        let said = b"bad hunter2, hunter2hunter2 and Basic Ym90Omh1bnRlcjI=; hunter".to_vec();
        let clean = presented().cut_out_of(said);
        assert_eq!(String::from_utf8(clean).unwrap(), "bad ****, ******** and Basic ****; hunter");
        assert!(!format!("{:?}", presented()).contains("hunter2"));
    }
}
