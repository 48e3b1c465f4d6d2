//! The part of a forge's API that keeps pull requests and hands out credentials, in memory. Branches are the real git's.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use cofferdam_domain::{Secret, Subject, Timestamp};
use cofferdam_forge::{
    hook::{Account, AccountKind, Comment, Issue, Pull, PullState, Repository},
    remote::{
        At, CommitStatus, GitCredential, LineComment, Mark, News, PullWanted, Reacted, Reaction, Remarked,
        ReviewWanted, Right, Talk, TalkError,
    },
};

/// A forge with one repository.
pub(crate) struct Desk {
    /// The bare repository.
    pub(crate) repository: PathBuf,
    state: Mutex<State>,
}

struct State {
    at: At,
    passwords: VecDeque<&'static str>,
    asked: usize,
    pulls: Vec<Pull>,
}

impl Desk {
    /// The forge of a repository that has this number and path now. Its passwords are handed out in their order, the last one again and again.
    pub(crate) fn new(repository: PathBuf, id: u64, path: &str, passwords: &[&'static str]) -> Self {
        let at = At { id, path: path.to_owned() };
        let passwords = passwords.iter().copied().collect();
        Self { repository, state: Mutex::new(State { at, passwords, asked: 0, pulls: Vec::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often a credential was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    pub(crate) fn hand_out(&self, passwords: &[&'static str]) {
        self.state().passwords = passwords.iter().copied().collect();
    }

    pub(crate) fn pulls(&self) -> Vec<Pull> {
        self.state().pulls.clone()
    }

    /// Another repository takes the name.
    pub(crate) fn replace(&self, id: u64) {
        self.state().at.id = id;
    }

    fn head(&self, branch: &str) -> String {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(&self.repository)
            .args(["rev-parse", "--verify", "--quiet"])
            .arg(format!("refs/heads/{branch}"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Pull)) -> Pull {
        let mut state = self.state();
        let pull = state.pulls.iter_mut().find(|pull| pull.number == number).unwrap();
        change(pull);
        pull.clone()
    }
}

fn me() -> Account {
    Account { id: 1, login: "cofferdam".to_owned(), kind: AccountKind::Bot }
}

#[async_trait]
impl Talk for Desk {
    async fn me(&self) -> Result<Account, TalkError> {
        Ok(me())
    }

    async fn repositories(&self, _: usize) -> Result<Vec<Repository>, TalkError> {
        panic!("nobody looks around here")
    }

    async fn news(&self, _: &At, _: Timestamp, _: &[u64]) -> Result<News, TalkError> {
        panic!("nobody asks for news here")
    }

    async fn repository(&self, _: &str) -> Result<Repository, TalkError> {
        let At { id, path } = self.state().at.clone();
        let default_branch = Some("main".to_owned());
        Ok(Repository { id, path, clone_url: String::new(), default_branch, private: true, public: false })
    }

    async fn right_of(&self, _: &At, _: &Account) -> Result<Right, TalkError> {
        Ok(Right::Write)
    }

    async fn issue(&self, _: &At, _: u64) -> Result<Issue, TalkError> {
        panic!("nothing here asks for it")
    }

    async fn pull(&self, _: &At, number: u64) -> Result<Pull, TalkError> {
        let found = self.state().pulls.iter().find(|pull| pull.number == number).cloned();
        found.ok_or(TalkError::Missing { forge: "desk".to_owned(), what: "pull request".to_owned() })
    }

    async fn comments(
        &self,
        _: &At,
        _: Subject,
        _: Option<Timestamp>,
        _: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        panic!("nothing here asks for it")
    }

    async fn remarks(&self, _: &At, _: u64, _: u64) -> Result<Vec<LineComment>, TalkError> {
        panic!("nothing here asks for it")
    }

    async fn say(&self, _: &At, _: Subject, _: &Mark, _: &str) -> Result<u64, TalkError> {
        panic!("nothing here asks for it")
    }

    async fn answer(&self, _: &At, _: u64, _: &Remarked, _: &Mark, _: &str) -> Result<(), TalkError> {
        panic!("nothing here asks for it")
    }

    async fn resolve(&self, _: &At, _: u64, _: &Remarked) -> Result<bool, TalkError> {
        panic!("nothing here asks for it")
    }

    async fn review(&self, _: &At, _: u64, _: &Mark, _: &ReviewWanted) -> Result<(), TalkError> {
        panic!("nothing here asks for it")
    }

    async fn react(&self, _: &At, _: Reacted, _: Reaction) -> Result<(), TalkError> {
        panic!("nothing here asks for it")
    }

    async fn status(&self, _: &At, _: &str, _: &CommitStatus) -> Result<(), TalkError> {
        panic!("nothing here asks for it")
    }

    async fn check_log(&self, _: &At, _: &str, _: &str, _: usize) -> Result<Option<String>, TalkError> {
        panic!("nothing here asks for it")
    }

    async fn find_pull(&self, _: &At, branch: &str) -> Result<Option<Pull>, TalkError> {
        let found = self.state().pulls.iter().rev().find(|pull| pull.branch == branch).cloned();
        let head = self.head(branch);
        Ok(found
            .map(|pull| Pull { commit: if head.is_empty() { pull.commit.clone() } else { head }, ..pull }))
    }

    async fn open_pull(&self, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError> {
        let commit = self.head(&wanted.branch);
        let mut state = self.state();
        let number = match state.pulls.iter().find(|pull| pull.branch == wanted.branch) {
            Some(pull) => pull.number,
            None => state.pulls.len() as u64 + 1,
        };
        state.pulls.retain(|pull| pull.number != number);
        state.pulls.push(Pull {
            number,
            title: wanted.title.clone(),
            body: wanted.body.clone(),
            author: me(),
            branch: wanted.branch.clone(),
            commit,
            head_repository: Some(at.id),
            base: wanted.base.clone(),
            draft: wanted.draft,
            conflicts: false,
            state: PullState::Open,
            merged_as: None,
            updated: None,
        });
        Ok(state.pulls.last().unwrap().clone())
    }

    async fn close_pull(&self, _: &At, number: u64) -> Result<Pull, TalkError> {
        Ok(self.change(number, |pull| pull.state = PullState::Closed))
    }

    async fn merge_pull(&self, _: &At, number: u64, commit: &str) -> Result<Pull, TalkError> {
        Ok(self.change(number, |pull| {
            pull.state = PullState::Merged;
            pull.merged_as = Some(commit.to_owned());
        }))
    }

    async fn git_credential(&self, _: &At) -> Result<GitCredential, TalkError> {
        let mut state = self.state();
        state.asked += 1;
        let password = if state.passwords.len() > 1 { state.passwords.pop_front() } else { None };
        let password = password.unwrap_or_else(|| state.passwords[0]);
        Ok(GitCredential { user: "cofferdam".to_owned(), password: Secret::new(password) })
    }
}
