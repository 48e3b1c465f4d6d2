//! Pull requests.
//!
//! A draft is a pull request whose title begins with a word for that, which everybody can put there and take away
//! (<https://docs.gitea.com/usage/pull-request>): it is put there when the pull request is opened, and stays as it is from then on.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Gitea, PAGE, shapes};
use crate::{
    hook::{Pull, PullState},
    remote::{At, PullWanted, TalkError, is_ours, made, session_of},
};

/// The word that is put there, and those that Gitea takes for one unless it is told others.
const DRAFT: &str = "WIP: ";
const DRAFTS: [&str; 2] = ["WIP:", "[WIP]"];
/// Pull requests that are looked through for a branch that is no session's.
const MOST: usize = 1_000;

pub(super) async fn look(forge: &Gitea, at: &At, number: u64) -> Result<Pull, TalkError> {
    let asked = forge.see(at, name(number), &["pulls", &number.to_string()]).await?;
    Ok(asked.read::<shapes::Pull>().await?.into())
}

fn name(number: u64) -> String {
    format!("pull request {number}")
}

/// The newest pull request of a branch in this state. Gitea cannot be asked for it: all are looked through, the newest first, as far back as
/// there was the session.
pub(super) async fn find(
    forge: &Gitea,
    at: &At,
    branch: &str,
    state: &str,
) -> Result<Option<Pull>, TalkError> {
    let begin = session_of(branch).map(made);
    let is_it = |pull: &shapes::Pull| pull.is_of(at.id, branch);
    let is_old = |pull: &shapes::Pull| begin.zip(pull.created()).is_some_and(|(begin, made)| made < begin);
    let enough = |all: &[shapes::Pull]| {
        // Each page is looked at as it comes.
        let page = &all[all.len().saturating_sub(PAGE)..];
        page.iter().any(|pull| is_it(pull) || is_old(pull)) || begin.is_none() && all.len() >= MOST
    };
    let asked = forge.see(at, format!("the pull request of branch {branch}"), &["pulls"]).await?;
    let all = asked.query("state", state).query("limit", PAGE).pages_until(enough).await?;
    Ok(all.into_iter().filter(is_it).map(Pull::from).max_by_key(|pull| pull.number))
}

