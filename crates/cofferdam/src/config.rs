//! Configuration in two stages: what the file says (parsed strictly), then what is meant (paths made absolute, defaults filled in).
//!
//! The file is the administrator's. It is never read from a repository: a repository may not decide what a session may do.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use cofferdam_domain::{Policy, egress::EgressPolicy};
use cofferdam_egress::Credential;
use cofferdam_intake::{ForgeSettings, HookSettings, ScheduleSettings, SlackSettings};
use cofferdam_model::ModelsConfig;
use cofferdam_sandbox::{IsolationLevel, LimitLevel, ReadOnly, System};
use cofferdam_sandbox_docker::DockerOptions;
use cofferdam_tell::TellSettings;
use serde::Deserialize;

use crate::toml_file;

mod browser;
mod display;
mod mcp;
mod openid;
mod repositories;
mod service;
mod telemetry;

pub(crate) use browser::BrowserSettings;
pub(crate) use display::DisplaySettings;
use openid::OpenIdTable;
pub(crate) use repositories::RepositoriesSettings;
use service::KeyPlace;
pub(crate) use service::{RetentionSettings, SecretsSettings, ServerSettings, StoreSettings, WorkerSettings};
pub(crate) use telemetry::TelemetrySettings;

/// The commented example that is shipped; every key is in it. A test parses it.
#[cfg(test)]
const EXAMPLE: &str = include_str!("../../../cofferdam.example.toml");

/// Where in the data directory is what containers read of their driver.
pub(crate) const CONTAINERS: &str = "containers";

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    policy: Policy,
    models: ModelsConfig,
    sandbox: SandboxFile,
    repositories: RepositoriesSettings,
    identity: Identity,
    commits: Commits,
    credentials: Vec<Credential>,
    egress: Option<EgressSettings>,
    server: ServerSettings,
    worker: WorkerSettings,
    store: StoreSettings,
    secrets: SecretsSettings,
    telemetry: TelemetrySettings,
    retention: RetentionSettings,
    tell: Vec<TellSettings>,
    forge: Vec<ForgeSettings>,
    hook: Vec<HookSettings>,
    schedule: Vec<ScheduleSettings>,
    slack: Vec<SlackSettings>,
    mcp: Vec<cofferdam_mcp::ServerSettings>,
    browser: BrowserSettings,
    display: DisplaySettings,
}

/// The `[egress]` table: what the egress door has of this host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EgressSettings {
    /// The DNS server that is asked; by default whoever the host asks.
    pub(crate) resolver: Option<SocketAddr>,
    /// Files with root certificates (PEM) that hosts may have theirs from, beside the host's own.
    pub(crate) roots: Vec<PathBuf>,
    /// Whether the package managers' configuration on this host says which registries there are.
    pub(crate) registries: RegistrySource,
    /// Bytes of packages that are kept.
    pub(crate) cache: u64,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self { resolver: None, roots: Vec::new(), registries: RegistrySource::default(), cache: 4 << 30 }
    }
}

/// Where package registries are known from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RegistrySource {
    /// From the package managers' own configuration on this host.
    #[default]
    Discovered,
    /// None are known.
    Off,
}

/// The `[sandbox]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SandboxFile {
    driver: DriverName,
    docker: DockerSettings,
    limits: Limits,
    isolation: Isolation,
    root: bool,
    read_only: Vec<ReadOnlyFile>,
}

/// Who makes sandboxes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DriverName {
    /// Cofferdam itself, with the system of this host
    #[default]
    Native,
    /// A container engine, Docker or Podman, with the system of an image
    Docker,
}

/// The `[sandbox.docker]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DockerSettings {
    /// The engine's socket.
    pub(crate) socket: PathBuf,
    /// The image that sandboxes have the system of.
    pub(crate) image: Option<String>,
    /// The OCI runtime, by its name in the engine's configuration.
    pub(crate) runtime: Option<String>,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self { socket: PathBuf::from("/var/run/docker.sock"), image: None, runtime: None }
    }
}

