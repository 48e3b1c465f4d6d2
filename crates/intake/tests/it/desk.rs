//! A forge that is a few lists in memory: what the tests put there is what it answers, and what it is asked and told is counted.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use cofferdam_domain::{Subject, Timestamp};
use cofferdam_forge::{
    hook::{Account, AccountKind, Comment, Issue, Pull, Repository},
    remote::{
        At, CommitStatus, GitCredential, Happened, LineComment, Mark, News, PullWanted, Reacted, Reaction,
        Remarked, ReviewWanted, Right, Talk, TalkError,
    },
};

/// Why it answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    Until(Timestamp),
    Forbids,
    Forgets,
    Babbles,
}

#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) rights: Mutex<Vec<(u64, Right)>>,
    pub(crate) issue: Mutex<Option<Issue>>,
    pub(crate) pull: Mutex<Option<Pull>>,
    pub(crate) comments: Mutex<Vec<Comment>>,
    pub(crate) remarks: Mutex<Vec<LineComment>>,
    pub(crate) log: Mutex<Option<String>>,
    pub(crate) said: Mutex<Vec<(Subject, Mark, String)>>,
    pub(crate) away: Mutex<Option<Away>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) repositories: Mutex<Vec<Repository>>,
    pub(crate) happened: Mutex<Vec<Happened>>,
    /// What news were asked for: of which repository, since when, and of which pull requests.
    pub(crate) looked: Mutex<Vec<(u64, Timestamp, Vec<u64>)>>,
}

pub(crate) fn person(id: u64, login: &str) -> Account {
    Account { id, login: login.into(), kind: AccountKind::Person }
}

impl Desk {
    fn ask(&self) -> Result<(), TalkError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (forge, what) = ("work".to_owned(), "that".to_owned());
        let reason = "so it is".to_owned();
        match *self.away.lock().unwrap() {
            None => Ok(()),
            Some(Away::Until(at)) => Err(TalkError::ForNow { forge, reason, again: Some(at) }),
            Some(Away::Forbids) => Err(TalkError::Forbidden { forge, reason }),
            Some(Away::Forgets) => Err(TalkError::Missing { forge, what }),
            Some(Away::Babbles) => Err(TalkError::Malformed { forge, what, reason }),
        }
    }

    fn have<T: Clone>(&self, thing: &Mutex<Option<T>>, what: &str) -> Result<T, TalkError> {
        self.ask()?;
        let missing = || TalkError::Missing { forge: "work".into(), what: what.into() };
        thing.lock().unwrap().clone().ok_or_else(missing)
    }
}

#[async_trait]
impl Talk for Desk {
    async fn me(&self) -> Result<Account, TalkError> {
        self.ask()?;
        Ok(person(9, "agent"))
    }

    async fn repositories(&self, _: usize) -> Result<Vec<Repository>, TalkError> {
        self.ask()?;
        Ok(self.repositories.lock().unwrap().clone())
    }

    async fn news(&self, at: &At, since: Timestamp, pulls: &[u64]) -> Result<News, TalkError> {
        self.ask()?;
        self.looked.lock().unwrap().push((at.id, since, pulls.to_vec()));
        let happened = self.happened.lock().unwrap();
        let until = happened.iter().map(|happened| happened.at).max().unwrap_or(since).max(since);
        let news = happened.iter().filter(|happened| happened.at >= since).cloned().collect();
        Ok(News { happened: news, until, more: false })
    }

    async fn repository(&self, path: &str) -> Result<Repository, TalkError> {
        self.ask()?;
        let repositories = self.repositories.lock().unwrap();
        let found =
            repositories.iter().find(|repository| repository.path.eq_ignore_ascii_case(path)).cloned();
        found.ok_or_else(|| TalkError::Missing { forge: "work".into(), what: "repository".into() })
    }

    async fn right_of(&self, _: &At, account: &Account) -> Result<Right, TalkError> {
        self.ask()?;
        let rights = self.rights.lock().unwrap();
        Ok(rights.iter().find(|(id, _)| *id == account.id).map_or(Right::None, |(_, right)| *right))
    }

    async fn issue(&self, _: &At, _: u64) -> Result<Issue, TalkError> {
        self.have(&self.issue, "issue")
    }

    async fn pull(&self, _: &At, _: u64) -> Result<Pull, TalkError> {
        self.have(&self.pull, "pull request")
    }

    async fn comments(
        &self,
        _: &At,
        _: Subject,
        _: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        self.ask()?;
        let comments = self.comments.lock().unwrap();
        Ok(comments[comments.len().saturating_sub(most)..].to_vec())
    }

    async fn remarks(&self, _: &At, _: u64, _: u64) -> Result<Vec<LineComment>, TalkError> {
        self.ask()?;
        Ok(self.remarks.lock().unwrap().clone())
    }

    async fn say(&self, _: &At, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError> {
        self.ask()?;
        let mut said = self.said.lock().unwrap();
        said.retain(|(_, known, _)| known != mark);
        said.push((subject, mark.clone(), body.to_owned()));
        Ok(1)
    }

    async fn answer(&self, _: &At, _: u64, _: &Remarked, _: &Mark, _: &str) -> Result<(), TalkError> {
        panic!("nobody answers remarks here")
    }

    async fn resolve(&self, _: &At, _: u64, _: &Remarked) -> Result<bool, TalkError> {
        panic!("nobody resolves anything here")
    }

    async fn review(&self, _: &At, _: u64, _: &Mark, _: &ReviewWanted) -> Result<(), TalkError> {
        panic!("nobody reviews here")
    }

    async fn react(&self, _: &At, _: Reacted, _: Reaction) -> Result<(), TalkError> {
        panic!("nobody reacts here")
    }

    async fn status(&self, _: &At, _: &str, _: &CommitStatus) -> Result<(), TalkError> {
        panic!("nobody says how a commit is here")
    }

    async fn check_log(&self, _: &At, _: &str, _: &str, most: usize) -> Result<Option<String>, TalkError> {
        self.ask()?;
        Ok(self.log.lock().unwrap().clone().map(|log| log.chars().take(most).collect()))
    }

    async fn find_pull(&self, _: &At, _: &str) -> Result<Option<Pull>, TalkError> {
        self.ask()?;
        Ok(self.pull.lock().unwrap().clone())
    }

    async fn open_pull(&self, _: &At, _: &PullWanted) -> Result<Pull, TalkError> {
        panic!("no pull request is opened here")
    }

    async fn close_pull(&self, _: &At, _: u64) -> Result<Pull, TalkError> {
        panic!("no pull request is closed here")
    }

    async fn merge_pull(&self, _: &At, _: u64, _: &str) -> Result<Pull, TalkError> {
        panic!("no pull request is merged here")
    }

    async fn git_credential(&self, _: &At) -> Result<GitCredential, TalkError> {
        panic!("git is not used here")
    }
}
