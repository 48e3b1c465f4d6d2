//! A repository with a failing test, a transcript that mends it, and the parts of a worker over them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use async_trait::async_trait;
use cofferdam_domain::{
    EventBody, OrgId, Owner, Policy, SessionId, Source, Task, Wishes, egress::EgressPolicy, event::ModelRole,
    foreign::Foreign,
};
use cofferdam_forge::{Forge, Forges, Git, Identity, LocalForge, Mirrors, RepositoryAddress};
use cofferdam_model::{Model, ModelsConfig, NoBlobs};
use cofferdam_sandbox::{HostEnvironment, LimitLevel, NativeDriver, NativeOptions, SandboxError, System};
use cofferdam_store::{Placement, SqliteStore, Store, Ticket};
use cofferdam_worker::{Doorways, Models, NoEntrance, OwnPolicy, Parts, Screens, Way, WorkerError, fix, now};

/// The call before the last does the edit again if it is not there: a call that a crash cut short is not run again, and a recording cannot
/// look for itself as a model would.
const TRANSCRIPT: &str = r#"
name = "mend the sum"
after = "repeat"

[[step]]
text = "Two at once."
call = [
    { tool = "shell", args = { command = "sh test.sh" } },
    { tool = "read", args = { path = "sum.sh" } },
]

[[step]]
text = "The sign is wrong."
call = [{ tool = "edit", args = { path = "sum.sh", edits = [{ old_text = "- $2", new_text = "+ $2" }] } }]

