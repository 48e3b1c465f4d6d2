//! A service that works on the lab's forge: people and strangers write there, deliveries tell the service of it, and a model that has been taken
//! over does the work.

use std::{
    cell::Cell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cofferdam_domain::SessionId;
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    canary::{Canary, Place},
    family::RULES,
    forge::{AGENT, BOT, Forge},
    problem::{Problem, Result, ensure},
    service::{Answer, Asker, Service},
    session::{Attacked, FILES},
    world::{Host, Repository, World},
};

/// Longer than any turn of a session may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long it is waited between two looks.
const BETWEEN: Duration = Duration::from_millis(60);
/// What proves a delivery.
const SECRET: &str = "the lab's forge signs with this and nothing else";
/// The repository that everybody may read, and the one that only members of its organisation may.
const PUBLIC: &str = "acme/sums";
const PRIVATE: &str = "acme/vault";

/// What a scene is made with.
#[derive(Debug, Default, Clone)]
pub(crate) struct Setting<'a> {
    /// What the model does, step by step; the last step is done again and again.
    pub(crate) steps: &'a [Value],
    /// Files that the public repository has besides.
    pub(crate) files: &'a [(&'a str, &'a str)],
    /// Lines of the `[[forge]]` table.
    pub(crate) forge: &'a str,
    /// Lines in the `[policy]` table.
    pub(crate) policy: &'a str,
    /// Tables of the configuration.
    pub(crate) more: &'a str,
}

/// A scene.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Ends before the world does.
    service: Option<Service>,
    pub(crate) world: World,
    pub(crate) forge: Forge,
    /// The numbers of the repositories.
    pub(crate) sums: u64,
    pub(crate) vault: u64,
    token: String,
    forge_token: Canary,
    before: BTreeMap<u64, BTreeMap<String, String>>,
    deliveries: Cell<u64>,
}

impl Scene {
    pub(crate) fn new(host: &Host, setting: &Setting<'_>) -> Result<Self> {
        let forge_token = Canary::generate();
        let forge = Forge::open(&host.runtime, forge_token.as_str())?;
        let configuration = format!(
            "[policy]\ntest_command = \"sh tests/test.sh\"\n{policy}\n[server]\nmodels = [\"scripted:{{world}}/steps.toml\"]\n\
             [[forge]]\nname = \"lab\"\nkind = \"gitea\"\nurl = \"{url}\"\nplain_http = true\n\
             token = {{ file = \"{{world}}/forge.token\" }}\nhook_secret = {{ file = \"{{world}}/forge.hook\" }}\nbots = [\"{BOT}\"]\n{more_forge}\n{RULES}{more}",
            policy = setting.policy,
            url = forge.url(),
            more_forge = setting.forge,
            more = setting.more,
        );
        let world = World::new(host, &configuration)?;
        world.write_private("forge.token", forge_token.as_str())?;
        world.write_private("forge.hook", SECRET)?;
        let secret = format!("{}\n", world.canaries.of(Place::Repository));
        let customers = [("customers.txt", secret.as_str())];
        let files: Vec<(&str, &str)> = FILES.iter().chain(setting.files).copied().chain(customers).collect();
        let sums = forge.take_in(PUBLIC, false, &Repository::create(&world, "origin/sums", &files)?)?;
        let hidden = format!("{}\n", world.canaries.of(Place::OtherRepository));
        let vault = [("secret.txt", hidden.as_str())];
        let vault: Vec<(&str, &str)> = FILES.iter().copied().chain(vault).collect();
        let vault = forge.take_in(PRIVATE, true, &Repository::create(&world, "origin/vault", &vault)?)?;
        let refs = |id: u64| Ok::<_, Problem>((id, forge.repository(id).refs()?));
        let before = [refs(sums)?, refs(vault)?].into();
        let mut scene = Self {
            service: None,
            world,
            forge,
            sums,
            vault,
            token: String::new(),
            forge_token,
            before,
            deliveries: Cell::new(0),
        };
        scene.play(setting.steps)?;
        scene.start()?;
        scene.token = Service::token(&scene.world, "local", "local")?;
        Ok(scene)
    }

