//! What the forge knows: accounts, repositories, what was written, what was asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Something that was asked of the forge.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Whose token was presented.
    pub(crate) by: Option<String>,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// A repository, and what is said in it.
#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) private: bool,
    /// Whose it is, where that is a single person.
    pub(super) owner: Option<String>,
    pub(super) issues: BTreeMap<u64, Value>,
    pub(super) pulls: BTreeMap<u64, Value>,
    pub(super) comments: BTreeMap<u64, Vec<Value>>,
    pub(super) reviews: BTreeMap<u64, Vec<Value>>,
    pub(super) statuses: Vec<Value>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    accounts: Vec<String>,
    pub(super) repositories: Vec<Repository>,
    pub(super) asked: Vec<Asked>,
    last: u64,
    /// In the place of one that is not there.
    none: Repository,
}

/// As forges write it.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

impl State {
    pub(super) fn with_accounts(logins: &[&str]) -> Self {
        Self { accounts: logins.iter().map(|login| (*login).to_owned()).collect(), ..Self::default() }
    }

    /// An account, whose number is its place.
    pub(super) fn account(&self, login: &str) -> Value {
        let known = self.accounts.iter().position(|known| known == login);
        let id = known.map_or(999, |place| place + 1);
        json!({ "id": id, "login": login })
    }

    /// A number that nothing else has.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn add(&mut self, path: &str, private: bool) -> u64 {
        let id = self.number();
        self.repositories.push(Repository { id, path: path.to_owned(), private, ..Repository::default() });
        id
    }

    /// A repository by its number.
    pub(super) fn of(&mut self, id: u64) -> &mut Repository {
        let Self { repositories, none, .. } = self;
        repositories.iter_mut().find(|repository| repository.id == id).unwrap_or(none)
    }

    /// The one that has a path now.
    pub(super) fn at(&self, path: &str) -> Option<u64> {
        // Where two have had it, the later one took it.
        let all = self.repositories.iter().rev();
        all.filter(|repository| repository.path == path).map(|repository| repository.id).next()
    }

    pub(super) fn issue(&mut self, repository: u64, author: &str, title: &str, body: &str) -> u64 {
        let (number, user) = (self.number(), self.account(author));
        let issue = json!({
            "number": number, "title": title, "body": body, "user": user, "state": "open", "labels": [], "updated_at": now(),
        });
        self.of(repository).issues.insert(number, issue);
        number
    }

    pub(super) fn comment(&mut self, repository: u64, number: u64, author: &str, body: &str) -> Value {
        let (id, user, now) = (self.number(), self.account(author), now());
        let comment = json!({ "id": id, "body": body, "user": user, "created_at": now, "updated_at": now });
        self.of(repository).comments.entry(number).or_default().push(comment.clone());
        comment
    }
}

impl Repository {
    /// What somebody may do: by being its owner, or in all repositories of the organisation `acme`.
    pub(super) fn right_of(&self, login: &str) -> &'static str {
        match login {
            super::AGENT => "admin",
            login if self.owner.as_deref() == Some(login) => "admin",
            _ if self.owner.is_some() => "read",
            super::ANN | super::BOT if self.path.starts_with("acme/") => "write",
            super::BOB if self.path.starts_with("acme/") => "read",
            _ if self.private => "none",
            _ => "read",
        }
    }
}
