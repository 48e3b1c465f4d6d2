//! Reviews and what they say about lines.
//!
//! There is no way to answer a comment on a line but another review with a comment on the same line: what is on one line is shown as one
//! discussion.

use cofferdam_domain::Subject;
use reqwest::Method;
use serde_json::json;

use super::{
    Gitea, PAGE, comments,
    shapes::{Remark, Review},
};
use crate::remote::{
    At, LineComment, LineWanted, Mark, Remarked, ReviewWanted, Talk as _, TalkError, wire::there,
};

/// Reviews of a pull request that are listed.
const MOST: usize = 5_000;
/// The latest reviews with comments on lines that are looked at.
const LATEST: usize = 100;

pub(super) async fn remarks(
    forge: &Gitea,
    at: &At,
    pull: u64,
    review: u64,
) -> Result<Vec<LineComment>, TalkError> {
    let all = if review == 0 { latest(forge, at, pull).await? } else { of(forge, at, pull, review).await? };
    Ok(all.into_iter().map(Into::into).collect())
}

/// What the latest reviews say about lines, in the order in which it was said.
async fn latest(forge: &Gitea, at: &At, pull: u64) -> Result<Vec<Remark>, TalkError> {
    let mut all = Vec::new();
    let reviews = list(forge, at, pull).await?;
    for review in reviews.iter().rev().filter(|review| review.comments_count > 0).take(LATEST) {
        all.extend(of(forge, at, pull, review.id).await?);
    }
    all.sort_by_key(|remark| remark.id);
    Ok(all)
}

/// The reviews, oldest first.
pub(super) async fn list(forge: &Gitea, at: &At, pull: u64) -> Result<Vec<Review>, TalkError> {
    let what = format!("the reviews of pull request {pull}");
    let asked = forge.see(at, what, &["pulls", &pull.to_string(), "reviews"]).await?;
    let mut all: Vec<Review> = asked.query("limit", PAGE).pages(MOST).await?;
    all.sort_by_key(|review| review.id);
    Ok(all)
}

/// What one review says about lines.
async fn of(forge: &Gitea, at: &At, pull: u64, review: u64) -> Result<Vec<Remark>, TalkError> {
    let what = format!("review {review} of pull request {pull}");
    let path = ["pulls", &pull.to_string(), "reviews", &review.to_string(), "comments"];
    let mut all: Vec<Remark> = forge.see(at, what, &path).await?.read().await?;
    all.sort_by_key(|remark| remark.id);
    Ok(all)
}

/// Reviews, unless that is done. Gitea writes a review's remarks before it submits it: one that was cut off in between is thrown away first.
pub(super) async fn review(
    forge: &Gitea,
    at: &At,
    pull: u64,
    mark: &Mark,
    wanted: &ReviewWanted,
) -> Result<(), TalkError> {
    let me = forge.me().await?;
    let (place, number) = (forge.place(at).await?, pull.to_string());
    for known in list(forge, at, pull).await? {
        let mine = known.user.as_ref().is_some_and(|user| user.id == me.id);
        if mine && known.is_pending() {
            let path = ["pulls", &number, "reviews", &known.id.to_string()];
            let what = format!("review {} of pull request {pull}", known.id);
            there(forge.ask(&place, Method::DELETE, what, &path).done().await)?;
        } else if mine && mark.is_in(&known.body) {
            return Ok(());
        }
    }
    let line = |line: &LineWanted| json!({ "path": line.path, "body": line.text, "new_position": line.line });
    let mut body = json!({ "event": "COMMENT", "body": mark.below(&wanted.body) });
    if !wanted.lines.is_empty() {
        body["commit_id"] = wanted.commit.as_str().into();
        body["comments"] = wanted.lines.iter().map(line).collect();
    }
    let what = format!("a review of pull request {pull}");
    let asked = forge.ask(&place, Method::POST, what, &["pulls", &number, "reviews"]);
    asked.json(&body).done().await
}

pub(super) async fn answer(
    forge: &Gitea,
    at: &At,
    pull: u64,
    place: &Remarked,
    mark: &Mark,
    body: &str,
) -> Result<(), TalkError> {
    if let Some(said) = answered(forge, at, pull, mark).await? {
        let wanted = mark.below(body);
        return if said.comment.body == wanted {
            Ok(())
        } else {
            comments::change(forge, at, said.comment.id, &wanted).await
        };
    }
    let Some(remark) = find(forge, at, pull, place).await? else {
        // It was deleted since, or is elsewhere: the answer is not lost.
        return comments::say(forge, at, Subject::Pull(pull), mark, body).await.map(drop);
    };
    let side = if remark.position == 0 { "old_position" } else { "new_position" };
    let line = remark.position.max(remark.original_position);
    let said = json!({ "path": remark.path, "body": mark.below(body), side: line });
    let place = forge.place(at).await?;
    let what = format!("an answer in pull request {pull}");
    let asked = forge.ask(&place, Method::POST, what, &["pulls", &pull.to_string(), "reviews"]);
    asked.json(&json!({ "event": "COMMENT", "body": "", "comments": [said] })).done().await
}

/// What stands there under the mark.
async fn answered(forge: &Gitea, at: &At, pull: u64, mark: &Mark) -> Result<Option<LineComment>, TalkError> {
    let (me, since) = (forge.me().await?, mark.not_before());
    for review in list(forge, at, pull).await?.iter().rev().filter(|review| review.comments_count > 0) {
        let mine = review.user.as_ref().is_some_and(|user| user.id == me.id);
        if !mine || review.submitted().is_some_and(|at| at < since) {
            continue;
        }
        let all = of(forge, at, pull, review.id).await?.into_iter().map(LineComment::from);
        let said = all.into_iter().find(|said| mark.find([&said.comment], &me).is_some());
        if said.is_some() {
            return Ok(said);
        }
    }
    Ok(None)
}

/// The comment that is answered.
async fn find(forge: &Gitea, at: &At, pull: u64, place: &Remarked) -> Result<Option<Remark>, TalkError> {
    let review = place.discussion.parse().unwrap_or(0);
    let known = match review {
        0 => None,
        review => there(of(forge, at, pull, review).await)?,
    };
    let the_one = |all: Vec<Remark>| all.into_iter().find(|remark| remark.id == place.comment);
    match known.and_then(the_one) {
        Some(remark) => Ok(Some(remark)),
        None => Ok(the_one(latest(forge, at, pull).await?)),
    }
}

/// Gitea can do it since 1.26.
pub(super) async fn resolve(forge: &Gitea, at: &At, place: &Remarked) -> Result<bool, TalkError> {
    let (here, id) = (forge.place(at).await?, place.comment.to_string());
    let what = format!("resolving the discussion of comment {id}");
    match forge.ask(&here, Method::POST, what, &["pulls", "comments", &id, "resolve"]).done().await {
        Ok(()) => Ok(true),
        Err(TalkError::Missing { .. }) => Ok(false),
        Err(TalkError::Refused { reason, .. }) if reason.starts_with("405") => Ok(false),
        Err(error) => Err(error),
    }
}
