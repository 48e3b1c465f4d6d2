//! Sessions on two repositories: each has a base, a change, tests, a branch and a pull request of its own, whatever the moment at which the
//! worker is killed.

use std::{fs, path::Path, sync::Arc};

use cofferdam_agent::{Agent, replay};
use cofferdam_domain::{Also, EventBody, Outcome, Part, PullRequest, SessionId, Wishes};
use cofferdam_forge::{Forge as _, Git, RepositoryAddress, branch_of};
use cofferdam_store::{SqliteStore, Store as _};
use cofferdam_worker::{Ended, Nobody, now, patch, work};
use tokio::sync::watch;

use crate::{crash::live_alone, scene::Scene};

const SECOND: Part = Part(1);
/// So many moments each worker lives: enough to come further, too few to come to the end.
const MOMENTS: u32 = 9;
/// More workers than it takes.
const MOST_LIVES: usize = 60;

/// A session that runs these commands, each harmless when done twice, and finishes.
fn script(commands: &str) -> String {
    let call = format!("call = [{{ tool = \"shell\", args = {{ command = \"{commands}\" }} }}]");
    format!(
        "name = \"two\"\nafter = \"repeat\"\n[[step]]\n{call}\n[[step]]\n{}\n[[step]]\n\
         call = [{{ tool = \"finish\", args = {{ outcome = \"done\", title = \"Add\", summary = \"The sign.\" }} }}]\n",
        call.replace("\" }", "; true\" }")
    )
}

const MEND_FIRST: &str = "sed -i 's/- [$]2/+ $2/' repository/sum.sh";
const MEND_SECOND: &str = "sed -i 's/- [$]2/+ $2/' library/sum.sh";

/// Two repositories with the same history.
fn scene(root: &Path, commands: &str) -> Scene {
    let scene = Scene::with(root, &script(commands));
    let library = root.join("library");
    scene.git(&["clone", "--quiet", ".", library.to_str().unwrap()]);
    scene
}

async fn accept(scene: &Scene, store: &SqliteStore) -> SessionId {
    let also = Also { repository: scene.root.join("library").to_str().unwrap().to_owned(), base: None };
    let task = scene.task(Wishes::default()).await.and_also(vec![also]).unwrap();
    let session = SessionId::generate();
    store.create(session, now(), EventBody::TaskAccepted { task }, Vec::new()).await.unwrap();
    session
}

/// Works on it to its end; `None` where this host has no sandboxes.
#[expect(clippy::print_stderr, reason = "people see which tests could not run")]
async fn worked(scene: &Scene) -> Option<(SessionId, Outcome, Agent)> {
    let store = scene.store().await;
    let parts = match scene.parts(store.clone(), Arc::new(scene.forge())).await {
        Ok(parts) => parts,
        Err(error) => {
            eprintln!("SKIPPED: no sandboxes here: {error}");
            return None;
        }
    };
    let session = accept(scene, &store).await;
    let (_ask, stop) = watch::channel(false);
    let ended = Box::pin(work(parts, session, None, Arc::new(Nobody), stop)).await.unwrap();
    let log = store.log(session).await.unwrap();
    replay(&log).unwrap();
    let Ended::Over(outcome) = ended else { panic!("{ended:?}") };
    Some((session, outcome, Agent::of(session, &log)))
}

async fn opened(scene: &Scene, name: &str, session: SessionId) -> Option<PullRequest> {
    let path = scene.root.join(name);
    let address =
        RepositoryAddress::parse(&Git::find().unwrap(), path.to_str().unwrap(), Path::new("/")).await;
    scene.forge().find(&address.unwrap(), session).await.unwrap()
}