/// How strictly the limits of a sandbox must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limits {
    /// By the kernel, for each sandbox as a whole; or there is no sandbox
    #[default]
    Enforced,
    /// Where control groups cannot be written, by limits of single processes and a watchdog
    Weak,
}

/// How strictly the walls of a sandbox must stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Isolation {
    /// All of them; or there is no sandbox.
    #[default]
    Full,
    /// Some may be missing: Landlock, user ids for each sandbox, or whatever a container engine lacks.
    Weaker,
}

impl Limits {
    /// As it is written in the file and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Weak => "weak",
        }
    }
}

impl From<Isolation> for IsolationLevel {
    fn from(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Full => Self::Full,
            Isolation::Weaker => Self::WeakerAllowed,
        }
    }
}

impl From<Limits> for LimitLevel {
    fn from(limits: Limits) -> Self {
        match limits {
            Limits::Enforced => Self::Enforced,
            Limits::Weak => Self::WeakAllowed,
        }
    }
}

/// One `[[sandbox.read_only]]` entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadOnlyFile {
    host: PathBuf,
    inside: PathBuf,
}

/// The `[identity]` table: under whose name the platform commits.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Identity {
    /// The name in commits.
    pub(crate) name: String,
    /// The address in commits.
    pub(crate) email: String,
}

impl Default for Identity {
    fn default() -> Self {
        Self { name: "Cofferdam".to_owned(), email: "cofferdam@localhost".to_owned() }
    }
}

/// The `[commits]` table: how the platform's commits are made.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Commits {
    signing_key: Option<KeyFile>,
}

/// Where a key is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    file: PathBuf,
}

/// What is meant.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file that it was read from, if there was one.
    pub(crate) file: Option<PathBuf>,
    /// Where everything is kept.
    pub(crate) data: PathBuf,
    /// What sessions may do.
    pub(crate) policy: Policy,
    /// Which models there are.
    pub(crate) models: ModelsConfig,
    /// Who makes sandboxes.
    pub(crate) driver: DriverName,
    /// The container engine, if that does.
    pub(crate) docker: DockerSettings,
    /// How strictly the limits of sandboxes must hold.
    pub(crate) limits: Limits,
    /// How strictly the walls of sandboxes must stand.
    pub(crate) isolation: Isolation,
    /// Whether sessions' sandboxes have a root who can change their system.
    pub(crate) system: System,
    /// Host directories that every sandbox may read.
    pub(crate) read_only: Vec<ReadOnly>,
    /// How repositories are copied and checked out.
    pub(crate) repositories: RepositoriesSettings,
    /// Under whose name the platform commits.
    pub(crate) identity: Identity,
    /// The SSH key that signs the platform's commits.
    pub(crate) signing_key: Option<PathBuf>,
    /// Secrets that the egress door adds to requests.
    pub(crate) credentials: Vec<Credential>,
    /// What the egress door has of this host.
    pub(crate) egress: EgressSettings,
    /// Where a server listens, or which one is asked.
    pub(crate) server: ServerSettings,
    /// How much a worker takes on.
    pub(crate) worker: WorkerSettings,
    /// Where sessions are kept, if not in the data directory.
    pub(crate) store: StoreSettings,
    /// Where the key is that encrypts secrets in the store.
    pub(crate) secrets: SecretsSettings,
    /// Where traces go.
    pub(crate) telemetry: TelemetrySettings,
    /// For how long things are kept.
    pub(crate) retention: RetentionSettings,
    /// Who is told of sessions, and how.
    pub(crate) tell: Vec<TellSettings>,
    /// Forges on which people ask for work and get it.
    pub(crate) forges: Vec<ForgeSettings>,
    /// Workspaces of Slack in which people ask for work.
    pub(crate) slacks: Vec<SlackSettings>,
    /// Other programs that post what is to be worked on.
    pub(crate) hooks: Vec<HookSettings>,
    /// Other programs whose tools sessions may call.
    pub(crate) mcp: Vec<cofferdam_mcp::ServerSettings>,
    /// The browser of sessions.
    pub(crate) browser: BrowserSettings,
    /// The display of sessions.
    pub(crate) display: DisplaySettings,
    /// What begins at set times.
    pub(crate) schedules: Vec<ScheduleSettings>,
}

