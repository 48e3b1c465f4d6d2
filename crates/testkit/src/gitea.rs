//! Gitea itself, with data of its own: built once by the ordinary Go client, kept in the user's cache, and ended with the process that runs the tests,
//! however that ends.
//!
//! It is built without its pages' scripts and styles, which need Node: the API, git over HTTP, webhooks and Actions are all there.

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

mod program;
mod reader;
mod runner;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::OnceCell, time::sleep};

use crate::port::Port;

/// Starts the server (`$@`) with its own process id told, waits until standard input is closed, ends the server and removes its folder.
const WATCH: &str = r#""$@" >&2 & echo "server $!"; exec 2> /dev/null; cat > /dev/null; kill -KILL $!; wait $!; rm -rf "$FOLDER""#;
/// How long the server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a password of the tests";

/// A Gitea that runs on this machine.
#[derive(Debug)]
pub struct Gitea {
    program: PathBuf,
    folder: PathBuf,
    port: Port,
    watch: Child,
    process: i32,
    /// The administrator's token.
    token: String,
    names: AtomicU32,
}

/// An account of it.
#[derive(Debug, Clone)]
pub struct GiteaAccount {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub login: String,
    /// A token that may do all that the account may.
    pub token: String,
}

impl Gitea {
    /// The version that is built.
    pub const VERSION: &'static str = program::VERSION;

