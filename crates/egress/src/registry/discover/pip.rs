//! Indexes of Python packages: pip's configuration (pip.pypa.io, "Configuration"), uv's (docs.astral.sh/uv, "Settings"), and
//! what pip and uv have built in.

use std::{collections::BTreeMap, path::PathBuf};

use toml::{Table, Value};

use super::{
    Discovery, Sight, ini,
    place::{Login, Origin, Place},
};
use crate::registry::{Part, RegistryKind};

/// The indexes that a tool is configured to use.
#[derive(Default)]
struct Indexes {
    main: Option<String>,
    extra: Vec<String>,
}

pub(super) fn read(sight: &Sight<'_>, found: &mut Discovery) {
    let pip = pip(sight);
    let uv = uv(sight);
    let built_in = sight.built_in.pip.as_ref();
    let main = pip.main.clone().or_else(|| uv.main.clone());
    let mut variables = BTreeMap::new();
    if let Some(place) = main.as_deref().and_then(|main| add(sight, found, main, Origin::Configured)) {
        variables.insert("PIP_INDEX_URL", place);
    } else if let Some(default) = built_in {
        if let Some(place) = add(sight, found, &default.index, Origin::BuiltIn) {
            variables.insert("PIP_INDEX_URL", place);
        }
        if let Some(place) =
            default.files.as_deref().and_then(|host| Place::parse(&format!("https://{host}")))
        {
            found.add(sight, (RegistryKind::Pip, Part::Files), &place.0, None, Origin::BuiltIn);
        }
    }
    if let Some(index) = variables.get("PIP_INDEX_URL").cloned() {
        let other = uv.main.as_deref().filter(|other| pip.main.as_deref().is_some_and(|main| main != *other));
        let other = other.and_then(|other| add(sight, found, other, Origin::Configured));
        variables.insert("UV_DEFAULT_INDEX", other.unwrap_or(index));
    }
    for (name, extra) in [("PIP_EXTRA_INDEX_URL", pip.extra), ("UV_INDEX", uv.extra)] {
        let places: Vec<String> =
            extra.iter().filter_map(|index| add(sight, found, index, Origin::Configured)).collect();
        if !places.is_empty() {
            variables.insert(name, places.join(" "));
        }
    }
    found.settings.variables.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

/// Adds an index, and its files where most servers have them: beside it. Files elsewhere are learnt from the index.
fn add(sight: &Sight<'_>, found: &mut Discovery, index: &str, origin: Origin) -> Option<String> {
    let kind = RegistryKind::Pip;
    let Some((place, login)) = Place::parse(index) else {
        found.unusable(kind, index);
        return None;
    };
    found.add(sight, (kind, Part::Index), &place, login.clone(), origin);
    if origin == Origin::Configured {
        found.add(sight, (kind, Part::Files), &place.above(), login.clone(), origin);
    }
    // Where a login is wanted, tools ask a person unless the address has a user; the door puts the real one in.
    let url = format!("{}/", place.url());
    Some(match login {
        Some(Login::Basic { .. }) => url.replacen("://", "://placeholder:added-at-the-door@", 1),
        Some(Login::Encoded(_) | Login::Bearer(_) | Login::Bare(_)) | None => url,
    })
}

/// From the least to the most particular; what comes later holds.
fn pip(sight: &Sight<'_>) -> Indexes {
    let mut files = vec![PathBuf::from("/etc/xdg/pip/pip.conf"), PathBuf::from("/etc/pip.conf")];
    files.extend(sight.in_home(".pip/pip.conf"));
    files.extend(sight.config_home().map(|config| config.join("pip/pip.conf")));
    files.extend(sight.variable("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("pip.conf")));
    files.extend(sight.variable("PIP_CONFIG_FILE").map(PathBuf::from));
    let mut indexes = Indexes::default();
    let settings: Vec<ini::Setting> =
        files.iter().filter_map(|file| sight.files.read(file)).flat_map(|text| ini::read(&text)).collect();
    // What is said for one command holds over what is said for all.
    for section in ["global", "download", "install"] {
        for setting in settings.iter().filter(|setting| setting.section == section) {
            match setting.key.replace('_', "-").as_str() {
                "index-url" => indexes.main = Some(setting.value.trim().to_owned()),
                "extra-index-url" => indexes.extra = words(&setting.value),
                _ => {}
            }
        }
    }
    if let Some(main) = sight.variable("PIP_INDEX_URL") {
        indexes.main = Some(main.to_owned());
    }
    if let Some(extra) = sight.variable("PIP_EXTRA_INDEX_URL") {
        indexes.extra = words(extra);
    }
    indexes
}

fn uv(sight: &Sight<'_>) -> Indexes {
    let mut files = vec![PathBuf::from("/etc/uv/uv.toml")];
    files.extend(sight.config_home().map(|config| config.join("uv/uv.toml")));
    files.extend(sight.variable("UV_CONFIG_FILE").map(PathBuf::from));
    let mut indexes = Indexes::default();
    for table in
        files.iter().filter_map(|file| sight.files.read(file)).filter_map(|text| text.parse::<Table>().ok())
    {
        for table in [Some(&table), table.get("pip").and_then(Value::as_table)].into_iter().flatten() {
            read_uv(table, &mut indexes);
        }
    }
    if let Some(main) = sight.any_variable(&["UV_DEFAULT_INDEX", "UV_INDEX_URL"]) {
        indexes.main = Some(address(main).to_owned());
    }
    if let Some(extra) = sight.any_variable(&["UV_INDEX", "UV_EXTRA_INDEX_URL"]) {
        indexes.extra = words(extra);
    }
    indexes
}

fn read_uv(table: &Table, indexes: &mut Indexes) {
    if let Some(main) = table.get("index-url").and_then(Value::as_str) {
        indexes.main = Some(main.to_owned());
    }
    let extra = table.get("extra-index-url").and_then(Value::as_array).into_iter().flatten();
    indexes.extra.extend(extra.filter_map(Value::as_str).map(str::to_owned));
    for index in table.get("index").and_then(Value::as_array).into_iter().flatten() {
        let Some(url) = index.get("url").and_then(Value::as_str) else { continue };
        if index.get("default").and_then(Value::as_bool) == Some(true) {
            indexes.main = Some(url.to_owned());
        } else {
            indexes.extra.push(url.to_owned());
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(|word| address(word).to_owned()).collect()
}

/// uv's indexes may have a name: `name=address`.
fn address(text: &str) -> &str {
    match text.split_once('=') {
        Some((name, address)) if !name.contains(['/', ':']) => address,
        _ => text,
    }
}
