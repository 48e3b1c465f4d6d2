//! Where a submodule may be read: with the rights of the session's repository where it is that one's neighbour, without any where the operator
//! permits it, and nowhere else.
//!
//! A repository's text chooses the address. So it never chooses among what a credential opens: that opens repositories of the same owner on the
//! same forge, as whoever works on one of them may expect, and nothing besides.

use cofferdam_domain::hidden::visible;

use crate::{RemoteRepository, RepositoryAddress};

/// How much is brought of submodules, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmoduleRules {
    /// Whether they are brought at all.
    pub bring: bool,
    /// Beginnings of https:// URLs that everybody may read, from which they are brought too.
    pub from: Vec<String>,
    /// How many at the most in one repository, those of submodules with them.
    pub most: usize,
    /// How deep they may lie in one another.
    pub depth: usize,
    /// Bytes of all their files together.
    pub bytes: u64,
}

impl Default for SubmoduleRules {
    fn default() -> Self {
        Self { bring: true, from: Vec::new(), most: 32, depth: 3, bytes: 1 << 30 }
    }
}

/// Why a beginning of URLs is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no beginning of https:// URLs: give a host or a path below one, such as \"https://github.com/acme\""
)]
pub struct InvalidBeginning(String);

/// As whom a submodule is read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmoduleSource {
    /// As the session's repository is.
    Together(RepositoryAddress),
    /// As anybody.
    Anybody(RepositoryAddress),
}

impl SubmoduleRules {
    /// Whether these beginnings can be used.
    ///
    /// # Errors
    /// [`InvalidBeginning`], which names the first that cannot.
    pub fn check(&self) -> Result<(), InvalidBeginning> {
        let is_one = |beginning: &&String| {
            let probe = format!("{}/x", beginning.trim_end_matches('/'));
            RemoteRepository::try_from(probe).is_ok_and(|remote| remote.url().starts_with("http"))
        };
        match self.from.iter().find(|beginning| !is_one(beginning)) {
            Some(bad) => Err(InvalidBeginning(bad.chars().take(200).collect())),
            None => Ok(()),
        }
    }

    /// Where a submodule at `url` of a session on `root` is read; in words for people, why nowhere and what to do. `kin` says whether an address
    /// is on the forge of `root` and of the same owner, as far as that is on a configured forge.
    ///
    /// # Errors
    /// The words.
    pub fn source(
        &self,
        root: &RepositoryAddress,
        url: &str,
        kin: impl Fn(&RepositoryAddress) -> Option<bool>,
    ) -> Result<SubmoduleSource, String> {
        if url.starts_with("./") || url.starts_with("../") {
            return Err(
                "its address is relative, and the repository is on this machine: run `git submodule update --init` in it, and its copies are used"
                    .to_owned(),
            );
        }
        let (address, public) = asked_at(url)?;
        match (kin(&address), root) {
            (Some(true), _) => return Ok(SubmoduleSource::Together(address)),
            (None, RepositoryAddress::Remote(own)) if is_neighbour(own, &address) => {
                return Ok(SubmoduleSource::Together(address));
            }
            (Some(false) | None, _) => {}
        }
        self.as_anybody(public).ok_or_else(|| match root {
            RepositoryAddress::Local(_) => format!(
                "{} is not permitted: run `git submodule update --init` in the repository, and its copy is used; or name it in `from` of [repositories.submodules]",
                shown(url)
            ),
            RepositoryAddress::Remote(_) => format!(
                "{} is not of the same owner on the same forge as the repository: whoever runs Cofferdam can permit it, if it is public, with `from` of [repositories.submodules]",
                shown(url)
            ),
        })
    }

    /// The same where what names it was read as anybody: others' words choose nothing among what a credential opens.
    ///
    /// # Errors
    /// The words.
    pub fn source_of_strangers(&self, url: &str) -> Result<SubmoduleSource, String> {
        let (_, public) = asked_at(url)?;
        self.as_anybody(public).ok_or_else(|| {
            format!(
                "{} is named by a repository that is read as anybody, and is read as that as well: whoever runs Cofferdam can permit it, if it is public, with `from` of [repositories.submodules]",
                shown(url)
            )
        })
    }

    /// Where it is read as anybody, if the operator permits it.
    fn as_anybody(&self, public: String) -> Option<SubmoduleSource> {
        let permitted = self.from.iter().any(|beginning| is_below(&public, beginning));
        let remote = permitted.then(|| RemoteRepository::try_from(public).ok()).flatten()?;
        Some(SubmoduleSource::Anybody(RepositoryAddress::Remote(remote)))
    }
}

