//! Maven's repositories: `settings.xml` (Maven's documentation, "Settings Reference"), and the repository that Maven has built in.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cofferdam_domain::Secret;

use super::{
    Discovery, INSIDE, Sight,
    place::{Login, Origin, Place},
    xml,
};
use crate::registry::{Part, RegistryKind};

/// What is the same in all settings of Maven.
struct Settings {
    /// `id`, `mirrorOf`, `url`.
    mirrors: Vec<BTreeMap<String, String>>,
    /// `id`, `url`.
    repositories: Vec<BTreeMap<String, String>>,
    /// `id`, `username`, `password`.
    servers: Vec<BTreeMap<String, String>>,
}

pub(super) fn read(sight: &Sight<'_>, found: &mut Discovery) {
    let mut files: Vec<PathBuf> = sight.in_home(".m2/settings.xml").into_iter().collect();
    files.extend(sight.built_in.maven_home.as_ref().map(|home| Path::new(home).join("conf/settings.xml")));
    let texts: Vec<String> = files.iter().filter_map(|file| sight.files.read(file)).collect();
    let settings = settings(&texts);
    let mut mirrors = String::new();
    let mut central = false;
    for mirror in &settings.mirrors {
        let (Some(id), Some(url)) = (mirror.get("id"), mirror.get("url")) else { continue };
        let of = mirror.get("mirrorOf").map_or("*", String::as_str);
        let blocked = mirror.get("blocked").is_some_and(|blocked| blocked == "true");
        let Some(place) = (!blocked).then(|| add(sight, found, &settings, id, url)).flatten() else {
            continue;
        };
        let excluded = of.split(',').any(|part| part.trim() == "!central");
        central |=
            !excluded && of.split(',').any(|part| matches!(part.trim(), "*" | "central" | "external:*"));
        mirrors.push_str(&format!(
            "    <mirror><id>{}</id><mirrorOf>{}</mirrorOf><url>{}</url></mirror>\n",
            xml::escaped(id),
            xml::escaped(of),
            place.url()
        ));
    }
    for repository in &settings.repositories {
        if let (Some(id), Some(url)) = (repository.get("id"), repository.get("url")) {
            drop(add(sight, found, &settings, id, url));
        }
    }
    if let Some((place, _)) = sight.built_in.maven.as_deref().filter(|_| !central).and_then(Place::parse) {
        found.add(sight, (RegistryKind::Maven, Part::Whole), &place, None, Origin::BuiltIn);
    }
    if !mirrors.is_empty() {
        let file = PathBuf::from(INSIDE).join("maven.xml");
        found.settings.variables.insert("MAVEN_ARGS".to_owned(), format!("--settings {}", file.display()));
        found
            .settings
            .files
            .insert(file, format!("<settings>\n  <mirrors>\n{mirrors}  </mirrors>\n</settings>\n"));
    }
}

fn add(sight: &Sight<'_>, found: &mut Discovery, settings: &Settings, id: &str, url: &str) -> Option<Place> {
    let kind = RegistryKind::Maven;
    if url.starts_with("file:") {
        return None;
    }
    let Some((place, own)) = Place::parse(url) else {
        found.unusable(kind, url);
        return None;
    };
    let server = settings.servers.iter().find(|server| server.get("id").is_some_and(|known| known == id));
    let login = server.and_then(|server| {
        let (user, password) = (server.get("username")?, server.get("password")?);
        // Braces are around what Maven has encrypted.
        if password.starts_with('{') {
            found.notes.push(format!(
                "maven: the password of the server {id:?} is encrypted: configure a credential for {}",
                place.host
            ));
            return None;
        }
        Some(Login::Basic { user: user.clone(), password: Secret::new(password.as_str()) })
    });
    found.add(sight, (kind, Part::Whole), &place, own.or(login), Origin::Configured);
    Some(place)
}

fn settings(texts: &[String]) -> Settings {
    let mut settings = Settings { mirrors: Vec::new(), repositories: Vec::new(), servers: Vec::new() };
    for text in texts {
        let groups = xml::groups(text);
        let of = |name: &str| -> Vec<BTreeMap<String, String>> {
            groups.iter().filter(|group| group.name == name).map(|group| group.fields.clone()).collect()
        };
        settings.mirrors.extend(of("mirror"));
        settings.repositories.extend(of("repository"));
        settings.repositories.extend(of("pluginRepository"));
        settings.servers.extend(of("server"));
    }
    settings
}
