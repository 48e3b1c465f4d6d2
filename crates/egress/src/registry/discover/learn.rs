//! Where indexes say that their files are.
//!
//! Cargo's `config.json` has a template (The Cargo Book, "Index Configuration"); pages of the simple API have links. What was
//! learnt is kept for a day, and longer where the index cannot be asked again.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Discovery, place::Place};
use crate::{
    credential::{CredentialHost, Credentials},
    registry::{CrateTemplate, Part, Registry, RegistryKind, ask::Asker, page},
    upstream::Resolver,
};

/// How long what was learnt is taken for true.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The most bytes of what is asked for.
const MAX_ANSWER: usize = 16 << 20;
/// The most places that one index's files may be at.
const MAX_PLACES: usize = 8;
/// A project that every index has that serves a Python environment's own tools.
const PROJECT: &str = "pip";

/// What was learnt of one index, and when, in seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
struct Learnt {
    at: u64,
    places: Vec<Registry>,
}

impl Discovery {
    /// Asks the indexes where their files are. Notes say which did not answer.
    pub async fn learn(&mut self, tls: Arc<rustls::ClientConfig>, kept: Option<&Path>) {
        let host = CredentialHost { variables: BTreeMap::new(), tls: Arc::clone(&tls) };
        let asker = match Credentials::new(self.credentials.clone(), host) {
            Ok(credentials) => Asker::new(credentials, tls, Resolver::System),
            Err(problem) => return self.notes.push(problem.to_string()),
        };
        let file = kept.map(|directory| directory.join("learnt.json"));
        let mut known: BTreeMap<String, Learnt> = file
            .as_ref()
            .and_then(|file| serde_json::from_slice(&fs::read(file).ok()?).ok())
            .unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut asked = false;
        for index in self.registries.clone().iter().filter(|registry| needs_asking(registry)) {
            let key = format!("{} {}", index.kind, index.url());
            let before = known.get(&key);
            if before.is_none_or(|learnt| now.saturating_sub(learnt.at) > KEPT.as_secs()) {
                asked = true;
                match ask(&asker, index).await {
                    Ok(places) => drop(known.insert(key.clone(), Learnt { at: now, places })),
                    Err(reason) => self.notes.push(format!(
                        "{}: {} does not say where its files are: {reason}",
                        index.kind,
                        index.url()
                    )),
                }
            }
            self.registries.extend(known.get(&key).into_iter().flat_map(|learnt| learnt.places.clone()));
        }
        if let (true, Some(directory), Some(file), Ok(text)) = (asked, kept, file, serde_json::to_vec(&known))
        {
            write(directory, &file, &text);
        }
        self.tidy();
    }
}

fn needs_asking(registry: &Registry) -> bool {
    matches!((registry.kind, &registry.part), (RegistryKind::Cargo | RegistryKind::Pip, Part::Index))
}

async fn ask(asker: &Asker, index: &Registry) -> Result<Vec<Registry>, String> {
    let (below, accept) = match index.kind {
        RegistryKind::Cargo => ("config.json".to_owned(), "application/json"),
        RegistryKind::Pip
        | RegistryKind::Npm
        | RegistryKind::Apt
        | RegistryKind::Go
        | RegistryKind::Maven => (format!("{PROJECT}/"), "text/html"),
    };
    let path = format!("{}/{below}", index.base)
        .parse()
        .map_err(|_| "its path is not in canonical form".to_owned())?;
    let answer = asker
        .ask(index, Method::GET, &path, accept, MAX_ANSWER)
        .await
        .map_err(|problem| problem.to_string())?;
    if answer.status != StatusCode::OK {
        return Err(format!("it answered {}", answer.status));
    }
    if index.kind == RegistryKind::Cargo {
        return downloads(index, &answer.body).map(|registry| vec![registry]).map_err(str::to_owned);
    }
    let page = std::str::from_utf8(&answer.body).map_err(|_| "its page is no text".to_owned())?;
    Ok(linked(index, page))
}

