//! What is said below issues and pull requests, and reactions (<https://docs.github.com/en/rest/issues/comments>,
//! <https://docs.github.com/en/rest/reactions/reactions>).

use cofferdam_domain::{Subject, Timestamp};
use reqwest::Method;
use serde_json::json;

use super::here::Here;
use crate::{
    hook::{Comment, shapes},
    remote::{Mark, Reacted, Reaction, TalkError, wire::there},
};

/// The most that GitHub gives at once.
pub(super) const PAGE: usize = 100;
/// Comments among which one of ours is looked for.
const MOST_SEARCHED: usize = 20_000;

impl Here<'_> {
    pub(super) async fn comments(
        &self,
        subject: Subject,
        since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        let what = format!("comments below {}", number(subject));
        let ask = self.get(what, &["issues", &number(subject), "comments"]).query("per_page", PAGE);
        let ask = since.into_iter().fold(ask, |ask, since| ask.query("since", since.utc()));
        let found: Vec<shapes::Comment> = self.latest(ask, most).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    pub(super) async fn say(&self, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError> {
        let body = mark.below(body);
        let known = match self.github.remembered(&self.at, subject, mark) {
            Some(comment) => Some(comment),
            None => self.said(subject, mark).await?,
        };
        if let Some(comment) = known {
            let ask = self.ask(
                Method::PATCH,
                format!("comment {comment}"),
                &["issues", "comments", &comment.to_string()],
            );
            // Whoever may, can have deleted it.
            if there(self.done(ask.json(&json!({ "body": body }))).await)?.is_some() {
                self.github.remember(&self.at, subject, mark, comment);
                return Ok(comment);
            }
        }
        let what = format!("comment below {}", number(subject));
        let ask = self.ask(Method::POST, what, &["issues", &number(subject), "comments"]);
        let said: Comment = self.read::<shapes::Comment>(ask.json(&json!({ "body": body }))).await?.into();
        self.github.remember(&self.at, subject, mark, said.id);
        Ok(said.id)
    }

    async fn said(&self, subject: Subject, mark: &Mark) -> Result<Option<u64>, TalkError> {
        let me = self.github.account().await?;
        let all = self.comments(subject, Some(mark.not_before()), MOST_SEARCHED).await?;
        Ok(mark.find(&all, me).map(|comment| comment.id))
    }

    pub(super) async fn react(&self, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
        let content = match reaction {
            Reaction::Eyes => "eyes",
            Reaction::Done => "rocket",
            Reaction::Confused => "confused",
        };
        let path = match to {
            Reacted::Subject(subject) => {
                ["issues", &number(subject), "reactions"].map(ToOwned::to_owned).to_vec()
            }
            Reacted::Comment(_, comment) => {
                ["issues", "comments", &comment.to_string(), "reactions"].map(ToOwned::to_owned).to_vec()
            }
            Reacted::Line(_, comment) => {
                ["pulls", "comments", &comment.to_string(), "reactions"].map(ToOwned::to_owned).to_vec()
            }
        };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.done(self.ask(Method::POST, "reaction", &path).json(&json!({ "content": content }))).await
    }
}

/// GitHub numbers both alike.
fn number(subject: Subject) -> String {
    match subject {
        Subject::Issue(number) | Subject::Pull(number) => number.to_string(),
    }
}
