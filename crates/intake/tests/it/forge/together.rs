//! What a task is about beside the repository in which it was asked for: what belongs to that one, as far as the same people may read it.

use std::sync::Arc;

use cofferdam_domain::{Also, EventBody, Label, SessionId};
use cofferdam_forge::hook::Repository;

use super::scene::{World, labelled, what};

const TOGETHER: &str =
    "\n[[together]]\nrepository = 'acme/app'\nalso = ['acme/lib#next', 'acme/diary', 'acme/gone']\n";

fn repository(id: u64, path: &str, public: bool) -> Repository {
    Repository {
        id,
        path: path.to_owned(),
        clone_url: format!("https://git.example.com/{path}.git"),
        default_branch: Some("main".to_owned()),
        private: !public,
        public,
    }
}

/// A forge on which the app belongs together with others, of which these are public.
async fn world(public: &[&str], beside_public: &[&str]) -> World {
    let mut world = World::with(TOGETHER).await;
    let one = |(place, path): (usize, &str)| repository(5 + place as u64, path, public.contains(&path));
    *world.desk.repositories.lock().unwrap() =
        ["acme/app", "acme/lib", "acme/diary"].into_iter().enumerate().map(one).collect();
    let named: Vec<String> = beside_public.iter().map(|&one| one.to_owned()).collect();
    let way = world.forge.way(world.store.clone(), world.place, None, &super::scene::environment).unwrap();
    world.way = Arc::new(way.beside_public(&named));
    world
}

/// What a session is about besides, and what it was told of what is not.
async fn begun(world: &World) -> (Vec<Also>, Vec<String>) {
    world.keep("1", "issues", &labelled("ann", 1)).await;
    assert_eq!(what(&world.deal().await), ["a session begins"]);
    let [session]: [SessionId; 1] = world.sessions().await.try_into().unwrap();
    let bodies = world.bodies(session).await;
    let EventBody::TaskAccepted { task } = &bodies[0] else { panic!("{bodies:?}") };
    let told = world.messages(session).await.into_iter();
    let told = told.filter(|(from, _, label, _)| from == "Cofferdam" && *label == Label::PLATFORM);
    (task.also.clone(), told.map(|(_, text, ..)| text).collect())
}

fn also(path: &str, base: Option<&str>) -> Also {
    Also { repository: format!("https://git.example.com/{path}.git"), base: base.map(str::to_owned) }
}

#[tokio::test]
async fn what_the_same_people_may_read_is_worked_on_together() {
    for public in [&[][..], &["acme/app", "acme/lib", "acme/diary"]] {
        let (beside, told) = begun(&world(public, &[]).await).await;
        assert_eq!(beside, [also("acme/lib", Some("next")), also("acme/diary", None)]);
        let [gone] = &told[..] else { panic!("{told:?}") };
        assert!(gone.contains("`acme/gone`") && gone.contains("not there"), "{gone}");
    }
}

/// Anybody who reads the app's pull request could read there what is in the diary.
#[tokio::test]
async fn one_that_fewer_people_may_read_is_left_out_with_what_to_do() {
    let (beside, told) = begun(&world(&["acme/app", "acme/lib"], &[]).await).await;
    assert_eq!(beside, [also("acme/lib", Some("next"))]);
    let told = told.join("\n");
    for word in ["`acme/diary` belongs to", "left out", "`acme/app` whoever", "`beside_public`"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // The operator says by name that it may be.
    let named = "https://git.example.com/acme/diary";
    let (beside, told) = begun(&world(&["acme/app", "acme/lib"], &[named]).await).await;
    assert_eq!(beside.len(), 2, "{told:?}");
    // What of another place is named so is another one.
    let (beside, _) =
        begun(&world(&["acme/app", "acme/lib"], &["https://git.example.org/acme/diary"]).await).await;
    assert_eq!(beside.len(), 1);
}

#[tokio::test]
async fn one_that_more_people_may_read_is_left_out_as_well() {
    let (beside, told) = begun(&world(&["acme/lib"], &[]).await).await;
    assert_eq!(beside, [also("acme/diary", None)]);
    let told = told.join("\n");
    assert!(told.contains("`acme/lib` belongs to") && told.contains("`acme/app` only"), "{told}");
    // The app may be beside it then, and the diary may not.
    let (beside, told) = begun(&world(&["acme/lib"], &["https://git.example.com/acme/app.git"]).await).await;
    assert_eq!(beside, [also("acme/lib", Some("next"))]);
    assert!(told.join("\n").contains("`acme/diary` only"), "{told:?}");
}
