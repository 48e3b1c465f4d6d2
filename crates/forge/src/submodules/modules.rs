//! What a `.gitmodules` says, after git has parsed it. What is said twice is not guessed at.

use std::collections::BTreeMap;

use super::ModuleName;

/// Bytes of a path or a name.
const LONGEST: usize = 1_000;
/// Bytes of a URL.
const LONGEST_URL: usize = 2_048;

/// What git may be told to do with a submodule that means "as its commit has it" (gitmodules(5), `update`).
const HARMLESS: [&str; 3] = ["checkout", "rebase", "merge"];

/// What is said of submodules, by their paths.
#[derive(Debug, Default)]
pub(super) struct Modules<'a>(BTreeMap<&'a str, Vec<(&'a str, Section<'a>)>>);

/// One section.
#[derive(Debug, Default, Clone)]
struct Section<'a> {
    path: Option<&'a str>,
    url: Option<&'a str>,
    update: Option<&'a str>,
    /// A key that is there twice.
    twice: Option<&'static str>,
}

/// From the output of `git config --null --list`: the key, which is `submodule.<name>.<key>`, a line feed, and the value, if there is one.
pub(super) fn read(entries: &[u8]) -> Modules<'_> {
    let mut sections: BTreeMap<&str, Section<'_>> = BTreeMap::new();
    for entry in entries.split(|byte| *byte == 0) {
        let Some((name, key, value)) = parts(entry) else { continue };
        let section = sections.entry(name).or_default();
        let (place, key) = match key {
            "path" => (&mut section.path, "path"),
            "url" => (&mut section.url, "url"),
            "update" => (&mut section.update, "update"),
            _ => continue,
        };
        if place.replace(value).is_some() {
            section.twice = Some(key);
        }
    }
    let mut modules = Modules::default();
    for (name, section) in sections {
        if let Some(path) = section.path {
            modules.0.entry(path).or_default().push((name, section));
        }
    }
    modules
}

fn parts(entry: &[u8]) -> Option<(&str, &str, &str)> {
    let (key, value) = std::str::from_utf8(entry).ok()?.split_once('\n')?;
    let (name, key) = key.strip_prefix("submodule.")?.rsplit_once('.')?;
    Some((name, key, value))
}

impl Modules<'_> {
    /// What is said of the submodule at this path; in words for people, why that is of no use.
    pub(super) fn named(&self, wanted: &str) -> Result<ModuleName, String> {
        let refused = |why: &str| Err(why.to_owned());
        let (name, section) = match self.0.get(wanted).map(Vec::as_slice) {
            None | Some([]) => return refused(".gitmodules says nothing of it"),
            Some([one]) => one,
            Some(_) => return refused(".gitmodules names its path more than once"),
        };
        if let Some(key) = section.twice {
            return Err(format!(".gitmodules names its `{key}` more than once"));
        }
        match section.update {
            Some("none") => return refused(".gitmodules says `update = none`: it is not wanted by default"),
            Some(update) if !HARMLESS.contains(&update) => {
                return refused(".gitmodules wants a command to be run for it, which is never done");
            }
            Some(_) | None => {}
        }
        path(name.as_bytes()).map_err(|_| ".gitmodules gives it a name that is none".to_owned())?;
        match section.url {
            None | Some("") => refused(".gitmodules says nothing of where it is"),
            Some(url) if url.len() > LONGEST_URL || url.chars().any(char::is_control) => {
                refused(".gitmodules says that it is at an address that is none")
            }
            Some(url) => Ok(ModuleName { name: (*name).to_owned(), url: url.to_owned() }),
        }
    }
}

/// Bytes as a path below a directory, which no step of it leaves, and which no system takes for git's own directory.
pub(super) fn path(bytes: &[u8]) -> Result<&str, &'static str> {
    let plain = |part: &str| {
        let is_dots = matches!(part, "" | "." | "..");
        // As the file systems of other systems read it (git-fsck(1), `hasDotgit`).
        let git = part.trim_end_matches([' ', '.']).to_ascii_lowercase();
        !is_dots && git != ".git" && git != "git~1"
    };
    let path = std::str::from_utf8(bytes).map_err(|_| "its path is not UTF-8")?;
    let fits = path.len() <= LONGEST && !path.starts_with('-') && !path.contains('\\');
    if fits && !path.chars().any(char::is_control) && path.split('/').all(plain) {
        Ok(path)
    } else {
        Err("its path is none that is used")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(sections: &[(&str, &str)]) -> Vec<u8> {
        sections.iter().flat_map(|(key, value)| format!("submodule.{key}\n{value}\0").into_bytes()).collect()
    }

    #[test]
    fn what_is_said_of_a_path() {
        let said = entries(&[
            ("a.b/c.path", "lib"),
            ("a.b/c.url", "../lib.git"),
            ("a.b/c.update", "rebase"),
            ("other.path", "x y"),
            ("other.url", "https://h/x"),
        ]);
        let modules = read(&said);
        let found = modules.named("lib").unwrap();
        assert_eq!((&*found.name, &*found.url), ("a.b/c", "../lib.git"));
        assert_eq!(modules.named("x y").unwrap().name, "other");
        assert!(modules.named("Lib").unwrap_err().contains("nothing"), "paths differ by case");
    }

    #[test]
    fn what_is_not_guessed_at() {
        let both = [("a.path", "lib"), ("a.url", "../a")];
        let with = |more: &[(&str, &str)]| {
            let said = entries(&[&both[..], more].concat());
            read(&said).named("lib").unwrap_err()
        };
        assert!(with(&[("b.path", "lib")]).contains("path more than once"));
        assert!(with(&[("a.url", "../b")]).contains("`url` more than once"));
        assert!(with(&[("a.update", "!touch owned")]).contains("never done"));
        assert!(with(&[("a.update", "none")]).contains("not wanted"));
        let named = |name: &str, url: &str| {
            let said = entries(&[(&format!("{name}.path"), "lib"), (&format!("{name}.url"), url)]);
            read(&said).named("lib").map(|found| found.name)
        };
        for name in ["../../x", "a/../b", ".git", "a/.GIT/b", "-u./x", "a\\b", "git~1"] {
            assert!(named(name, "../a").unwrap_err().contains("name"), "{name}");
        }
        for url in ["", "a\u{7}b"] {
            assert!(named("a", url).is_err(), "{url:?}");
        }
        assert!(named("a", &"x".repeat(3000)).is_err());
        assert!(named(".vim/bundle/x", "../a").is_ok());
    }

    #[test]
    fn entries_that_are_no_submodules_say_nothing() {
        let said = b"core.bare\ntrue\0submodule.x\0submodule.path\nlib\0\xff\0submodule.y.path\0".to_vec();
        assert!(read(&said).named("lib").is_err());
    }
}
