//! Repositories, workspaces and sessions for the tests.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cofferdam_domain::{SessionId, Timestamp, change::Received};
use cofferdam_forge::{
    Access, Authorship, Base, Collected, ForgeError, Git, Identity, LocalForge, Mirror, Mirrors,
    NewPullRequest, ObjectId, Push, Quarantine, ReceiveLimits, RepositoryAddress, Seed, checkout_script,
    collect_script,
};
use tempfile::TempDir;

/// A directory with a repository `source`, a data directory, and a forge.
pub(crate) struct World {
    pub(crate) temp: TempDir,
    pub(crate) git: Git,
    pub(crate) source: PathBuf,
    /// What its mirrors are whole up to, where that is not the default.
    pub(crate) whole_up_to: Option<u64>,
}

/// A session up to its workspace.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) base: Base,
    pub(crate) seed: Seed,
    pub(crate) workspace: PathBuf,
    pub(crate) address: RepositoryAddress,
    pub(crate) quarantine: Quarantine,
    pub(crate) bundle: PathBuf,
    pub(crate) cones: Vec<String>,
}

pub(crate) fn world() -> World {
    // Without the dot that temporary names have by default: a branch name cannot have it.
    let temp = tempfile::Builder::new().prefix("forge").tempdir().unwrap();
    let source = temp.path().canonicalize().unwrap().join("source");
    World { git: Git::find().unwrap(), source, temp, whole_up_to: None }
}

/// A world whose source has two commits on `main`.
pub(crate) fn small_world() -> World {
    let world = world();
    init(&world.source);
    commit(&world.source, &[("README", "one\n"), ("src/a.txt", "a\n")], "First");
    commit(&world.source, &[("README", "two\n")], "Second");
    world
}

/// A git command as a user would run it, without the configuration of whoever runs the tests.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "User")
        .env("GIT_AUTHOR_EMAIL", "user@localhost")
        .env("GIT_AUTHOR_DATE", "@1700000000 +0000")
        .env("GIT_COMMITTER_NAME", "User")
        .env("GIT_COMMITTER_EMAIL", "user@localhost")
        .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
        .args(["-c", "protocol.file.allow=always", "-c", "core.hooksPath=/dev/null"]);
    command
}

/// Runs git and returns what it prints, without the last newline.
pub(crate) fn git<A: AsRef<OsStr>>(directory: &Path, arguments: &[A]) -> String {
    let output = command(directory).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

pub(crate) fn git_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut command = command(directory);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

pub(crate) fn init(path: &Path) {
    fs::create_dir_all(path).unwrap();
    git(path, &["init", "-q", "-b", "main"]);
}

pub(crate) fn write(directory: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Writes files and commits everything; returns the commit.
pub(crate) fn commit(directory: &Path, files: &[(&str, &str)], message: &str) -> String {
    write(directory, files);
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-q", "--allow-empty", "-m", message]);
    git(directory, &["rev-parse", "HEAD"])
}

pub(crate) fn id(text: &str) -> ObjectId {
    text.parse().unwrap()
}

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn mirrors(&self) -> Mirrors {
        let mirrors = Mirrors::new(self.git.clone(), self.path("data/mirrors"));
        match self.whole_up_to {
            Some(bytes) => mirrors.whole_up_to(bytes),
            None => mirrors,
        }
    }

    pub(crate) fn forge(&self) -> LocalForge {
        LocalForge::new(self.git.clone(), self.path("data/forge"))
    }

    pub(crate) async fn address(&self) -> RepositoryAddress {
        RepositoryAddress::parse(&self.git, self.source.to_str().unwrap(), Path::new("/")).await.unwrap()
    }

    pub(crate) async fn update(&self) -> Result<Mirror, ForgeError> {
        Ok(self.mirrors().update(&self.address().await).await?)
    }

    /// A session on the default base, up to its workspace.
    pub(crate) async fn session(&self) -> Session {
        self.session_at(self.address().await).await
    }

    pub(crate) async fn session_at(&self, address: RepositoryAddress) -> Session {
        self.session_with(address, None).await
    }

    pub(crate) async fn session_with(&self, address: RepositoryAddress, access: Option<Access>) -> Session {
        self.session_in(address, access, &[]).await
    }

    /// The same, with only some directories.
    pub(crate) async fn session_in(
        &self,
        address: RepositoryAddress,
        access: Option<Access>,
        cones: &[&str],
    ) -> Session {
        let cones: Vec<String> = cones.iter().map(|cone| (*cone).to_owned()).collect();
        let id = SessionId::generate();
        let mirror = self.mirrors().update_with(&address, access).await.unwrap();
        let base = mirror.resolve(None).await.unwrap();
        let seed = mirror.seed(&base).await.unwrap();
        let workspace = self.path(&format!("{id}/workspace"));
        fs::create_dir_all(&workspace).unwrap();
        let (code, output) = sandboxed(&checkout_script(
            seed.path().to_str().unwrap(),
            workspace.to_str().unwrap(),
            "",
            &cones,
        ));
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output));
        let quarantine =
            Quarantine::create(&self.git, &self.path(&format!("data/{id}.git")), &seed).await.unwrap();
        let bundle = self.path(&format!("{id}/bundle"));
        Session { id, base, seed, workspace, address, quarantine, bundle, cones }
    }
}

