//! A world for one case: a temporary directory with configuration, data, a home and repositories, canaries in all of them, and the product to
//! run in it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cofferdam_domain::Digest;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    Options,
    canary::{Canaries, Place},
    lab::{Lab, Server},
    problem::{Problem, Result, ensure},
};

/// Longer than any run of the product may take.
const PATIENCE: Duration = Duration::from_secs(150);
/// What is kept of one run's output.
const MOST_OUTPUT: u64 = 64 << 20;
/// In a shell inside: where the door listens for those who take it for a proxy, which is the one listener there.
const DOOR: &str =
    "127.0.0.1:$(printf %d 0x$(awk '$4 == \"0A\" { split($2, a, \":\"); print a[2]; exit }' /proc/net/tcp))";
/// Where the product's executable is inside.
const PROBE: &str = "/attack/cofferdam";
/// The variable of the worker's environment that a credential is taken from.
const TOKEN: &str = "LAB_TOKEN";

/// What every case is made with.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// The product.
    pub(crate) executable: PathBuf,
    /// Where the labs' servers run.
    pub(crate) runtime: Handle,
    /// The lines of the `[sandbox]` table with which this host makes sandboxes.
    pub(crate) sandbox: &'static str,
    /// Removes a sandbox's layer, which may hold what only its owner's explicit permission opens.
    pub(crate) remove_layer: fn(&Path) -> io::Result<()>,
}

impl Host {
    /// Finds out how this host makes sandboxes.
    pub(crate) fn examine(options: &Options) -> Result<Self> {
        let mut reason = String::new();
        for sandbox in ["", "limits = \"weak\"\n"] {
            let host = Self {
                executable: options.executable.clone(),
                runtime: options.runtime.clone(),
                sandbox,
                remove_layer: options.remove_layer,
            };
            let tried = World::new(&host, "")?.run(&["sandbox", "run", "--", "true"])?;
            if tried.status == 0 {
                return Ok(host);
            }
            reason = tried.stderr;
        }
        Err(Problem::Broken(format!("this host makes no sandboxes: {}", reason.trim())))
    }
}

/// What a run of the product came to.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit status; 128 and the number for a signal, as shells have it.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Both outputs, for messages.
    pub(crate) fn all(&self) -> String {
        let all = format!("status {}: {} {}", self.status, self.stdout.trim(), self.stderr.trim());
        all.chars().take(4_000).collect()
    }
}

/// A world.
#[derive(Debug)]
pub(crate) struct World {
    folder: TempDir,
    executable: PathBuf,
    remove_layer: fn(&Path) -> io::Result<()>,
    pub(crate) lab: Lab,
    pub(crate) canaries: Canaries,
}

impl World {
    /// A world with this policy, as the lines of `cofferdam.toml` that stand in and below its `[policy]` table.
    pub(crate) fn new(host: &Host, policy: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("cofferdam-attack-")
            .tempdir()
            .map_err(Problem::at("a temporary directory"))?;
        let lab = Lab::open(&host.runtime).map_err(Problem::at("the lab"))?;
        let world = Self {
            folder,
            executable: host.executable.clone(),
            remove_layer: host.remove_layer,
            lab,
            canaries: Canaries::generate(),
        };
        world.write("home/.ssh/id_ed25519", world.canaries.of(Place::Home))?;
        world.write("home/.config/cofferdam/keys", world.canaries.of(Place::Home))?;
        world.write("data/sessions/other/transcript", world.canaries.of(Place::OtherSession))?;
        world.write("private/secret.txt", world.canaries.of(Place::OtherRepository))?;
        world.write("lab.pem", world.lab.certificate())?;
        world.configure(host, policy)?;
        Ok(world)
    }

    /// The configuration: the policy, the lab as what names and certificates come from, a credential, the hostile program.
    fn configure(&self, host: &Host, policy: &str) -> Result<()> {
        let text = format!(
            "# {canary}\n[sandbox]\n{sandbox}\
             [[sandbox.read_only]]\nhost = {executable:?}\ninside = {PROBE:?}\n\
             [models.providers.ollama]\nbase_url = \"http://127.0.0.1:1\"\n\
             [models.providers.llamacpp]\nbase_url = \"http://127.0.0.1:1\"\n\
             [egress]\nresolver = \"{resolver}\"\nroots = [{roots:?}]\nregistries = \"{registries}\"\n\
             [[credentials]]\nname = \"lab\"\nhost = \"api.test\"\nmethods = [\"GET\", \"POST\"]\npaths = [\"/repos/ours/**\"]\n\
             source = {{ env = \"{TOKEN}\" }}\n\
             {policy}\n",
            canary = self.canaries.of(Place::Configuration),
            sandbox = host.sandbox,
            executable = self.executable,
            resolver = self.lab.address(Server::Dns),
            roots = self.path("lab.pem"),
            registries = if policy.contains("[policy.egress.registries]") { "discovered" } else { "off" },
            policy = self.filled(policy),
        );
        self.write("cofferdam.toml", &text)
    }