pub(super) async fn open(forge: &Gitea, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError> {
    if let Some(pull) = find(forge, at, &wanted.branch, "open").await? {
        return update(forge, at, pull, wanted).await;
    }
    let place = forge.place(at).await?;
    let start = if wanted.draft { DRAFT } else { "" };
    let body = json!({
        "head": wanted.branch,
        "base": wanted.base,
        "title": format!("{start}{}", wanted.title),
        "body": wanted.body,
    });
    let what = format!("a pull request of branch {}", wanted.branch);
    let opened = forge.ask(&place, Method::POST, what, &["pulls"]).json(&body).read::<shapes::Pull>().await;
    match opened {
        Ok(pull) => Ok(pull.into()),
        // Somebody else may have been quicker.
        Err(error @ TalkError::Refused { .. }) => match find(forge, at, &wanted.branch, "open").await? {
            Some(pull) => update(forge, at, pull, wanted).await,
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

async fn update(forge: &Gitea, at: &At, pull: Pull, wanted: &PullWanted) -> Result<Pull, TalkError> {
    let title = format!("{}{}", draft_of(&pull), wanted.title);
    let mut changes = Map::new();
    for (key, now, wanted) in [
        ("title", &pull.title, &title),
        ("body", &pull.body, &wanted.body),
        ("base", &pull.base, &wanted.base),
    ] {
        if now != wanted {
            changes.insert(key.to_owned(), Value::from(wanted.as_str()));
        }
    }
    if changes.is_empty() { Ok(pull) } else { change(forge, at, pull.number, Value::Object(changes)).await }
}

/// What makes its title that of a draft, if it is one.
fn draft_of(pull: &Pull) -> &str {
    if !pull.draft {
        return "";
    }
    let starts =
        |word: &&str| pull.title.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    match DRAFTS.iter().find(|word| starts(word)) {
        Some(word) => {
            let space = pull.title[word.len()..].bytes().take_while(|byte| *byte == b' ').count();
            &pull.title[..word.len() + space]
        }
        None => DRAFT,
    }
}

async fn change(forge: &Gitea, at: &At, number: u64, body: Value) -> Result<Pull, TalkError> {
    let place = forge.place(at).await?;
    let asked = forge.ask(&place, Method::PATCH, name(number), &["pulls", &number.to_string()]);
    Ok(asked.json(&body).read::<shapes::Pull>().await?.into())
}

pub(super) async fn close(forge: &Gitea, at: &At, number: u64) -> Result<Pull, TalkError> {
    let pull = ours(forge, at, number).await?;
    match pull.state {
        PullState::Open => change(forge, at, number, json!({ "state": "closed" })).await,
        PullState::Closed | PullState::Merged => Ok(pull),
    }
}

pub(super) async fn merge(forge: &Gitea, at: &At, number: u64, commit: &str) -> Result<Pull, TalkError> {
    let pull = ours(forge, at, number).await?;
    let refused = |why: &str| Err(refusal(forge, &format!("merging {}", name(number)), why));
    match pull.state {
        PullState::Merged => return Ok(pull),
        PullState::Closed => return refused("it is closed: open it again there first"),
        PullState::Open if pull.draft => return refused("it is a draft: mark it as ready there first"),
        PullState::Open if pull.commit != commit => {
            return refused("its branch has other commits by now: look at them first");
        }
        PullState::Open => {}
    }
    let place = forge.place(at).await?;
    let style = place.default_merge_style.as_deref().filter(|style| *style != "manually-merged");
    let body = json!({ "Do": style.unwrap_or("merge"), "head_commit_id": commit });
    let path = ["pulls", &number.to_string(), "merge"];
    let asked = forge.ask(&place, Method::POST, format!("merging {}", name(number)), &path);
    match asked.json(&body).done().await {
        Ok(()) => look(forge, at, number).await,
        // It has not found out yet whether it can be merged.
        Err(TalkError::Refused { reason, .. }) if reason.contains("try again later") => {
            Err(forge.wire.for_now("it is still looking whether the pull request can be merged"))
        }
        Err(error) => Err(error),
    }
}

/// A pull request, if it is one of this platform.
async fn ours(forge: &Gitea, at: &At, number: u64) -> Result<Pull, TalkError> {
    let pull = look(forge, at, number).await?;
    if is_ours(at, &pull) {
        return Ok(pull);
    }
    Err(refusal(forge, &format!("a change to {}", name(number)), "its branch is no session's: do it there"))
}

/// What is refused here already.
fn refusal(forge: &Gitea, what: &str, reason: &str) -> TalkError {
    TalkError::Refused {
        forge: forge.wire.forge().to_owned(),
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::{Account, AccountKind};

    #[test]
    fn a_draft_stays_one() {
        for (title, draft, start) in [
            ("WIP: a", true, "WIP: "),
            ("wip:a", true, "wip:"),
            ("[WIP]  a", true, "[WIP]  "),
            ("Entwurf: a", true, "WIP: "),
            ("WIP: a", false, ""),
            ("ä", true, "WIP: "),
        ] {
            let author = Account { id: 1, login: "a".into(), kind: AccountKind::Person };
            let pull = Pull {
                number: 1,
                title: title.into(),
                body: String::new(),
                author,
                branch: "b".into(),
                commit: "c".into(),
                head_repository: None,
                base: "main".into(),
                draft,
                conflicts: false,
                state: PullState::Open,
                merged_as: None,
                updated: None,
            };
            assert_eq!(draft_of(&pull), start, "{title}");
        }
    }
}