/// The environment, as far as configuration reads it. A value, so that tests need not change the process.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads the named file, or the user's if there is one, and fills in what it does not say. `data` overrides the file.
    pub(crate) fn load(
        named: Option<&Path>,
        data: Option<&Path>,
        environment: Environment<'_>,
    ) -> Result<Self> {
        let path = named.map(Path::to_owned).or_else(|| user_file(environment));
        let file = path.as_deref().map(read).transpose()?.unwrap_or_default();
        let data = match data.map(Path::to_owned).or(file.data) {
            Some(data) => data,
            None => default_data(environment)?,
        };
        let data = std::path::absolute(&data)
            .with_context(|| format!("the data directory {} is not a usable path", data.display()))?;
        let mut read_only = Vec::new();
        for entry in file.sandbox.read_only {
            if !entry.host.is_absolute() || !entry.inside.is_absolute() {
                bail!(
                    "[[sandbox.read_only]]: host {:?} and inside {:?} must be absolute paths",
                    entry.host,
                    entry.inside
                );
            }
            if !entry.host.exists() {
                bail!("[[sandbox.read_only]]: {} does not exist on this host", entry.host.display());
            }
            read_only.push(ReadOnly { host: entry.host, inside: entry.inside });
        }
        Ok(Self {
            file: path,
            driver: file.sandbox.driver,
            docker: file.sandbox.docker,
            limits: file.sandbox.limits,
            isolation: file.sandbox.isolation,
            system: if file.sandbox.root { System::Writable } else { System::ReadOnly },
            data,
            policy: file.policy,
            models: file.models,
            read_only,
            repositories: file.repositories.checked()?,
            identity: file.identity,
            signing_key: file.commits.signing_key.map(|key| key.file),
            credentials: file.credentials,
            egress: file.egress.unwrap_or_default(),
            server: file.server.with(environment),
            worker: file.worker,
            store: file.store,
            secrets: file.secrets,
            telemetry: file.telemetry,
            retention: file.retention,
            tell: file.tell,
            forges: file.forge,
            hooks: file.hook,
            schedules: file.schedule,
            mcp: mcp::checked(file.mcp)?,
            browser: file.browser.checked()?,
            display: file.display.checked()?,
            slacks: file.slack,
        })
    }
}

impl Config {
    /// What the docker driver needs to know.
    pub(crate) fn docker(&self) -> Result<DockerOptions> {
        let DockerSettings { socket, image, runtime } = self.docker.clone();
        let image = image.context(
            "the docker driver needs an image: name one that the engine has with `image` in the [sandbox.docker] table",
        )?;
        let (limits, isolation) = (self.limits.into(), self.isolation.into());
        Ok(DockerOptions { socket, image, runtime, limits, isolation, data: self.data.join(CONTAINERS) })
    }
}

/// The parts of a configuration that a file of rules may have.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What may leave.
    pub(crate) policy: EgressPolicy,
    /// What the door adds.
    pub(crate) credentials: Vec<Credential>,
    /// What the door has of this host, if the file says so.
    pub(crate) egress: Option<EgressSettings>,
}

/// Reads a file of rules: `[policy.egress]`, `[[credentials]]` and `[egress]` as in a configuration, which may itself be one.
pub(crate) fn rules(path: &Path) -> Result<Rules> {
    let file = read(path)?;
    Ok(Rules { policy: file.policy.egress, credentials: file.credentials, egress: file.egress })
}

fn read(path: &Path) -> Result<File> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("failed to read the configuration {}", path.display()))?;
    toml_file::parse(&text).with_context(|| format!("the configuration {} is not valid", path.display()))
}

fn user_file(environment: Environment<'_>) -> Option<PathBuf> {
    let path = directory(environment, "XDG_CONFIG_HOME", ".config")?.join("cofferdam/cofferdam.toml");
    path.exists().then_some(path)
}

fn default_data(environment: Environment<'_>) -> Result<PathBuf> {
    directory(environment, "XDG_DATA_HOME", ".local/share")
        .map(|directory| directory.join("cofferdam"))
        .context("neither HOME nor XDG_DATA_HOME is set: name a data directory with --data")
}

