//! The pages over HTTP: who may see them, what they are answered with, what their forms refuse.

use cofferdam_domain::{EventBody, Rank, SessionId};
use reqwest::{Method, StatusCode};

use crate::{
    harness::{self, Kind, Somebody, World},
    sample,
};

on_every_store!(
    each_page_is_html_that_nobody_keeps,
    whoever_is_not_signed_in_is_sent_to_where_that_can_be_done,
    another_organisations_sessions_are_not_there,
    a_viewer_sees_no_form_and_may_use_none,
    what_is_stale_is_refused_with_a_page_that_says_so,
    bad_forms_are_refused_and_nothing_that_was_written_is_lost,
    assets_are_kept_for_ever_under_names_of_their_content,
    whoever_asks_for_access_is_listed_until_somebody_decides,
    a_fork_may_have_another_model,
);

async fn text(world: &World, who: &Somebody, path: &str) -> (StatusCode, String) {
    let answer = world.ask(who, Method::GET, path).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn send(world: &World, who: &Somebody, path: &str, form: &str) -> (StatusCode, String) {
    let request =
        world.ask(who, Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(form.to_owned()).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn everything(world: &World, who: &Somebody) -> SessionId {
    let words: sample::Words = sample::as_they_are;
    let (session, _) = world.finished(who).await;
    for body in sample::work(words) {
        world.append(session, body).await;
    }
    session
}

fn of_session(session: SessionId) -> Vec<String> {
    ["", "/diff", "/evidence", "/pull-request", "/fragments", "/fragments?before=3", "/events/1", "?before=3"]
        .iter()
        .map(|page| format!("/sessions/{session}{page}"))
        .collect()
}

async fn each_page_is_html_that_nobody_keeps(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Admin).await;
    let session = everything(&world, &ann).await;
    let mut paths = of_session(session);
    paths.extend(
        [
            "/",
            "/?text=fix&state=ended",
            "/?archived=true",
            "/new",
            "/usage",
            "/audit",
            "/told",
            "/settings",
            "/playbooks",
            "/skills",
            "/mcp",
        ]
        .map(str::to_owned),
    );
    for path in paths {
        let answer = world.ask(&ann, Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let headers = answer.headers();
        assert_eq!(headers["content-type"], "text/html; charset=utf-8", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        if path == "/settings" {
            let page = answer.text().await.unwrap();
            assert_eq!(page.matches(">since ").count(), 1, "of who came with the store it is not known");
        }
    }
    world.end().await;
}

async fn whoever_is_not_signed_in_is_sent_to_where_that_can_be_done(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let session = everything(&world, &ann).await;
    for path in of_session(session).iter().map(String::as_str).chain(["/", "/new", "/settings"]) {
        let answer = world.plain(Method::GET, path).send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["location"]),
            (StatusCode::SEE_OTHER, &"/sign-in".parse().unwrap()),
            "{path}"
        );
    }
    let (status, page) = text(&world, &ann, "/sign-in").await;
    assert!(status == StatusCode::OK && page.contains("Open the link"));
    // A link that is looked at is not used up, and what is no link makes no form.
    let link = world.server.desk(ann.org, ann.user, "ann".to_owned()).link(ann.user).await.unwrap();
    let path = link.url.expose().split_once(&world.address.to_string()).unwrap().1.to_owned();
    for _ in 0..2 {
        let page = world.plain(Method::GET, &path).send().await.unwrap().text().await.unwrap();
        assert!(page.contains(&format!("action=\"{path}\"")));
    }
    let odd = world.plain(Method::GET, "/sign-in/%22%3E%3Cb%3E").send().await.unwrap().text().await.unwrap();
    assert!(odd.contains("action=\"/sign-in/unknown\"") && !odd.contains("<b>"));
    world.end().await;
}

async fn another_organisations_sessions_are_not_there(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let stranger = world.elsewhere().await;
    let session = everything(&world, &ann).await;
    for path in of_session(session).iter().chain([&format!("/sessions/{session}/live")]) {
        let (status, page) = text(&world, &stranger, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("Parse durations"), "{path}");
    }
    for action in ["messages", "answers", "merge"] {
        let form = "text=x&call=call_1_0&commit=1";
        let (status, _) = send(&world, &stranger, &format!("/sessions/{session}/{action}"), form).await;
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST), "{action}: {status}");
    }
    let (_, list) = text(&world, &stranger, "/").await;
    assert!(!list.contains(&session.to_string()));
    world.end().await;
}

async fn a_viewer_sees_no_form_and_may_use_none(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let viewer = world.local(Rank::Viewer).await;
    let session = world.session(&ann, vec![harness::question()]).await;
    let (_, page) = text(&world, &viewer, &format!("/sessions/{session}")).await;
    assert!(page.contains("<body class=\"viewer\">") && page.contains("Which one?"));
    let form = "call=call_1_0&text=this";
    let (status, _) = send(&world, &viewer, &format!("/sessions/{session}/answers"), form).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = send(&world, &viewer, "/new", "repository=%2Fsrv%2Fa&prompt=x").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(text(&world, &viewer, "/audit").await.0, StatusCode::FORBIDDEN);
    world.end().await;
}

