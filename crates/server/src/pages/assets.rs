//! The stylesheet, the script and the icon: part of the program, served under names that change with their content.

use std::sync::LazyLock;

use cofferdam_domain::Digest;

/// A file that pages refer to.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// Where it is served. A browser may keep it for ever: other content has another address.
    path: LazyLock<String>,
}

impl Asset {
    /// Where it is served.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What it is, for the head of the answer.
    pub(crate) const fn media_type(&self) -> &'static str {
        self.media_type
    }

    /// Its content.
    pub(crate) const fn content(&self) -> &'static str {
        self.content
    }
}

macro_rules! asset {
    ($name:literal, $media_type:literal) => {
        Asset {
            name: $name,
            media_type: $media_type,
            content: include_str!(concat!("../assets/", $name)),
            path: LazyLock::new(|| address($name, include_str!(concat!("../assets/", $name)))),
        }
    };
}

fn address(name: &str, content: &str) -> String {
    format!("/assets/{}/{name}", Digest::of(content.as_bytes()).short())
}

/// How pages look.
pub(crate) static STYLE: Asset = asset!("page.css", "text/css; charset=utf-8");
/// What pages do beyond links and forms: live updates, keys, filters.
pub(crate) static SCRIPT: Asset = asset!("page.js", "text/javascript; charset=utf-8");
/// The icon.
pub(crate) static ICON: Asset = asset!("icon.svg", "image/svg+xml");

/// The asset at this address. One whose content has changed since is served under its name all the same: a page that was made before an
/// upgrade still finds what it needs.
pub(crate) fn named(name: &str) -> Option<&'static Asset> {
    [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The colours of one scheme, by their names in the stylesheet.
    fn colours(block: &str) -> BTreeMap<&str, [f64; 3]> {
        let named = block.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
        named
            .filter_map(|(name, hex)| {
                let channel = |at: usize| {
                    u8::from_str_radix(hex.get(at..at + 2)?, 16).ok().map(|value| f64::from(value) / 255.0)
                };
                Some((name, [channel(0)?, channel(2)?, channel(4)?]))
            })
            .collect()
    }

    /// WCAG 2.2, "relative luminance" and "contrast ratio".
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let light = |colour: [f64; 3]| {
            let linear = colour.map(|value| {
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (one, other) = (light(one), light(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn texts_can_be_read_in_light_and_dark() {
        let roots: Vec<&str> =
            STYLE.content().split(":root {").skip(1).filter_map(|rest| rest.split('}').next()).collect();
        // Light, dark, and then the same two of code.
        for (scheme, code) in [(roots[0], roots[2]), (roots[1], roots[3])] {
            let mut colours = colours(scheme);
            colours.extend(self::colours(code));
            let grounds = ["ground", "dry", "sunk"];
            let mut pairs: Vec<(&str, &str)> = Vec::new();
            for text in ["ink", "soft", "water", "good", "warn", "bad"] {
                pairs.extend(grounds.map(|ground| (text, ground)));
            }
            for text in ["ink", "soft", "tint-text", "tint-number", "tint-keyword", "tint-type"] {
                pairs.extend(["dry", "plus", "minus"].map(|ground| (text, ground)));
            }
            pairs.extend([
                ("good", "good-pale"),
                ("warn", "warn-pale"),
                ("bad", "bad-pale"),
                ("water", "water-pale"),
                ("soft", "water-pale"),
            ]);
            pairs.extend([
                ("on-water", "water"),
                ("on-water", "water-deep"),
                ("ink", "plus-strong"),
                ("ink", "minus-strong"),
                ("ink", "warn-pale"),
            ]);
            for (text, ground) in pairs {
                let ratio = contrast(colours[text], colours[ground]);
                assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn addresses_change_with_content() {
        assert!(STYLE.path().starts_with("/assets/") && STYLE.path().ends_with("/page.css"));
        assert_ne!(address("a", "1"), address("a", "2"));
        assert_eq!(named("page.js").map(Asset::path), Some(SCRIPT.path()));
        assert!(named("../page.js").is_none());
    }
}