/// A user directory as the XDG Base Directory Specification finds it: relative values of the variable are ignored.
fn directory(environment: Environment<'_>, variable: &str, below_home: &str) -> Option<PathBuf> {
    environment(variable).map(PathBuf::from).filter(|path| path.is_absolute()).or_else(|| {
        environment("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(below_home))
    })
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::Alarms;
    use cofferdam_intake::now;

    use super::*;

    fn load(text: &str) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.toml");
        fs::write(&path, text).unwrap();
        Config::load(Some(&path), None, &|name| (name == "HOME").then(|| "/home/ann".to_owned()))
    }

    /// The example with these prefixes taken off its lines.
    fn uncommented(prefixes: &[&str]) -> String {
        let line = |line: &'static str| {
            prefixes.iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line).to_owned() + "\n"
        };
        EXAMPLE.lines().map(line).collect()
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        let config = load(&uncommented(&["#: "])).unwrap();
        let policy = Policy { alarms: Some(Alarms::default()), ..Policy::default() };
        assert_eq!(config.policy, policy, "the example shows the defaults");
        assert_eq!(config.models, ModelsConfig::default(), "the example shows the defaults");
        assert_eq!(config.limits, Limits::Enforced);
        assert_eq!((config.isolation, config.system), (Isolation::Full, System::ReadOnly));
        assert_eq!((config.driver, config.docker), (DriverName::Native, DockerSettings::default()));
        assert_eq!(config.egress, EgressSettings::default(), "the example shows the defaults");
        assert_eq!(config.server, ServerSettings::default(), "the example shows the defaults");
        assert_eq!(config.worker, WorkerSettings::default(), "the example shows the defaults");
        assert_eq!(config.store, StoreSettings::default(), "the example shows the defaults");
        assert_eq!(config.secrets, SecretsSettings::default(), "the example shows the defaults");
        assert_eq!(config.telemetry, TelemetrySettings::default(), "the example shows the defaults");
        assert_eq!(config.retention, RetentionSettings::default(), "the example shows the defaults");
        assert_eq!(config.browser, BrowserSettings::default(), "the example shows the defaults");
        assert_eq!(config.display, DisplaySettings::default(), "the example shows the defaults");
        assert_eq!(load(EXAMPLE).unwrap().policy, Policy::default());
    }

    #[test]
    fn every_setting_of_the_example_is_one() {
        let everything = uncommented(&["#: ", "#- "]).replace("/srv/cache/wheels", "/");
        let config = load(&everything).unwrap();
        assert_eq!(config.data, Path::new("/var/lib/cofferdam"));
        assert_eq!(config.read_only.len(), 1);
        assert!(config.models.providers.contains_key("work"));
        let names = config.credentials.iter().map(|credential| credential.name.clone()).collect();
        let problems = cofferdam_egress::problems(&config.policy.egress, &names);
        assert_eq!(problems, [], "the example's rules make sense");
        assert_eq!(config.policy.alarms.map_or(0, |alarms| alarms.rules.len()), 1);
        assert_eq!(config.tell.len(), 2);
        assert_eq!(config.forges.len(), 2);
        let secret = |_: &str| Some("0123456789abcdef".to_owned());
        assert_eq!(HookSettings::hooks(&config.hooks, &secret).unwrap().len(), 2);
        assert_eq!(ScheduleSettings::schedules(&config.schedules, now()).unwrap().len(), 2);
        assert_eq!(config.slacks.len(), 1);
        assert_eq!(config.mcp.len(), 2);
        assert_eq!(config.browser.program.as_deref(), Some("/usr/bin/chromium"));
        let display = config.display.display().unwrap();
        assert_eq!((display.server.as_str(), display.size.width()), ("/usr/bin/Xvfb", 1280));
        assert_eq!((config.credentials.len(), config.policy.egress.rules.len()), (6, 3));
    }

    #[test]
    fn defaults_follow_the_user() {
        let config = load("").unwrap();
        assert_eq!(config.data, Path::new("/home/ann/.local/share/cofferdam"));
        let config = Config::load(None, None, &|name| match name {
            "XDG_DATA_HOME" => Some("/var/lib/x".to_owned()),
            "HOME" => Some("/nowhere".to_owned()),
            _ => None,
        });
        assert_eq!(config.unwrap().data, Path::new("/var/lib/x/cofferdam"));
    }

    #[test]
    fn the_docker_driver_needs_an_image() {
        let config = load("[sandbox]\ndriver = \"docker\"\nisolation = \"weaker\"\n").unwrap();
        let missing = config.docker().unwrap_err().to_string();
        assert!(missing.contains("[sandbox.docker]"), "{missing}");
        let text = "[sandbox.docker]\nsocket = \"/run/podman/podman.sock\"\nimage = \"build:7\"\nruntime = \"runsc\"\n";
        let options = load(text).unwrap().docker().unwrap();
        assert_eq!((options.image.as_str(), options.runtime.as_deref()), ("build:7", Some("runsc")));
        assert_eq!((options.isolation, options.limits), (IsolationLevel::Full, LimitLevel::Enforced));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("[polcy]\n", "polcy"),
            ("[policy]\nsteps = 3\n", "steps"),
            ("[policy.budget]\nsteps = \"many\"\n", "steps"),
            ("[sandbox]\ndriver = \"dokcer\"\n", "did you mean `docker`"),
            ("[sandbox.docker]\nimages = \"x\"\n", "did you mean `image`"),
            ("[egress]\nresolver = \"dns.example\"\n", "resolver"),
            ("[[policy.egress.rules]]\nname = \"a\"\nhost = \"10.0.0.1\"\n", "address"),
            ("[[credentials]]\nname = \"a\"\nhost = \"a.example\"\n", "source"),
            ("[telemetry]\nendpiont = \"http://a\"\n", "did you mean `endpoint`"),
            ("[worker]\nmetrics = \"localhost\"\n", "metrics"),
            ("[policy.alarms]\ndeleted_percent = 200\n", "between 0"),
            (
                "[[policy.alarms.rules]]\nname = \"a\"\nevent = \"b\"\ncount = 1\nseconds = 1\nthen = \"tell\"\n",
                "name one of",
            ),
            ("[[tell]]\nname = \"a\"\nkinds = [\"frozn\"]\n", "frozn"),
            ("[[forge]]\nname = \"a\"\nkind = \"githup\"\n", "did you mean `github`"),
            ("[[hook]]\nname = \"a\"\nproof = { kind = \"hmac\" }\n", "hmac-sha256"),
            ("[[schedule]]\nname = \"a\"\ncorn = \"0 3 * * *\"\n", "did you mean `cron`"),
            ("[[mcp]]\nname = \"Docs\"\ncommand = [\"x\"]\n", "lower-case"),
            ("[[mcp]]\nname = \"docs\"\n", "`command`"),
            ("[[mcp]]\nname = \"docs\"\ncommands = []\n", "did you mean `command`"),
            ("[browser]\nprogram = \"chromium\"\n", "absolute"),
            ("[display]\nserver = \"Xvfb\"\n", "absolute"),
            ("[display]\nserver = \"/usr/bin/Xvfb\"\ninput = \"xdotool\"\n", "absolute"),
            ("[display]\nserver = \"/usr/bin/Xvfb\"\nwidth = 100000\n", "200 to 3840"),
            ("[display]\nwidth = 1024\n", "`server`"),
            ("[display]\nsever = \"/usr/bin/Xvfb\"\n", "did you mean `server`"),
            ("[browser]\nprogramm = \"/usr/bin/chromium\"\n", "did you mean `program`"),
            ("[secrets]\nkey = { flie = \"/key\" }\n", "did you mean `file`"),
            ("[[sandbox.read_only]]\nhost = \"cache\"\ninside = \"/cache\"\n", "absolute"),
            ("[[sandbox.read_only]]\nhost = \"/no/such/place\"\ninside = \"/cache\"\n", "does not exist"),
        ] {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(error.contains(wanted), "{error}");
        }
    }
}
