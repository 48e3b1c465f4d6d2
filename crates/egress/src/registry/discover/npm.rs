//! npm's registries: `.npmrc` files (npm's documentation, "npmrc"), which pnpm and old yarn read too, yarn's own files, and what
//! npm has built in.

use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::Secret;

use super::{
    Discovery, INSIDE, Sight,
    place::{Login, Origin, Place},
};
use crate::registry::{Part, RegistryKind};

pub(super) fn read(sight: &Sight<'_>, found: &mut Discovery) {
    let kind = RegistryKind::Npm;
    let settings = settings(sight);
    let configured = settings.get("registry").cloned().or_else(|| yarn(sight));
    let (main, origin) = match configured {
        Some(main) => (Some(main), Origin::Configured),
        None => (sight.built_in.npm.clone(), Origin::BuiltIn),
    };
    if let Some(place) = main.as_deref().and_then(|main| add(sight, found, main, &settings, origin)) {
        for variable in ["npm_config_registry", "YARN_REGISTRY", "YARN_NPM_REGISTRY_SERVER"] {
            found.settings.variables.insert(variable.to_owned(), format!("{}/", place.url()));
        }
    }
    let mut lines = String::new();
    for (key, value) in &settings {
        let Some(scope) = key.strip_suffix(":registry").filter(|scope| scope.starts_with('@')) else {
            continue;
        };
        let plain = scope[1..].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        if !plain {
            found.unusable(kind, value);
        } else if let Some(place) = add(sight, found, value, &settings, Origin::Configured) {
            lines.push_str(&format!("{scope}:registry={}/\n", place.url()));
        }
    }
    if !lines.is_empty() {
        let file = PathBuf::from(INSIDE).join("npmrc");
        for variable in ["npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"] {
            found.settings.variables.insert(variable.to_owned(), file.display().to_string());
        }
        found.settings.files.insert(file, lines);
    }
}

fn add(
    sight: &Sight<'_>,
    found: &mut Discovery,
    registry: &str,
    settings: &BTreeMap<String, String>,
    origin: Origin,
) -> Option<Place> {
    let Some((place, own)) = Place::parse(registry) else {
        found.unusable(RegistryKind::Npm, registry);
        return None;
    };
    let login = own.or_else(|| login(&place, settings));
    found.add(sight, (RegistryKind::Npm, Part::Whole), &place, login, origin);
    Some(place)
}

/// Secrets are settings whose keys begin with the place: `//host/path/:_authToken`. The nearest place above holds.
fn login(place: &Place, settings: &BTreeMap<String, String>) -> Option<Login> {
    let url = place.url();
    let mut below = url.split_once(':').map_or("", |(_, rest)| rest);
    loop {
        let get = |name: &str| {
            settings.get(&format!("{below}/:{name}")).or_else(|| settings.get(&format!("{below}:{name}")))
        };
        if let Some(token) = get("_authToken") {
            return Some(Login::Bearer(Secret::new(token.as_str())));
        }
        if let Some(both) = get("_auth") {
            return Some(Login::Encoded(Secret::new(both.as_str())));
        }
        if let (Some(user), Some(password)) = (get("username"), get("_password")) {
            let password = String::from_utf8(STANDARD.decode(password).ok()?).ok()?;
            return Some(Login::Basic { user: user.clone(), password: Secret::new(password) });
        }
        below = below.rsplit_once('/').map(|(above, _)| above).filter(|above| above.len() > 2)?;
    }
}

/// All settings; those of a user hold over those of the host, and variables over both.
fn settings(sight: &Sight<'_>) -> BTreeMap<String, String> {
    let mut files: Vec<PathBuf> =
        ["/usr/etc/npmrc", "/usr/local/etc/npmrc", "/etc/npmrc"].map(PathBuf::from).into();
    files.extend(
        sight.any_variable(&["npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"]).map(PathBuf::from),
    );
    let user = sight.any_variable(&["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"]).map(PathBuf::from);
    files.extend(user.or_else(|| sight.in_home(".npmrc")));
    let mut settings = BTreeMap::new();
    for text in files.iter().filter_map(|file| sight.files.read(file)) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some((key, value)) = line.split_once('=') {
                let value = filled(sight, value.trim().trim_matches(['"', '\'']));
                settings.insert(key.trim().to_owned(), value);
            }
        }
    }
    if let Some(registry) = sight.any_variable(&["npm_config_registry", "NPM_CONFIG_REGISTRY"]) {
        settings.insert("registry".to_owned(), registry.to_owned());
    }
    settings
}

/// The value with `${NAME}` replaced by what the variable has.
fn filled(sight: &Sight<'_>, value: &str) -> String {
    let mut filled = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(sight.variable(name.trim_end_matches('?')).unwrap_or_default());
        rest = behind;
    }
    filled + rest
}

/// What yarn's own files say, old (`registry "…"`) or new (`npmRegistryServer: "…"`).
fn yarn(sight: &Sight<'_>) -> Option<String> {
    let said = |file: &str, key: &str| {
        let text = sight.files.read(&sight.in_home(file)?)?;
        let value = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let variables = sight.any_variable(&["YARN_NPM_REGISTRY_SERVER", "YARN_REGISTRY"]).map(str::to_owned);
    variables.or_else(|| said(".yarnrc.yml", "npmRegistryServer:")).or_else(|| said(".yarnrc", "registry "))
}
