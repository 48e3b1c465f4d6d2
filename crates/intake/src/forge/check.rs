//! Whether a forge and a repository on it are set up so that one may leave this platform alone with them.

use cofferdam_forge::{
    hook::{ForgeKind, Repository},
    remote::{At, HookSeen, LimitSeen, Right, Setup, TalkError},
};

use super::OpenForge;

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub grade: Grade,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be, or nothing to go by.
    Well,
    /// It works, and is less safe than it could be.
    Unsafe,
    /// It does not work so.
    Missing,
}

impl Found {
    pub(crate) fn well(what: &'static str, seen: impl Into<String>) -> Self {
        Self { what, grade: Grade::Well, seen: seen.into(), remedy: None }
    }

    pub(crate) fn bad(
        what: &'static str,
        grade: Grade,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { what, grade, seen: seen.into(), remedy: Some(remedy.into()) }
    }
}

const ACCOUNT: &str = "account";
const REPOSITORY: &str = "repository";
const RIGHT: &str = "rights";
const TOKEN: &str = "token";
const HOOK: &str = "webhook";
const BRANCH: &str = "branch protection";
const WORKFLOW: &str = "workflows";
const REQUESTS: &str = "requests";

impl OpenForge {
    /// Looks at the forge, and at one of its repositories if one is named by its path. `hook` is where its webhooks should post to.
    pub async fn check(&self, repository: Option<&str>, hook: &str) -> Vec<Found> {
        let me = match self.talk.me().await {
            Ok(me) => me,
            Err(error) => return vec![refused(ACCOUNT, &error)],
        };
        let mut found = vec![Found::well(ACCOUNT, format!("{} knows us as {}", self.site, me.login))];
        let Some(path) = repository else { return found };
        let repository = match self.talk.repository(path).await {
            Ok(repository) => repository,
            Err(error) => {
                found.push(refused(REPOSITORY, &error));
                return found;
            }
        };
        found.push(Found::well(REPOSITORY, format!("{} (number {})", repository.path, repository.id)));
        let at = At { id: repository.id, path: repository.path.clone() };
        found.push(match self.talk.right_of(&at, &me).await {
            Ok(right) => of_right(self.site.kind(), right, &me.login),
            Err(error) => refused(RIGHT, &error),
        });
        let branch = repository.default_branch.clone().unwrap_or_default();
        match self.talk.setup(&at, &branch).await {
            Ok(setup) => {
                let mut all = of_setup(&setup, &repository, hook);
                if let (Some(poll), Some(of_hook)) = (
                    &self.settings.poll,
                    all.iter_mut().find(|found| found.what == HOOK && found.grade == Grade::Missing),
                ) {
                    *of_hook = Found::well(HOOK, format!("none is needed: it is asked every {poll}"));
                }
                found.extend(all);
            }
            Err(error) => found.push(refused(HOOK, &error)),
        }
        found.extend(self.talk.limits().into_iter().map(of_limit));
        found
    }
}

/// How much may still be asked, as the forge says.
fn of_limit(seen: LimitSeen) -> Found {
    let LimitSeen { budget, left, of, again } = seen;
    let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
    let again = again.map(|again| format!(", until {}", again.utc())).unwrap_or_default();
    let seen = format!("{budget}: {left}{of} left{again}");
    if left > 0 {
        return Found::well(REQUESTS, seen);
    }
    Found::bad(
        REQUESTS,
        Grade::Unsafe,
        seen,
        "what is to be said waits until then: see who else uses the account",
    )
}

fn refused(what: &'static str, error: &TalkError) -> Found {
    let remedy = match error {
        TalkError::ForNow { .. } => "look whether it is up and can be reached from here, and try again",
        TalkError::Forbidden { .. } => "make a token that may do this, and put it where [[forge]] says",
        TalkError::Missing { .. } => "look at the name, and whether the account may see it",
        TalkError::Refused { .. } | TalkError::Malformed { .. } | _ => {
            "look whether `kind`, `url` and `api` in [[forge]] are right"
        }
    };
    Found::bad(what, Grade::Missing, error.to_string(), remedy)
}

fn of_right(kind: ForgeKind, right: Right, login: &str) -> Found {
    match right {
        Right::None | Right::Read | Right::Triage => Found::bad(
            RIGHT,
            Grade::Missing,
            format!("{login} may not push"),
            "give the account the right to push: branches are its work",
        ),
        Right::Write => Found::well(RIGHT, format!("{login} may push")),
        // Gitea tells an account's right to administrators alone.
        Right::Admin if kind == ForgeKind::Gitea => {
            Found::well(RIGHT, format!("{login} administers it, which Gitea asks of whoever looks rights up"))
        }
        Right::Admin => Found::bad(
            RIGHT,
            Grade::Unsafe,
            format!("{login} may change the repository's settings"),
            "the right to push is enough: take the rest away",
        ),
    }
}