/// Where a crate's file is, by the index's `config.json`.
pub(super) fn downloads(index: &Registry, config: &[u8]) -> Result<Registry, &'static str> {
    #[derive(Deserialize)]
    struct Config {
        dl: String,
    }
    let config: Config = serde_json::from_slice(config).map_err(|_| "its config.json has no `dl`")?;
    let (fixed, template) = match config.dl.find('{') {
        None => (config.dl.as_str(), CrateTemplate::usual()),
        Some(marker) => {
            let slash = config.dl[..marker].rfind('/').ok_or("its `dl` is no address")?;
            let template = config.dl[slash + 1..]
                .parse()
                .map_err(|_| "its `dl` has markers that do not tell crate and version")?;
            (&config.dl[..slash], template)
        }
    };
    let (place, _) = Place::parse(fixed).ok_or("its `dl` is no address that can be used")?;
    Ok(beside(index, &place, Part::Crates(template)))
}

/// Where the files are that a page links to, if not below a place that is known from the index's address.
pub(super) fn linked(index: &Registry, page: &str) -> Vec<Registry> {
    let mut places: Vec<Registry> = Vec::new();
    for link in page::links(page) {
        // What is relative is on the index's own host; that it may be anywhere there is learnt as well.
        let target = if link.target.contains("://") { link.target } else { index.origin() };
        let Some(authority) = target.split("://").nth(1).and_then(|rest| rest.split('/').next()) else {
            continue;
        };
        let scheme = target.split("://").next().unwrap_or_default();
        let Some((place, _)) = Place::parse(&format!("{scheme}://{authority}")) else { continue };
        let place = beside(index, &place, Part::Files);
        if !places.contains(&place) && places.len() < MAX_PLACES {
            places.push(place);
        }
    }
    places
}

/// Another part of the same registry. It may be where the index may be; the credential goes to the index's own host only.
fn beside(index: &Registry, place: &Place, part: Part) -> Registry {
    let own = place.host == index.host && place.port == index.port && place.scheme == index.scheme;
    Registry {
        kind: index.kind,
        part,
        scheme: place.scheme,
        host: place.host.clone(),
        port: place.port,
        base: place.base.clone(),
        addresses: index.addresses.clone(),
        credential: index.credential.clone().filter(|_| own),
    }
}

/// Writes what is kept. That it is not written is no harm: it is asked again.
pub(super) fn write(directory: &Path, file: &Path, text: &[u8]) {
    let written = fs::create_dir_all(directory).and_then(|()| {
        let mut new = tempfile::NamedTempFile::new_in(directory)?;
        new.write_all(text)?;
        new.persist(file).map(drop).map_err(|error| error.error)
    });
    drop(written);
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::egress::{Addresses, Scheme};

    use super::*;

    fn index(kind: RegistryKind) -> Registry {
        Registry {
            kind,
            part: Part::Index,
            scheme: Scheme::Https,
            host: "index.example.com".parse().unwrap(),
            port: 443,
            base: "/simple".to_owned(),
            addresses: Addresses::Private,
            credential: Some("company".to_owned()),
        }
    }

    #[test]
    fn templates_of_cargo() {
        for (dl, url, template) in [
            (
                "https://files.example.com/crates",
                "https://files.example.com/crates",
                "{crate}/{version}/download",
            ),
            (
                "https://index.example.com:443/a/{crate}/{crate}-{version}.crate",
                "https://index.example.com/a",
                "{crate}/{crate}-{version}.crate",
            ),
        ] {
            let config = format!("{{\"dl\":\"{dl}\",\"api\":null}}");
            let found = downloads(&index(RegistryKind::Cargo), config.as_bytes()).unwrap();
            assert_eq!(found.url(), url);
            assert_eq!(found.part, Part::Crates(template.parse().unwrap()));
            assert_eq!(found.credential.is_some(), url.contains("index."));
        }
        for config in
            ["{}", "{\"dl\":\"https://{crate}.example.com/{version}\"}", "{\"dl\":\"git://x.example\"}", "[]"]
        {
            assert!(downloads(&index(RegistryKind::Cargo), config.as_bytes()).is_err(), "{config}");
        }
    }

    #[test]
    fn links_of_the_simple_api() {
        let page = "<html><a href=\"https://files.example.org/p/pip-1.tar.gz#sha256=0\">x</a><a href=\"../../packages/pip-2.tar.gz\">y</a><a href='mailto:x'>z</a>";
        let found: Vec<(String, bool)> = linked(&index(RegistryKind::Pip), page)
            .iter()
            .map(|place| (place.url(), place.credential.is_some()))
            .collect();
        assert_eq!(
            found,
            [("https://files.example.org".to_owned(), false), ("https://index.example.com".to_owned(), true)]
        );
    }
}