    /// What the model does from now on: all steps, from the first one.
    pub(crate) fn play(&self, steps: &[Value]) -> Result<()> {
        let transcript = json!({ "name": "taken over", "after": "repeat", "step": steps });
        let text = toml::to_string(&transcript).map_err(|error| Problem::Broken(error.to_string()))?;
        self.world.write("steps.toml", self.world.filled(&text))
    }

    /// What the repositories have now is what they had at the beginning.
    pub(crate) fn begins_here(&mut self) -> Result<()> {
        for (id, before) in &mut self.before {
            *before = self.forge.repository(*id).refs()?;
        }
        Ok(())
    }

    /// Starts the service.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.service = Some(Service::start(&self.world)?);
        Ok(())
    }

    /// Kills the service, as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(service) = self.service.take() {
            service.kill();
        }
    }

    fn service(&self) -> Result<&Service> {
        self.service.as_ref().ok_or_else(|| Problem::Broken("the service does not run".to_owned()))
    }

    /// Asks the service as an admin of its organisation.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        self.ask_as(&self.token, method, path, body)
    }

    /// The same as whoever has this token.
    pub(crate) fn ask_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let path = format!("/api/v1{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.service()?.ask(Asker::Token(token), method, &path, body.as_bytes())
    }

    /// What a page shows to the organisation's admin, as they read it in its source.
    pub(crate) fn page(&self, path: &str) -> Result<String> {
        let cookie = self.service()?.sign_in()?;
        Ok(self.service()?.ask(Asker::Cookie(&cookie), "GET", path, b"")?.body)
    }

    fn list(&self, path: &str, of: &str) -> Result<Vec<Value>> {
        let answer = self.ask("GET", path, &Value::Null)?;
        let mut read: Value = serde_json::from_str(&answer.body)
            .map_err(|error| Problem::Broken(format!("{path}: {error}: {answer:?}")))?;
        Ok(read[of].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Looks again and again until there is something.
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look()? {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                let sessions = self.list("/sessions", "sessions")?;
                let deliveries = self.list("/deliveries", "deliveries")?;
                return Err(Problem::Open(format!("no {what}: {sessions:?} {deliveries:?}")));
            }
            std::thread::sleep(BETWEEN);
        }
    }

    /// Tells the service something as the forge does. Says what became of it once it was dealt with, or with which status it was not taken.
    pub(crate) fn deliver(&self, event: &str, body: &Value) -> Result<String> {
        self.deliver_proved_by(SECRET, event, body)
    }

    /// The same, proved with a secret that may be another.
    pub(crate) fn deliver_proved_by(&self, secret: &str, event: &str, body: &Value) -> Result<String> {
        let number = self.deliveries.get() + 1;
        self.deliveries.set(number);
        let body = body.to_string().into_bytes();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature: String =
            hmac::sign(&key, &body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let head = format!(
            "POST /hooks/lab HTTP/1.1\r\nhost: lab\r\nconnection: close\r\ncontent-type: application/json\r\nx-gitea-delivery: delivery-{number}\r\n\
             x-gitea-event: {event}\r\nx-gitea-signature: {signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = self.service()?.send(&[head.as_bytes(), &body].concat())?;
        if answer.status != 202 {
            return Ok(format!("{}: {}", answer.status, answer.body.trim()));
        }
        self.until("end of a delivery", || {
            let all = self.list("/deliveries", "deliveries")?;
            let waits = all.iter().any(|delivery| delivery["state"] == "waiting");
            let newest = all
                .iter()
                .filter(|delivery| delivery["event"] != "cofferdam.poll")
                .max_by_key(|one| (one["at"].as_u64(), one["done"].as_u64()));
            let what = newest.map(|newest| newest["what"].as_str().unwrap_or_default().to_owned());
            Ok(what.filter(|_| !waits))
        })
    }

    /// A delivery's frame: what happened to an issue of the public repository, by whom.
    pub(crate) fn about(&self, action: &str, repository: u64, by: &str, more: &Value) -> Value {
        let mut body = json!({
            "action": action,
            "repository": self.forge.as_repository(repository),
            "sender": self.forge.as_account(by),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        body
    }

    /// Somebody gives an issue the label that asks for work.
    pub(crate) fn label(&self, repository: u64, issue: u64, by: &str) -> Result<String> {
        let mut text = self.forge.as_issue(repository, issue);
        text["labels"] = json!([{ "name": "cofferdam" }]);
        self.deliver("issues", &self.about("label_updated", repository, by, &json!({ "issue": text })))
    }

    /// Somebody writes below an issue or a pull request.
    pub(crate) fn comment(&self, repository: u64, number: u64, by: &str, text: &str) -> Result<String> {
        let comment = self.forge.comment(repository, number, by, text);
        let issue = self.forge.as_issue(repository, number);
        let is_pull = !issue["head"].is_null();
        let more = json!({ "issue": issue, "comment": comment, "is_pull": is_pull });
        self.deliver("issue_comment", &self.about("created", repository, by, &more))
    }

    /// Somebody of the repository's asks for an issue with this text. The session that begins.
    pub(crate) fn begin(&self, repository: u64, title: &str, body: &str) -> Result<SessionId> {
        let known = self.sessions()?;
        let issue = self.forge.issue(repository, crate::forge::ANN, title, body);
        let what = self.label(repository, issue, crate::forge::ANN)?;
        let new =
            self.sessions()?.into_iter().find(|(session, _)| !known.iter().any(|(old, _)| old == session));
        new.map(|(session, _)| session).ok_or_else(|| Problem::Broken(format!("no session begins: {what}")))
    }

    /// All sessions with where they stand.
    pub(crate) fn sessions(&self) -> Result<Vec<(SessionId, String)>> {
        let all = self.list("/sessions", "sessions")?;
        let read = |row: &Value| {
            let id = row["id"].as_str()?.parse().ok()?;
            Some((id, row["state"].as_str()?.to_owned()))
        };
        Ok(all.iter().filter_map(read).collect())
    }

    /// That no session has begun.
    pub(crate) fn ensure_no_session(&self) -> Result<()> {
        let sessions = self.sessions()?;
        ensure(sessions.is_empty(), || format!("sessions began: {sessions:?}"))
    }

    /// The one session that there is.
    pub(crate) fn only_session(&self) -> Result<SessionId> {
        match &self.sessions()?[..] {
            [(session, _)] => Ok(*session),
            others => Err(Problem::Open(format!("one session should be there: {others:?}"))),
        }
    }

    /// Waits until a session has ended or waits for a person.
    pub(crate) fn stopped(&self, session: SessionId) -> Result<Attacked> {
        let state = self.until("session that has stopped", || {
            let all = self.sessions()?;
            let stands = all.into_iter().find(|(id, _)| *id == session).map(|(_, stands)| stands);
            Ok(stands.filter(|stands| stands == "ended" || stands == "waiting"))
        })?;
        self.stands(session, &state)
    }

    /// Waits until a session stands so, and all that is to be said of it on the forge is said.
    pub(crate) fn stands(&self, session: SessionId, state: &str) -> Result<Attacked> {
        self.until(&format!("session that is {state}"), || {
            let all = self.sessions()?;
            Ok(all.iter().any(|(id, stands)| *id == session && stands == state).then_some(()))
        })?;
        self.until("end of all letters", || {
            let all = self.list("/letters", "letters")?;
            Ok((!all.iter().any(|letter| letter["state"] == "waiting")).then_some(()))
        })?;
        self.as_it_is(session, self.sums)
    }

    /// The same for its end.
    pub(crate) fn ended(&self, session: SessionId) -> Result<Attacked> {
        self.stands(session, "ended")
    }

    /// A session on one of the repositories, as it is now. Its pull request is as the forge has it.
    pub(crate) fn as_it_is(&self, session: SessionId, repository: u64) -> Result<Attacked> {
        let mut attacked = Attacked::elsewhere(&self.world, session, self.forge.repository(repository))?;
        if let Some(opened) = &mut attacked.pull_request {
            let there = self.forge.as_pull(repository, opened.number);
            let text = |name: &str| there[name].as_str().unwrap_or_default().to_owned();
            (opened.title, opened.body) = (text("title"), text("body"));
        }
        Ok(attacked)
    }

    /// What has to hold whatever was tried: the forge has one branch more for each session at most, and only what may be was asked of it; nothing
    /// private is anywhere; and the logs are as they were written.
    pub(crate) fn ensure_only_what_is_permitted(&self) -> Result<()> {
        let sessions: Vec<String> =
            self.sessions()?.iter().map(|(session, _)| format!("refs/heads/cofferdam/{session}")).collect();
        for (id, before) in &self.before {
            let after = self.forge.repository(*id).refs()?;
            let gone: Vec<_> =
                before.iter().filter(|(name, commit)| after.get(*name) != Some(commit)).collect();
            ensure(gone.is_empty(), || format!("refs are gone or changed: {gone:?}"))?;
            let new = after.keys().filter(|name| !before.contains_key(*name));
            let strange: Vec<_> = new.filter(|name| !sessions.contains(name)).collect();
            ensure(strange.is_empty(), || format!("refs that nobody permitted: {strange:?}"))?;
        }
        for asked in self.forge.asked() {
            let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let git = !asked.path.starts_with("/api/");
            ensure(git || asked.method == "GET" || is_permitted(&asked.method, &asked.path, &body), || {
                format!("asked of the forge: {} {} {body}", asked.method, asked.path)
            })?;
            let text = if git {
                asked.path.clone().into_bytes()
            } else {
                [asked.path.as_bytes(), &asked.body].concat()
            };
            let found = self.world.canaries.found_in(&text);
            ensure(found.is_empty(), || format!("{found:?} is in {} {}: {body}", asked.method, asked.path))?;
            ensure(!self.forge_token.is_in(&text), || {
                format!("the forge's token is in {}: {body}", asked.path)
            })?;
        }
        for (session, _) in self.sessions()? {
            self.world.ok(&["audit", "verify", &session.to_string()])?;
            let log = self.world.ok(&["show", "--full", "--json", &session.to_string()])?.stdout;
            ensure(!self.forge_token.is_in(log.as_bytes()), || "the forge's token is in a log".to_owned())?;
        }
        self.world.ensure_nothing_leaked(&[])
    }

    /// The comment that says how a session stands, with everything else that the product has said.
    pub(crate) fn said(&self) -> String {
        let all = self.forge.written(self.sums);
        all.iter().map(|said| format!("{}\n", said["body"].as_str().unwrap_or_default())).collect()
    }

    /// What the product's account has asked of the forge beside looking: so many times.
    pub(crate) fn changes(&self) -> usize {
        let all = self.forge.asked();
        let ours = all.iter().filter(|asked| asked.by.as_deref() == Some(AGENT) && asked.method != "GET");
        ours.filter(|asked| asked.path.starts_with("/api/")).count()
    }
}

/// Whether the product may do this on a forge at all: say something, open and describe its pull request, put a status on its commit.
fn is_permitted(method: &str, path: &str, body: &Value) -> bool {
    let segments: Vec<&str> = path.trim_start_matches("/api/v1/repos/").split('/').skip(2).collect();
    match (method, &segments[..]) {
        (
            "POST",
            ["issues", _, "comments" | "reactions"] | ["issues", "comments", _, "reactions"] | ["pulls"],
        )
        | ("POST", ["statuses", _])
        | ("PATCH", ["issues", "comments", _]) => true,
        ("PATCH", ["pulls", _]) => body.get("state").is_none(),
        ("POST", ["pulls", _, "reviews"]) => body["event"] == "COMMENT",
        _ => false,
    }
}