/// What a repository's set-up comes to.
fn of_setup(setup: &Setup, repository: &Repository, hook: &str) -> Vec<Found> {
    let mut found = Vec::new();
    found.push(match &setup.scopes {
        None => Found::well(TOKEN, "the forge does not tell what the token may do"),
        Some(scopes) => of_scopes(scopes),
    });
    found.push(match &setup.hooks {
        None => Found::well(HOOK, format!("the forge does not tell; it should post to {hook}")),
        Some(hooks) => of_hooks(hooks, hook),
    });
    let branch = repository.default_branch.as_deref().unwrap_or("the default branch");
    match setup.protected {
        None => found.push(Found::well(BRANCH, format!("the forge does not tell about {branch}"))),
        Some(true) => found.push(Found::well(BRANCH, format!("{branch} is protected"))),
        Some(false) => found.push(Found::bad(
            BRANCH,
            Grade::Unsafe,
            format!("whoever may push, and so this account, can change {branch} without a review"),
            format!("protect {branch} at the forge: changes by pull request, with a person's approval"),
        )),
    }
    let workflows = setup.workflows.as_deref().unwrap_or_default();
    let before = found.len();
    found.extend(workflows.iter().filter_map(|(path, text)| of_workflow(path, text)));
    if found.len() == before {
        let seen = match &setup.workflows {
            None => "the forge does not tell".to_owned(),
            Some(files) => {
                format!("{} looked at, nothing that hands secrets to the agent's branches", files.len())
            }
        };
        found.push(Found::well(WORKFLOW, seen));
    }
    found
}

/// Rights of tokens that are of no use here.
fn is_wide(scope: &str) -> bool {
    let scope = scope.to_ascii_lowercase();
    matches!(&*scope, "all" | "sudo" | "admin_mode" | "delete_repo" | "write:admin" | "site_admin")
        || scope.starts_with("admin:")
        || scope == "administration:write"
}

fn of_scopes(scopes: &[String]) -> Found {
    let wide: Vec<&str> = scopes.iter().map(String::as_str).filter(|scope| is_wide(scope)).collect();
    if wide.is_empty() {
        return Found::well(TOKEN, format!("may: {}", scopes.join(", ")));
    }
    Found::bad(
        TOKEN,
        Grade::Unsafe,
        format!("may more than it needs: {}", wide.join(", ")),
        "make a token that may read and write code, issues and pull requests of the repositories in question, and nothing else",
    )
}

fn of_hooks(hooks: &[HookSeen], wanted: &str) -> Found {
    let place = |url: &str| url.trim_end_matches('/').to_owned();
    let end = wanted.rfind("/hooks/").and_then(|at| wanted.get(at..)).unwrap_or(wanted);
    // It may be reached by another address than browsers use.
    let Some(hook) = hooks
        .iter()
        .find(|hook| place(&hook.url) == place(wanted))
        .or_else(|| hooks.iter().find(|hook| place(&hook.url).ends_with(end)))
    else {
        return Found::bad(
            HOOK,
            Grade::Missing,
            format!("none of {} posts to {wanted}", hooks.len()),
            format!(
                "add one to the repository or its organisation: address {wanted}, content type application/json, the `hook_secret` as its secret, \
                 and the events issues, issue comments, pull requests, reviews, statuses or checks, and pushes"
            ),
        );
    };
    if !hook.active {
        return Found::bad(HOOK, Grade::Missing, format!("{} is switched off", hook.url), "switch it on");
    }
    match hook.last {
        Some(status) if !(200..300).contains(&status) => Found::bad(
            HOOK,
            Grade::Unsafe,
            format!("its last delivery to {} was answered with {status}", hook.url),
            "401: set the same secret there and here; 0 or 5xx: let the forge reach this server",
        ),
        Some(_) | None => Found::well(HOOK, format!("posts to {}: {}", hook.url, hook.events.join(", "))),
    }
}

/// Whether a workflow may hand secrets to what an agent has written. Read line by line: what is said is a warning, and people look.
fn of_workflow(path: &str, text: &str) -> Option<Found> {
    let lines = || {
        text.lines()
            .map(|line| line.split(" #").next().unwrap_or_default().trim())
            .filter(|line| !line.starts_with('#'))
    };
    let remedy = "let it run on branches of people only (`branches-ignore: ['cofferdam/**']`), or have it wait for an approval (an environment)";
    let of = |seen: &str| Some(Found::bad(WORKFLOW, Grade::Unsafe, format!("{path}: {seen}"), remedy));
    if lines().any(|line| names(line, "pull_request_target")) {
        return of("pull_request_target runs with the repository's secrets for whatever a pull request asks");
    }
    let own =
        ["secrets.GITHUB_TOKEN", "secrets.GITEA_TOKEN", "secrets.FORGEJO_TOKEN", "secrets.github_token"];
    let has_secrets = lines().any(|line| {
        let line = own.iter().fold(line.to_owned(), |line, own| line.replace(own, ""));
        line.contains("secrets.") || line.contains("secrets[") || line.contains("secrets: inherit")
    });
    let on_pull = lines().any(|line| names(line, "pull_request"));
    let some_branches = lines().any(|line| line.starts_with("branches"));
    let on_push = !some_branches && lines().any(|line| names(line, "push"));
    if has_secrets && on_pull {
        return of("it has secrets and runs for pull requests, those from the agent's branches among them");
    }
    if has_secrets && on_push {
        return of("it has secrets and runs for pushes to every branch, the agent's among them");
    }
    None
}

