//! What the stand-in knows: accounts, and projects with their issues and merge requests and what is said below them, its branches and jobs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, StatusCode};
use cofferdam_domain::{Digest, Timestamp};
use serde_json::{Value, json};

use crate::Exchange;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
    pub(super) bot: bool,
}

impl User {
    /// As it is shown beside what it wrote.
    pub(super) fn shown(&self) -> Value {
        json!({ "id": self.id, "username": self.username, "name": self.username, "state": "active", "locked": false })
    }
}

/// What has a number of its own in the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Issue,
    MergeRequest,
}

#[derive(Debug)]
pub(super) struct Award {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) user: User,
}

#[derive(Debug)]
pub(super) struct Note {
    pub(super) id: u64,
    pub(super) discussion: String,
    pub(super) body: String,
    pub(super) author: User,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) system: bool,
    pub(super) position: Option<Value>,
    pub(super) resolved: bool,
    pub(super) awards: Vec<Award>,
}

impl Note {
    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "type": self.position.as_ref().map(|_| "DiffNote"),
            "body": self.body,
            "author": self.author.shown(),
            "created_at": self.created.utc(),
            "updated_at": self.updated.utc(),
            "system": self.system,
            "resolvable": self.position.is_some(),
            "internal": false,
        });
        if let Some(position) = &self.position {
            shown["position"] = position.clone();
            shown["resolved"] = self.resolved.into();
        }
        shown
    }
}

/// An issue or a merge request.
#[derive(Debug)]
pub(super) struct Thing {
    pub(super) iid: u64,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) author: User,
    pub(super) state: &'static str,
    pub(super) labels: Vec<String>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) moved_to: Option<u64>,
    /// Source and target branch of a merge request.
    pub(super) branches: (String, String),
    /// The last commit of its branch when it was closed or merged.
    pub(super) last: Option<String>,
    pub(super) merged_as: Option<String>,
    pub(super) notes: Vec<Note>,
    pub(super) awards: Vec<Award>,
    pub(super) events: Vec<Event>,
}

/// That it was given a label, or closed.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) at: Timestamp,
    pub(super) by: User,
    pub(super) label: Option<String>,
}

impl Thing {
    /// Whether its title says that it is a draft (<https://docs.gitlab.com/user/project/merge_requests/drafts/>).
    pub(super) fn is_draft(&self) -> bool {
        let title = self.title.to_ascii_lowercase();
        ["draft:", "[draft]", "(draft)"].iter().any(|mark| title.starts_with(mark))
    }
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) failed: bool,
    pub(super) log: Option<String>,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) branch: String,
    pub(super) jobs: Vec<Job>,
}

/// An answer that is given once, whatever is asked.
#[derive(Debug)]
pub(super) struct Canned {
    pub(super) begins: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The account behind each token.
    pub(super) tokens: BTreeMap<String, User>,
    pub(super) projects: Vec<Project>,
    /// Which project had a path before.
    pub(super) moved: BTreeMap<String, u64>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) canned: VecDeque<Canned>,
}

/// A number that nothing else has.
pub(super) fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1_000);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Forty hexadecimal digits that nothing else has.
pub(super) fn digest(of: &str) -> String {
    Digest::of(format!("{of} {}", number()).as_bytes()).hex()[..40].to_owned()
}

/// A project, with its issues and merge requests, what is said of its commits, and its jobs.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) private: bool,
    /// Access levels by account.
    pub(super) members: BTreeMap<u64, u64>,
    pub(super) things: BTreeMap<(Kind, u64), Thing>,
    /// The last commit of each branch.
    pub(super) branches: BTreeMap<String, String>,
    pub(super) commits: BTreeSet<String>,
    /// What was said of commits, the newest last.
    pub(super) statuses: Vec<Value>,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) hooks: Vec<Value>,
    /// Files by branch and path, in Base64.
    pub(super) files: BTreeMap<(String, String), String>,
}

impl Project {
    /// One with a commit on `main`.
    pub(super) fn new(path: &str, private: bool) -> Self {
        let mut project = Self {
            id: number(),
            path: path.to_owned(),
            private,
            members: BTreeMap::new(),
            things: BTreeMap::new(),
            branches: BTreeMap::new(),
            commits: BTreeSet::new(),
            statuses: Vec::new(),
            pipelines: Vec::new(),
            hooks: Vec::new(),
            files: BTreeMap::new(),
        };
        project.commit("main");
        project
    }

    /// A commit on a branch.
    pub(super) fn commit(&mut self, branch: &str) -> String {
        let sha = digest("commit");
        self.branches.insert(branch.to_owned(), sha.clone());
        self.commits.insert(sha.clone());
        sha
    }

    /// What an account may do: 0 for whoever is no member.
    pub(super) fn level(&self, user: &User) -> u64 {
        self.members.get(&user.id).copied().unwrap_or(0)
    }

    /// A new issue or merge request, with the next number of its kind.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        author: &User,
        title: &str,
        description: Option<&str>,
    ) -> &mut Thing {
        let iid = self.things.keys().filter(|(known, _)| *known == kind).count() as u64 + 1;
        let thing = Thing {
            iid,
            title: title.to_owned(),
            description: description.map(ToOwned::to_owned),
            author: author.clone(),
            state: "opened",
            labels: Vec::new(),
            created: now(),
            updated: now(),
            moved_to: None,
            branches: (String::new(), String::new()),
            last: None,
            merged_as: None,
            notes: Vec::new(),
            awards: Vec::new(),
            events: Vec::new(),
        };
        self.things.entry((kind, iid)).or_insert(thing)
    }

    pub(super) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.path.rsplit('/').next(),
            "path_with_namespace": self.path,
            "http_url_to_repo": format!("https://gitlab.example/{}.git", self.path),
            "web_url": format!("https://gitlab.example/{}", self.path),
            "default_branch": if self.branches.is_empty() { None } else { Some("main") },
            "visibility": if self.private { "private" } else { "public" },
            "archived": false,
        })
    }

    pub(super) fn shown_thing(&self, kind: Kind, thing: &Thing) -> Value {
        let mut shown = json!({
            "id": 90_000 + thing.iid,
            "iid": thing.iid,
            "project_id": self.id,
            "title": thing.title,
            "description": thing.description,
            "state": thing.state,
            "author": thing.author.shown(),
            "assignees": [],
            "labels": thing.labels,
            "created_at": thing.created.utc(),
            "updated_at": thing.updated.utc(),
            "web_url": format!("https://gitlab.example/{}/-/{}", self.path, thing.iid),
        });
        match kind {
            Kind::Issue => {
                shown["moved_to_id"] = thing.moved_to.into();
                shown["confidential"] = false.into();
            }
            Kind::MergeRequest => {
                let (source, target) = &thing.branches;
                let sha = thing.last.as_ref().or_else(|| self.branches.get(source));
                shown["source_branch"] = source.as_str().into();
                shown["target_branch"] = target.as_str().into();
                shown["source_project_id"] = self.id.into();
                shown["target_project_id"] = self.id.into();
                shown["sha"] = json!(sha);
                let base = self.branches.get(target);
                shown["diff_refs"] = json!({ "base_sha": base, "start_sha": base, "head_sha": sha });
                shown["draft"] = thing.is_draft().into();
                shown["merge_commit_sha"] = json!(thing.merged_as);
                shown["squash_commit_sha"] = Value::Null;
                shown["detailed_merge_status"] = match thing.state {
                    "opened" if thing.is_draft() => "draft_status",
                    "opened" => "mergeable",
                    _ => "not_open",
                }
                .into();
            }
        }
        shown
    }
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
