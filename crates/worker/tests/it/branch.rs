//! What others do to a session's branch: kept, built on, never overwritten.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use cofferdam_domain::{
    About, Asked, EventBody, Label, Origin, Outcome, Owner, PullRequest, Secret, SessionId, Source, Subject,
    Task, Thread, Wishes,
};
use cofferdam_forge::{
    Authorship, Forge, ForgeError, Forges, Git, LocalForge, NewPullRequest, ObjectId, Push, RemoteForge,
    RepositoryAddress, branch_of,
    hook::ForgeKind,
    remote::{Site, SiteCredential},
};
use cofferdam_store::{Placement, Store as _, Ticket};
use cofferdam_testkit::{GitServer, Manner};
use cofferdam_worker::now;

use crate::{
    desk::Desk,
    scene::Scene,
    service::{Hall, Running},
};

/// A first turn, and one that notes what it finds.
const TWICE: &str = r#"
name = "twice"
after = "repeat"

[[step]]
call = [{ tool = "shell", args = { command = "sed -i 's/- [$]2/+ $2/' sum.sh" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign." } }]

[[step]]
call = [{ tool = "shell", args = { command = "git log --format=%s > NOTE; ls >> NOTE" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add, with a note", summary = "A note." } }]
"#;

/// The same, and a third turn that only looks.
fn thrice(expected: &str) -> String {
    format!(
        r#"{TWICE}
[[step]]
call = [{{ tool = "shell", args = {{ command = "ls" }} }}]

[[step]]
expect.contains = ["{expected}"]
call = [{{ tool = "finish", args = {{ outcome = "done", title = "Add, with a note", summary = "A note." }} }}]
"#
    )
}

async fn write(hall: &Hall, session: SessionId) {
    let (from, text) = ("ann".to_owned(), "Write a note as well.".to_owned());
    let label = Label::REQUESTER;
    hall.append(session, EventBody::MessageReceived { from, text, label, about: None }).await;
}

/// Somebody commits to a branch of a repository, to places that the agent may not touch.
fn commit(scene: &Scene, repository: &Path, branch: &str) -> String {
    commit_once_more(scene, repository, branch, 0)
}

/// The same, and each time something else.
fn commit_once_more(scene: &Scene, repository: &Path, branch: &str, time: u32) -> String {
    let (place, repository) = (scene.root.join("review"), repository.to_str().unwrap());
    let review = place.to_str().unwrap();
    scene.git(&["-C", repository, "worktree", "add", "--quiet", review, branch]);
    fs::create_dir_all(place.join(".github/workflows")).unwrap();
    fs::write(place.join(".github/workflows/theirs.yml"), "on: push\n").unwrap();
    fs::write(place.join("theirs"), format!("by hand {time}\n")).unwrap();
    scene.git(&["-C", review, "add", "--all"]);
    scene.git(&["-C", review, "commit", "--quiet", "--message=Theirs"]);
    let commit = scene.git(&["-C", review, "rev-parse", "HEAD"]);
    scene.git(&["-C", repository, "worktree", "remove", "--force", review]);
    commit.trim().to_owned()
}

fn subjects(scene: &Scene, session: SessionId) -> Vec<String> {
    let log = scene.git(&["log", "--format=%an: %s", &branch_of(session)]);
    log.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_s_commits_are_built_on() {
    let hall = Hall::open(Some(TWICE)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    let theirs = commit(&hall.scene, &hall.scene.repository(), &branch_of(session));
    write(&hall, session).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;

    let changes = "Changes that were not committed";
    let expected = [
        format!("Cofferdam: {changes}"),
        "Ann: Theirs".to_owned(),
        format!("Cofferdam: {changes}"),
        "Ann: Begin".to_owned(),
    ];
    assert_eq!(subjects(&hall.scene, session), expected);
    let note = hall.scene.git(&["show", &format!("{}:NOTE", branch_of(session))]);
    assert!(note.starts_with("Theirs\n") && note.contains("\ntheirs\n"), "{note}");
    let agent = hall.agent(session).await;
    assert_eq!(agent.theirs(), Some(theirs.as_str()));
    assert_eq!(agent.findings(), [], "their workflow is theirs to answer for");
    let told = |body: &EventBody| {
        matches!(body, EventBody::MessageReceived { from, text, .. }
            if from == "Cofferdam" && text.starts_with("Others have pushed commits"))
    };
    hall.until(session, told).await;
    hall.check(session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_was_moved_is_built_on_as_it_is() {
    let hall = Hall::open(Some(TWICE)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    hall.scene.git(&["branch", "--force", &branch_of(session), "main"]);
    commit(&hall.scene, &hall.scene.repository(), &branch_of(session));
    write(&hall, session).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    let expected = ["Cofferdam: Changes that were not committed", "Ann: Theirs", "Ann: Begin"];
    assert_eq!(subjects(&hall.scene, session), expected);
    let sum = hall.scene.git(&["show", &format!("{}:sum.sh", branch_of(session))]);
    assert_eq!(sum, "echo $(( $1 - $2 ))\n", "what they took back stays so");
    hall.check(session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_was_deleted_is_made_again_when_somebody_asks_once_more() {
    let hall = Hall::open(Some(TWICE)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    let first = hall.agent(session).await.pull_request().unwrap().head_commit.clone();
    hall.scene.git(&["branch", "--quiet", "-D", &branch_of(session)]);
    write(&hall, session).await;
    let told = running.hear("Over(Failed").await;
    assert!(told.contains("was deleted") && told.contains("write to the session"), "{told}");
    assert_eq!(hall.scene.git(&["branch", "--list", "cofferdam/*"]), "");
    write(&hall, session).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    hall.scene.git(&["merge-base", "--is-ancestor", &first, &branch_of(session)]);
    hall.check(session).await;
}

/// A forge on which somebody commits right before the second push, and before so many of the next ones.
struct Meddled {
    inner: LocalForge,
    scene: Scene,
    pushes: AtomicU32,
    more: u32,
}

#[async_trait]
impl Forge for Meddled {
    async fn find(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<PullRequest>, ForgeError> {
        self.inner.find(repository, session).await
    }

    async fn get(
        &self,
        repository: &RepositoryAddress,
        number: u64,
    ) -> Result<Option<PullRequest>, ForgeError> {
        self.inner.get(repository, number).await
    }

    async fn branch(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<ObjectId>, ForgeError> {
        self.inner.branch(repository, session).await
    }

    async fn push(&self, push: &Push<'_>) -> Result<String, ForgeError> {
        let push_before = self.pushes.fetch_add(1, Ordering::Relaxed);
        if (1..=1 + self.more).contains(&push_before) {
            let branch = branch_of(push.session);
            commit_once_more(&self.scene, &self.scene.repository(), &branch, push_before);
        }
        self.inner.push(push).await
    }

    async fn open(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        self.inner.open(new).await
    }

    async fn merge(
        &self,
        repository: &RepositoryAddress,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<PullRequest, ForgeError> {
        self.inner.merge(repository, head, authorship).await
    }

    async fn close(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, ForgeError> {
        self.inner.close(repository, session).await
    }
}

/// A turn in which nothing more is to be done.
const AGAIN: &str = r#"
[[step]]
call = [{ tool = "shell", args = { command = "ls" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add, with a note", summary = "A note." } }]
"#;

/// A session whose second turn others are quicker than, so many times more than once.
async fn meddled(more: u32, transcript: &str) -> Option<(Hall, SessionId, Running)> {
    let hall = Hall::open(Some(transcript)).await;
    let mut parts = hall.parts().await?;
    let scene = Scene { root: hall.scene.root.clone() };
    let meddled = Meddled { inner: hall.scene.forge(), scene, pushes: AtomicU32::new(0), more };
    parts.forges = Forges::new(Arc::new(meddled), Vec::new());
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    write(&hall, session).await;
    Some((hall, session, running))
}

async fn overtaken(hall: &Hall, session: SessionId) -> usize {
    let log = hall.store.log(session).await.unwrap();
    log.iter().filter(|event| matches!(event.body, EventBody::Overtaken { .. })).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_push_while_the_agent_works_is_built_on_at_once() {
    let Some((hall, session, mut running)) = meddled(0, &thrice("was put on top of that")).await else {
        return;
    };
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    assert_eq!(overtaken(&hall, session).await, 1);
    let subjects = subjects(&hall.scene, session);
    assert_eq!((subjects.len(), subjects[1].as_str()), (4, "Ann: Theirs"), "{subjects:?}");
    let note = hall.scene.git(&["show", &format!("{}:NOTE", branch_of(session))]);
    assert!(note.contains("sum.sh"), "{note}");
    hall.check(session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pushes_again_and_again_is_asked_to_let_it_be_and_nothing_is_lost() {
    let transcript = format!("{TWICE}{}", AGAIN.repeat(4));
    let Some((hall, session, mut running)) = meddled(3, &transcript).await else {
        return;
    };
    let told = running.hear("Over(Failed").await;
    assert!(told.contains("somebody changed it") && told.contains("write to the session"), "{told}");
    assert_eq!(overtaken(&hall, session).await, 3);
    assert_eq!(subjects(&hall.scene, session)[0], "Ann: Theirs");
    write(&hall, session).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    let note = hall.scene.git(&["show", &format!("{}:NOTE", branch_of(session))]);
    assert!(note.contains("sum.sh"), "{note}");
    hall.check(session).await;
}

/// Somebody commits to the branch that pull requests are meant for.
fn commit_to_main(scene: &Scene, file: &str, text: &str) -> String {
    fs::write(scene.repository().join(file), text).unwrap();
    scene.git(&["add", "--all"]);
    scene.git(&["commit", "--quiet", "--message=Meanwhile"]);
    scene.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

/// Somebody asks on the forge that it be taken in.
async fn ask_for_base(hall: &Hall, session: SessionId, comment: u64) {
    let thread =
        Thread { forge: "works".into(), repository: 12, path: "acme/site".into(), subject: Subject::Pull(1) };
    let about = Some(Box::new(About::Comment { thread, comment, base: true }));
    let (from, text) = ("ann".to_owned(), "@agent merge main".to_owned());
    hall.append(session, EventBody::MessageReceived { from, text, label: Label::REQUESTER, about }).await;
}

const MERGES: &str = r#"
name = "merges"
after = "repeat"

[[step]]
call = [{ tool = "shell", args = { command = "sed -i 's/- [$]2/+ $2/' sum.sh" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign." } }]

# The model is asked before the sandbox is there: what the platform says of that comes with the first result.
[[step]]
call = [{ tool = "shell", args = { command = "ls" } }]

[[step]]
expect.contains = ["with conflicts", "sum.sh"]
call = [{ tool = "shell", args = { command = "grep -q '<<<<<<<' sum.sh && echo 'echo $(( $1 + $2 )) # of both' > sum.sh && cat gained" } }]

[[step]]
expect.contains = ["more of it"]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign, and both sides." } }]

[[step]]
call = [{ tool = "shell", args = { command = "cat later" } }]

[[step]]
expect.contains = ["without conflicts"]
call = [{ tool = "finish", args = { outcome = "nothing_to_do", title = "Add", summary = "All is well." } }]

[[step]]
call = [{ tool = "shell", args = { command = "ls" } }]

[[step]]
expect.contains = ["there is nothing to take in"]
call = [{ tool = "finish", args = { outcome = "nothing_to_do", title = "Add", summary = "All is well." } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_base_has_gained_is_taken_in_when_somebody_asks() {
    let hall = Hall::open(Some(MERGES)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    let branch = branch_of(session);
    let parents = || hall.scene.git(&["log", "-1", "--format=%P", &branch]).trim().to_owned();
    let show = |file: &str| hall.scene.git(&["show", &format!("{branch}:{file}")]);
    let published = || hall.scene.git(&["rev-parse", &branch]).trim().to_owned();

    // The same line on both sides, beside something new.
    fs::write(hall.scene.repository().join("gained"), "more of it\n").unwrap();
    let main = commit_to_main(&hall.scene, "sum.sh", "echo $(( $1 - $2 )) # of two\n");
    let before = published();
    ask_for_base(&hall, session, 70).await;
    running.hear("Over(Succeeded)").await;
    assert_eq!(parents(), format!("{before} {main}"));
    assert_eq!(show("sum.sh"), "echo $(( $1 + $2 )) # of both\n");
    assert_eq!(show("gained"), "more of it\n");
    let agent = hall.agent(session).await;
    assert_eq!(agent.repository().unwrap().base_commit, main, "the base from now on");
    assert_eq!((agent.merged(), agent.base_wanted()), (None, false));
    let runs: Vec<_> = agent.evidence().iter().map(|run| run.exit.success()).collect();
    assert_eq!(runs.len(), 2, "tested anew");

    // Where they go together, it is a merge and no more; the agent need not change anything.
    let main = commit_to_main(&hall.scene, "later", "later\n");
    let before = published();
    ask_for_base(&hall, session, 71).await;
    running.hear("Over(Succeeded)").await;
    assert_eq!((parents(), show("later")), (format!("{before} {main}"), "later\n".to_owned()));
    assert_eq!(show("sum.sh"), "echo $(( $1 + $2 )) # of both\n");

    // And where there is nothing, nothing.
    let before = published();
    ask_for_base(&hall, session, 72).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    assert_eq!(published(), before);
    hall.check(session).await;
}

/// `cofferdam:pass`, as RFC 7617 has it.
const PRESENTED: &str = "Basic Y29mZmVyZGFtOnBhc3M=";

/// The scene's repository on a forge that wants a password.
async fn remote(scene: &Scene) -> (GitServer, Arc<Desk>, Forges, Task) {
    let bare: PathBuf = scene.root.join("served/acme/site.git");
    scene.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    let server = GitServer::start(&scene.root.join("served"), Manner::Expects(PRESENTED.to_owned())).await;
    let desk = Arc::new(Desk::new(bare, 12, "acme/site", &["pass"]));
    let token = SiteCredential::Token(Secret::new("pass"));
    let site = Site::new("works", ForgeKind::GitHub, &server.url(), None, token, true).unwrap();
    let forge = RemoteForge::new(Git::find().unwrap(), Owner::LOCAL.org, site, desk.clone());
    let forges = Forges::new(Arc::new(scene.forge()), vec![forge]);
    let thread = Thread {
        forge: "works".to_owned(),
        repository: 12,
        path: "acme/site".to_owned(),
        subject: Subject::Issue(3),
    };
    let asked = Asked { thread, account: 5, delivery: "d".to_owned(), changed: None, concealed: Vec::new() };
    let url = format!("{}/acme/site.git", server.url());
    let task = Task::new("Mend the sum.".to_owned(), url, None, "ann".to_owned(), Source::Forge).unwrap();
    (server, desk, forges, task.asked(Origin::Forge(Box::new(asked))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_on_a_forge_with_a_password() {
    let hall = Hall::open(Some(TWICE)).await;
    let Some(mut parts) = hall.parts().await else { return };
    let (_server, desk, forges, task) = remote(&hall.scene).await;
    parts.forges = forges;
    let session = SessionId::generate();
    let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
    hall.store.enqueue(ticket, session, now(), EventBody::TaskAccepted { task }, Vec::new()).await.unwrap();
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    let (bare, branch) = (desk.repository.to_str().unwrap().to_owned(), branch_of(session));
    let trailers = hall.scene.git(&["-C", &bare, "log", "-1", "--format=%(trailers)", &branch]);
    let expected =
        format!("Cofferdam-Session: {session}\nCo-authored-by: ann <5+ann@users.noreply.127.0.0.1>");
    assert_eq!(trailers.trim(), expected);
    assert_eq!(desk.pulls().len(), 1);

    let theirs = commit(&hall.scene, Path::new(&bare), &branch);
    write(&hall, session).await;
    running.hear("Over(Succeeded)").await;
    assert_eq!(hall.scene.git(&["-C", &bare, "rev-parse", &format!("{branch}~1")]).trim(), theirs);
    assert_eq!(desk.pulls().len(), 1);

    // The credential is taken back; then another repository has the name.
    desk.hand_out(&["revoked"]);
    write(&hall, session).await;
    let told = running.hear("Over(Failed").await;
    assert!(told.contains("[[forge]]") && !told.contains("revoked"), "{told}");
    desk.hand_out(&["pass"]);
    desk.replace(13);
    write(&hall, session).await;
    let told = running.hear("Over(Failed").await;
    assert!(told.contains("another repository now"), "{told}");
    running.stop().await;
    assert!(matches!(hall.agent(session).await.outcome(), Some(Outcome::Failed { .. })));
    hall.check(session).await;
}