/// The address that a URL stands for, and the URL at which everybody finds it. Whatever is wrong with it, a password in it is not repeated.
fn asked_at(url: &str) -> Result<(RepositoryAddress, String), String> {
    let remote = RemoteRepository::try_from(url.to_owned()).map_err(|_| {
        "its address is none that may be asked: only https:// and ssh:// URLs without a password are"
            .to_owned()
    })?;
    let place = Place::of(remote.url()).ok_or_else(|| format!("its address is unusual: {}", shown(url)))?;
    let public = place.over_http();
    Ok((RepositoryAddress::Remote(remote), public))
}

fn shown(url: &str) -> String {
    visible(url.as_bytes()).chars().take(200).collect()
}

/// Where a repository is on a host.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    scheme: &'a str,
    /// With the port, which counts but for ssh: that has another one than the pages of the same forge.
    host: String,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, authority, path) = match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/')?;
                (scheme, authority, path)
            }
            None => {
                let (authority, path) = url.split_once(':')?;
                ("ssh", authority, path)
            }
        };
        let host = authority.rsplit('@').next()?.to_ascii_lowercase();
        let host = match scheme {
            "ssh" => match host.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
                Some(_) | None => host,
            },
            _ => host,
        };
        Some(Self { scheme, host, path: path.trim_matches('/') })
    }

    /// The URL at which everybody finds it.
    fn over_http(&self) -> String {
        let scheme = if self.scheme == "http" { "http" } else { "https" };
        format!("{scheme}://{}/{}", self.host, self.path)
    }
}

/// Whether another one lies in the same directory of the same host, or below it, and is asked for in the same way: what is no forge that is
/// configured has no owners, and a key of whoever runs this is for what a person asked for by ssh.
fn is_neighbour(own: &RemoteRepository, other: &RepositoryAddress) -> bool {
    let RepositoryAddress::Remote(other) = other else { return false };
    let (Some(own), Some(other)) = (Place::of(own.url()), Place::of(other.url())) else { return false };
    let Some((directory, _)) = own.path.rsplit_once('/') else { return false };
    let below = other.path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    own.scheme == other.scheme && own.host == other.host && below
}