    /// A text with places of the lab and canaries put in: `{http}`, `{https}`, `{smtp}`, `{ssh}`, `{silent}`, `{udp}`, `{dns}` are addresses with ports,
    /// `{http.port}` and so on the ports, `{secret}` is the canary of the repository, `{probe}` runs the hostile program, `{door}` is where the door listens inside, `{world}` is this
    /// world's place on the host.
    pub(crate) fn filled(&self, text: &str) -> String {
        let servers = [
            ("http", Server::Http),
            ("https", Server::Https),
            ("smtp", Server::Smtp),
            ("ssh", Server::Ssh),
            ("silent", Server::Silent),
            ("udp", Server::Udp),
            ("dns", Server::Dns),
        ];
        let filled = servers.iter().fold(text.to_owned(), |text, (name, server)| {
            let address = self.lab.address(*server);
            text.replace(&format!("{{{name}}}"), &address.to_string())
                .replace(&format!("{{{name}.port}}"), &address.port().to_string())
        });
        filled
            .replace("{secret}", self.canaries.of(Place::Repository))
            .replace("{probe}", &format!("{PROBE} attack probe"))
            .replace("{door}", DOOR)
            .replace("{world}", &self.folder.path().display().to_string())
    }

    /// A place in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Problem::at(parent))?;
        }
        fs::write(&path, content).map_err(Problem::at(path))
    }

    /// Writes a file that only its user may read.
    pub(crate) fn write_private(&self, name: &str, content: &str) -> Result<()> {
        self.write(name, content)?;
        let path = self.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(Problem::at(path))
    }

    /// The product with these arguments, with a canary in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        for name in ["PATH", "LANG", "RUST_BACKTRACE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CANARY_TOKEN", "GIT_ASKPASS"] {
            command.env(name, self.canaries.of(Place::Environment));
        }
        command
            .env(TOKEN, self.canaries.of(Place::Credential))
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("NO_COLOR", "1")
            .env("COFFERDAM_CONFIG", self.path("cofferdam.toml"))
            .env("COFFERDAM_DATA", self.path("data"));
        command
    }

    /// Runs the product to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        finished(&mut self.command(arguments))
    }

    /// Runs the product, which must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.run(arguments)?;
        if output.status == 0 {
            Ok(output)
        } else {
            Err(Problem::Broken(format!("cofferdam {}: {}", arguments.join(" "), output.all())))
        }
    }

    /// That no canary has reached a server of the lab, except that the credential may be where it belongs: in the header of requests to the host
    /// that it is for, and of the repository's what `permitted` says.
    pub(crate) fn ensure_nothing_leaked(&self, permitted: &[&str]) -> Result<()> {
        let visits = self.lab.visits();
        for visit in &visits {
            if permitted.contains(&visit.host.as_str()) {
                continue;
            }
            let found = self.canaries.found_in(&visit.bytes);
            let mut found = found.iter().filter(|place| **place != Place::Credential || !is_injected(visit));
            if let Some(place) = found.next() {
                let said: String = String::from_utf8_lossy(&visit.bytes).chars().take(400).collect();
                return Err(Problem::Open(format!(
                    "{place} reached {:?} ({}): {said:?}",
                    visit.at, visit.host
                )));
            }
        }
        // In pieces, over several visits.
        let not_permitted =
            visits.iter().filter(|visit| !permitted.contains(&visit.host.as_str()) && !is_injected(visit));
        let together: Vec<u8> =
            not_permitted.flat_map(|visit| [visit.bytes.as_slice(), b"\n"].concat()).collect();
        let found = self.canaries.found_in(&together);
        ensure(found.is_empty(), || format!("{found:?} reached the lab in pieces"))
    }

    /// The hosts that have been visited other than by a question for their name.
    pub(crate) fn visited(&self) -> Vec<String> {
        let visits = self.lab.visits().into_iter().filter(|visit| visit.at != Server::Dns);
        let mut hosts: Vec<String> = visits.map(|visit| visit.host).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// That no process and no mount is left that has to do with this world.
    pub(crate) fn ensure_nothing_is_left(&self) -> Result<()> {
        let place = self.folder.path().display().to_string();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = processes_about(&place);
            if left.is_empty() {
                return Ok(());
            }
            ensure(Instant::now() < deadline, || format!("processes are left: {left:?}"))?;
            // What ends with the product may take a moment to do so, and none of them is a child of ours.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let below =
            |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let data = self.path("data");
        let layers = below(data.join("sessions")).filter(|path| path.is_dir()).flat_map(below);
        for layer in below(data.join("bases")).chain(below(data.join("sandboxes"))).chain(layers) {
            // What is left then, the directory's own removal reports.
            (self.remove_layer)(&layer).ok();
        }
    }
}

