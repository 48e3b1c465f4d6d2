//! Gitea and Forgejo.
//!
//! A repository is asked for by its number first, so that one that took the place of another is never mistaken for it. The account of the token
//! must be an administrator of the repository: only such a one may look up what others may do there.
//!
//! Sources: <https://docs.gitea.com/api/>, `routers/api/v1` of Gitea's source where that says more, and
//! <https://forgejo.org/docs/latest/user/api-usage/>.

mod changes;
mod checks;
mod comments;
mod pulls;
mod reviews;
mod setup;
mod shapes;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use cofferdam_domain::{Secret, Subject, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::{
    At, CommitStatus, GitCredential, LimitSeen, LineComment, Mark, News, OpenError, PullWanted, Reacted,
    Reaction, Remarked, ReviewWanted, Right, Setup, Site, SiteCredential, Talk, TalkError, news,
    wire::{Ask, Wire, there},
};
use crate::hook::{
    Account, Comment, Issue, Pull, Repository,
    shapes::{self as objects, User},
};

/// How long a repository that is only looked at is taken to be where it was. If it is moved in between, the forge leads there.
const STAYS: Duration = Duration::from_secs(60);
/// Repositories whose place is known.
const MOST_PLACES: usize = 1_000;
/// Entries of a list that are asked for at once: no more are given unless an administrator has set more.
const PAGE: usize = 50;

/// A Gitea or Forgejo, asked as one account.
pub(super) struct Gitea {
    wire: Wire,
    token: Secret,
    me: OnceCell<Account>,
    places: Mutex<BTreeMap<u64, (Place, Instant)>>,
}

/// Where a repository is now.
#[derive(Debug, Clone, Deserialize)]
struct Place {
    full_name: String,
    #[serde(default)]
    private: bool,
    /// How it wants pull requests to be merged.
    #[serde(default)]
    default_merge_style: Option<String>,
}

impl Gitea {
    pub(super) fn new(site: &Site) -> Result<Self, OpenError> {
        let SiteCredential::Token(token) = site.credential() else {
            return Err(OpenError::Kind(site.kind()));
        };
        let wire = Wire::new(site, Some(token.clone()))?;
        Ok(Self { wire, token: token.clone(), me: OnceCell::new(), places: Mutex::default() })
    }

    /// Where it is, as somebody knows who has asked a moment ago. What is told of it under another name than that has moved.
    async fn known_place(&self, at: &At) -> Result<Place, TalkError> {
        let is_there = |place: &Place, seen: &Instant| seen.elapsed() < STAYS && place.full_name == at.path;
        let known = self.places.lock().unwrap_or_else(PoisonError::into_inner).get(&at.id).cloned();
        match known.filter(|(place, seen)| is_there(place, seen)) {
            Some((place, _)) => Ok(place),
            None => self.place(at).await,
        }
    }

    /// Where it is now. Asked before anything is changed or anybody's right is looked up there: its name may be another repository's by now.
    async fn place(&self, at: &At) -> Result<Place, TalkError> {
        let what = format!("repository {} (number {})", at.path, at.id);
        let place: Place = self.wire.get(what, &["repositories", &at.id.to_string()]).read().await?;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MOST_PLACES {
            places.clear();
        }
        places.insert(at.id, (place.clone(), Instant::now()));
        Ok(place)
    }

    /// A request about something in a repository.
    fn ask(&self, place: &Place, method: Method, what: impl Into<String>, path: &[&str]) -> Ask<'_> {
        let (owner, name) = place.full_name.split_once('/').unwrap_or((&place.full_name, ""));
        let whole: Vec<&str> = ["repos", owner, name].iter().chain(path).copied().collect();
        self.wire.ask(method, what, &whole)
    }

    /// The same, to look at it.
    async fn see(&self, at: &At, what: impl Into<String>, path: &[&str]) -> Result<Ask<'_>, TalkError> {
        Ok(self.ask(&self.known_place(at).await?, Method::GET, what, path))
    }

    /// The name of an account now, if the account is still there.
    async fn login_of(&self, account: &Account) -> Result<Option<String>, TalkError> {
        #[derive(Deserialize)]
        struct Found {
            data: Vec<User>,
        }
        if !account.login.is_empty() {
            return Ok(Some(account.login.clone()));
        }
        let found: Found =
            self.wire.get("the account", &["users", "search"]).query("uid", account.id).read().await?;
        let found = found.data.into_iter().map(Account::from).find(|found| found.id == account.id);
        Ok(found.map(|found| found.login))
    }
}

#[async_trait]
impl Talk for Gitea {
    async fn me(&self) -> Result<Account, TalkError> {
        let look = || async { self.wire.get("the account of the token", &["user"]).read::<User>().await };
        let me = self.me.get_or_try_init(|| async { look().await.map(Account::from) }).await?;
        Ok(me.clone())
    }

