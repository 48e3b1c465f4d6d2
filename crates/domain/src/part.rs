//! A session's repositories: the one that its task is about, and others that belong to it. Each has a base, a change, a branch and a pull request
//! of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Task, task::is_base};

/// The most repositories that a task may have beside its own.
pub const MOST_ALSO: usize = 5;

/// The longest address of a repository, in bytes.
const LONGEST_ADDRESS: usize = 4096;
/// The longest name of a repository's directory, in characters.
const LONGEST_NAME: usize = 60;

/// One of a session's repositories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Part(pub u8);

impl Part {
    /// The task's own repository. The others follow in the order in which the task names them.
    pub const FIRST: Self = Self(0);

    /// The place among the others; `None` for the task's own.
    #[must_use]
    pub fn beside(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }

    /// The part at this place among the others.
    #[must_use]
    pub fn at(beside: usize) -> Self {
        Self(u8::try_from(beside).unwrap_or(u8::MAX).saturating_add(1))
    }
}

impl fmt::Display for Part {
    /// Counted from 1, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u16::from(self.0) + 1)
    }
}

/// A repository that a task is about beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Also {
    /// An absolute path or a URL, as it will be given to git.
    pub repository: String,
    /// The ref to start from; `None` means the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

impl Also {
    /// As people write it in one word: the repository, and after a `#` the ref to start from.
    #[must_use]
    pub fn typed(text: &str) -> Self {
        let (repository, base) = match text.rsplit_once('#') {
            Some((repository, base)) => (repository, Some(base.to_owned())),
            None => (text, None),
        };
        Self { repository: repository.to_owned(), base }
    }
}

/// Why repositories cannot go together in one task.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidParts {
    /// Too many.
    #[error("a task has at most {} repositories: make several tasks of it", MOST_ALSO + 1)]
    TooMany,
    /// One of them twice: there would be two branches of the same name.
    #[error("the repository {0} is named twice: once is enough, a session has one branch in it")]
    Twice(String),
    /// An address or a ref that cannot be one.
    #[error("the repository {0:?} or the ref to start from there cannot be one")]
    Malformed(String),
    /// Nothing is changed in a review.
    #[error("a review is about one pull request of one repository: leave out the others")]
    Review,
}

/// Checks the repositories that a task is to have beside its own.
pub(crate) fn check(task: &Task, also: &[Also]) -> Result<(), InvalidParts> {
    if also.len() > MOST_ALSO {
        return Err(InvalidParts::TooMany);
    }
    if task.review.is_some() && !also.is_empty() {
        return Err(InvalidParts::Review);
    }
    let mut seen = vec![plain(&task.repository)];
    for Also { repository, base } in also {
        let address = (1..=LONGEST_ADDRESS).contains(&repository.len())
            && !repository.starts_with('-')
            && !repository.contains(char::is_control);
        if !address || base.as_deref().is_some_and(|base| !is_base(base)) {
            return Err(InvalidParts::Malformed(repository.chars().take(200).collect()));
        }
        if seen.contains(&plain(repository)) {
            return Err(InvalidParts::Twice(repository.clone()));
        }
        seen.push(plain(repository));
    }
    Ok(())
}

/// An address as far as it tells repositories apart: git finds the same one with and without these endings.
fn plain(address: &str) -> &str {
    let address = address.trim_end_matches('/');
    address.strip_suffix(".git").unwrap_or(address)
}

impl Task {
    /// Its repositories, its own first.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        (0..=self.also.len()).map(|place| place.checked_sub(1).map_or(Part::FIRST, Part::at))
    }

    /// The address of one of its repositories and the ref to start from there; `None` if it has no such part.
    #[must_use]
    pub fn at(&self, part: Part) -> Option<(&str, Option<&str>)> {
        match part.beside() {
            None => Some((&self.repository, self.base.as_deref())),
            Some(place) => self.also.get(place).map(|also| (&*also.repository, also.base.as_deref())),
        }
    }

    /// The addresses of its repositories, its own first.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        self.parts().filter_map(|part| self.at(part)).map(|(address, _)| address).collect()
    }

    /// Which of its repositories has this path on its forge (`owner/name`); its own where none has.
    #[must_use]
    pub fn part_at(&self, path: &str) -> Part {
        let is_it = |part: &Part| {
            let before = self.at(*part).map(|(repository, _)| plain(repository));
            let before = before.and_then(|address| address.strip_suffix(path));
            before.is_some_and(|before| before.ends_with(['/', ':']))
        };
        self.parts().find(is_it).unwrap_or_default()
    }

    /// The directories of the workspace in which its repositories lie side by side, its own first. Empty where that is the only one: then it is the
    /// workspace itself.
    #[must_use]
    pub fn directories(&self) -> Vec<String> {
        if self.also.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<String> = Vec::new();
        for (repository, _) in self.parts().filter_map(|part| self.at(part)) {
            let plain = name_of(repository);
            let numbered = (2..).map(|number| format!("{plain}-{number}"));
            let free = std::iter::once(plain.clone()).chain(numbered).find(|name| !names.contains(name));
            names.extend(free);
        }
        names
    }

    /// The directory of one of its repositories; `None` where that is the workspace itself.
    #[must_use]
    pub fn directory(&self, part: Part) -> Option<String> {
        let place = part.beside().map_or(0, |place| place.saturating_add(1));
        self.directories().into_iter().nth(place)
    }
}

