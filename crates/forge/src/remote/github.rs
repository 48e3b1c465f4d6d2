//! GitHub: github.com and GitHub Enterprise Server, by their [REST API] and, for discussions of lines, by [GraphQL].
//!
//! It is asked as an app, with tokens that are made for one repository and one purpose each, or with the token of an account. A repository is
//! asked about under the name that it has now: which one is meant is told by its number.
//!
//! [REST API]: https://docs.github.com/en/rest
//! [GraphQL]: https://docs.github.com/en/graphql

mod app;
mod changes;
mod check;
mod discussion;
mod grant;
mod here;
mod manifest;
mod pull;
mod review;
mod setup;
mod speech;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{Secret, Subject, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use tokio::sync::OnceCell;

pub use self::manifest::{AppMade, AppPlan, NoApp, app_manifest, app_page, make_app};
use self::{
    app::App,
    grant::{Purpose, Tokens},
    here::Place,
};
use super::{
    At, CommitStatus, GitCredential, LimitSeen, LineComment, Mark, News, OpenError, PullWanted, Reacted,
    Reaction, Remarked, ReviewWanted, Right, Setup, Site, SiteCredential, Talk, TalkError, news,
    wire::{Ask, Wire},
};
use crate::hook::{Account, Comment, Issue, Pull, Repository, shapes};

/// Enterprise Server has known it since 3.9, and what is used here is the same in later ones.
const VERSION: &str = "2022-11-28";
const MEDIA_TYPE: &str = "application/vnd.github+json";
/// Comments of ours whose numbers are remembered.
const MOST_SAID: usize = 10_000;

/// A GitHub.
#[derive(Debug)]
pub(super) struct GitHub {
    wire: Wire,
    auth: Auth,
    tokens: Tokens,
    me: OnceCell<Account>,
    itself: OnceCell<AppItself>,
    places: Mutex<HashMap<u64, Place>>,
    /// The numbers of repositories that were looked up by name.
    named: Mutex<HashMap<String, u64>>,
    /// Where our own comments are, so that not all have to be read to find one.
    said: Mutex<HashMap<(u64, Subject, String), u64>>,
}

/// As whom it is asked.
#[derive(Debug)]
enum Auth {
    Token(Secret),
    App(Box<App>),
}

/// What GitHub knows of the app.
#[derive(Debug, Clone, Deserialize)]
struct AppItself {
    id: u64,
    slug: String,
    #[serde(default)]
    events: Vec<String>,
}

impl GitHub {
    pub(super) fn new(site: &Site) -> Result<Self, OpenError> {
        let auth = match site.credential() {
            SiteCredential::Token(token) => Auth::Token(token.clone()),
            SiteCredential::App { id, key } => {
                let wrong = |error: app::KeyError| OpenError::Key {
                    forge: site.name().to_owned(),
                    reason: error.to_string(),
                };
                Auth::App(Box::new(App::new(id, key).map_err(wrong)?))
            }
        };
        Ok(Self {
            wire: Wire::new(site, None)?,
            auth,
            tokens: Tokens::default(),
            me: OnceCell::new(),
            itself: OnceCell::new(),
            places: Mutex::default(),
            named: Mutex::default(),
            said: Mutex::default(),
        })
    }

    fn get(&self, what: impl Into<String>, path: &[&str]) -> Ask<'_> {
        self.ask(Method::GET, what, path)
    }

    fn ask(&self, method: Method, what: impl Into<String>, path: &[&str]) -> Ask<'_> {
        self.wire.ask(method, what, path).accept(MEDIA_TYPE).header("x-github-api-version", VERSION)
    }

    async fn account(&self) -> Result<&Account, TalkError> {
        self.me.get_or_try_init(|| self.who_am_i()).await
    }

    async fn who_am_i(&self) -> Result<Account, TalkError> {
        let account: shapes::User = match &self.auth {
            Auth::Token(token) => self.get("account of the token", &["user"]).bearer(token).read().await?,
            Auth::App(app) => {
                // An app writes as the account that is called like it.
                let login = format!("{}[bot]", self.app_itself(app).await?.slug);
                let token = self.looking_token(app).await?;
                self.get("account of the app", &["users", &login]).bearer(&token).read().await?
            }
        };
        Ok(account.into())
    }

    async fn app_itself(&self, app: &App) -> Result<&AppItself, TalkError> {
        let ask = async || {
            let proof = self.proof(app)?;
            self.as_app(self.get("app", &["app"]).bearer(&proof).read().await)
        };
        self.itself.get_or_try_init(ask).await
    }

    fn remember(&self, at: &At, subject: Subject, mark: &Mark, comment: u64) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST_SAID {
            said.clear();
        }
        said.insert((at.id, subject, mark.line()), comment);
    }

    fn remembered(&self, at: &At, subject: Subject, mark: &Mark) -> Option<u64> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(&(at.id, subject, mark.line())).copied()
    }
}

