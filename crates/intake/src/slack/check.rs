//! Whether the app is set up in its workspace so that work can be asked for there, and may do no more than that takes.

use super::{OpenSlack, settings::Proof};
use crate::{Found, Grade};

const APP: &str = "app";
const SCOPES: &str = "scopes";
const GROUPS: &str = "user groups";
const ASKERS: &str = "who may ask";
const SOCKET: &str = "socket";

/// What the token must have.
const NEEDED: [&str; 5] =
    ["app_mentions:read", "channels:history", "chat:write", "reactions:write", "users:read"];
/// What it may have beside that: for private channels and messages to the app alone.
const HARMLESS: [&str; 4] = ["groups:history", "im:history", "mpim:history", "usergroups:read"];

impl OpenSlack {
    /// Looks at the workspace. Nothing is said there.
    pub async fn check(&self) -> Vec<Found> {
        let me = match self.slack.me().await {
            Ok(me) => me,
            Err(error) => {
                let remedy = "put a working token where `bot_token` says";
                return vec![Found::bad(APP, Grade::Missing, error.to_string(), remedy)];
            }
        };
        let mut found =
            vec![Found::well(APP, format!("{} knows us as {} ({})", me.team_name, me.name, me.user))];
        let groups = &self.settings.ask.groups;
        found.push(scopes(&me.scopes, !groups.is_empty()));
        for group in groups {
            match self.slack.members(group).await {
                Ok(members) => {
                    found.push(Found::well(GROUPS, format!("{group} has {} members", members.len())))
                }
                Err(error) => {
                    found.push(Found::bad(
                        GROUPS,
                        Grade::Missing,
                        error.to_string(),
                        "name a group that is there in `ask`",
                    ));
                }
            }
        }
        if self.settings.ask.workspace {
            found.push(Found::bad(
                ASKERS,
                Grade::Unsafe,
                "every member of the workspace may ask",
                "name `users` or `groups` in `ask` instead",
            ));
        }
        if let Proof::Fetched(token) = &self.proof {
            found.push(match self.slack.socket(token).await {
                Ok(_) => Found::well(SOCKET, "a connection can be opened"),
                Err(error) => Found::bad(
                    SOCKET,
                    Grade::Missing,
                    error.to_string(),
                    "turn Socket Mode on in the app, and give `app_token` the scope connections:write",
                ),
            });
        }
        found
    }
}

fn scopes(has: &[String], groups: bool) -> Found {
    let has: Vec<&str> = has.iter().map(String::as_str).collect();
    let needed = NEEDED.into_iter().chain(groups.then_some("usergroups:read"));
    let missing: Vec<&str> = needed.filter(|scope| !has.contains(scope)).collect();
    if !missing.is_empty() {
        let remedy = "add them under OAuth & Permissions and install the app again";
        return Found::bad(SCOPES, Grade::Missing, format!("{} missing", missing.join(", ")), remedy);
    }
    let wide: Vec<&str> =
        has.iter().copied().filter(|scope| !NEEDED.contains(scope) && !HARMLESS.contains(scope)).collect();
    if wide.is_empty() {
        return Found::well(SCOPES, "as many as it needs");
    }
    let seen = format!("more than it needs: {}", wide.join(", "));
    Found::bad(
        SCOPES,
        Grade::Unsafe,
        seen,
        "take them away under OAuth & Permissions and install the app again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_and_too_many_are_named() {
        let of = |more: &[&str], groups| {
            let has: Vec<String> = NEEDED.iter().chain(more).map(|scope| (*scope).to_owned()).collect();
            scopes(&has, groups)
        };
        assert_eq!(of(&["im:history"], false).grade, Grade::Well);
        assert_eq!(of(&["usergroups:read"], true).grade, Grade::Well);
        assert!(of(&[], true).seen.contains("usergroups:read missing"));
        let wide = of(&["files:read", "admin"], false);
        assert_eq!(wide.grade, Grade::Unsafe);
        assert!(wide.seen.ends_with("files:read, admin"), "{wide:?}");
    }
}