    async fn repository(&self, path: &str) -> Result<Repository, TalkError> {
        let what = format!("repository {path}");
        let Some((owner, name)) = path.split_once('/') else {
            return Err(TalkError::Missing { forge: self.wire.forge().to_owned(), what });
        };
        let found: objects::Repository = self.wire.get(what, &["repos", owner, name]).read().await?;
        Ok(found.into())
    }

    async fn right_of(&self, at: &At, account: &Account) -> Result<Right, TalkError> {
        #[derive(Deserialize)]
        struct Permission {
            permission: String,
            user: Option<User>,
        }
        let login = if account.id == 0 { None } else { self.login_of(account).await? };
        let Some(login) = login else { return Ok(Right::None) };
        let place = self.place(at).await?;
        let what = format!("the right of {login} (only an administrator of the repository may look that up)");
        let path = ["collaborators", &login];
        let asked = self.ask(&place, Method::GET, &what, &[&path[..], &["permission"]].concat());
        let Some(found) = there(asked.read::<Permission>().await)? else { return Ok(Right::None) };
        // A name that was given up may be another's now.
        if found.user.is_none_or(|user| user.id != account.id) {
            return Ok(Right::None);
        }
        Ok(match found.permission.as_str() {
            "owner" | "admin" => Right::Admin,
            "write" => Right::Write,
            // Everybody may read what is public: it counts only for those who were asked in.
            "read" if place.private => Right::Read,
            "read" => match there(self.ask(&place, Method::GET, what, &path).done().await)? {
                Some(()) => Right::Read,
                None => Right::None,
            },
            _ => Right::None,
        })
    }

    async fn issue(&self, at: &At, number: u64) -> Result<Issue, TalkError> {
        let what = format!("issue {number}");
        let asked = self.see(at, &what, &["issues", &number.to_string()]).await?;
        let found: objects::Issue = asked.read().await?;
        match found.pull_request {
            Some(_) => Err(TalkError::Missing { forge: self.wire.forge().to_owned(), what }),
            None => Ok(found.into()),
        }
    }

    async fn pull(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        pulls::look(self, at, number).await
    }

    async fn comments(
        &self,
        at: &At,
        subject: Subject,
        since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        let mut all = comments::list(self, at, subject, since).await?;
        all.drain(..all.len().saturating_sub(most));
        Ok(all)
    }

    async fn remarks(&self, at: &At, pull: u64, review: u64) -> Result<Vec<LineComment>, TalkError> {
        reviews::remarks(self, at, pull, review).await
    }

    async fn say(&self, at: &At, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError> {
        comments::say(self, at, subject, mark, body).await
    }

    async fn answer(
        &self,
        at: &At,
        pull: u64,
        place: &Remarked,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError> {
        reviews::answer(self, at, pull, place, mark, body).await
    }

    async fn resolve(&self, at: &At, _: u64, place: &Remarked) -> Result<bool, TalkError> {
        reviews::resolve(self, at, place).await
    }

    async fn review(&self, at: &At, pull: u64, mark: &Mark, wanted: &ReviewWanted) -> Result<(), TalkError> {
        reviews::review(self, at, pull, mark, wanted).await
    }

    async fn react(&self, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
        comments::react(self, at, to, reaction).await
    }

    async fn status(&self, at: &At, commit: &str, status: &CommitStatus) -> Result<(), TalkError> {
        checks::say(self, at, commit, status).await
    }

    async fn check_log(
        &self,
        at: &At,
        commit: &str,
        check: &str,
        most: usize,
    ) -> Result<Option<String>, TalkError> {
        checks::log(self, at, commit, check, most).await
    }

    async fn find_pull(&self, at: &At, branch: &str) -> Result<Option<Pull>, TalkError> {
        pulls::find(self, at, branch, "all").await
    }

    async fn open_pull(&self, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError> {
        pulls::open(self, at, wanted).await
    }

    async fn close_pull(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        pulls::close(self, at, number).await
    }

    async fn merge_pull(&self, at: &At, number: u64, commit: &str) -> Result<Pull, TalkError> {
        pulls::merge(self, at, number, commit).await
    }

    async fn git_credential(&self, _: &At) -> Result<GitCredential, TalkError> {
        // A token cannot be narrowed to one repository here: git is told for which address it is.
        Ok(GitCredential { user: self.me().await?.login, password: self.token.clone() })
    }

    async fn repositories(&self, most: usize) -> Result<Vec<Repository>, TalkError> {
        self.known_repositories(most).await
    }

    async fn news(&self, at: &At, since: Timestamp, pulls: &[u64]) -> Result<News, TalkError> {
        news::news(self, at, since, pulls).await
    }

    fn seldom(&self) -> Option<Duration> {
        self.wire.seldom()
    }

    fn limits(&self) -> Vec<LimitSeen> {
        self.wire.limits()
    }

    async fn setup(&self, at: &At, branch: &str) -> Result<Setup, TalkError> {
        setup::look(self, at, branch).await
    }
}