[[step]]
text = "Should the edit have been cut short: once more, without doing it twice."
call = [{ tool = "shell", args = { command = "sed -i 's/- [$]2/+ $2/' sum.sh; sh test.sh" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add instead of subtracting", summary = "The sign was wrong." } }]
"#;

const FILES: &[(&str, &str)] = &[
    ("sum.sh", "echo $(( $1 - $2 ))\n"),
    ("test.sh", "test \"$(sh sum.sh 2 3)\" = 5 && echo ok 1 - sum || { echo not ok 1 - sum; exit 1; }\n"),
];

/// Where everything of one scene is.
pub(crate) struct Scene {
    pub(crate) root: PathBuf,
}

impl Scene {
    /// A new scene in an empty directory.
    pub(crate) fn make(root: &Path) -> Self {
        Self::with(root, TRANSCRIPT)
    }

    /// The same with another recording.
    pub(crate) fn with(root: &Path, transcript: &str) -> Self {
        let scene = Self { root: root.to_owned() };
        let repository = scene.repository();
        fs::create_dir_all(&repository).unwrap();
        for (name, content) in FILES {
            fs::write(repository.join(name), content).unwrap();
        }
        fs::write(scene.root.join("transcript.toml"), transcript).unwrap();
        scene.git(&["init", "--quiet", "--initial-branch=main", "--template="]);
        scene.git(&["add", "--all"]);
        scene.git(&["commit", "--quiet", "--message=Begin"]);
        scene
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// What git prints in the repository.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.repository())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ann")
            .env("GIT_AUTHOR_EMAIL", "ann@localhost")
            .env("GIT_COMMITTER_NAME", "Ann")
            .env("GIT_COMMITTER_EMAIL", "ann@localhost")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) async fn store(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(&self.data()).await.unwrap())
    }

    pub(crate) fn forge(&self) -> LocalForge {
        LocalForge::new(Git::find().unwrap(), self.data().join("forge"))
    }

    /// The parts of a worker, with this store and forge.
    pub(crate) async fn parts(
        &self,
        store: Arc<dyn Store>,
        forge: Arc<dyn Forge>,
    ) -> Result<Arc<Parts>, SandboxError> {
        self.own_parts(store, forge).await.map(Arc::new)
    }

    /// The same, to be changed.
    pub(crate) async fn own_parts(
        &self,
        store: Arc<dyn Store>,
        forge: Arc<dyn Forge>,
    ) -> Result<Parts, SandboxError> {
        let git = Git::find().unwrap();
        let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
        let policy = Policy { test_command: Some("sh test.sh".to_owned()), ..Policy::default() };
        Ok(Parts {
            store,
            driver: Arc::new(NativeDriver::new(options).await?),
            doorways: Arc::new(NoDoorways),
            mirrors: Mirrors::new(git.clone(), self.data().join("mirrors")),
            sparse: Vec::new(),
            beside_public: Vec::new(),
            tests: Vec::new(),
            git,
            forges: Forges::new(forge, Vec::new()),
            models: Arc::new(Recorded(self.root.join("transcript.toml"))),
            policy,
            policies: Arc::new(OwnPolicy),
            mcp: cofferdam_worker::Mcp::none(),
            browser: None,
            display: None,
            ledger: None,
            entrances: Arc::new(NoEntrance),
            read_only: Vec::new(),
            system: System::ReadOnly,
            identity: Identity::default(),
            signing: None,
            data: self.data(),
            name: format!("worker {}", std::process::id()),
        })
    }

    /// What is asked.
    pub(crate) async fn task(&self, wishes: Wishes) -> Task {
        let git = Git::find().unwrap();
        let repository = self.repository();
        let address =
            RepositoryAddress::parse(&git, repository.to_str().unwrap(), Path::new("/")).await.unwrap();
        Task::new("Mend the sum.".to_owned(), address.to_string(), None, "ann".to_owned(), Source::Cli)
            .unwrap()
            .with(wishes)
            .unwrap()
    }

    /// A session in the queue.
    pub(crate) async fn enqueue(&self, store: &dyn Store, wishes: Wishes) -> SessionId {
        let session = SessionId::generate();
        let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
        let first = EventBody::TaskAccepted { task: self.task(wishes).await };
        store.enqueue(ticket, session, now(), first, Vec::new()).await.unwrap();
        session
    }

    /// A session that is accepted and that nobody works on yet.
    pub(crate) async fn accept(&self, store: &dyn Store) -> SessionId {
        let task = self.task(Wishes::default()).await;
        let model = Recorded(self.root.join("transcript.toml")).open(None, None).await.unwrap();
        let policy = Policy { test_command: Some("sh test.sh".to_owned()), ..Policy::default() };
        let fixed = vec![EventBody::PolicyFixed(Box::new(fix(
            policy,
            &*model,
            System::ReadOnly,
            false,
            Foreign::default(),
            Screens::default(),
        )))];
        let session = SessionId::generate();
        store.create(session, now(), EventBody::TaskAccepted { task }, fixed).await.unwrap();
        session
    }
}

/// For sessions whose sandboxes have no network.
struct NoDoorways;

#[async_trait]
impl Doorways for NoDoorways {
    async fn doorway(&self, _: OrgId, _: &EgressPolicy) -> Result<Arc<Way>, WorkerError> {
        panic!("nobody needs a door here");
    }
}

/// The name of the transcript of whoever takes a fresh look at the change, where one is there.
pub(crate) const LOOK: &str = "look.toml";

/// The transcript as a model.
struct Recorded(PathBuf);

#[async_trait]
impl Models for Recorded {
    async fn open(&self, name: Option<&str>, only: Option<&[String]>) -> Result<Box<dyn Model>, WorkerError> {
        assert_ne!(name, Some("a model with a defect"));
        let look = name.filter(|name| name.ends_with(LOOK));
        let name = look.map_or_else(|| format!("scripted:{}", self.0.display()), str::to_owned);
        let config = ModelsConfig::default();
        Ok(cofferdam_model::open_one_of(&config, &|_| None, Some(&name), only, Arc::new(NoBlobs)).await?)
    }

    fn route(&self, role: ModelRole) -> Option<String> {
        let look = self.0.with_file_name(LOOK);
        (role == ModelRole::Review && look.exists()).then(|| format!("scripted:{}", look.display()))
    }
}
