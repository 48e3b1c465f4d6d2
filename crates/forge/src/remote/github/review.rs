//! Reviews of pull requests (<https://docs.github.com/en/rest/pulls/reviews>): one request, so that a review is there as a whole or not at all.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{here::Here, speech::PAGE};
use crate::{
    hook::{Account, shapes},
    remote::{LineWanted, Mark, ReviewWanted, TalkError},
};

/// Reviews among which one of ours is looked for.
const MOST_SEARCHED: usize = 5_000;

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    body: Option<String>,
    user: Option<shapes::User>,
}

impl Said {
    fn is(self, mark: &Mark, me: &Account) -> bool {
        let by = self.user.map(Account::from);
        by.is_some_and(|by| by.id == me.id) && self.body.is_some_and(|body| mark.is_in(&body))
    }
}

impl Here<'_> {
    /// Reviews, unless that is done. Only as a comment: the event that GitHub calls so neither approves nor requests anything.
    pub(super) async fn review(
        &self,
        pull: u64,
        mark: &Mark,
        wanted: &ReviewWanted,
    ) -> Result<(), TalkError> {
        let me = self.github.account().await?;
        let number = pull.to_string();
        let path = ["pulls", number.as_str(), "reviews"];
        let ask = self.get(format!("reviews of pull request {pull}"), &path).query("per_page", PAGE);
        let there: Vec<Said> = self.pages(ask, MOST_SEARCHED).await?;
        if there.into_iter().any(|said| said.is(mark, me)) {
            return Ok(());
        }
        let mut body = json!({ "event": "COMMENT", "body": mark.below(&wanted.body) });
        if !wanted.lines.is_empty() {
            body["commit_id"] = wanted.commit.as_str().into();
            body["comments"] = wanted.lines.iter().map(line).collect();
        }
        let what = format!("a review of pull request {pull}");
        self.done(self.ask(Method::POST, what, &path).json(&body)).await
    }
}

fn line(line: &LineWanted) -> Value {
    json!({ "path": line.path, "line": line.line, "side": "RIGHT", "body": line.text })
}