/// Whether the credential is where it belongs.
fn is_injected(visit: &crate::lab::Visit) -> bool {
    let text = String::from_utf8_lossy(&visit.bytes).to_ascii_lowercase();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let elsewhere =
        lines.filter(|line| !line.starts_with("authorization: bearer ")).any(|line| line.contains("cnry"));
    visit.host == "api.test" && !line.contains("cnry") && !elsewhere && !body.contains("cnry")
}

/// The processes that have this place in their arguments or among their mounts.
fn processes_about(place: &str) -> Vec<String> {
    let mut left = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_err() {
            continue;
        }
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let about = [read("mountinfo"), read("cmdline")].concat();
        if String::from_utf8_lossy(&about).contains(place) {
            left.push(name);
        }
    }
    left
}

/// Runs a program to its end, or kills it and everything in its group.
fn finished(command: &mut Command) -> Result<Output> {
    let shown = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(Problem::at(&shown))?;
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // A stream that breaks has ended.
            stream.map(|stream| stream.take(MOST_OUTPUT).read_to_end(&mut text).ok());
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let ended = crate::waiting::wait_for(&mut child, PATIENCE).map_err(Problem::at(&shown))?;
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    let Some(status) = ended else {
        return Err(Problem::Open(format!("{shown} did not end in {PATIENCE:?}: {stdout} {stderr}")));
    };
    let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    Ok(Output { status, stdout, stderr })
}

/// A git repository on the host.
#[derive(Debug)]
pub(crate) struct Repository {
    path: PathBuf,
}

impl Repository {
    /// One on branch `main` with one commit of these files.
    pub(crate) fn create(world: &World, name: &str, files: &[(&str, &str)]) -> Result<Self> {
        for (path, content) in files {
            world.write(&format!("{name}/{path}"), content)?;
        }
        let repository = Self { path: world.path(name) };
        repository.git(&["init", "--quiet", "--initial-branch=main", "--template="])?;
        repository.commit("Begin")?;
        Ok(repository)
    }

    /// One that is there already.
    pub(crate) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Commits everything that is there.
    pub(crate) fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all", "--force"])?;
        self.git(&["commit", "--quiet", "--no-gpg-sign", "--message", message]).map(drop)
    }

    /// Runs git in it, which must succeed, with nobody's configuration.
    pub(crate) fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.path).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("HOME", "/nonexistent"),
        ]);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ann");
            command.env(format!("GIT_{role}_EMAIL"), "ann@example.org");
            command.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        let output = finished(&mut command)?;
        if output.status == 0 {
            Ok(output.stdout)
        } else {
            Err(Problem::Broken(format!("git {}: {}", arguments.join(" "), output.all())))
        }
    }

    /// What every ref points at.
    pub(crate) fn refs(&self) -> Result<BTreeMap<String, String>> {
        let listed = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"])?;
        let refs = listed.lines().filter_map(|line| line.split_once(' '));
        Ok(refs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
    }

    /// Every file with its mode and content, except the refs and objects that a new branch adds. In `.git` too.
    pub(crate) fn contents(&self) -> Result<BTreeMap<PathBuf, (u32, Digest)>> {
        use std::os::unix::fs::MetadataExt as _;
        let mut contents = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Problem::at(&folder))?.flatten() {
                let path = entry.path();
                let name = path.strip_prefix(&self.path).unwrap_or(&path).to_owned();
                if ["refs", "objects"].iter().any(|part| name.starts_with(Path::new(".git").join(part))) {
                    continue;
                }
                let metadata = entry.metadata().map_err(Problem::at(&path))?;
                if metadata.is_dir() {
                    folders.push(path);
                    continue;
                }
                let content = if metadata.is_symlink() {
                    fs::read_link(&path).map(|link| link.into_os_string().into_encoded_bytes())
                } else {
                    fs::read(&path)
                };
                let content = content.map_err(Problem::at(&path))?;
                contents.insert(name, (metadata.mode(), Digest::of(&content)));
            }
        }
        Ok(contents)
    }
}
