//! Debian repositories that apt reads: `sources.list` in both forms (`sources.list(5)`). Sandboxes have the sources of their
//! environment, so there is nothing to set inside.

use std::path::{Path, PathBuf};

use super::{
    Discovery, Sight,
    place::{Origin, Place},
};
use crate::registry::{Part, RegistryKind};

pub(super) fn read(sight: &Sight<'_>, found: &mut Discovery) {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(sight.files.list(Path::new("/etc/apt/sources.list.d")));
    for file in files {
        let Some(text) = sight.files.read(&file) else { continue };
        let addresses = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text),
            Some("sources") => stanzas(&text),
            _ => continue,
        };
        for address in addresses {
            add(sight, found, &address);
        }
    }
}

fn add(sight: &Sight<'_>, found: &mut Discovery, address: &str) {
    // Discs and directories are not for doors; how a list of mirrors is transported is.
    let address = address.strip_prefix("mirror+").unwrap_or(address);
    if !address.starts_with("http") {
        return;
    }
    match Place::parse(address) {
        Some((place, login)) => {
            found.add(sight, (RegistryKind::Apt, Part::Whole), &place, login, Origin::Configured)
        }
        None => found.unusable(RegistryKind::Apt, address),
    }
}

/// `deb [options] address suite components…`
fn one_line(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split('#').next());
    lines
        .filter_map(|line| {
            let rest =
                line.trim().strip_prefix("deb-src").or_else(|| line.trim().strip_prefix("deb"))?.trim_start();
            let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
            rest.split_whitespace().next().map(str::to_owned)
        })
        .collect()
}

/// Paragraphs of `Key: value` lines, of which `URIs` may have several.
fn stanzas(text: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((key, value)) = line.split_once(':') {
                fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if field("enabled").is_none_or(|value| !matches!(value, "no" | "false" | "0")) {
            addresses.extend(field("uris").into_iter().flat_map(str::split_whitespace).map(str::to_owned));
        }
    }
    addresses
}