/// Whether a line of a workflow names a trigger: as a key, in a list, or as the only one.
fn names(line: &str, trigger: &str) -> bool {
    let line = line.trim_start_matches("- ");
    let after_on = line.strip_prefix("on:").or_else(|| line.strip_prefix("\"on\":"));
    let among =
        |list: &str| list.split([',', '[', ']', ' ', '{', '}', ':', '\'', '"']).any(|word| word == trigger);
    match after_on {
        Some(list) => among(list),
        None => line == trigger || line.strip_prefix(trigger).is_some_and(|rest| rest.starts_with(':')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        Repository {
            id: 5,
            path: "acme/app".into(),
            clone_url: String::new(),
            default_branch: Some("main".into()),
            private: true,
            public: false,
        }
    }

    fn grades(setup: &Setup) -> Vec<(&'static str, Grade)> {
        let found = of_setup(setup, &repository(), "https://c.example/hooks/work");
        for found in &found {
            assert_eq!(found.grade == Grade::Well, found.remedy.is_none(), "{found:?}");
        }
        found.into_iter().map(|found| (found.what, found.grade)).collect()
    }

    fn hook(url: &str, active: bool, last: Option<u16>) -> HookSeen {
        HookSeen { url: url.into(), active, events: vec!["issues".into()], last }
    }

    #[test]
    fn what_is_not_told_is_not_held_against_anybody() {
        assert!(grades(&Setup::default()).iter().all(|(_, grade)| *grade == Grade::Well));
    }

    #[test]
    fn unsafe_set_ups_are_named() {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        for (scopes, grade) in [
            (words(&["repo"]), Grade::Well),
            (words(&["write:repository", "write:issue"]), Grade::Well),
            (words(&["all"]), Grade::Unsafe),
            (words(&["repo", "admin:org"]), Grade::Unsafe),
        ] {
            assert_eq!(grades(&Setup { scopes, ..Setup::default() })[0], (TOKEN, grade));
        }
        for (hooks, grade) in [
            (vec![], Grade::Missing),
            (vec![hook("https://other.example/hooks/play", true, None)], Grade::Missing),
            (vec![hook("https://c.example/hooks/work", false, None)], Grade::Missing),
            (vec![hook("https://c.example/hooks/work", true, Some(401))], Grade::Unsafe),
            (vec![hook("http://10.0.0.1:7480/hooks/work", true, Some(202))], Grade::Well),
            (vec![hook("https://c.example/hooks/work/", true, None)], Grade::Well),
        ] {
            let setup = Setup { hooks: Some(hooks.clone()), ..Setup::default() };
            assert_eq!(grades(&setup)[1], (HOOK, grade), "{hooks:?}");
        }
        for (protected, grade) in [(true, Grade::Well), (false, Grade::Unsafe)] {
            let setup = Setup { protected: Some(protected), ..Setup::default() };
            assert_eq!(grades(&setup)[2], (BRANCH, grade));
        }
    }

    #[test]
    fn workflows_that_hand_out_secrets_are_found() {
        let secret = "\njobs:\n  a:\n    env:\n      KEY: ${{ secrets.DEPLOY }}\n";
        let own = "\njobs:\n  a:\n    env:\n      KEY: ${{ secrets.GITHUB_TOKEN }}\n";
        for (text, is_unsafe) in [
            ("on: pull_request_target\n".to_owned(), true),
            ("on:\n  pull_request_target:\n    types: [opened]\n".to_owned(), true),
            ("# pull_request_target is not used\non: push\n".to_owned(), false),
            (format!("on: push{secret}"), true),
            (format!("on: [push, workflow_dispatch]{secret}"), true),
            (format!("on:\n  push:\n    branches: [main]{secret}"), false),
            (format!("on:\n  push:\n    branches-ignore: ['cofferdam/**']{secret}"), false),
            (format!("on:\n  pull_request:\n    branches: [main]{secret}"), true),
            (format!("on:\n  - pull_request{secret}"), true),
            (format!("on: push{own}"), false),
            (format!("on: workflow_dispatch{secret}"), false),
            (format!("\"on\": [\"push\"]{secret}"), true),
            ("on: pull_request\njobs:\n  a:\n    secrets: inherit\n".to_owned(), true),
            (String::new(), false),
        ] {
            assert_eq!(of_workflow("ci.yml", &text).is_some(), is_unsafe, "{text}");
        }
    }
}
