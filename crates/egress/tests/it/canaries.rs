//! What nobody has a reason to send or to ask for: refused before any of it leaves, however it is dressed up.

use cofferdam_domain::egress::{EgressPolicy, Refusal, Scheme};
use cofferdam_egress::{About, DoorwayOptions};
use http::StatusCode;

use crate::{
    host::{Authority, Host},
    inside::{fetch, request},
    scene::{Scene, rule},
};

const POLICY: &str = "[[canaries]]\nname = \"old key\"\nvalue = \"hunter2-hunter2\"\n[[canaries]]\nname = \"billing\"\nhost = \"billing.example\"\n[[canaries]]\nname = \"admin\"\nhost = \"a.example\"\npaths = [\"/admin/**\"]\n";

async fn scene() -> (Scene, Host) {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let rules = vec![rule("a.example", Scheme::Http, host.address)];
    let policy = EgressPolicy { rules, ..toml::from_str(POLICY).unwrap() };
    (Scene::with(policy, DoorwayOptions::default(), &authority), host)
}

async fn refused(scene: &Scene, method: &str, path: &str, body: &str) -> Option<String> {
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request(method, "a.example", path, false, body)).await.unwrap();
    answer.headers().get("cofferdam-refused").map(|code| code.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_canary_in_a_head_or_a_body_goes_nowhere() {
    let (scene, host) = scene().await;
    for (method, path, body) in [
        ("GET", "/x?k=hunter2-hunter2", String::new()),
        ("GET", "/68756e746572322d68756e74657232", String::new()),
        ("POST", "/x", "{\"k\":\"aHVudGVyMi1odW50ZXIy\"}".to_owned()),
        ("POST", "/x", format!("{}hunter2-hunter2", "y".repeat(60_000))),
        ("GET", "/admin/users", String::new()),
    ] {
        assert_eq!(refused(&scene, method, path, &body).await.as_deref(), Some("canary"), "{method} {path}");
    }
    assert_eq!(host.accepted(), 0);
    assert_eq!(refused(&scene, "POST", "/x", &"harmless ".repeat(20_000)).await, None);
    assert_eq!(host.got().first().map(|got| got.body.len()), Some(180_000), "and all of it arrives");
    assert_eq!(scene.log.passes(), 1);
}

#[tokio::test]
async fn a_long_body_is_cut_before_the_canary_in_it() {
    let (scene, host) = scene().await;
    let body = format!("{}hunter2-hunter2{}", "y".repeat(150_000), "z".repeat(150_000));
    let stream = scene.connect("a.example", 80).await;
    let answer = fetch(stream, false, request("POST", "a.example", "/x", false, &body)).await;
    assert!(answer.is_err() || answer.unwrap().status() == StatusCode::FORBIDDEN);
    scene.log.wait_for(Refusal::Canary).await;
    assert!(host.got().iter().all(|got| !got.body.windows(7).any(|window| window == b"hunter2")));
}

#[tokio::test]
async fn the_name_of_a_canary_host_is_not_even_asked_for() {
    let (scene, _host) = scene().await;
    let question = crate::lookups::question("billing.example", 1);
    scene.ask(&question).await;
    scene.log.wait_for(Refusal::Canary).await;
    // As a body to a host that no rule is about: the answer is no, and it is known why.
    let stream = scene.connect_to_proxy().await;
    let wanted = request("POST", "other.example", "http://other.example/", false, "k=hunter2-hunter2");
    let answer = fetch(stream, false, wanted).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "canary");
}

#[tokio::test]
async fn what_the_platform_has_planted_is_known_by_a_part() {
    let authority = Authority::new();
    let host = Host::echoing(None).await;
    let planted = ["Zk2vXp9LmT4wRb8NcYq7Zk2vXp9LmT4wRb8NcYq7".to_owned()];
    let about = About { planted: &planted, ..About::default() };
    let policy = EgressPolicy {
        rules: vec![rule("a.example", Scheme::Http, host.address)],
        ..EgressPolicy::default()
    };
    let scene = Scene::about(policy, &about, &authority);
    assert_eq!(refused(&scene, "GET", "/x?a=mt4wrb8ncyq7&b=1", "").await.as_deref(), Some("canary"));
    assert_eq!(refused(&scene, "GET", "/x?a=mt4wrb8ncyq&b=1", "").await, None);
}
