//! Discussions of lines: what reviews say, answers, and marking them as resolved, which only GraphQL can
//! (<https://docs.github.com/en/rest/pulls/comments>, <https://docs.github.com/en/graphql/reference/mutations#resolvereviewthread>).

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{here::Here, speech::PAGE};
use crate::{
    hook::{Comment, shapes},
    remote::{LineComment, Mark, Remarked, TalkError, wire::there},
};

/// Remarks of one pull request that are looked at.
const MOST_REMARKS: usize = 10_000;
/// Pages of discussions, each a hundred.
const MOST_PAGES: usize = 50;

pub(super) const THREADS: &str = "query($owner: String!, $name: String!, $pull: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $pull) {
      reviewThreads(first: 100, after: $after) {
        nodes { id isResolved comments(first: 1) { nodes { id } } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}";

pub(super) const RESOLVE: &str = "mutation($thread: ID!) {
  resolveReviewThread(input: { threadId: $thread }) { thread { id isResolved } }
}";

/// A remark, with the review that it is part of.
#[derive(Deserialize)]
struct OfReview {
    #[serde(flatten)]
    comment: shapes::Comment,
    pull_request_review_id: Option<u64>,
}

#[derive(Deserialize)]
struct Named {
    node_id: String,
}

/// An answer in GraphQL: errors come with status 200.
#[derive(Deserialize)]
struct Answered<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfRepository {
    repository: Option<OfPull>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfPull {
    pull_request: Option<Threads>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Threads {
    review_threads: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    nodes: Vec<Thread>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: String,
    is_resolved: bool,
    comments: Firsts,
}

#[derive(Deserialize)]
struct Firsts {
    nodes: Vec<First>,
}

#[derive(Deserialize)]
struct First {
    id: String,
}

impl Here<'_> {
    /// The list of one review's comments lacks their lines, so all are asked for.
    pub(super) async fn remarks(&self, pull: u64, review: u64) -> Result<Vec<LineComment>, TalkError> {
        let all = self.all_remarks(pull).await?;
        let of_it = all.into_iter().filter(|of| review == 0 || of.pull_request_review_id == Some(review));
        let placed =
            |of: OfReview| of.comment.line().map(|place| LineComment { comment: of.comment.into(), place });
        Ok(of_it.filter_map(placed).collect())
    }

    async fn all_remarks(&self, pull: u64) -> Result<Vec<OfReview>, TalkError> {
        let what = format!("remarks on pull request {pull}");
        let ask = self.get(what, &["pulls", &pull.to_string(), "comments"]).query("per_page", PAGE);
        self.pages(ask, MOST_REMARKS).await
    }

    pub(super) async fn answer(
        &self,
        pull: u64,
        place: &Remarked,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError> {
        let body = json!({ "body": mark.below(body) });
        let me = self.github.account().await?;
        let first = first_of(place);
        let all = self.all_remarks(pull).await?.into_iter().map(|of| of.comment);
        let of_it: Vec<Comment> = all
            .filter(|comment| comment.line().is_some_and(|line| line.discussion == first))
            .map(Into::into)
            .collect();
        if let Some(known) = mark.find(&of_it, me) {
            let path = ["pulls", "comments", &known.id.to_string()];
            return self
                .done(self.ask(Method::PATCH, format!("remark {}", known.id), &path).json(&body))
                .await;
        }
        // Only a discussion's first comment can be answered.
        let what = format!("answer to remark {}", place.comment);
        let path = ["pulls", &pull.to_string(), "comments", &first, "replies"];
        self.done(self.ask(Method::POST, what, &path).json(&body)).await
    }

    /// `false` where the app or account may not, which is something that GitHub decides for each kind of credential.
    pub(super) async fn resolve(&self, pull: u64, place: &Remarked) -> Result<bool, TalkError> {
        let first = first_of(place);
        let ask = self.get(format!("remark {first}"), &["pulls", "comments", &first]);
        let first: Named = self.read(ask).await?;
        let Some(thread) = self.thread(pull, &first.node_id).await? else {
            let what = format!("discussion of remark {}", place.comment);
            return Err(TalkError::Missing { forge: self.github.wire.forge().to_owned(), what });
        };
        if thread.is_resolved {
            return Ok(true);
        }
        let resolved = self.graphql::<Value>(RESOLVE, &json!({ "thread": thread.id })).await;
        match resolved {
            Ok(_) => Ok(true),
            Err(TalkError::Forbidden { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn thread(&self, pull: u64, first: &str) -> Result<Option<Thread>, TalkError> {
        let (owner, name) = self.at.path.split_once('/').unwrap_or((&self.at.path, ""));
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let variables = json!({ "owner": owner, "name": name, "pull": pull, "after": after });
            let found = there(self.graphql::<OfRepository>(THREADS, &variables).await)?;
            let Some(pull) = found.and_then(|found| found.repository?.pull_request) else { return Ok(None) };
            let Page { nodes, page_info } = pull.review_threads;
            let is_it =
                |thread: &Thread| thread.comments.nodes.first().is_some_and(|comment| comment.id == first);
            if let Some(thread) = nodes.into_iter().find(is_it) {
                return Ok(Some(thread));
            }
            after = match page_info.end_cursor.filter(|_| page_info.has_next_page) {
                Some(after) => Some(after),
                None => return Ok(None),
            };
        }
        Ok(None)
    }

    async fn graphql<T: serde::de::DeserializeOwned>(
        &self,
        query: &str,
        variables: &Value,
    ) -> Result<T, TalkError> {
        let what = "discussions of lines";
        let body = json!({ "query": query, "variables": variables });
        let ask = self.github.wire.graphql(what).json(&body);
        let Answered { data, errors } = self.read::<Answered<T>>(ask).await?;
        let forge = self.github.wire.forge().to_owned();
        match (errors.into_iter().next(), data) {
            (None, Some(data)) => Ok(data),
            (None, None) => Err(self.github.wire.malformed(what, "it has neither data nor errors")),
            (Some(fault), _) => Err(match fault.kind.as_str() {
                "NOT_FOUND" => TalkError::Missing { forge, what: what.to_owned() },
                "FORBIDDEN" | "INSUFFICIENT_SCOPES" => TalkError::Forbidden { forge, reason: fault.message },
                "RATE_LIMITED" => TalkError::ForNow { forge, reason: fault.message, again: None },
                _ => TalkError::Refused { forge, what: what.to_owned(), reason: fault.message },
            }),
        }
    }
}

/// The first comment of the discussion, which names it.
fn first_of(place: &Remarked) -> String {
    if place.discussion.is_empty() { place.comment.to_string() } else { place.discussion.clone() }
}
