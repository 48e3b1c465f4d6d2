//! What is said below issues and merge requests and on lines, and signs that something was seen.
//!
//! <https://docs.gitlab.com/api/notes/>, <https://docs.gitlab.com/api/discussions/>, <https://docs.gitlab.com/api/emoji_reactions/>.

use cofferdam_domain::{Subject, Timestamp};
use reqwest::Method;
use serde_json::json;

use super::{
    GitLab, PER_PAGE, name, place,
    shapes::{Award, Discussion, Note},
};
use crate::{
    hook::{Account, Comment},
    remote::{
        At, LineComment, Mark, Reacted, Reaction, Talk as _, TalkError,
        wire::{Ask, there},
    },
};

/// Discussions of one merge request that are read.
const MOST_DISCUSSIONS: usize = 5_000;
/// Reactions of one kind of thing that are read.
const MOST_AWARDS: usize = 2_000;

impl GitLab {
    /// What people wrote below something and what was changed since, oldest first, at most `most`: not what GitLab says itself, and not what is on
    /// lines.
    pub(super) async fn said(
        &self,
        at: &At,
        subject: Subject,
        since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError> {
        let is_wanted = |note: &&Note| {
            let new = |since: Timestamp| note.updated().is_none_or(|updated| updated >= since);
            !note.system && !note.is_on_a_line() && since.is_none_or(new)
        };
        let enough = |all: &[Note]| all.iter().filter(is_wanted).count() >= most;
        let mut notes = self.notes(at, subject, "desc").pages_until(enough).await?;
        notes.retain(|note| is_wanted(&note));
        let mut latest: Vec<Comment> = notes.into_iter().take(most).map(Into::into).collect();
        latest.reverse();
        Ok(latest)
    }

    fn notes(&self, at: &At, subject: Subject, sort: &str) -> Ask<'_> {
        let (kind, number) = place(subject);
        let asked = self.get(format!("the notes of {}", name(subject)), at, &[kind, &number, "notes"]);
        asked.query("sort", sort).query("order_by", "created_at").query("per_page", PER_PAGE)
    }

    /// Says something, or changes what was said under the mark. Gives back the note's number.
    pub(super) async fn note(
        &self,
        at: &At,
        subject: Subject,
        mark: &Mark,
        body: &str,
    ) -> Result<u64, TalkError> {
        let me = self.me().await?;
        let (kind, number) = place(subject);
        // The newest first, as far back as there was the session.
        let enough = |all: &[Note]| {
            let is_old = |note: &Note| note.updated().is_some_and(|updated| updated < mark.not_before());
            ours(all, mark, &me).is_some() || all.last().is_some_and(is_old)
        };
        let there = self.notes(at, subject, "desc").pages_until(enough).await?;
        self.write(at, &[kind, &number, "notes"], ours(&there, mark, &me), &mark.below(body)).await
    }

    /// Answers in a discussion, or changes the answer that is there under the mark.
    pub(super) async fn reply(
        &self,
        at: &At,
        pull: u64,
        discussion: &str,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError> {
        let me = self.me().await?;
        let number = pull.to_string();
        let found = self.discussion(at, &number, discussion).await?;
        let all = ["merge_requests", number.as_str(), "discussions", discussion, "notes"];
        self.write(at, &all, ours(&found.notes, mark, &me), &mark.below(body)).await.map(drop)
    }

    /// Puts a note among those at a path, or this text in its place. GitLab has no more to do where the text is the same.
    async fn write(
        &self,
        at: &At,
        path: &[&str],
        there: Option<&Note>,
        body: &str,
    ) -> Result<u64, TalkError> {
        let text = json!({ "body": body });
        let Some(note) = there else {
            return self
                .ask(Method::POST, "a note", at, path)
                .json(&text)
                .read::<Written>()
                .await
                .map(|new| new.id);
        };
        if note.body != body {
            let id = note.id.to_string();
            let path = [path, &[id.as_str()]].concat();
            self.ask(Method::PUT, format!("note {id}"), at, &path).json(&text).done().await?;
        }
        Ok(note.id)
    }

    async fn discussion(&self, at: &At, pull: &str, discussion: &str) -> Result<Discussion, TalkError> {
        let path = ["merge_requests", pull, "discussions", discussion];
        self.get(format!("a discussion of merge request {pull}"), at, &path).read().await
    }

    /// What is said about lines.
    pub(super) async fn line_comments(&self, at: &At, pull: u64) -> Result<Vec<LineComment>, TalkError> {
        let number = pull.to_string();
        let asked = self.get(name(Subject::Pull(pull)), at, &["merge_requests", &number, "discussions"]);
        let discussions: Vec<Discussion> = asked.query("per_page", PER_PAGE).pages(MOST_DISCUSSIONS).await?;
        Ok(discussions.into_iter().flat_map(Discussion::line_comments).collect())
    }

    /// Marks a discussion as resolved; `false` where it is none that can be.
    pub(super) async fn resolve_discussion(
        &self,
        at: &At,
        pull: u64,
        discussion: &str,
    ) -> Result<bool, TalkError> {
        let number = pull.to_string();
        let found = self.discussion(at, &number, discussion).await?;
        if !found.notes.iter().any(|note| note.resolvable) {
            return Ok(false);
        }
        let path = ["merge_requests", number.as_str(), "discussions", discussion];
        let what = format!("a discussion of merge request {number}");
        self.ask(Method::PUT, what, at, &path).json(&json!({ "resolved": true })).done().await.map(|()| true)
    }

    /// Reacts, once.
    pub(super) async fn award(&self, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError> {
        let name = match reaction {
            Reaction::Eyes => "eyes",
            Reaction::Done => "rocket",
            Reaction::Confused => "confused",
        };
        let (subject, note) = match to {
            Reacted::Subject(subject) => (subject, None),
            Reacted::Comment(subject, note) | Reacted::Line(subject, note) => {
                (subject, Some(note.to_string()))
            }
        };
        let (kind, number) = place(subject);
        let mut path = vec![kind, number.as_str()];
        if let Some(note) = &note {
            path.extend(["notes", note]);
        }
        path.push("award_emoji");
        let me = self.me().await?;
        if self.is_awarded(at, &path, name, &me).await? {
            return Ok(());
        }
        let asked =
            self.ask(Method::POST, "a reaction", at, &path).json(&json!({ "name": name })).done().await;
        // Where it is there already, which somebody else with the same token was quicker with, GitLab says that it is not.
        match there(asked)? {
            Some(()) => Ok(()),
            None if self.is_awarded(at, &path, name, &me).await? => Ok(()),
            None => Err(self.missing("what is reacted to".to_owned())),
        }
    }

    async fn is_awarded(&self, at: &At, path: &[&str], name: &str, me: &Account) -> Result<bool, TalkError> {
        let asked = self.get("what is reacted to", at, path).query("per_page", PER_PAGE);
        let awards: Vec<Award> = asked.pages(MOST_AWARDS).await?;
        Ok(awards.iter().any(|award| award.name == name && award.user.id == me.id))
    }
}

#[derive(serde::Deserialize)]
struct Written {
    id: u64,
}

/// Our note with the mark.
fn ours<'n>(notes: &'n [Note], mark: &Mark, me: &Account) -> Option<&'n Note> {
    notes.iter().find(|note| note.is_by(me) && mark.is_in(&note.body))
}
