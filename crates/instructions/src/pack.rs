//! A skill that somebody hands over by itself: its files, by their paths in its folder.

use std::collections::BTreeMap;

use cofferdam_domain::event::Giver;

use crate::{Gathered, Gathering, Given, Listed, SUBAGENT_FILE, SkillName, kind::ORGANISATION_KINDS};

/// Where the skills of an organisation stand among a session's texts: nothing of a repository has a path like that.
const PLACE: &str = "/organisation/skills";

/// The one skill that these files are, or the kind of subagent that the one file `AGENT.md` describes, as a session is given it by its organisation.
///
/// # Errors
/// When they are neither of that name, or something of it could not be given: what, in words for people.
pub fn packed(name: &str, files: &BTreeMap<String, String>) -> Result<Gathered, String> {
    let name: SkillName = name.parse().map_err(|_| {
        "a skill's name has 1 to 64 small letters, digits and single hyphens between them".to_owned()
    })?;
    if let Some(text) = files.get(SUBAGENT_FILE) {
        return match files.len() {
            1 => packed_kind(&name, text),
            _ => Err(format!("what has a {SUBAGENT_FILE} has no other files")),
        };
    }
    let at = |path: &str| format!("{PLACE}/{name}/{path}");
    for path in files.keys() {
        let odd = |part: &str| matches!(part, "" | "." | "..") || part.starts_with('-');
        if path.len() > 512 || path.contains('\\') || path.split('/').any(odd) {
            return Err(format!("{path:?} is no path in a skill's folder"));
        }
    }
    let listed =
        files.iter().map(|(path, text)| Listed { path: at(path), size: text.len() as u64, link: false });
    let mut gathering = Gathering::new(listed.collect());
    for path in gathering.wanted() {
        let text = path.strip_prefix(&at("")).and_then(|path| files.get(path));
        gathering.give(&path, text.map_or(Given::Missing, |text| Given::File(text.clone().into_bytes())));
    }
    let mut gathered = gathering.finish();
    let whole = gathered.skills.len() == files.len() && gathered.files.len() == 1;
    let named = gathered.files.iter_mut().all(|file| {
        file.giver = Giver::Organisation;
        file.name.as_deref() == Some(name.as_str())
    });
    match (whole, named) {
        (true, true) => Ok(gathered),
        (true, false) => Err(format!("its SKILL.md does not call it {name}")),
        (false, _) if gathered.notices.is_empty() => Err("it has no SKILL.md".to_owned()),
        (false, _) => Err(gathered.notices.join("; ")),
    }
}

/// The kind of subagent that a file describes.
fn packed_kind(name: &SkillName, text: &str) -> Result<Gathered, String> {
    let path = format!("{ORGANISATION_KINDS}/{name}.md");
    let mut gathering =
        Gathering::new(vec![Listed { path: path.clone(), size: text.len() as u64, link: false }]);
    for path in gathering.wanted() {
        gathering.give(&path, Given::File(text.as_bytes().to_vec()));
    }
    let mut gathered = gathering.finish();
    let Some(kind) = gathered.files.first_mut() else { return Err(gathered.notices.join("; ")) };
    kind.giver = Giver::Organisation;
    if kind.name.as_deref() != Some(name.as_str()) {
        return Err(format!("its {SUBAGENT_FILE} does not call it {name}"));
    }
    Ok(gathered)
}

/// The folder in which a sandbox has a skill, by the path of its `SKILL.md`; `None` for one that the repository has in its own folders.
#[must_use]
pub fn placed(path: &str) -> Option<&str> {
    path.strip_prefix("/organisation")?.strip_suffix("/SKILL.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(files: &[(&str, &str)]) -> Result<Gathered, String> {
        packed("pdf", &files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn a_file_that_describes_a_kind_of_subagent_is_a_pack() {
        let text = "---\nname: pdf\ndescription: Reads PDFs.\ntools: Read\n---\nRead\u{200b} slowly.\n";
        let gathered = pack(&[("AGENT.md", text)]).unwrap();
        let kind = &gathered.files[0];
        assert_eq!((kind.giver, kind.hidden), (Giver::Organisation, 1));
        assert_eq!(kind.text, "Read\\u{200b} slowly.");
        assert!(kind.told().contains("kind of subagent pdf with what explore has, of that read"));
        assert!(gathered.skills.is_empty() && placed(&kind.path).is_none());
        let other = text.replace("pdf", "doc");
        for (files, wanted) in [
            (vec![("AGENT.md", "x")], "no front matter"),
            (vec![("AGENT.md", other.as_str())], "does not call it pdf"),
            (vec![("AGENT.md", text), ("run.sh", "x")], "no other files"),
        ] {
            let problem = pack(&files).unwrap_err();
            assert!(problem.contains(wanted), "{wanted}: {problem}");
        }
    }

    #[test]
    fn a_pack_is_one_whole_skill_or_nothing() {
        let head = "---\nname: pdf\ndescription: Reads PDFs.\n---\n";
        let gathered = pack(&[("SKILL.md", head), ("scripts/read.py", "print()")]).unwrap();
        assert_eq!(gathered.files[0].giver, Giver::Organisation);
        assert_eq!(placed(&gathered.files[0].path), Some("/skills/pdf"));
        assert_eq!(gathered.skills.len(), 2);
        let large = "x".repeat(70_000);
        for (files, wanted) in [
            (vec![("README.md", "x")], "it has no SKILL.md"),
            (vec![("SKILL.md", "x")], "no front matter"),
            (vec![("SKILL.md", "---\nname: doc\ndescription: x\n---\n")], "does not call it pdf"),
            (vec![("SKILL.md", head), ("../x", "x")], "no path"),
            (vec![("SKILL.md", head), ("/x", "x")], "no path"),
            (vec![("SKILL.md", head), ("a", &large)], "70000 bytes"),
        ] {
            let problem = pack(&files).unwrap_err();
            assert!(problem.contains(wanted), "{wanted}: {problem}");
        }
    }
}
