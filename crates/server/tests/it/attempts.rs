//! Several attempts at one task: made by one request, compared, and one of them chosen. By the API and by the pages.

use cofferdam_domain::{Event, EventBody, Outcome, Rank, Seq, SessionId, attempt::Choose};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Kind, Somebody, World, answer, json as with_json};

on_every_store!(
    one_request_makes_all_of_them_once,
    what_makes_no_sense_makes_nothing,
    they_are_compared_and_one_is_chosen,
    of_many_who_choose_at_once_one_is_heard,
    nobody_else_sees_or_chooses_them,
    a_form_makes_them_too,
    forks_are_attempts_too,
);

const HEAD: &str = "1111111111111111111111111111111111111111";

fn task(attempts: u16) -> Value {
    json!({ "prompt": "Fix it", "repository": "https://forge.example/a/b", "attempts": attempts })
}

/// Several attempts that somebody asks for.
async fn made(world: &World, who: &Somebody, attempts: u16) -> Vec<SessionId> {
    let (status, made) = world.post(who, "/sessions", &task(attempts)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    ids(&made["attempts"])
}

fn ids(list: &Value) -> Vec<SessionId> {
    list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

/// Its work is done and waits to be chosen.
async fn ready(world: &World, session: SessionId, added: u64) {
    let received = json!({
        "bundle": format!("sha256:{}", "0".repeat(64)),
        "head": HEAD,
        "tree": "0".repeat(40),
        "stat": { "files": 1, "added": added, "removed": 0 },
    });
    let finish = json!({ "outcome": "done", "title": "I am the best", "summary": "Choose me." });
    for body in [
        serde_json::from_value(json!({ "event": "work_finished", "finish": finish })).unwrap(),
        EventBody::ObjectsReceived(serde_json::from_value(received).unwrap()),
        EventBody::AttemptReady { commit: HEAD.to_owned() },
    ] {
        world.append(session, body).await;
    }
}

async fn log(world: &World, session: SessionId) -> Vec<Event> {
    world.store.read(session, Seq::START, 1000).await.unwrap()
}

async fn count(world: &World, session: SessionId, name: &str) -> usize {
    log(world, session).await.iter().filter(|event| event.body.name() == name).count()
}

async fn choose(world: &World, who: &Somebody, session: SessionId, commit: &str) -> (StatusCode, Value) {
    world.post(who, &format!("/sessions/{session}/choose"), &json!({ "commit": commit })).await
}

async fn one_request_makes_all_of_them_once(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let mut wanted = task(3);
    wanted["attempt_models"] = json!(["scripted/demo"]);
    wanted["choose"] = json!("best");
    let send = || async {
        let request = with_json(world.ask(&who, Method::POST, "/api/v1/sessions"), &wanted);
        answer(request.header("idempotency-key", "a")).await
    };
    let (status, first) = send().await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    assert_eq!(send().await, (status, first.clone()), "the same again");
    let attempts = ids(&first["attempts"]);
    assert_eq!((attempts.len(), &first["id"]), (3, &first["attempts"][0]));
    let (_, page) = world.get(&who, "/sessions").await;
    assert_eq!(page["sessions"].as_array().unwrap().len(), 3, "each is a session of its own");
    assert!(page["sessions"].as_array().unwrap().iter().all(|row| row["attempt_of"] == first["id"]));
    for (number, session) in (1..).zip(&attempts) {
        let EventBody::TaskAccepted { task } = &log(&world, *session).await[0].body else { panic!() };
        let attempt = task.attempt.unwrap();
        assert_eq!((attempt.number, attempt.of, attempt.choose), (number, 3, Choose::Best));
        assert_eq!((attempt.group, task.prompt.as_str()), (attempts[0], "Fix it"));
        assert_eq!(task.wishes.model.as_deref(), Some("scripted/demo"));
    }
    // One is none of several.
    let (_, alone) = world.post(&who, "/sessions", &task(1)).await;
    assert_eq!(alone.as_object().unwrap().len(), 1);
    let (status, _) = world.get(&who, &format!("/sessions/{}/attempts", alone["id"].as_str().unwrap())).await;
    assert_eq!(status, StatusCode::CONFLICT);
    world.end().await;
}

async fn what_makes_no_sense_makes_nothing(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    for (more, expected) in [
        (json!({ "attempts": 0 }), 422),
        (json!({ "attempts": 9 }), 422),
        (json!({ "attempts": 65535 }), 422),
        (json!({ "attempts": 65536 }), 400),
        (json!({ "attempts": -1 }), 400),
        (json!({ "attempts": "3" }), 400),
        (json!({ "choose": "best" }), 422),
        (json!({ "attempts": 2, "choose": "first" }), 400),
        (json!({ "attempt_models": ["scripted/demo"] }), 422),
        (json!({ "attempts": 2, "attempt_models": ["scripted/demo", "nobody/knows"] }), 422),
        (json!({ "attempts": 2, "attempt_models": ["a", "b", "c"] }), 422),
    ] {
        let mut wanted = json!({ "prompt": "Fix it", "repository": "/srv/a" });
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, problem) = world.post(&who, "/sessions", &wanted).await;
        assert_eq!(status.as_u16(), expected, "{more}: {problem}");
    }
    let (_, page) = world.get(&who, "/sessions").await;
    assert_eq!(page["sessions"].as_array().unwrap().len(), 0);
    world.end().await;
}

async fn they_are_compared_and_one_is_chosen(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let [one, two, three] = made(&world, &who, 3).await[..] else { panic!() };
    ready(&world, one, 400).await;
    ready(&world, two, 4).await;
    let (_, compared) = world.get(&who, &format!("/sessions/{three}/attempts")).await;
    assert_eq!((&compared["complete"], &compared["choose"]), (&json!(false), &json!("ask")));
    let (status, problem) = choose(&world, &who, three, HEAD).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("still at work"), "{problem}");
    let outcome = Outcome::Failed { reason: "it cannot be done".into() };
    world.append(three, EventBody::SessionEnded { outcome }).await;
    let (_, compared) = world.get(&who, &format!("/sessions/{one}/attempts")).await;
    let order: Vec<u64> =
        compared["attempts"].as_array().unwrap().iter().map(|row| row["number"].as_u64().unwrap()).collect();
    assert_eq!((order, &compared["complete"]), (vec![2, 1, 3], &json!(true)));
    assert!(!compared.to_string().contains("I am the best"), "no agent has a say in it");

    assert_eq!(choose(&world, &who, two, &"2".repeat(40)).await.0, StatusCode::CONFLICT, "not what is there");
    let (status, problem) = choose(&world, &who, three, HEAD).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("nothing to deliver"), "{problem}");
    assert_eq!(count(&world, one, "attempt_passed_over").await, 0, "nothing was said yet");
    let continued = world.post(&who, &format!("/sessions/{two}/continue"), &Value::Null).await;
    assert_eq!(continued.0, StatusCode::CONFLICT, "nobody has chosen");

    let (status, page) = page(&world, &who, Method::GET, &format!("/sessions/{one}/attempts"), "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains(&format!("/sessions/{two}/choose")) && page.contains(HEAD), "{page}");
    assert!(!page.contains("I am the best"));
    let form = format!("commit={HEAD}");
    let chosen = self::page(&world, &who, Method::POST, &format!("/sessions/{two}/choose"), &form).await;
    assert_eq!(chosen.0, StatusCode::SEE_OTHER, "{}", chosen.1);
    // It is said first where all that choose would say it.
    assert_eq!(count(&world, one, "attempt_passed_over").await, 1);
    let (status, problem) = choose(&world, &who, one, HEAD).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("was chosen already, by member"), "{problem}");
    assert_eq!(choose(&world, &who, two, HEAD).await.0, StatusCode::CONFLICT);
    let (_, compared) = world.get(&who, &format!("/sessions/{three}/attempts")).await;
    assert_eq!(compared["chosen"], two.to_string());
    let told = world.post(&who, &format!("/sessions/{one}/messages"), &json!({ "text": "and you?" })).await;
    assert_eq!(told.0, StatusCode::CONFLICT, "{}", told.1);
    let back = world.post(&who, &format!("/sessions/{one}/rollback"), &json!({ "to": 1 })).await;
    assert_eq!(back.0, StatusCode::CONFLICT, "{}", back.1);
    world.end().await;
}