async fn what_is_stale_is_refused_with_a_page_that_says_so(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let session = world
        .session(&ann, vec![harness::plan("one"), EventBody::AccessAsked(Box::new(harness::access()))])
        .await;
    let old = cofferdam_domain::Digest::of(b"one");
    world.append(session, harness::plan("two")).await;
    let plan = format!("/sessions/{session}/plan");
    let (status, page) =
        send(&world, &ann, &plan, &format!("digest={old}&decision=approve&text=one&reason=")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("has another plan by now"), "{page}");
    let rule = harness::access().digest();
    let access = format!("/sessions/{session}/access/{rule}");
    assert_eq!(send(&world, &ann, &access, "call=call_1_0&decision=deny").await.0, StatusCode::SEE_OTHER);
    assert_eq!(send(&world, &ann, &access, "call=call_1_0&decision=grant").await.0, StatusCode::CONFLICT);
    let (ended, _) = world.finished(&ann).await;
    let (status, page) =
        send(&world, &ann, &format!("/sessions/{ended}/merge"), &format!("commit={}", "2".repeat(40))).await;
    assert!(status == StatusCode::CONFLICT && page.contains("another head by now"), "{page}");
    let access = format!("/sessions/{ended}/access/{rule}");
    let (status, page) = send(&world, &ann, &access, "call=call_1_0&decision=grant").await;
    assert!(status == StatusCode::CONFLICT && page.contains("has ended"), "{page}");
    world.end().await;
}

async fn bad_forms_are_refused_and_nothing_that_was_written_is_lost(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let session = world.session(&ann, vec![harness::question()]).await;
    for (path, form) in [
        ("answers", "text=x"),
        ("answers", "call=call_01_0&text=x"),
        ("answers", "call=call_1_0&text=x&more=1"),
        ("plan", "digest=sha256:00&decision=approve"),
        ("rollback", "to=-1"),
        ("archive", "archived=perhaps"),
    ] {
        let (status, page) = send(&world, &ann, &format!("/sessions/{session}/{path}"), form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {form}");
        assert!(page.contains("The request cannot be understood"), "{page}");
    }
    let (status, page) = send(&world, &ann, "/new", "repository=relative&prompt=Do+%3Cthis%3E").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains(">Do &lt;this&gt;</textarea>") && page.contains("role=\"alert\""), "{page}");
    for path in [
        "/?before=1",
        "/?no=1",
        "/audit?before=x",
        "/sessions/ses_0",
        "/sessions/x/diff",
        "/assets/0/none.js",
    ] {
        let status = text(&world, &ann, path).await.0;
        assert!(matches!(status.as_u16(), 400 | 403 | 404), "{path}: {status}");
    }
    world.end().await;
}

async fn whoever_asks_for_access_is_listed_until_somebody_decides(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let ask = EventBody::AccessAsked(Box::new(harness::access()));
    let claimed = EventBody::Claimed { worker: "w".to_owned(), fence: 1 };
    let session = world.session(&ann, vec![claimed, ask]).await;
    assert!(text(&world, &ann, "/").await.1.contains("Asks for access"));
    let (_, listed) = world.get(&ann, &format!("/sessions/{session}")).await;
    assert_eq!((&listed["access_requests"], &listed["state"]), (&1.into(), &"working".into()));
    let path = format!("/sessions/{session}/access/{}", harness::access().digest());
    for (minutes, status) in [("0", 422), ("-1", 422), ("x", 422), ("527041", 422), ("60", 303)] {
        let form = format!("call={}&decision=grant&minutes={minutes}", harness::call());
        assert_eq!(send(&world, &ann, &path, &form).await.0.as_u16(), status, "{minutes}");
    }
    let log = world.store.read(session, cofferdam_domain::Seq::START, 10).await.unwrap();
    let decided = log.iter().find_map(|event| {
        let EventBody::AccessDecided(access) = &event.body else { return None };
        access.until
    });
    let minutes = decided.unwrap().millis_since(log[0].at) / 60_000;
    assert_eq!(minutes, 60);
    assert!(!text(&world, &ann, "/").await.1.contains("Asks for access"));
    world.end().await;
}

async fn a_fork_may_have_another_model(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let session = everything(&world, &ann).await;
    for page in ["", "/diff", "/evidence", "/pull-request", "/events/1"] {
        let page = text(&world, &ann, &format!("/sessions/{session}{page}")).await.1;
        assert!(page.contains("Spent so far"), "{page}");
    }
    let path = format!("/sessions/{session}");
    let (status, page) = send(&world, &ann, &format!("{path}/rollback"), "to=2&model=scripted/demo").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("fork it to use another one"), "{page}");
    assert!(send(&world, &ann, &format!("{path}/fork"), "to=2&model=no/such").await.0.is_client_error());
    assert_eq!(
        send(&world, &ann, &format!("{path}/fork"), "to=2&model=scripted/demo").await.0,
        StatusCode::SEE_OTHER
    );
    world.end().await;
}

async fn assets_are_kept_for_ever_under_names_of_their_content(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let (_, page) = text(&world, &ann, "/").await;
    let mut found = 0;
    for part in page.split('"').filter(|part| part.starts_with("/assets/")) {
        let answer = world.plain(Method::GET, part).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{part}");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"), "{part}");
        found += 1;
    }
    assert_eq!(found, 3);
    world.end().await;
}