/// The last segment of an address, as far as it makes a plain name.
fn name_of(repository: &str) -> String {
    let trimmed = repository.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix(".git").unwrap_or(trimmed).trim_end_matches('/');
    let last = trimmed.rsplit(['/', ':']).next().unwrap_or_default();
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let name: String = last.chars().filter(|character| plain(*character)).take(LONGEST_NAME).collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() { "repository".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, task::InvalidTask};

    fn task(repository: &str) -> Task {
        Task::new("Fix it.".into(), repository.into(), None, "ann".into(), Source::Cli).unwrap()
    }

    fn also(repository: &str) -> Also {
        Also { repository: repository.into(), base: None }
    }

    #[test]
    fn a_task_with_one_repository_is_what_it_always_was() {
        let plain = task("/r/a");
        assert_eq!(plain.clone().and_also(Vec::new()), Ok(plain.clone()));
        assert!(serde_json::to_value(&plain).unwrap().get("also").is_none());
        assert_eq!(plain.directories(), [] as [String; 0]);
        assert_eq!(plain.directory(Part::FIRST), None);
        assert_eq!(plain.parts().collect::<Vec<_>>(), [Part::FIRST]);
    }

    #[test]
    fn others_are_written_in_a_word() {
        assert_eq!(Also::typed("/r/b"), also("/r/b"));
        let based = Also { base: Some("next".into()), ..also("https://h/a#b") };
        assert_eq!(Also::typed("https://h/a#b#next"), based);
    }

    #[test]
    fn others_are_part_of_what_was_asked() {
        let plain = task("/r/a");
        let based = Also { base: Some("next".into()), ..also("/r/b") };
        let mut hashes = vec![plain.content_hash];
        for others in [vec![also("/r/b")], vec![based], vec![also("/r/b"), also("/r/c")]] {
            let several = plain.clone().and_also(others).unwrap();
            let json = serde_json::to_value(&several).unwrap();
            assert_eq!(serde_json::from_value::<Task>(json).unwrap(), several);
            hashes.push(several.content_hash);
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 4);
    }

    #[test]
    fn each_has_a_directory_of_its_own() {
        let others = ["https://h/b/app.git", "git@h:c/app/", "https://h/.git", "/r/-x;y"].map(also);
        let several = task("/r/app").and_also(others.into()).unwrap();
        assert_eq!(several.directories(), ["app", "app-2", "app-3", "h", "xy"]);
        assert_eq!(several.directory(Part(1)).as_deref(), Some("app-2"));
        assert_eq!(several.at(Part(2)), Some(("git@h:c/app/", None)));
        assert_eq!((several.at(Part(5)), several.directory(Part(5))), (None, None));
        for (path, part) in
            [("b/app", Part(1)), ("c/app", Part(2)), ("app", Part(0)), ("pp", Part(0)), ("x/y", Part(0))]
        {
            assert_eq!(several.part_at(path), part, "{path}");
        }
        assert_eq!(Part::at(1), Part(2));
        assert_eq!(Part(2).to_string(), "3");
    }

    #[test]
    fn refuses_what_does_not_go_together() {
        let refused = |others: Vec<Also>| match task("/r/a").and_also(others) {
            Err(InvalidTask::Parts(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(vec![also("/r/a")]), InvalidParts::Twice("/r/a".into()));
        assert_eq!(refused(vec![also("/r/b"), also("/r/b.git/")]), InvalidParts::Twice("/r/b.git/".into()));
        assert_eq!(refused(vec![also("/r/b"), also("/r/b")]), InvalidParts::Twice("/r/b".into()));
        let many = (0..6).map(|number| also(&format!("/r/{number}"))).collect();
        assert_eq!(refused(many), InvalidParts::TooMany);
        let based = Also { base: Some("--x".into()), ..also("/r/b") };
        for bad in [also(""), also("-x"), also("a\n"), based] {
            assert_eq!(refused(vec![bad.clone()]), InvalidParts::Malformed(bad.repository));
        }
    }
}
