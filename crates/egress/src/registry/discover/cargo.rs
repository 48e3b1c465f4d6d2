//! Cargo's registries: `config.toml` and `credentials.toml` (The Cargo Book, "Configuration", "Source Replacement"), its
//! variables, and the index that it has built in. Indexes in git repositories are not for doors: sparse ones are.

use std::{collections::BTreeMap, path::PathBuf};

use cofferdam_domain::Secret;
use toml::{Table, Value};

use super::{
    Discovery, INSIDE, Sight,
    place::{Login, Origin, Place},
};
use crate::registry::{Part, RegistryKind};

/// How often one source may be replaced by the next.
const MAX_HOPS: usize = 8;

pub(super) fn read(sight: &Sight<'_>, found: &mut Discovery) {
    let home = sight.variable("CARGO_HOME").map(PathBuf::from).or_else(|| sight.in_home(".cargo"));
    let file = |names: [&str; 2]| -> Table {
        let home = home.as_ref();
        let text = names.iter().find_map(|name| sight.files.read(&home?.join(name)));
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    let config = file(["config.toml", "config"]);
    let secrets = file(["credentials.toml", "credentials"]);
    let registries = registries(sight, &config);
    let mut inside = Table::new();
    match replacement(&config, &registries) {
        Replacement::None => {
            if let Some(index) = &sight.built_in.cargo {
                add(sight, found, index, None, Origin::BuiltIn);
            }
        }
        Replacement::By(index) => {
            if let Some(place) = add(sight, found, &index, None, Origin::Configured) {
                let source = [("registry".to_owned(), Value::String(sparse(&place)))];
                let replaced = [("replace-with".to_owned(), Value::String("host-mirror".to_owned()))];
                let sources = [
                    ("crates-io".to_owned(), Value::Table(replaced.into_iter().collect())),
                    ("host-mirror".to_owned(), Value::Table(source.into_iter().collect())),
                ];
                inside.insert("source".to_owned(), Value::Table(sources.into_iter().collect()));
            }
        }
        Replacement::Local => found
            .notes
            .push("cargo: crates come from a directory of this host, which sandboxes do not see".to_owned()),
    }
    let mut named = Table::new();
    for (name, index) in &registries {
        let variable = format!("CARGO_REGISTRIES_{}_TOKEN", name.to_ascii_uppercase().replace('-', "_"));
        let token = sight.variable(&variable).map(str::to_owned).or_else(|| token(&secrets, name));
        let login = token.map(|token| Login::Bare(Secret::new(token)));
        let private = login.is_some();
        if let Some(place) = add(sight, found, index, login, Origin::Configured) {
            if private {
                found.settings.variables.insert(variable, "placeholder-added-at-the-door".to_owned());
            }
            let index = [("index".to_owned(), Value::String(sparse(&place)))];
            named.insert(name.clone(), Value::Table(index.into_iter().collect()));
        }
    }
    if !named.is_empty() {
        inside.insert("registries".to_owned(), Value::Table(named));
    }
    if !inside.is_empty() {
        // Cargo reads the configuration of every directory above the one that it is called in.
        found.settings.files.insert(PathBuf::from("/.cargo/config.toml"), inside.to_string());
        found.settings.files.insert(PathBuf::from(INSIDE).join("cargo.toml"), inside.to_string());
    }
}

fn sparse(place: &Place) -> String {
    format!("sparse+{}/", place.url())
}

fn add(
    sight: &Sight<'_>,
    found: &mut Discovery,
    index: &str,
    login: Option<Login>,
    origin: Origin,
) -> Option<Place> {
    let kind = RegistryKind::Cargo;
    let parsed = if index.starts_with("sparse+") { Place::parse(index) } else { None };
    let Some((place, own)) = parsed else {
        found.unusable(kind, index);
        return None;
    };
    found.add(sight, (kind, Part::Index), &place, login.or(own), origin);
    Some(place)
}

/// What stands in the place of the registry that cargo has built in.
enum Replacement {
    None,
    By(String),
    Local,
}

fn replacement(config: &Table, registries: &BTreeMap<String, String>) -> Replacement {
    let source = |name: &str| config.get("source")?.get(name);
    let next = |name: &str| source(name)?.get("replace-with")?.as_str();
    let mut name = "crates-io";
    for _ in 0..MAX_HOPS {
        match next(name) {
            Some(other) => name = other,
            None if name == "crates-io" => return Replacement::None,
            None => {
                let registry = source(name).and_then(|source| source.get("registry")).and_then(Value::as_str);
                let registry = registry.map(str::to_owned).or_else(|| registries.get(name).cloned());
                return registry.map_or(Replacement::Local, Replacement::By);
            }
        }
    }
    Replacement::Local
}

/// Registries with a name, from the file and from variables.
fn registries(sight: &Sight<'_>, config: &Table) -> BTreeMap<String, String> {
    let table = config.get("registries").and_then(Value::as_table).into_iter().flatten();
    let mut registries: BTreeMap<String, String> = table
        .filter_map(|(name, value)| Some((name.clone(), value.get("index")?.as_str()?.to_owned())))
        .collect();
    for (variable, value) in sight.variables {
        let name = variable.strip_prefix("CARGO_REGISTRIES_").and_then(|rest| rest.strip_suffix("_INDEX"));
        if let (Some(name), Some(value)) = (name, value.to_str()) {
            let name = name.to_ascii_lowercase();
            let known =
                registries.keys().find(|known| known.to_ascii_lowercase().replace('-', "_") == name).cloned();
            registries.insert(known.unwrap_or(name), value.to_owned());
        }
    }
    registries
}

fn token(secrets: &Table, name: &str) -> Option<String> {
    Some(secrets.get("registries")?.get(name)?.get("token")?.as_str()?.to_owned())
}