async fn of_many_who_choose_at_once_one_is_heard(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let sessions = made(&world, &who, 4).await;
    for session in &sessions {
        ready(&world, *session, 1).await;
    }
    let all = sessions.iter().chain(&sessions).map(|session| choose(&world, &who, *session, HEAD));
    let answers = futures_util::future::join_all(all).await;
    let heard = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    assert_eq!(heard, 1, "{answers:?}");
    assert!(
        answers.iter().all(|(status, _)| matches!(*status, StatusCode::ACCEPTED | StatusCode::CONFLICT)),
        "{answers:?}"
    );
    let said = count(&world, sessions[0], "attempt_passed_over").await
        + count(&world, sessions[0], "attempt_chosen").await;
    assert_eq!(said, 1);
    world.end().await;
}

async fn nobody_else_sees_or_chooses_them(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (ours, theirs) = (world.local(Rank::Admin).await, world.elsewhere().await);
    let sessions = made(&world, &theirs, 2).await;
    ready(&world, sessions[0], 1).await;
    let compared = world.get(&ours, &format!("/sessions/{}/attempts", sessions[0])).await;
    assert_eq!(compared.0, StatusCode::NOT_FOUND);
    assert_eq!(choose(&world, &ours, sessions[0], HEAD).await.0, StatusCode::NOT_FOUND);
    let viewer = world.local(Rank::Viewer).await;
    let own = made(&world, &ours, 2).await;
    ready(&world, own[0], 1).await;
    assert_eq!(world.get(&viewer, &format!("/sessions/{}/attempts", own[0])).await.0, StatusCode::OK);
    assert_eq!(choose(&world, &viewer, own[0], HEAD).await.0, StatusCode::FORBIDDEN);
    assert_eq!(count(&world, own[0], "attempt_chosen").await, 0);
    world.end().await;
}

