//! What a schedule, a hook or a chat begins: a session on the repository that the operator has named, for the project that the operator has
//! named. Nothing that arrives can change any of that.

use cofferdam_domain::{
    Also, EventBody, Origin, PlaybookUse, SessionId, Source, Task,
    task::{Wishes, is_base},
};
use cofferdam_forge::RemoteRepository;
use cofferdam_store::{Everything, StoreError};

use crate::{Place, begin};

/// The longest name of a way in.
const LONGEST_NAME: usize = 64;

/// On what, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// The repository: an absolute path or a URL.
    pub(crate) repository: String,
    /// The ref to start from.
    pub(crate) base: Option<String>,
    /// The repositories that it is about beside that one.
    pub(crate) also: Vec<Also>,
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
    /// The playbook whose words they are, if they are one's.
    pub(crate) playbook: Option<PlaybookUse>,
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
    /// What a table says of it: where, from which ref and beside what; with which model and policy.
    pub(crate) fn on(
        (repository, base, also): (&str, Option<&str>, &[String]),
        (model, policy): (Option<&str>, Option<&str>),
    ) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            repository: repository.to_owned(),
            base: owned(base),
            also: also.iter().map(|one| Also::typed(one)).collect(),
            wishes: Wishes { model: owned(model), policy: owned(policy), ..Wishes::default() },
        }
    }

    /// What is wrong with it, if something is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { repository, base, also, wishes } = self;
        for repository in std::iter::once(repository).chain(also.iter().map(|also| &also.repository)) {
            check_repository(repository)?;
        }
        if !base.as_deref().is_none_or(is_base) {
            return Err("`base` is no name of a branch, tag or commit".to_owned());
        }
        let any = Task::new("x".to_owned(), repository.clone(), None, String::new(), Source::Hook);
        any.and_then(|task| task.with(wishes.clone()))
            .and_then(|task| task.and_also(also.clone()))
            .map(drop)
            .map_err(|invalid| invalid.to_string())
    }

    /// Begins a session, unless it was begun before.
    pub(crate) async fn begin(
        &self,
        store: &dyn Everything,
        place: Place,
        wanted: Wanted<'_>,
    ) -> Result<(), NotBegun> {
        let Wanted { session, prompt, title, source, account, name, origin, rest, playbook } = wanted;
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
            .and_then(|task| task.and_also(self.also.clone()))
            .map_err(|invalid| NotBegun::Never(invalid.to_string()))?
            .asked(origin);
        let task = match playbook {
            Some(playbook) => task.by_playbook(playbook),
            None => task,
        };
        let task = match title {
            Some(title) => task.titled(title),
            None => task,
        };
        let owner = begin::owner(store, place, source, account, &name).await?;
        begin::begin(store, owner, session, task, rest).await?;
        Ok(())
    }
}

/// What is wrong with where a repository is said to be.
fn check_repository(repository: &str) -> Result<(), String> {
    if !repository.starts_with('/') {
        return RemoteRepository::try_from(repository.to_owned())
            .map(drop)
            .map_err(|error| error.to_string());
    }
    if repository.contains(char::is_control) || repository.split('/').any(|part| part == "..") {
        return Err(format!("the repository {repository:?} is no plain path"));
    }
    Ok(())
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
        let (base, wishes) = (base.map(Into::into), Wishes::default());
        Job { repository: repository.into(), base, also: Vec::new(), wishes }
    }

    #[test]
    fn a_job_may_be_on_several_repositories() {
        let with = |others: &[&str]| {
            let others: Vec<String> = others.iter().map(|other| (*other).to_owned()).collect();
            Job::on(("/srv/a", None, &others), (None, None))
        };
        assert_eq!(with(&["/srv/b", "https://forge.example/a/c.git#next"]).check(), Ok(()));
        for bad in [&["/srv/a"][..], &["/srv/b", "/srv/b"], &["ext::sh"], &["/srv/b#-x"], &["b"], &["/b"; 9]]
        {
            assert!(with(bad).check().is_err(), "{bad:?}");
        }
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
