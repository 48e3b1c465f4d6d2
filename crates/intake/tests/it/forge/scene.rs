//! A forge of which deliveries come, on a real store, and what they look like.

use std::sync::Arc;

use cofferdam_domain::{About, EventBody, Label, PullRequestState, SessionId, event::Repository as Base};
use cofferdam_forge::{
    branch_of,
    hook::{Comment, Issue, LinePlace, Pull, PullState},
    remote::{LineComment, Right, Site},
};
use cofferdam_intake::{Answer, Door, ForgeSettings, ForgeWay, OpenForge, Place, Way as _, now};
use cofferdam_store::{Dealt, Everything, SessionFilter, TakenArrival, Writer};
use http::{HeaderMap, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::desk::{Desk, person};

pub(super) const SECRET: &str = "It's a Secret to Everybody";
pub(super) const HEAD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(super) const LEASE: u64 = 60_000;

pub(super) struct World {
    _folder: TempDir,
    pub(super) store: Arc<dyn Everything>,
    pub(super) desk: Arc<Desk>,
    pub(super) forge: OpenForge,
    pub(super) place: Place,
    pub(super) way: Arc<ForgeWay>,
    pub(super) door: Door,
}

pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("t0ken".to_owned()),
        "SECRET" => Some(SECRET.to_owned()),
        _ => None,
    }
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with("").await
    }

    /// The same with more in its table.
    pub(super) async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = cofferdam_store::open(folder.path().to_str().unwrap()).await.unwrap();
        let desk = Arc::new(Desk::default());
        *desk.rights.lock().unwrap() =
            vec![(1, Right::Write), (2, Right::Read), (3, Right::Admin), (9, Right::Admin)];
        *desk.issue.lock().unwrap() = Some(issue("Always."));
        let table = "name = 'work'\nkind = 'gitea'\nurl = 'https://git.example.com'\ntoken = { env = 'TOKEN' }\nhook_secret = { env = 'SECRET' }";
        let settings: ForgeSettings = toml::from_str(&format!("{table}{more}")).unwrap();
        let mut forges = ForgeSettings::open(&[settings], &environment).unwrap();
        let OpenForge { settings, site, .. } = forges.remove(0);
        let site: Site = site;
        let forge = OpenForge { settings, site, talk: desk.clone() };
        let place = Place::find(&*store, "local", None).await.unwrap();
        let way = Arc::new(forge.way(store.clone(), place, None, &environment).unwrap());
        let door = Door::new(store.clone(), vec![way.clone()]);
        Self { _folder: folder, store, desk, forge, place, way, door }
    }

    /// The same forge, where sessions begin in these places only.
    pub(super) fn within(&mut self, places: &[&str]) {
        let places: Vec<String> = places.iter().map(|&place| place.to_owned()).collect();
        let way = self.forge.way(self.store.clone(), self.place, None, &environment).unwrap();
        self.way = Arc::new(way.within(&places));
    }

    pub(super) async fn post(&self, id: &str, event: &str, body: &Value) -> Answer {
        let body = body.to_string().into_bytes();
        self.door.take("work", &headers(id, event, &body), body).await
    }

    /// Posts something that must be kept.
    pub(super) async fn keep(&self, id: &str, event: &str, body: &Value) {
        let answer = self.post(id, event, body).await;
        assert!(matches!(answer, Answer::Kept), "{answer:?}");
    }

    pub(super) async fn take(&self) -> Option<TakenArrival> {
        self.store.take_arrival("test", &["work".to_owned()], LEASE).await.unwrap()
    }

    /// Deals with all that waits, in order, and says what became of each.
    pub(super) async fn deal(&self) -> Vec<Dealt> {
        let mut all = Vec::new();
        while let Some(taken) = self.take().await {
            let dealt = self.way.deal(&taken).await.unwrap();
            self.store.dealt(&taken, dealt.clone()).await.unwrap();
            all.push(dealt);
        }
        all
    }

    pub(super) async fn sessions(&self) -> Vec<SessionId> {
        let rows = self.store.sessions(SessionFilter::default()).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    }

    pub(super) async fn bodies(&self, session: SessionId) -> Vec<EventBody> {
        self.store.log(session).await.unwrap().into_iter().map(|event| event.body).collect()
    }

    /// What a session was told.
    pub(super) async fn messages(&self, session: SessionId) -> Vec<(String, String, Label, Option<About>)> {
        let message = |body| match body {
            EventBody::MessageReceived { from, text, label, about } => {
                Some((from, text, label, about.map(|about| *about)))
            }
            _ => None,
        };
        self.bodies(session).await.into_iter().filter_map(message).collect()
    }

    /// A session that ann asked for and whose pull request is open.
    pub(super) async fn published(&self) -> SessionId {
        self.keep("begin", "issues", &labelled("ann", 1)).await;
        let dealt = self.deal().await;
        let [Dealt::Done { session: Some(session), .. }] = dealt[..] else { panic!("{dealt:?}") };
        let pull = cofferdam_domain::PullRequest {
            number: 8,
            session,
            repository: "https://git.example.com/acme/app.git".into(),
            branch: branch_of(session),
            base_branch: "main".into(),
            base_commit: HEAD.into(),
            head_commit: HEAD.into(),
            title: "Mend it".into(),
            body: String::new(),
            draft: false,
            state: PullRequestState::Open,
            opened: now(),
        };
        let base = Base {
            base_commit: HEAD.into(),
            base_tree: HEAD.into(),
            base_branch: "main".into(),
            notes: Vec::new(),
            cones: Vec::new(),
            contents: None,
            submodules: Vec::new(),
            tests: None,
            public: false,
            shared: false,
        };
        let bodies = vec![
            EventBody::RepositoryReady(base),
            EventBody::Pushed { branch: branch_of(session), commit: HEAD.into() },
            EventBody::PullRequestOpened(Box::new(pull)),
            EventBody::SessionEnded { outcome: cofferdam_domain::Outcome::Succeeded },
        ];
        self.store.append(session, Writer::Anybody, now(), bodies).await.unwrap();
        *self.desk.pull.lock().unwrap() = Some(pull_of(session, PullState::Open));
        session
    }
}

