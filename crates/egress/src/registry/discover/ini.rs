//! Files of `key = value` lines in sections, as Python's `configparser` reads them.

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) key: String,
    /// Lines of a value of several lines stay lines.
    pub(super) value: String,
}

/// All settings in their order. Lines that are none are passed over.
pub(super) fn read(text: &str) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t'])
            && let Some(last) = settings.last_mut()
        {
            last.value.push('\n');
            last.value.push_str(bare);
        } else if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
        } else if let Some((key, value)) = bare.split_once(['=', ':']) {
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
            settings.push(Setting { section: section.clone(), key, value });
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_lines_that_go_on() {
        let found = read(
            "[global]\nIndex-URL = https://a/\n# no\nextra-index-url =\n  https://b/\n  https://c/\n[x]\ny: z\n",
        );
        let found: Vec<(&str, &str, &str)> =
            found.iter().map(|one| (one.section.as_str(), one.key.as_str(), one.value.as_str())).collect();
        let expected = [
            ("global", "index-url", "https://a/"),
            ("global", "extra-index-url", "\nhttps://b/\nhttps://c/"),
            ("x", "y", "z"),
        ];
        assert_eq!(found, expected);
    }
}