#[async_trait]
impl Talk for GitHub {
    async fn me(&self) -> Result<Account, TalkError> {
        self.account().await.cloned()
    }

    async fn repository(&self, path: &str) -> Result<Repository, TalkError> {
        self.look_up(path).await
    }

    async fn right_of(&self, at: &At, account: &Account) -> Result<Right, TalkError> {
        self.here(at, Purpose::Talk).await?.right_of(account).await
    }

    async fn issue(&self, at: &At, number: u64) -> Result<Issue, TalkError> {
        self.here(at, Purpose::Talk).await?.issue(number).await
    }

    async fn pull(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        self.here(at, Purpose::Talk).await?.pull(number).await
    }

    async fn comments(
        &self,
        at: &At,
        subject: Subject,
        since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        self.here(at, Purpose::Talk).await?.comments(subject, since, most).await
    }

    async fn remarks(&self, at: &At, pull: u64, review: u64) -> Result<Vec<LineComment>, TalkError> {
        self.here(at, Purpose::Talk).await?.remarks(pull, review).await
    }

    async fn say(&self, at: &At, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError> {
        self.here(at, Purpose::Talk).await?.say(subject, mark, body).await
    }

    async fn answer(
        &self,
        at: &At,
        pull: u64,
        place: &Remarked,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError> {
        self.here(at, Purpose::Talk).await?.answer(pull, place, mark, body).await
    }

    async fn resolve(&self, at: &At, pull: u64, place: &Remarked) -> Result<bool, TalkError> {
        self.here(at, Purpose::Change).await?.resolve(pull, place).await
    }

    async fn review(&self, at: &At, pull: u64, mark: &Mark, wanted: &ReviewWanted) -> Result<(), TalkError> {
        self.here(at, Purpose::Talk).await?.review(pull, mark, wanted).await
    }

    async fn react(&self, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
        self.here(at, Purpose::Talk).await?.react(to, reaction).await
    }

    async fn status(&self, at: &At, commit: &str, status: &CommitStatus) -> Result<(), TalkError> {
        let here = self.here(at, Purpose::Talk).await?;
        match &self.auth {
            Auth::Token(_) => here.set_status(commit, status).await,
            Auth::App(app) => here.run_check(self.app_itself(app).await?.id, commit, status).await,
        }
    }

    async fn check_log(
        &self,
        at: &At,
        commit: &str,
        check: &str,
        most: usize,
    ) -> Result<Option<String>, TalkError> {
        self.here(at, Purpose::Talk).await?.check_log(commit, check, most).await
    }

    async fn find_pull(&self, at: &At, branch: &str) -> Result<Option<Pull>, TalkError> {
        self.here(at, Purpose::Talk).await?.find_pull(branch).await
    }

    async fn open_pull(&self, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError> {
        self.here(at, Purpose::Talk).await?.open_pull(wanted).await
    }

    async fn close_pull(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        self.here(at, Purpose::Talk).await?.close_pull(number).await
    }

    async fn merge_pull(&self, at: &At, number: u64, commit: &str) -> Result<Pull, TalkError> {
        self.here(at, Purpose::Change).await?.merge_pull(number, commit).await
    }

    async fn git_credential(&self, at: &At) -> Result<GitCredential, TalkError> {
        let password = match &self.auth {
            Auth::Token(token) => token.clone(),
            // Never one that was given before: git asks again when one is not accepted.
            Auth::App(app) => self.fresh_token(app, at, Purpose::Push).await?,
        };
        Ok(GitCredential { user: "x-access-token".to_owned(), password })
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
        self.here(at, Purpose::Look).await?.setup(branch).await
    }
}