pub(super) fn headers(id: &str, event: &str, body: &[u8]) -> HeaderMap {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hex::encode(hmac::sign(&key, body));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-gitea-signature", &signature),
        ("x-gitea-delivery", id),
        ("x-gitea-event", event),
    ] {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

pub(super) fn issue(body: &str) -> Issue {
    Issue {
        number: 7,
        title: "It fails".into(),
        body: body.into(),
        author: person(2, "bob"),
        labels: vec!["cofferdam".into()],
        open: true,
        updated: None,
    }
}

pub(super) fn pull_of(session: SessionId, state: PullState) -> Pull {
    Pull {
        number: 8,
        title: "Mend it".into(),
        body: String::new(),
        author: person(9, "agent"),
        branch: branch_of(session),
        commit: HEAD.into(),
        head_repository: Some(5),
        base: "main".into(),
        draft: false,
        conflicts: false,
        state,
        merged_as: Some("c".repeat(40)),
        updated: None,
    }
}

pub(super) fn around(actor: &str, id: u64, action: &str) -> Value {
    json!({
        "action": action,
        "sender": { "id": id, "login": actor },
        "repository": {
            "id": 5, "full_name": "acme/app", "clone_url": "https://git.example.com/acme/app.git", "default_branch": "main",
        },
    })
}

pub(super) fn with(mut around: Value, more: &[(&str, Value)]) -> Value {
    for (key, value) in more {
        around[*key] = value.clone();
    }
    around
}

pub(super) fn issue_json() -> Value {
    json!({
        "number": 7, "title": "It fails", "body": "Always.", "state": "open",
        "user": { "id": 2, "login": "bob" }, "labels": [{ "name": "cofferdam" }],
    })
}

pub(super) fn labelled(actor: &str, id: u64) -> Value {
    let changes = json!({ "added_labels": [{ "name": "cofferdam" }] });
    with(around(actor, id, "label_updated"), &[("issue", issue_json()), ("changes", changes)])
}

pub(super) fn comment(actor: (&str, u64), number: u64, body: &str, on_pull: bool) -> Value {
    let mut issue = issue_json();
    if on_pull {
        issue["number"] = 8.into();
        issue["pull_request"] = json!({});
    }
    let comment = json!({ "id": number, "body": body, "user": { "id": actor.1, "login": actor.0 } });
    with(
        around(actor.0, actor.1, "created"),
        &[("issue", issue), ("comment", comment), ("is_pull", on_pull.into())],
    )
}

pub(super) fn pull_json(session: SessionId) -> Value {
    json!({
        "number": 8, "title": "Mend it", "state": "open", "user": { "id": 9, "login": "agent" },
        "head": { "ref": branch_of(session), "sha": HEAD, "repo": { "id": 5 } },
        "base": { "ref": "main", "sha": HEAD, "repo": { "id": 5 } },
    })
}

pub(super) fn review(actor: (&str, u64), session: SessionId, body: &str) -> Value {
    let more = [("pull_request", pull_json(session)), ("review", json!({ "type": "x", "content": body }))];
    with(around(actor.0, actor.1, "reviewed"), &more)
}

pub(super) fn remark(id: u64, author: (u64, &str), body: &str) -> LineComment {
    LineComment {
        comment: Comment { id, body: body.into(), author: person(author.0, author.1), updated: None },
        place: LinePlace {
            path: "src/lib.rs".into(),
            line: Some(3),
            commit: HEAD.into(),
            discussion: id.to_string(),
        },
    }
}

pub(super) fn status(context: &str, sha: &str) -> Value {
    let more = [("sha", json!(sha)), ("context", json!(context)), ("state", json!("failure"))];
    with(around("ci", 50, ""), &more)
}

/// What became of arrivals, in words.
pub(super) fn what(dealt: &[Dealt]) -> Vec<String> {
    let words = |dealt: &Dealt| match dealt {
        Dealt::Done { what, .. } => what.clone(),
        Dealt::Again { .. } => "again".to_owned(),
        Dealt::GivenUp { .. } => "given up".to_owned(),
    };
    dealt.iter().map(words).collect()
}
