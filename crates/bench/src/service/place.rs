//! Where the service runs: a repository, a data directory or a database of its own, a configuration, and processes of the real program.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_store::Everything;
use cofferdam_testkit::Postgres;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::session::World;

/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all parts share.
pub(crate) struct Ground {
    folder: PathBuf,
    program: PathBuf,
    world: World,
    postgres: Option<Postgres>,
    places: Cell<usize>,
}

/// Which database keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// How a place is configured.
pub(crate) struct Settings {
    /// Sessions that a worker has at once.
    pub(crate) slots: usize,
    /// What the recorded models play; the first is taken where a task names none.
    pub(crate) recordings: Vec<String>,
    /// A model that is asked over HTTP, before the recorded ones.
    pub(crate) asked: Option<String>,
    /// What the deliveries of a forge called `work` are proved with.
    pub(crate) forge: Option<&'static str>,
    /// Where that forge is, and the account's token; nobody is there where it is not said.
    pub(crate) at: Option<(String, String)>,
}

impl Settings {
    /// A server without models that could do anything.
    pub(crate) fn idle() -> Self {
        Self {
            slots: 1,
            recordings: vec!["name = \"none\"\n[[step]]\ntext = \"x\"\n".to_owned()],
            asked: None,
            forge: None,
            at: None,
        }
    }
}

impl Ground {
    pub(crate) fn new(folder: &Path, program: PathBuf) -> Result<Self> {
        let world = World::new(&folder.join("world"), 1)?;
        let postgres = Postgres::start();
        Ok(Self { folder: folder.to_owned(), program, world, postgres, places: Cell::new(0) })
    }

    /// The databases that there are.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let postgres = self.postgres.is_some().then_some(Kind::Postgres);
        [Kind::Sqlite].into_iter().chain(postgres).collect()
    }

    /// A new, empty place.
    pub(crate) fn place(&self, kind: Kind, settings: &Settings) -> Result<Place> {
        let number = self.places.replace(self.places.get() + 1);
        let folder = self.folder.join(format!("place-{number}"));
        fs::create_dir(&folder)?;
        let database = || self.postgres.as_ref().map(Postgres::database).context("there is no PostgreSQL");
        let url = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(database()?),
        };
        let repository = self.world.repository();
        let mut place = Place { folder, program: self.program.clone(), repository, url, models: Vec::new() };
        place.configure(settings)?;
        Ok(place)
    }
}

/// A configured place, on which any number of processes may run.
pub(crate) struct Place {
    folder: PathBuf,
    program: PathBuf,
    repository: PathBuf,
    /// The database's address, if it is not the data directory.
    url: Option<String>,
    /// By the names under which tasks may ask for them.
    models: Vec<String>,
}

impl Place {
    fn configure(&mut self, settings: &Settings) -> Result<()> {
        let mut providers = serde_json::Map::new();
        if let Some(base_url) = &settings.asked {
            let model = json!({ "context_window": 4_000_000, "max_output": 8192 });
            let provider = json!({
                "kind": "anthropic", "base_url": base_url, "key_env": "BENCH_KEY", "models": { "asked": model },
            });
            providers.insert("bench".to_owned(), provider);
            self.models.push("bench/asked".to_owned());
        }
        for (number, recording) in settings.recordings.iter().enumerate() {
            let path = self.folder.join(format!("recording-{number}.toml"));
            fs::write(&path, recording)?;
            self.models.push(format!("scripted:{}", path.display()));
        }
        let many = 100_000;
        let store = self.url.as_ref().map_or_else(|| json!({}), |url| json!({ "url": url }));
        let forges: Vec<Value> =
            settings.forge.iter().map(|secret| self.forge(secret, settings)).collect::<Result<_>>()?;
        let configuration = json!({
            "forge": forges,
            "policy": { "test_command": "sh test.sh" },
            "sandbox": { "limits": "weak" },
            "server": { "models": self.models },
            "worker": {
                "slots": settings.slots, "per_user": many, "per_organisation": many, "per_repository": many,
            },
            "store": store,
            "models": { "providers": providers },
        });
        Ok(fs::write(self.folder.join("cofferdam.toml"), toml::to_string(&configuration)?)?)
    }

    fn forge(&self, secret: &str, settings: &Settings) -> Result<Value> {
        let (url, token) =
            settings.at.clone().unwrap_or_else(|| ("http://127.0.0.1:9".into(), secret.into()));
        let (secret_file, token_file) = (self.folder.join("forge-secret"), self.folder.join("forge-token"));
        fs::write(&secret_file, secret)?;
        fs::write(&token_file, token)?;
        Ok(json!({
            "name": "work", "kind": "gitea", "url": url, "plain_http": true,
            "token": { "file": token_file }, "hook_secret": { "file": secret_file },
        }))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("COFFERDAM_CONFIG", self.folder.join("cofferdam.toml"))
            .env("COFFERDAM_DATA", self.data())
            .env("BENCH_KEY", "a key for nobody")
            .env_remove("COFFERDAM_SERVER")
            .stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The place's database, for a plain connection.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// A file of this place's own, on the same file system.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The store itself, beside the processes that use it.
    pub(crate) async fn store(&self) -> Result<Arc<dyn Everything>> {
        let data = self.data();
        let address = self.url.as_deref().or(data.to_str()).context("the folder's name is not UTF-8")?;
        Ok(cofferdam_store::open(address).await?)
    }

    /// A task for the recording with this number.
    pub(crate) fn task(&self, prompt: &str, model: usize) -> String {
        let task: Value =
            json!({ "prompt": prompt, "repository": self.repository, "model": self.models.get(model) });
        task.to_string()
    }

    /// What a command prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cofferdam {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A new token of the user's.
    pub(crate) fn token(&self, user: &str) -> Result<String> {
        self.run(&["admin", "token", user, "--rank", "member"])
    }

    /// The whole service, or its server.
    pub(crate) fn serve(&self, command: &str) -> Result<Started> {
        let mut started = self.start(&[command, "--listen", "127.0.0.1:0"])?;
        let line = started.until("listening on ")?;
        let address = line.trim().rsplit("//").next().unwrap_or_default();
        started.address = address.to_owned();
        Ok(started)
    }

    /// A worker.
    pub(crate) fn work(&self) -> Result<Started> {
        let mut started = self.start(&["worker"])?;
        started.until("works on what is queued")?;
        Ok(started)
    }

    fn start(&self, arguments: &[&str]) -> Result<Started> {
        let log = File::options().create(true).append(true).open(self.folder.join("stderr"))?;
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().context("there is no output")?;
        let log = self.folder.join("stderr");
        Ok(Started { child, stdout: BufReader::new(stdout), log, address: String::new() })
    }
}

/// A process of the program. Dropping it kills it, and with it every sandbox of its own.
pub(crate) struct Started {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    log: PathBuf,
    /// Where it listens, if it does.
    pub(crate) address: String,
}

impl Started {
    fn until(&mut self, text: &str) -> Result<String> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line)? > 0 {
            if line.contains(text) {
                return Ok(line);
            }
            line.clear();
        }
        bail!("the program ended: {}", fs::read_to_string(&self.log).unwrap_or_default());
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a service manager does.
    pub(crate) fn end(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has no id")?, Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < until, "the program did not end in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already; then there is only its status to collect.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
