//! Pull requests of ours (<https://docs.github.com/en/rest/pulls/pulls>).

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{here::Here, speech::PAGE};
use crate::{
    hook::{Pull, PullState, shapes},
    remote::{PullWanted, TalkError, is_ours},
};

/// How a repository lets pull requests be merged. Told only to whoever may push.
#[derive(Deserialize)]
struct Merging {
    allow_merge_commit: Option<bool>,
    allow_squash_merge: Option<bool>,
    allow_rebase_merge: Option<bool>,
}

impl Merging {
    /// So that the history says most.
    fn method(&self) -> &'static str {
        let ways = [
            (self.allow_merge_commit, "merge"),
            (self.allow_squash_merge, "squash"),
            (self.allow_rebase_merge, "rebase"),
        ];
        ways.into_iter().find(|(allowed, _)| allowed != &Some(false)).map_or("merge", |(_, method)| method)
    }
}

impl Here<'_> {
    pub(super) async fn find_pull(&self, branch: &str) -> Result<Option<Pull>, TalkError> {
        let (owner, _) = self.at.path.split_once('/').unwrap_or((&self.at.path, ""));
        let ask = self
            .get(format!("pull requests of {branch}"), &["pulls"])
            .query("head", format!("{owner}:{branch}"))
            .query("state", "all")
            .query("sort", "created")
            .query("direction", "desc")
            .query("per_page", PAGE);
        // What it does not understand of a query, GitHub leaves out.
        let found: Vec<shapes::Pull> = self.pages(ask, PAGE).await?;
        let mut found = found.into_iter().map(Pull::from);
        Ok(found.find(|pull| pull.branch == branch && pull.head_repository == Some(self.at.id)))
    }

    pub(super) async fn open_pull(&self, wanted: &PullWanted) -> Result<Pull, TalkError> {
        if let Some(open) = self.open_one(wanted).await? {
            return self.update(open, wanted).await;
        }
        let refused = match self.open(wanted, wanted.draft).await {
            // Private repositories of some plans have no drafts.
            Err(TalkError::Refused { reason, .. })
                if wanted.draft && reason.to_lowercase().contains("draft") =>
            {
                self.open(wanted, false).await
            }
            answered => answered,
        };
        match refused {
            // Somebody was quicker.
            Err(TalkError::Refused { forge, what, reason }) => match self.open_one(wanted).await? {
                Some(open) => self.update(open, wanted).await,
                None => Err(TalkError::Refused { forge, what, reason }),
            },
            answered => answered,
        }
    }

    async fn open_one(&self, wanted: &PullWanted) -> Result<Option<Pull>, TalkError> {
        let found = self.find_pull(&wanted.branch).await?;
        Ok(found.filter(|pull| pull.state == PullState::Open))
    }

    async fn open(&self, wanted: &PullWanted, draft: bool) -> Result<Pull, TalkError> {
        let PullWanted { branch, base, title, body, draft: _ } = wanted;
        let body = json!({ "title": title, "head": branch, "base": base, "body": body, "draft": draft });
        let ask = self.ask(Method::POST, format!("pull request of {branch}"), &["pulls"]).json(&body);
        Ok(self.read::<shapes::Pull>(ask).await?.into())
    }

    /// Whether it is a draft stays as it is: people may have decided that.
    async fn update(&self, open: Pull, wanted: &PullWanted) -> Result<Pull, TalkError> {
        let PullWanted { branch: _, base, title, body, draft: _ } = wanted;
        if (&open.base, &open.title, &open.body) == (base, title, body) {
            return Ok(open);
        }
        self.change(open.number, &json!({ "title": title, "base": base, "body": body })).await
    }

    async fn change(&self, number: u64, change: &serde_json::Value) -> Result<Pull, TalkError> {
        let what = format!("pull request {number}");
        let ask = self.ask(Method::PATCH, what, &["pulls", &number.to_string()]).json(change);
        Ok(self.read::<shapes::Pull>(ask).await?.into())
    }

    pub(super) async fn close_pull(&self, number: u64) -> Result<Pull, TalkError> {
        let pull = self.our_pull(number).await?;
        match pull.state {
            PullState::Open => self.change(number, &json!({ "state": "closed" })).await,
            PullState::Closed | PullState::Merged => Ok(pull),
        }
    }

    pub(super) async fn merge_pull(&self, number: u64, commit: &str) -> Result<Pull, TalkError> {
        let pull = self.our_pull(number).await?;
        match pull.state {
            PullState::Open => {}
            PullState::Merged if pull.commit == commit => return Ok(pull),
            PullState::Closed | PullState::Merged => {
                return Err(self.refused(number, "it is closed, or was merged at another commit"));
            }
        }
        let merging: Merging = self.read(self.get("repository", &[])).await?;
        let body = json!({ "sha": commit, "merge_method": merging.method() });
        let path = ["pulls", &number.to_string(), "merge"];
        self.done(self.ask(Method::PUT, format!("merging of pull request {number}"), &path).json(&body))
            .await?;
        self.pull(number).await
    }

    /// One that this platform has opened: nothing else is closed or merged.
    async fn our_pull(&self, number: u64) -> Result<Pull, TalkError> {
        let pull = self.pull(number).await?;
        if is_ours(&self.at, &pull) {
            return Ok(pull);
        }
        Err(self.refused(number, "it is not one that this platform has opened"))
    }

    fn refused(&self, number: u64, why: &str) -> TalkError {
        TalkError::Refused {
            forge: self.github.wire.forge().to_owned(),
            what: format!("pull request {number}"),
            reason: why.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_says_how_it_is_merged() {
        let method = |text: &str| serde_json::from_str::<Merging>(text).unwrap().method();
        assert_eq!(method("{}"), "merge");
        assert_eq!(method(r#"{"allow_merge_commit":false}"#), "squash");
        assert_eq!(
            method(r#"{"allow_merge_commit":false,"allow_squash_merge":false,"allow_rebase_merge":true}"#),
            "rebase"
        );
    }
}
