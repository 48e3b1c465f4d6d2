//! GitLab, by its REST API of version 4 (<https://docs.gitlab.com/api/rest/>).
//!
//! The credential is the access token of a project or a group: the account that it is of is a bot that nobody signs in as. It is presented as a bearer token
//! (<https://docs.gitlab.com/api/rest/authentication/#personalprojectgroup-access-tokens>). Projects are asked for by their number, which stays.
//!
//! What GitLab has not: reviews with a number of their own, and a place for annotations beside a commit's status.

mod changes;
mod checks;
mod discussions;
mod merge_requests;
mod review;
mod setup;
mod shapes;

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{Secret, Subject, Timestamp};
use reqwest::Method;
use tokio::sync::OnceCell;

use self::shapes::{Member, Project, User};
use super::{
    At, CommitStatus, GitCredential, LimitSeen, LineComment, Mark, News, OpenError, PullWanted, Reacted,
    Reaction, Remarked, ReviewWanted, Right, Setup, Site, SiteCredential, Talk, TalkError, news,
    wire::{Ask, Wire, there},
};
use crate::hook::{Account, Comment, Issue, Pull, Repository};

/// Things on one page of a list: the most that GitLab gives.
const PER_PAGE: u32 = 100;

/// A GitLab.
pub(super) struct GitLab {
    wire: Wire,
    token: Secret,
    me: OnceCell<Account>,
}

impl GitLab {
    /// The GitLab of a site.
    pub(super) fn new(site: &Site) -> Result<Self, OpenError> {
        match site.credential() {
            SiteCredential::Token(token) => {
                let wire = Wire::new(site, Some(token.clone()))?;
                Ok(Self { wire, token: token.clone(), me: OnceCell::new() })
            }
            SiteCredential::App { .. } => Err(OpenError::Kind(site.kind())),
        }
    }

    /// Asks for something of a project.
    fn get(&self, what: impl Into<String>, at: &At, path: &[&str]) -> Ask<'_> {
        self.ask(Method::GET, what, at, path)
    }

    fn ask(&self, method: Method, what: impl Into<String>, at: &At, path: &[&str]) -> Ask<'_> {
        let id = at.id.to_string();
        self.wire.ask(method, what, &[&["projects", &id], path].concat())
    }

    fn missing(&self, what: String) -> TalkError {
        TalkError::Missing { forge: self.wire.forge().to_owned(), what }
    }

    fn refused(&self, what: String, reason: &str) -> TalkError {
        TalkError::Refused { forge: self.wire.forge().to_owned(), what, reason: reason.to_owned() }
    }
}

/// Where the issues or merge requests of a project are, and which.
fn place(subject: Subject) -> (&'static str, String) {
    match subject {
        Subject::Issue(number) => ("issues", number.to_string()),
        Subject::Pull(number) => ("merge_requests", number.to_string()),
    }
}

/// What it is called for people.
fn name(subject: Subject) -> String {
    match subject {
        Subject::Issue(number) => format!("issue {number}"),
        Subject::Pull(number) => format!("merge request {number}"),
    }
}

#[async_trait]
impl Talk for GitLab {
    async fn me(&self) -> Result<Account, TalkError> {
        let look = || async { self.wire.get("the account of the token", &["user"]).read::<User>().await };
        let me = self.me.get_or_try_init(|| async { look().await.map(Account::from) }).await?;
        Ok(me.clone())
    }

    async fn repository(&self, path: &str) -> Result<Repository, TalkError> {
        let what = format!("project {path}");
        self.wire.get(what, &["projects", path]).read::<Project>().await.map(Into::into)
    }

    async fn right_of(&self, at: &At, account: &Account) -> Result<Right, TalkError> {
        let id = account.id.to_string();
        // Of all who may because they are in the project, in a group above it, or in one that it was shared with
        // (https://docs.gitlab.com/api/project_members/).
        let asked = self.get(format!("member {id}"), at, &["members", "all", &id]).read::<Member>().await;
        let member = there(asked)?.filter(|member| member.is(account.id));
        Ok(member.map_or(Right::None, |member| member.right()))
    }

    async fn issue(&self, at: &At, number: u64) -> Result<Issue, TalkError> {
        let what = name(Subject::Issue(number));
        let issue: shapes::Issue = self.get(&what, at, &["issues", &number.to_string()]).read().await?;
        // It is closed here and goes on in another project.
        if issue.was_moved() { Err(self.missing(what)) } else { Ok(issue.into()) }
    }

    async fn pull(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        self.merge_request(at, number).await.map(Into::into)
    }

    async fn comments(
        &self,
        at: &At,
        subject: Subject,
        since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        self.said(at, subject, since, most).await
    }

    async fn remarks(&self, at: &At, pull: u64, _review: u64) -> Result<Vec<LineComment>, TalkError> {
        self.line_comments(at, pull).await
    }

    async fn say(&self, at: &At, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError> {
        self.note(at, subject, mark, body).await
    }

    async fn answer(
        &self,
        at: &At,
        pull: u64,
        place: &Remarked,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError> {
        self.reply(at, pull, &place.discussion, mark, body).await
    }

    async fn resolve(&self, at: &At, pull: u64, place: &Remarked) -> Result<bool, TalkError> {
        self.resolve_discussion(at, pull, &place.discussion).await
    }

    async fn review(&self, at: &At, pull: u64, mark: &Mark, wanted: &ReviewWanted) -> Result<(), TalkError> {
        self.review_lines(at, pull, mark, wanted).await
    }

    async fn react(&self, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
        self.award(at, to, reaction).await
    }

    async fn status(&self, at: &At, commit: &str, status: &CommitStatus) -> Result<(), TalkError> {
        self.say_status(at, commit, status).await
    }

    async fn check_log(
        &self,
        at: &At,
        commit: &str,
        check: &str,
        most: usize,
    ) -> Result<Option<String>, TalkError> {
        self.log_of(at, commit, check, most).await
    }

    async fn find_pull(&self, at: &At, branch: &str) -> Result<Option<Pull>, TalkError> {
        self.newest(at, branch, "all").await
    }

    async fn open_pull(&self, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError> {
        self.keep_open(at, wanted).await
    }

    async fn close_pull(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        self.close(at, number).await
    }

    async fn merge_pull(&self, at: &At, number: u64, commit: &str) -> Result<Pull, TalkError> {
        self.merge(at, number, commit).await
    }

    async fn git_credential(&self, _: &At) -> Result<GitCredential, TalkError> {
        // A token cannot be narrowed: git is told for which address it is. Any name that is not empty will do
        // (https://docs.gitlab.com/user/project/settings/project_access_tokens/).
        Ok(GitCredential { user: "cofferdam".to_owned(), password: self.token.clone() })
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
        self.look_around(at, branch).await
    }
}
