//! Comments below issues and pull requests, and reactions.

use cofferdam_domain::{Subject, Timestamp};
use reqwest::Method;
use serde_json::json;

use super::Gitea;
use crate::{
    hook::{Comment, shapes as objects},
    remote::{At, Mark, Reacted, Reaction, Talk as _, TalkError},
};

/// Bytes of a list of comments, which does not come in pages: about 30,000 comments.
const LARGEST_LIST: usize = 64 << 20;

/// Pull requests have their numbers among the issues.
const fn number(subject: Subject) -> u64 {
    match subject {
        Subject::Issue(number) | Subject::Pull(number) => number,
    }
}

fn name(subject: Subject) -> String {
    match subject {
        Subject::Issue(number) => format!("issue {number}"),
        Subject::Pull(number) => format!("pull request {number}"),
    }
}

/// The comments that were written or changed since, oldest first.
pub(super) async fn list(
    forge: &Gitea,
    at: &At,
    subject: Subject,
    since: Option<Timestamp>,
) -> Result<Vec<Comment>, TalkError> {
    let what = format!("the comments of {}", name(subject));
    let mut asked = forge.see(at, what, &["issues", &number(subject).to_string(), "comments"]).await?;
    if let Some(since) = since {
        asked = asked.query("since", since.utc());
    }
    match asked.largest(LARGEST_LIST).read::<Vec<objects::Comment>>().await {
        Ok(all) => Ok(all.into_iter().map(Into::into).collect()),
        // Of what is not there Gitea answers 500, which would be asked again and again.
        Err(error @ TalkError::ForNow { again: None, .. }) => {
            forge.see(at, name(subject), &["issues", &number(subject).to_string()]).await?.done().await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn say(
    forge: &Gitea,
    at: &At,
    subject: Subject,
    mark: &Mark,
    body: &str,
) -> Result<u64, TalkError> {
    let (me, body) = (forge.me().await?, mark.below(body));
    let all = list(forge, at, subject, Some(mark.not_before())).await?;
    if let Some(said) = mark.find(&all, &me) {
        if said.body != body {
            change(forge, at, said.id, &body).await?;
        }
        return Ok(said.id);
    }
    let (place, what) = (forge.place(at).await?, format!("a comment below {}", name(subject)));
    let path = ["issues", &number(subject).to_string(), "comments"];
    let asked = forge.ask(&place, Method::POST, what, &path).json(&json!({ "body": body }));
    let said: objects::Comment = asked.read().await?;
    Ok(Comment::from(said).id)
}

/// Changes the text of a comment, below something or on a line.
pub(super) async fn change(forge: &Gitea, at: &At, id: u64, body: &str) -> Result<(), TalkError> {
    let (place, id) = (forge.place(at).await?, id.to_string());
    let asked = forge.ask(&place, Method::PATCH, format!("comment {id}"), &["issues", "comments", &id]);
    asked.json(&json!({ "body": body })).done().await
}

pub(super) async fn react(forge: &Gitea, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
    let content = match reaction {
        Reaction::Eyes => "eyes",
        Reaction::Done => "rocket",
        Reaction::Confused => "confused",
    };
    let (place, subject, comment);
    let path: &[&str] = match to {
        Reacted::Subject(of) => {
            subject = number(of).to_string();
            &["issues", &subject, "reactions"]
        }
        Reacted::Comment(_, id) | Reacted::Line(_, id) => {
            comment = id.to_string();
            &["issues", "comments", &comment, "reactions"]
        }
    };
    place = forge.place(at).await?;
    // Twice is once.
    forge.ask(&place, Method::POST, "a reaction", path).json(&json!({ "content": content })).done().await
}