    /// The one that the tests of a process share; `None` where none can be had, which is said loudly.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Gitea>> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await.as_ref()
    }

    /// Starts one; `None` where none can be had, which is said loudly.
    ///
    /// # Panics
    /// When it is there and does not work.
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    pub async fn start() -> Option<Self> {
        let program = match tokio::task::spawn_blocking(program::program).await.unwrap() {
            Ok(program) => program,
            Err(why) => {
                eprintln!("SKIPPED: a Gitea to test against is built by Go: {why}");
                return None;
            }
        };
        let folder = tempfile::tempdir().map(TempDir::keep).unwrap();
        let port = Port::take();
        fs::write(folder.join("app.ini"), settings(&program, &folder, port.number())).unwrap();
        let (watch, process) = run(&program, &folder);
        let mut gitea =
            Self { program, folder, port, watch, process, token: String::new(), names: AtomicU32::new(0) };
        assert!(gitea.answers().await, "Gitea does not start in {}", gitea.folder.display());
        gitea.token = gitea.administrator();
        Some(gitea)
    }

    /// Its address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// A token of its administrator, who may do everything.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A name that no other test has: `name` and a number.
    #[must_use]
    pub fn fresh(&self, name: &str) -> String {
        format!("{name}{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A request to its API: what it answers, and how.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client().request(method, format!("{}/api/v1{path}", self.url()));
        request = match token.split_once(':') {
            Some((login, password)) => request.basic_auth(login, Some(password)),
            None => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The same, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn must(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(token, method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes an account whose name begins like this.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn account(&self, name: &str) -> GiteaAccount {
        let login = self.fresh(name);
        let wanted = json!({
            "username": login,
            "password": PASSWORD,
            "email": format!("{login}@example.org"),
            "must_change_password": false,
        });
        let made = self.must(&self.token, "POST", "/admin/users", Some(&wanted)).await;
        let token = self.token_of(&login, &["all"]).await;
        GiteaAccount { id: made["id"].as_u64().unwrap(), login, token }
    }

    /// Another token of an account, for these scopes.
    ///
    /// # Panics
    /// When there is none.
    pub async fn token_of(&self, login: &str, scopes: &[&str]) -> String {
        let wanted = json!({ "name": self.fresh("token"), "scopes": scopes });
        let path = format!("/users/{login}/tokens");
        let made = self.must(&format!("{login}:{PASSWORD}"), "POST", &path, Some(&wanted)).await;
        made["sha1"].as_str().unwrap().to_owned()
    }

    /// What Gitea's own client for Go reads of an issue and a pull request of a repository; `None` where it cannot be built, which is said loudly.
    ///
    /// # Panics
    /// When it does not get on with the server.
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    pub async fn read_by_its_client(&self, path: &str, issue: u64, pull: u64) -> Option<Value> {
        let program = match tokio::task::spawn_blocking(reader::reader).await.unwrap() {
            Ok(program) => program,
            Err(why) => {
                eprintln!("SKIPPED: Gitea's client for Go is built by Go: {why}");
                return None;
            }
        };
        let (owner, name) = path.split_once('/').unwrap();
        let mut reading = tokio::process::Command::new(program);
        reading.args([&self.url(), self.token(), owner, name, &issue.to_string(), &pull.to_string()]);
        let read = reading.kill_on_drop(true).output().await.unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        Some(serde_json::from_slice(&read.stdout).unwrap())
    }

    /// Makes a repository with one commit on `main`, and gives back its number and its path.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn repository(&self, owner: &GiteaAccount, name: &str, private: bool) -> (u64, String) {
        let wanted = json!({
            "name": self.fresh(name),
            "private": private,
            "auto_init": true,
            "default_branch": "main",
        });
        let made = self.must(&owner.token, "POST", "/user/repos", Some(&wanted)).await;
        (made["id"].as_u64().unwrap(), made["full_name"].as_str().unwrap().to_owned())
    }

    /// Gives an account `read`, `write` or `admin` in a repository.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn permit(&self, path: &str, account: &GiteaAccount, permission: &str) {
        let wanted = json!({ "permission": permission });
        let path = format!("/repos/{path}/collaborators/{}", account.login);
        self.must(&self.token, "PUT", &path, Some(&wanted)).await;
    }

    /// Puts a file into a branch, which is made from the default branch where it is not, and gives back the commit.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn commit(&self, path: &str, branch: &str, file: (&str, &str)) -> String {
        let place = format!("/repos/{path}/contents/{}", file.0);
        let seen = format!("/repos/{path}/branches/{branch}");
        let (status, _) = self.call(&self.token, "GET", &seen, None).await;
        let from = if status == StatusCode::OK { "branch" } else { "new_branch" };
        let mut wanted = json!({ "content": STANDARD.encode(file.1), "message": "A commit", from: branch });
        let at = if from == "branch" { format!("{place}?ref={branch}") } else { place.clone() };
        let (status, old) = self.call(&self.token, "GET", &at, None).await;
        let method = if status == StatusCode::OK { "PUT" } else { "POST" };
        if let Some(id) = old["sha"].as_str() {
            wanted["sha"] = id.into();
        }
        let made = self.must(&self.token, method, &place, Some(&wanted)).await;
        made["commit"]["sha"].as_str().unwrap().to_owned()
    }

    /// Has it tell of everything in a repository, signed with a secret.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn hook(&self, path: &str, url: &str, secret: &str) {
        let wanted = json!({
            "type": "gitea",
            "active": true,
            "config": { "url": url, "content_type": "json", "secret": secret },
            "events": [
                "create", "delete", "push", "issues", "issue_assign", "issue_label", "issue_comment", "pull_request",
                "pull_request_assign", "pull_request_label", "pull_request_comment", "pull_request_review_approved",
                "pull_request_review_rejected", "pull_request_review_comment", "pull_request_sync",
                "pull_request_review_request", "repository", "status",
            ],
        });
        self.must(&self.token, "POST", &format!("/repos/{path}/hooks"), Some(&wanted)).await;
    }

    /// Kills it at once.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        // First the watch, which would remove the folder.
        drop((self.watch.kill(), self.watch.wait()));
        kill_process(Pid::from_raw(self.process).unwrap(), Signal::KILL).unwrap();
        while TcpListener::bind(("127.0.0.1", self.port.number())).is_err() {
            thread::yield_now();
        }
    }

    /// Starts it again, with the same data at the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn again(&mut self) {
        (self.watch, self.process) = run(&self.program, &self.folder);
        assert!(self.answers().await, "Gitea does not start again");
    }

    /// Waits until it answers. `false` when it has ended instead.
    async fn answers(&mut self) -> bool {
        let (client, url) = (client(), format!("{}/api/v1/version", self.url()));
        let began = Instant::now();
        while began.elapsed() < PATIENCE && Path::new(&format!("/proc/{}/exe", self.process)).exists() {
            if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Makes the administrator, who gets a token.
    fn administrator(&self) -> String {
        let made = command(&self.program, &self.folder)
            .args(["admin", "user", "create", "--admin", "--username", "the-administrator"])
            .args(["--email", "administrator@example.org", "--password", PASSWORD])
            .args(["--must-change-password=false", "--access-token", "--access-token-scopes", "all"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stdout);
        let token =
            said.lines().rev().find_map(|line| line.split_once("created... ")).map(|(_, token)| token);
        token.unwrap_or_else(|| panic!("{said} {}", String::from_utf8_lossy(&made.stderr))).trim().to_owned()
    }

    fn end(&mut self) {
        // The watch ends the server and removes the folder when its input is closed.
        drop(self.watch.stdin.take());
        drop(self.watch.wait());
    }
}

impl Drop for Gitea {
    fn drop(&mut self) {
        self.end();
    }
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program.join("gitea"));
    command
        .arg("--config")
        .arg(folder.join("app.ini"))
        .current_dir(folder)
        .env("GITEA_WORK_DIR", folder)
        // It refuses to run as root otherwise; nobody else can read the cache of root.
        .env("GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT", "true");
    command
}

fn run(program: &Path, folder: &Path) -> (Child, i32) {
    let server = command(program, folder);
    let mut watch = Command::new("sh");
    watch.args(["-c", WATCH, "sh"]).arg(server.get_program()).args(server.get_args()).arg("web");
    for (name, value) in server.get_envs() {
        watch.env(name, value.unwrap_or_default());
    }
    let said = fs::File::create(folder.join("said.log")).unwrap();
    let mut watch = watch
        .env("FOLDER", folder)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(said)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    let process = lines.find_map(|line| line.strip_prefix("server ")?.parse().ok()).unwrap();
    (watch, process)
}

/// Its configuration (<https://docs.gitea.com/administration/config-cheat-sheet>).
fn settings(program: &Path, folder: &Path, port: u16) -> String {
    let (program, folder) = (program.display(), folder.display());
    format!(
        "RUN_MODE = prod
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = {program}
APP_DATA_PATH = {folder}/data
LFS_START_SERVER = true
LFS_JWT_SECRET = YS1zZWNyZXQtb2YtdGhlLXRlc3RzLTMyLWJ5dGVzISE
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL
[security]
INSTALL_LOCK = true
SECRET_KEY = a-key-of-the-tests
PASSWORD_HASH_ALGO = pbkdf2_v1
[oauth2]
ENABLED = false
[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main
[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 10
[indexer]
ISSUE_INDEXER_TYPE = db
[queue]
TYPE = channel
[session]
PROVIDER = memory
[cron]
ENABLED = false
[log]
LEVEL = warn
"
    )
}

fn client() -> Client {
    // A client of its own each time: it belongs to the runtime of the test that uses it first.
    cofferdam_model::http_client("http://127.0.0.1").unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_real_gitea_answers() {
        let Some(gitea) = Gitea::shared().await else { return };
        assert_eq!(gitea.must(gitea.token(), "GET", "/version", None).await["version"], Gitea::VERSION);
    }
}
