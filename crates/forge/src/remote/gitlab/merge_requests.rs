//! Merge requests (<https://docs.gitlab.com/api/merge_requests/>).

use cofferdam_domain::Subject;
use reqwest::Method;
use serde_json::{Value, json};

use super::{GitLab, PER_PAGE, name, shapes::MergeRequest};
use crate::{
    hook::{Pull, PullState},
    remote::{At, PullWanted, TalkError, is_ours},
};

/// What the title of a draft begins with (<https://docs.gitlab.com/user/project/merge_requests/drafts/>): this is written, the others are read.
const DRAFT: &str = "Draft: ";
const DRAFTS: [&str; 3] = ["draft:", "[draft]", "(draft)"];
/// Merge requests of one branch that are looked at.
const MOST_OF_A_BRANCH: usize = 200;

impl GitLab {
    pub(super) async fn merge_request(&self, at: &At, number: u64) -> Result<MergeRequest, TalkError> {
        self.get(name(Subject::Pull(number)), at, &["merge_requests", &number.to_string()]).read().await
    }

    /// The newest one of a branch of the project.
    pub(super) async fn newest(&self, at: &At, branch: &str, state: &str) -> Result<Option<Pull>, TalkError> {
        let asked = self.get(format!("the merge request of branch {branch}"), at, &["merge_requests"]);
        let asked = asked.query("source_branch", branch).query("state", state).query("per_page", PER_PAGE);
        let found: Vec<MergeRequest> = asked.pages(MOST_OF_A_BRANCH).await?;
        let own = found.into_iter().filter(|one| one.is_of(at.id, branch));
        Ok(own.map(Pull::from).max_by_key(|pull| pull.number))
    }

    /// Opens one, or brings the open one of that branch up to date.
    pub(super) async fn keep_open(&self, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError> {
        let PullWanted { branch, base, title, body, draft } = wanted;
        if let Some(found) = self.newest(at, branch, "opened").await? {
            return self.bring_up_to_date(at, found, wanted).await;
        }
        let document = json!({
            "source_branch": branch,
            "target_branch": base,
            "title": titled(title, *draft),
            "description": body,
            "remove_source_branch": false,
        });
        let what = format!("a merge request of branch {branch}");
        let asked = self.ask(Method::POST, what, at, &["merge_requests"]).json(&document);
        match asked.read::<MergeRequest>().await {
            Ok(opened) => Ok(opened.into()),
            // "Another open merge request already exists": somebody else may have been quicker.
            Err(error @ TalkError::Refused { .. }) => match self.newest(at, branch, "opened").await? {
                Some(found) => self.bring_up_to_date(at, found, wanted).await,
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Changes what is another. Whether it is a draft stays as people have made it.
    async fn bring_up_to_date(&self, at: &At, found: Pull, wanted: &PullWanted) -> Result<Pull, TalkError> {
        let title = titled(&wanted.title, found.draft);
        if found.title == title && found.body == wanted.body && found.base == wanted.base {
            return Ok(found);
        }
        let document = json!({ "title": title, "description": wanted.body, "target_branch": wanted.base });
        self.change(at, found.number, &document).await
    }

    async fn change(&self, at: &At, number: u64, document: &Value) -> Result<Pull, TalkError> {
        let path = ["merge_requests", &number.to_string()];
        let asked = self.ask(Method::PUT, name(Subject::Pull(number)), at, &path).json(document);
        asked.read::<MergeRequest>().await.map(Into::into)
    }

    pub(super) async fn close(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        let found = self.ours(at, number).await?;
        match found.state {
            PullState::Open => self.change(at, number, &json!({ "state_event": "close" })).await,
            PullState::Closed | PullState::Merged => Ok(found),
        }
    }

    /// Merges at exactly this commit.
    pub(super) async fn merge(&self, at: &At, number: u64, commit: &str) -> Result<Pull, TalkError> {
        let found = self.ours(at, number).await?;
        let what = format!("merging {}", name(Subject::Pull(number)));
        match found.state {
            PullState::Merged => return Ok(found),
            PullState::Closed => return Err(self.refused(what, "it is closed: open it again there first")),
            PullState::Open if found.draft => {
                return Err(self.refused(what, "it is a draft: mark it as ready there first"));
            }
            PullState::Open if found.commit != commit => {
                return Err(self.refused(what, "its branch has other commits by now: look at them first"));
            }
            PullState::Open => {}
        }
        let path = ["merge_requests", &number.to_string(), "merge"];
        let document = json!({ "sha": commit, "should_remove_source_branch": false });
        let asked = self.ask(Method::PUT, what, at, &path).json(&document);
        match asked.read::<MergeRequest>().await {
            Ok(merged) => Ok(merged.into()),
            Err(TalkError::Refused { .. }) if self.merge_request(at, number).await?.is_being_looked_at() => {
                Err(self.wire.for_now("it is still looking whether the merge request can be merged"))
            }
            Err(error) => Err(error),
        }
    }

    /// A merge request, if it is one of this platform.
    async fn ours(&self, at: &At, number: u64) -> Result<Pull, TalkError> {
        let found = Pull::from(self.merge_request(at, number).await?);
        if is_ours(at, &found) {
            return Ok(found);
        }
        let what = format!("a change to {}", name(Subject::Pull(number)));
        Err(self.refused(what, "its branch is no session's: do it there"))
    }
}

/// The title as one of a draft or of none, whatever it was before.
fn titled(title: &str, draft: bool) -> String {
    let mut rest = title.trim();
    while let Some(end) = DRAFTS.iter().find_map(|mark| {
        let begins = rest.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
        begins.then_some(mark.len())
    }) {
        rest = rest[end..].trim_start();
    }
    if draft { format!("{DRAFT}{rest}") } else { rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_says_once_whether_it_is_one_of_a_draft() {
        for title in ["Fix it", "Draft: Fix it", "[DRAFT] Fix it", "(draft) draft:Fix it", " Fix it "] {
            assert_eq!(titled(title, false), "Fix it", "{title}");
            assert_eq!(titled(title, true), "Draft: Fix it", "{title}");
        }
        assert_eq!(titled("Drafts: é", true), "Draft: Drafts: é");
        assert_eq!(titled("éééééé", false), "éééééé");
    }
}