/// Whether a URL is a beginning, or goes on below it.
fn is_below(url: &str, beginning: &str) -> bool {
    let Some((scheme, rest)) = beginning.split_once("://") else { return false };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let beginning = format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    url.strip_prefix(beginning.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A URL of `.gitmodules` as git has it for a repository at `base`: a relative one leads from there (git-submodule(1), `add`). Where the
/// repository has no URL it stays as it is.
#[must_use]
pub fn joined(base: &str, url: &str) -> String {
    if base.is_empty() || !(url.starts_with("./") || url.starts_with("../")) {
        return url.to_owned();
    }
    let mut base = base.trim_end_matches('/');
    let mut rest = url;
    let mut colon = false;
    loop {
        if let Some(after) = rest.strip_prefix("../") {
            (base, colon) = match (base.rfind('/'), base.rfind(':')) {
                (Some(slash), _) => (&base[..slash], colon),
                (None, Some(at)) => (&base[..at], true),
                // Beyond all that there is: an address of nothing.
                (None, None) => ("", colon),
            };
            rest = after;
        } else if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else {
            break;
        }
    }
    let between = if colon { ":" } else { "/" };
    format!("{base}{between}{}", rest.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(url: &str) -> RepositoryAddress {
        RepositoryAddress::Remote(RemoteRepository::try_from(url.to_owned()).unwrap())
    }

    /// As `git submodule add` has it, tried with git itself in the tests of this crate.
    #[test]
    fn relative_urls() {
        for (base, url, whole) in [
            ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
            ("https://h/a/b/", "./../c", "https://h/a/c"),
            ("https://h/a/b", "../../x/c/", "https://h/x/c"),
            ("https://h/a/b", "./c", "https://h/a/b/c"),
            ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
            ("git@h:b.git", "../c.git", "git@h:c.git"),
            ("ssh://git@h:22/a/b", "../c", "ssh://git@h:22/a/c"),
            ("https://h/a/b", "https://other/c", "https://other/c"),
            ("https://h/a/b", "c", "c"),
            ("", "../c", "../c"),
        ] {
            assert_eq!(joined(base, url), whole, "{base} {url}");
        }
    }

    #[test]
    fn too_many_steps_lead_to_nothing_that_is_asked() {
        let rules = SubmoduleRules { from: vec!["https://evil.example".into()], ..SubmoduleRules::default() };
        let root = root("https://h/a/b");
        for steps in 2..12 {
            let url = joined("https://h/a/b", &format!("{}evil.example/x/y", "../".repeat(steps)));
            let source = SubmoduleRules::default().source(&root, &url, |_| None);
            assert!(source.is_err(), "{url}: {source:?}");
            let source = rules.source(&root, &url, |_| None);
            // By three steps it is another host, which counts as such: the operator must have permitted that.
            assert!(!matches!(source, Ok(SubmoduleSource::Together(_))), "{url}: {source:?}");
        }
    }

    #[test]
    fn strangers_choose_nothing_that_a_credential_opens() {
        let from = vec!["https://public.example".into(), "https://h/acme/open".into()];
        let rules = SubmoduleRules { from, ..SubmoduleRules::default() };
        for (url, permitted) in [
            ("https://public.example/x/y", true),
            ("https://h/acme/open/lib", true),
            ("https://h/acme/secret", false),
            ("git@h:acme/secret.git", false),
            ("../secret", false),
            ("/srv/secret", false),
            ("file:///srv/secret", false),
        ] {
            let source = rules.source_of_strangers(url);
            assert_eq!(matches!(source, Ok(SubmoduleSource::Anybody(_))), permitted, "{url}: {source:?}");
            assert!(!matches!(source, Ok(SubmoduleSource::Together(_))), "{url}: {source:?}");
        }
    }

    #[test]
    fn neighbours_are_read_as_the_repository_is() {
        let rules = SubmoduleRules::default();
        for (own, url, expected) in [
            ("https://h/acme/app.git", "https://h/acme/lib", true),
            ("https://h/acme/app.git", "https://H/acme/lib.git", true),
            ("https://h/group/app", "https://h/group/other/deep/lib", true),
            ("git@h:acme/app.git", "ssh://git@h:2222/acme/lib.git", true),
            ("http://127.0.0.1:80/acme/app", "http://127.0.0.1:80/acme/lib", true),
            ("https://h/acme/app.git", "git@h:acme/lib.git", false),
            ("https://h/group/sub/app", "https://h/group/lib", false),
            ("https://h/acme/app", "https://h/acmes/lib", false),
            ("https://h/app", "https://h/lib", false),
            ("git@h:app.git", "git@h:lib.git", false),
        ] {
            let source = rules.source(&root(own), url, |_| None);
            assert_eq!(
                matches!(source, Ok(SubmoduleSource::Together(_))),
                expected,
                "{own} {url}: {source:?}"
            );
        }
        // On a configured forge, that knows who is whose.
        let source =
            |kin| rules.source(&root("https://h/group/sub/app"), "git@h:group/lib.git", |_| Some(kin));
        assert!(matches!(source(true), Ok(SubmoduleSource::Together(_))));
        assert!(source(false).is_err());
    }

    #[test]
    fn others_are_read_only_where_that_is_permitted_and_as_anybody() {
        let own = root("https://h/acme/app.git");
        let none = SubmoduleRules::default();
        let some = SubmoduleRules {
            from: vec!["https://h/public/".into(), "HTTPS://Open.example".into()],
            ..SubmoduleRules::default()
        };
        some.check().unwrap();
        for (url, read) in [
            ("https://h/public/lib", Some("https://h/public/lib")),
            ("git@h:public/lib.git", Some("https://h/public/lib.git")),
            ("ssh://git@open.example:2222/x/lib", Some("https://open.example/x/lib")),
            ("https://open.example/x", Some("https://open.example/x")),
            ("https://h/publicity/lib", None),
            ("https://h:8443/acme/lib", None),
            ("https://open.example.evil.example/x", None),
            ("https://h/other/lib", None),
            ("http://127.0.0.1/acme/lib", None),
            ("https://h/lib", None),
        ] {
            assert!(none.source(&own, url, |_| None).is_err(), "{url}");
            let source = some.source(&own, url, |_| Some(false)).ok();
            let read = read.map(|read| SubmoduleSource::Anybody(root(read)));
            assert_eq!(source, read, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_asked_nowhere_and_not_repeated() {
        let anything = SubmoduleRules { from: vec!["https://h".into()], ..SubmoduleRules::default() };
        for url in [
            "ext::sh -c touch% owned",
            "file:///etc",
            "/etc",
            "lib",
            "-u./x",
            "--upload-pack=x",
            "git://h/acme/lib",
            "https://user:hunter2@h/acme/lib",
            "https://hunter2@h/acme/lib",
            "https://h/acme/../other/lib",
            "https://h/acme/lib?x",
            "../lib",
            "fd::17",
        ] {
            let why = anything.source(&root("https://h/acme/app"), url, |_| None).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn beginnings_that_are_none() {
        for bad in ["", "h", "ssh://git@h/x", "git@h:x", "https://u:p@h", "https://", "http://example.org"] {
            let rules = SubmoduleRules { from: vec![bad.into()], ..SubmoduleRules::default() };
            assert!(rules.check().is_err(), "{bad}");
        }
    }
}