async fn page(world: &World, who: &Somebody, method: Method, path: &str, form: &str) -> (StatusCode, String) {
    let request = world.ask(who, method, path).header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form.to_owned()).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn a_form_makes_them_too(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let (_, shown) = page(&world, &who, Method::GET, "/new", "").await;
    assert!(shown.contains("name=\"attempts\"") && shown.contains("max=\"8\""), "{shown}");
    let fields = "repository=%2Fsrv%2Fa&prompt=Fix+it&choose=best&attempts=";
    for (number, status, sessions) in [
        ("12", StatusCode::UNPROCESSABLE_ENTITY, 0),
        ("many", StatusCode::UNPROCESSABLE_ENTITY, 0),
        ("3", StatusCode::SEE_OTHER, 3),
        ("1", StatusCode::SEE_OTHER, 4),
        ("", StatusCode::SEE_OTHER, 5),
    ] {
        let (answered, text) = page(&world, &who, Method::POST, "/new", &format!("{fields}{number}")).await;
        assert_eq!(answered, status, "{number}: {text}");
        let (_, list) = world.get(&who, "/sessions").await;
        assert_eq!(list["sessions"].as_array().unwrap().len(), sessions, "{number}");
    }
    world.end().await;
}

async fn forks_are_attempts_too(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let [one, _] = made(&world, &who, 2).await[..] else { panic!() };
    world.append(one, EventBody::Checkpointed { step: 1, snapshot: "snp_1".into() }).await;
    let fork = |more: Value| {
        let mut body = json!({ "at": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let path = format!("/sessions/{one}/fork");
    let (status, alone) = world.post(&who, &path, &fork(json!({}))).await;
    assert_eq!(status, StatusCode::CREATED, "{alone}");
    let (_, row) = world.get(&who, &format!("/sessions/{}", alone["id"].as_str().unwrap())).await;
    assert_eq!(row["attempt_of"], Value::Null, "a fork of an attempt is none");
    let (status, several) = world.post(&who, &path, &fork(json!({ "attempts": 3 }))).await;
    assert_eq!(status, StatusCode::CREATED, "{several}");
    let (_, compared) =
        world.get(&who, &format!("/sessions/{}/attempts", several["id"].as_str().unwrap())).await;
    assert_eq!((compared["attempts"].as_array().unwrap().len(), &compared["of"]), (3, &json!(3)));
    // What was ready is behind what can be forked.
    ready(&world, one, 1).await;
    world.append(one, EventBody::Checkpointed { step: 2, snapshot: "snp_2".into() }).await;
    let (status, _) = world.post(&who, &path, &json!({ "at": 6 })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    world.end().await;
}
