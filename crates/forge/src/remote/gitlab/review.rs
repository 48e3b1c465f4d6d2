//! Reviews of merge requests. GitLab has no such thing as a whole: each remark on a line is a discussion of its own, under a mark of its own, and
//! what is said of all stands in a note, which is written last (<https://docs.gitlab.com/api/discussions/#create-a-new-thread-in-the-merge-request-diff>).

use cofferdam_domain::Subject;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitLab, name};
use crate::remote::{At, LineWanted, Mark, ReviewWanted, Talk as _, TalkError};

/// A merge request's present version, by which lines are named.
#[derive(Deserialize)]
struct Shown {
    diff_refs: Option<Refs>,
}

#[derive(Deserialize)]
struct Refs {
    base_sha: String,
    start_sha: String,
    head_sha: String,
}

impl Refs {
    fn position(&self, line: &LineWanted) -> Value {
        let mut position = json!({
            "base_sha": self.base_sha,
            "start_sha": self.start_sha,
            "head_sha": self.head_sha,
            "position_type": "text",
            "old_path": line.path,
            "new_path": line.path,
            "new_line": line.line,
        });
        // A line that the change leaves as it was has both its numbers.
        if let Some(before) = line.before {
            position["old_line"] = before.into();
        }
        position
    }
}

impl GitLab {
    /// Reviews, as far as that is not done.
    pub(super) async fn review_lines(
        &self,
        at: &At,
        pull: u64,
        mark: &Mark,
        wanted: &ReviewWanted,
    ) -> Result<(), TalkError> {
        if !wanted.lines.is_empty() {
            let refs = self.refs(at, pull, &wanted.commit).await?;
            let (me, said) = (self.me().await?, self.line_comments(at, pull).await?);
            for (place, line) in (1..).zip(&wanted.lines) {
                let own = Mark { session: mark.session, what: format!("{}-{place}", mark.what) };
                if mark_is_there(&own, &said, me.id) {
                    continue;
                }
                let body = json!({ "body": own.below(&line.text), "position": refs.position(line) });
                let path = ["merge_requests", &pull.to_string(), "discussions"];
                self.ask(Method::POST, "a remark on a line", at, &path).json(&body).done().await?;
            }
        }
        self.note(at, Subject::Pull(pull), mark, &wanted.body).await.map(drop)
    }

    async fn refs(&self, at: &At, pull: u64, commit: &str) -> Result<Refs, TalkError> {
        let what = name(Subject::Pull(pull));
        let asked = self.get(&what, at, &["merge_requests", &pull.to_string()]);
        let refs = asked.read::<Shown>().await?.diff_refs.filter(|refs| refs.head_sha == commit);
        refs.ok_or_else(|| self.refused(what, "its branch has other commits by now"))
    }
}

fn mark_is_there(mark: &Mark, said: &[crate::remote::LineComment], me: u64) -> bool {
    said.iter().any(|said| said.comment.author.id == me && mark.is_in(&said.comment.body))
}