/// Runs a command as a sandbox would: few variables, both outputs in one.
pub(crate) fn sandboxed(argv: &[String]) -> (i32, Vec<u8>) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$@\" 2>&1", "sh"])
        .args(argv)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.current_dir("/").output().unwrap();
    (output.status.code().unwrap_or(-1), output.stdout)
}

impl Session {
    /// The outcome of the collect script.
    pub(crate) fn collect(&self) -> Collected {
        let workspace = self.workspace.to_str().unwrap();
        let (code, output) = sandboxed(&collect_script(
            &self.base.commit,
            workspace,
            self.bundle.to_str().unwrap(),
            &self.cones,
        ));
        let text = String::from_utf8_lossy(&output).into_owned();
        assert_eq!(code, 0, "{text}");
        Collected::parse(&output).unwrap()
    }

    pub(crate) fn bundle(&self) -> Vec<u8> {
        let Collected::Bundle { size } = self.collect() else { panic!("nothing changed") };
        let bytes = fs::read(&self.bundle).unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    pub(crate) async fn receive(&self) -> Received {
        self.quarantine.receive(self.bundle(), ReceiveLimits::DEFAULT).await.unwrap()
    }

    pub(crate) fn authorship(&self) -> Authorship {
        Authorship {
            identity: Identity::default(),
            at: Timestamp(1_800_000_000_123),
            session: self.id,
            co_author: None,
            signing: None,
            title: "Do the task".into(),
        }
    }

    /// Collects, receives and makes the commits again; returns what is to be pushed.
    pub(crate) async fn publishable(&self) -> ObjectId {
        let head = id(&self.receive().await.head);
        self.quarantine.recreate(&self.base.commit, &head, &self.authorship()).await.unwrap()
    }

    pub(crate) fn push<'a>(&'a self, commit: &'a ObjectId) -> Push<'a> {
        Push { session: self.id, repository: &self.address, quarantine: &self.quarantine, commit, left: None }
    }

    pub(crate) fn pull_request(&self, head: &ObjectId) -> NewPullRequest {
        NewPullRequest {
            session: self.id,
            repository: self.address.clone(),
            base_branch: self.base.branch.clone(),
            base_commit: self.base.commit.clone(),
            head_commit: head.clone(),
            title: "Do the task".into(),
            body: "Facts.".into(),
            draft: false,
            opened: Timestamp(1_800_000_000_123),
        }
    }
}

/// Every file below a directory with its mode and content (or link target), by path.
pub(crate) fn everything(directory: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    collect_files(directory, directory, &mut found);
    found
}

fn collect_files(root: &Path, directory: &Path, found: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let content = if data.is_dir() {
            collect_files(root, &path, found);
            Vec::new()
        } else if data.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(name, (data.permissions().mode(), content));
    }
}

/// Paths in `after` that are new or different, and paths that are gone.
pub(crate) fn differences(
    before: &BTreeMap<String, (u32, Vec<u8>)>,
    after: &BTreeMap<String, (u32, Vec<u8>)>,
) -> Vec<String> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let changed = after.iter().filter(|(name, file)| before.get(*name) != Some(file)).map(|(name, _)| name);
    gone.chain(changed).cloned().collect()
}
