//! What a schedule, a hook or a chat begins: a session on the repository that the operator has named, for the project that the operator has
//! named. Nothing that arrives can change any of that.

use cofferdam_domain::{
    EventBody, Origin, SessionId, Source, Task,
    task::{Wishes, is_base},
};
use cofferdam_forge::RemoteRepository;
use cofferdam_store::{Everything, StoreError};

use crate::{Place, begin};

/// The organisation that every store has.
pub(crate) const ORGANISATION: &str = "local";
/// The longest name of a way in.
const LONGEST_NAME: usize = 64;

/// On what, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// The repository: an absolute path or a URL.
    pub(crate) repository: String,
    /// The ref to start from.
    pub(crate) base: Option<String>,
    /// Model and policy.
    pub(crate) wishes: Wishes,
}

/// What is to be begun.
pub(crate) struct Wanted<'a> {
    /// The id that its session gets. A second try with the same id finds the first one's.
    pub(crate) session: SessionId,
    /// What to do.
    pub(crate) prompt: String,
    /// What tells it from others for which the prompt begins alike.
    pub(crate) title: Option<String>,
    /// The way in, as arrivals name it.
    pub(crate) source: &'a str,
    /// Who asks: what stays when they are renamed, and their name for people.
    pub(crate) account: &'a str,
    /// See `account`.
    pub(crate) name: String,
    /// Where it was asked.
    pub(crate) origin: Origin,
    /// What it is told of beside that.
    pub(crate) rest: Vec<EventBody>,
}

/// It was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBegun {
    /// It never will be, as long as the configuration stays as it is.
    #[error("{0}")]
    Never(String),
    /// Later it may be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Job {
    /// What is wrong with it, if something is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { repository, base, wishes } = self;
        if repository.starts_with('/') {
            if repository.contains(char::is_control) || repository.split('/').any(|part| part == "..") {
                return Err(format!("the repository {repository:?} is no plain path"));
            }
        } else {
            RemoteRepository::try_from(repository.clone()).map_err(|error| error.to_string())?;
        }
        if !base.as_deref().is_none_or(is_base) {
            return Err("`base` is no name of a branch, tag or commit".to_owned());
        }
        let any = Task::new("x".to_owned(), String::new(), None, String::new(), Source::Hook);
        any.and_then(|task| task.with(wishes.clone())).map(drop).map_err(|invalid| invalid.to_string())
    }

    /// Begins a session, unless it was begun before.
    pub(crate) async fn begin(
        &self,
        store: &dyn Everything,
        place: Place,
        wanted: Wanted<'_>,
    ) -> Result<(), NotBegun> {
        let Wanted { session, prompt, title, source, account, name, origin, rest } = wanted;
        if let Some(policy) = &self.wishes.policy
            && !store.policies(place.org).await?.iter().any(|(known, _)| known == policy)
        {
            let reason = format!("there is no policy {policy:?} in the organisation: its admins make one");
            return Err(NotBegun::Never(reason));
        }
        let way = match origin {
            Origin::Forge(_) => Source::Forge,
            Origin::Chat(_) => Source::Chat,
            Origin::Hook { .. } => Source::Hook,
            Origin::Schedule { .. } => Source::Schedule,
        };
        let task = Task::new(prompt, self.repository.clone(), self.base.clone(), name.clone(), way)
            .and_then(|task| task.with(self.wishes.clone()))
            .map_err(|invalid| NotBegun::Never(invalid.to_string()))?
            .asked(origin);
        let task = match title {
            Some(title) => task.titled(title),
            None => task,
        };
        let owner = begin::owner(store, place, source, account, &name).await?;
        begin::begin(store, owner, session, task, rest).await?;
        Ok(())
    }
}

/// Whether a way in may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(fits)
}

/// What is said of a name that cannot be one.
pub(crate) const NO_NAME: &str = "a name has 1 to 64 letters, digits, `-` and `_`";

#[cfg(test)]
mod tests {
    use super::*;

    fn job(repository: &str, base: Option<&str>) -> Job {
        Job { repository: repository.into(), base: base.map(Into::into), wishes: Wishes::default() }
    }

    #[test]
    fn a_job_is_on_a_repository_that_git_may_be_given() {
        for repository in ["/srv/git/a", "https://forge.example/a/b.git", "ssh://git@forge.example/a"] {
            assert_eq!(job(repository, Some("main")).check(), Ok(()), "{repository}");
        }
        for repository in ["", "a", "/srv/../etc", "/a\n", "ext::sh -c x", "https://u:p@forge.example/a"] {
            assert!(job(repository, None).check().is_err(), "{repository}");
        }
        assert!(job("/srv/a", Some("-x")).check().is_err());
        let wishes = Wishes { model: Some(" ".into()), ..Wishes::default() };
        assert!(Job { wishes, ..job("/srv/a", None) }.check().is_err());
    }
}