/// What the session's branch has of a repository beyond its base.
fn commits(scene: &Scene, name: &str, session: SessionId) -> String {
    let (path, branch) = (scene.root.join(name), branch_of(session));
    scene.git(&["-C", path.to_str().unwrap(), "diff", "--stat", &format!("main..{branch}")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_gets_a_pull_request_that_names_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let scene = scene(
        directory.path(),
        &format!("{MEND_FIRST}; cd library && sed -i 's/- [$]2/+ $2/' sum.sh && git status --short"),
    );
    let Some((session, outcome, agent)) = worked(&scene).await else { return };
    assert_eq!(outcome, Outcome::Succeeded);
    for (name, other) in [("repository", "library"), ("library", "repository")] {
        let request = opened(&scene, name, session).await.unwrap();
        assert_eq!(request.number, 1, "each repository counts for itself");
        assert!(request.repository.ends_with(name), "{request:?}");
        assert!(request.body.contains("### Together with"), "{}", request.body);
        let listed = request.body.split("### Together with").nth(1).unwrap().split("###").next().unwrap();
        assert!(
            listed.contains(&format!("/{other}")) && listed.matches("pull request 1").count() == 1,
            "{listed}"
        );
        assert!(commits(&scene, name, session).contains("1 file changed"));
    }
    assert_eq!(agent.evidence().len(), 2, "what is configured tests the task's own repository");
    let second = agent.seen_from(SECOND).unwrap();
    assert!(second.evidence().is_empty() && second.evidence_missing().is_some());
    assert_eq!(agent.repository(), second.repository(), "the same commit, in two directories");

    let log = scene.store().await.log(session).await.unwrap();
    let patch = patch(&Git::find().unwrap(), &scene.data(), session, &log).await.unwrap().unwrap();
    let patch = String::from_utf8(patch).unwrap();
    let places = ["# repository\n", "# library\n"].map(|line| patch.find(line).unwrap());
    assert!(places[0] < places[1] && patch.matches("diff --git").count() == 2, "{patch}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unchanged_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let scene = scene(directory.path(), MEND_SECOND);
    let Some((session, outcome, agent)) = worked(&scene).await else { return };
    assert_eq!(outcome, Outcome::Succeeded);
    assert!(opened(&scene, "repository", session).await.is_none() && agent.pull_request().is_none());
    let request = opened(&scene, "library", session).await.unwrap();
    assert!(!request.body.contains("### Together with"), "{}", request.body);

    let directory = tempfile::tempdir().unwrap();
    let scene = self::scene(directory.path(), "ls repository library");
    let Some((_, outcome, agent)) = worked(&scene).await else { return };
    assert_eq!(outcome, Outcome::NothingToDo);
    assert!(!agent.has_pull_request());
    assert!(!fs::exists(scene.data().join("forge").join("pulls")).unwrap());
}

#[test]
fn killed_again_and_again_it_ends_as_if_it_had_not_been() {
    let directory = tempfile::tempdir().unwrap();
    let scene = scene(directory.path(), &format!("{MEND_FIRST}; {MEND_SECOND}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let session = runtime.block_on(async {
        let store = scene.store().await;
        if let Err(error) = scene.parts(store.clone(), Arc::new(scene.forge())).await {
            eprintln!("SKIPPED: no sandboxes here: {error}");
            return None;
        }
        Some(accept(&scene, &store).await)
    });
    let Some(session) = session else { return };
    let killed = (0..MOST_LIVES).take_while(|_| live_alone(&scene, session, MOMENTS).is_none()).count();
    assert!((1..MOST_LIVES).contains(&killed), "{killed}");
    runtime.block_on(async {
        let log = scene.store().await.log(session).await.unwrap();
        replay(&log).unwrap();
        let agent = Agent::of(session, &log);
        assert_eq!(agent.outcome(), Some(&Outcome::Succeeded));
        assert_eq!(agent.pull_requests().len(), 2);
        for name in ["repository", "library"] {
            let request = opened(&scene, name, session).await.unwrap();
            assert!(request.body.contains("### Together with"), "{}", request.body);
            assert!(commits(&scene, name, session).contains("1 file changed"));
            let path = scene.root.join(name);
            let path = path.to_str().unwrap();
            let count =
                scene.git(&["-C", path, "rev-list", "--count", &format!("main..{}", branch_of(session))]);
            assert_eq!(count.trim(), "1");
        }
    });
}
