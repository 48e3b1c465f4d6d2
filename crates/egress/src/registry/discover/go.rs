//! Go's module proxies and checksum database: variables, the file that `go env -w` writes (go.dev/ref/mod#environment-variables), and
//! what go has built in.

use std::path::PathBuf;

use super::{
    Discovery, Sight,
    place::{Origin, Place},
};
use crate::registry::{Part, RegistryKind};

pub(super) fn read(sight: &Sight<'_>, found: &mut Discovery) {
    let Some(go) = &sight.built_in.go else { return };
    let kind = RegistryKind::Go;
    let file =
        sight.variable("GOENV").map(PathBuf::from).or_else(|| Some(sight.config_home()?.join("go/env")));
    let written = file.and_then(|file| sight.files.read(&file)).unwrap_or_default();
    let asked = |name: &str, said: &str| {
        let line = written.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name);
        sight.variable(name).or(line.map(|(_, value)| value)).unwrap_or(said).trim().to_owned()
    };
    let proxies = asked("GOPROXY", &go.proxy);
    let origin = |value: &str, said: &str| if value == said { Origin::BuiltIn } else { Origin::Configured };
    let from = origin(&proxies, &go.proxy);
    let mut inside = String::new();
    let mut rest = proxies.as_str();
    while !rest.is_empty() {
        let (address, after) = rest.split_at(rest.find([',', '|']).unwrap_or(rest.len()));
        let separator = after.chars().next().map(String::from).unwrap_or_default();
        rest = after.get(1..).unwrap_or_default();
        // Version control hosts are not registries: rules may permit them, this does not.
        if matches!(address, "direct" | "off" | "") {
            continue;
        }
        let Some((place, login)) = Place::parse(address) else {
            found.unusable(kind, address);
            continue;
        };
        found.add(sight, (kind, Part::Whole), &place, login, from);
        inside = format!("{inside}{}{separator}", place.url());
    }
    let inside = inside.trim_end_matches([',', '|']);
    let proxy = if inside.is_empty() { "off" } else { inside };
    found.settings.variables.insert("GOPROXY".to_owned(), proxy.to_owned());
    let sums = asked("GOSUMDB", &go.sums);
    if let Some(database) = sums.split_whitespace().next().filter(|name| *name != "off") {
        // `name`, `name+key`, or either with an address behind it.
        let name = database.split('+').next().unwrap_or(database);
        let address = sums.split_whitespace().nth(1).map_or_else(|| format!("https://{name}"), str::to_owned);
        match Place::parse(&address) {
            Some((place, login)) => {
                found.add(sight, (kind, Part::Sums), &place, login, origin(&sums, &go.sums))
            }
            None => found.unusable(kind, &address),
        }
    }
    if !sums.contains('@') {
        found.settings.variables.insert("GOSUMDB".to_owned(), sums);
    }
    for name in ["GONOSUMDB", "GONOPROXY", "GOPRIVATE"] {
        let value = asked(name, "");
        if !value.is_empty() {
            found.settings.variables.insert(name.to_owned(), value);
        }
    }
}
