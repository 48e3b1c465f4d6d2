//! Streams: nothing is missed, nothing is told twice, and they end when the right to see does.

use std::time::Duration;

use cofferdam_domain::{EventBody, Label, Rank, Secret, Seq, SessionId};
use cofferdam_server::{Client, Limits};
use futures_util::StreamExt as _;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{Kind, LONG, Somebody, World, is_problem, question};

on_every_store!(
    events_come_as_they_are_written_and_again_from_where_one_was,
    whoever_is_slow_misses_nothing_and_keeps_nobody_waiting,
    a_stream_says_that_it_is_there_and_ends_with_the_server,
    a_stream_ends_when_the_right_to_see_does,
    a_right_that_ends_elsewhere_is_noticed,
    the_list_changes_live,
    a_page_is_written_out_once_for_all_who_look_at_it,
    a_page_of_results_is_written_out_once_for_all_who_look_at_it,
    nobody_has_more_streams_than_is_fair,
    the_client_follows,
);

/// A stream, and what of it is not an event yet.
struct Reader {
    response: Response,
    rest: String,
}

impl Reader {
    async fn open(world: &World, who: &Somebody, path: &str, last: Option<u64>) -> Self {
        let mut request = world.ask(who, Method::GET, &format!("/api/v1{path}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new() }
    }

    /// The next piece: its id and data; nothing at the end of the stream. Comments have neither.
    async fn piece(&mut self) -> Option<(Option<u64>, Option<Value>)> {
        loop {
            if let Some((piece, rest)) = self.rest.split_once("\n\n") {
                let field =
                    |name: &str| piece.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                let found = (
                    field("id").map(|id| id.parse().unwrap()),
                    field("data").map(|data| serde_json::from_str(data).unwrap()),
                );
                self.rest = rest.to_owned();
                return Some(found);
            }
            let chunk = timeout(LONG, self.response.chunk()).await.unwrap().ok()??;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event.
    async fn event(&mut self) -> Option<(Option<u64>, Value)> {
        loop {
            if let (id, Some(data)) = self.piece().await? {
                return Some((id, data));
            }
        }
    }
}

async fn events_come_as_they_are_written_and_again_from_where_one_was(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Viewer).await;
    let session = world.session(&who, vec![question()]).await;
    let path = format!("/sessions/{session}/events/live");
    let mut reader = Reader::open(&world, &who, &path, None).await;
    let (id, first) = reader.event().await.unwrap();
    assert_eq!((id, &first["body"]["event"]), (Some(1), &Value::from("task_accepted")));
    assert_eq!(reader.event().await.unwrap().0, Some(2));
    world.append(session, EventBody::PauseAsked { by: "ann".to_owned() }).await;
    assert_eq!(reader.event().await.unwrap().1["body"]["event"], "pause_asked");
    drop(reader);
    let mut again = Reader::open(&world, &who, &path, Some(2)).await;
    assert_eq!(again.event().await.unwrap().0, Some(3));
    for bad in ["x", "-1", "99999999999999999999"] {
        let request = world.ask(&who, Method::GET, &format!("/api/v1{path}")).header("last-event-id", bad);
        is_problem(request.send().await.unwrap(), 400).await;
    }
    world.end().await;
}

async fn whoever_is_slow_misses_nothing_and_keeps_nobody_waiting(kind: Kind) {
    const EVENTS: u64 = 40;
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Viewer).await;
    let session = world.session(&who, Vec::new()).await;
    let path = format!("/sessions/{session}/events/live");
    let mut quick = Reader::open(&world, &who, &path, None).await;
    let mut slow = Reader::open(&world, &who, &path, None).await;
    assert_eq!((quick.event().await.unwrap().0, slow.event().await.unwrap().0), (Some(1), Some(1)));
    // More than the connection and what the server keeps take together.
    let text = "x".repeat(1 << 19);
    for expected in 2..2 + EVENTS {
        world.append(session, EventBody::PauseAsked { by: text.clone() }).await;
        assert_eq!(quick.event().await.unwrap().0, Some(expected));
    }
    let mut late = Reader::open(&world, &who, &path, Some(1)).await;
    for expected in 2..2 + EVENTS {
        let (id, event) = slow.event().await.unwrap();
        assert_eq!((id, event["body"]["by"].as_str().unwrap().len()), (Some(expected), text.len()));
        assert_eq!(late.event().await.unwrap(), (id, event));
    }
    world.append(session, question()).await;
    for reader in [&mut quick, &mut slow, &mut late] {
        assert_eq!(reader.event().await.unwrap().0, Some(2 + EVENTS));
    }
    world.end().await;
}

async fn a_stream_says_that_it_is_there_and_ends_with_the_server(kind: Kind) {
    let Some(world) =
        World::with(kind, Limits { heartbeat: Duration::from_millis(20), ..Limits::default() }).await
    else {
        return;
    };
    let who = world.local(Rank::Viewer).await;
    let session = world.session(&who, Vec::new()).await;
    let mut reader = Reader::open(&world, &who, &format!("/sessions/{session}/events/live"), Some(1)).await;
    assert_eq!(reader.piece().await, Some((None, None)));
    world.stop();
    while reader.piece().await.is_some() {}
    world.end().await;
}

async fn a_stream_ends_when_the_right_to_see_does(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (admin, who) = (world.local(Rank::Admin).await, world.local(Rank::Viewer).await);
    let session = world.session(&who, Vec::new()).await;
    let mut one = Reader::open(&world, &who, &format!("/sessions/{session}/events/live"), None).await;
    let mut all = Reader::open(&world, &who, "/sessions/live", None).await;
    assert!(one.event().await.is_some());
    let path = format!("/api/v1/members/{}", who.user);
    assert_eq!(
        world.ask(&admin, Method::DELETE, &path).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert!(one.event().await.is_none());
    assert!(all.event().await.is_none());
    world.end().await;
}

async fn a_right_that_ends_elsewhere_is_noticed(kind: Kind) {
    let Some(world) =
        World::with(kind, Limits { heartbeat: Duration::from_millis(20), ..Limits::default() }).await
    else {
        return;
    };
    let who = world.local(Rank::Viewer).await;
    let session = world.session(&who, Vec::new()).await;
    let mut reader = Reader::open(&world, &who, &format!("/sessions/{session}/events/live"), None).await;
    assert!(reader.event().await.is_some());
    // Another server of the same store has done this.
    world.store.set_rank(who.org, who.user, None, world.now()).await.unwrap();
    assert!(reader.event().await.is_none());
    world.end().await;
}

async fn the_list_changes_live(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (who, theirs) = (world.local(Rank::Viewer).await, world.elsewhere().await);
    let mut reader = Reader::open(&world, &who, "/sessions/live", None).await;
    world.session(&theirs, Vec::new()).await;
    let session = world.session(&who, Vec::new()).await;
    let (_, row) = reader.event().await.unwrap();
    assert_eq!((row["id"].as_str().unwrap(), &row["state"]), (&*session.to_string(), &Value::from("queued")));
    world.append(session, question()).await;
    loop {
        let (_, row) = reader.event().await.unwrap();
        assert_eq!(row["id"], session.to_string(), "nobody else's");
        if row["waiting"] == "answer" {
            break;
        }
    }
    world.end().await;
}

/// A stream of a page, and what of it is no message yet.
struct Looker {
    response: Response,
    rest: String,
}

impl Looker {
    async fn open(world: &World, who: &Somebody, session: SessionId, after: u64) -> Self {
        Self::open_at(world, who, &format!("/sessions/{session}/live?after={after}")).await
    }

    async fn open_at(world: &World, who: &Somebody, path: &str) -> Self {
        let response = world.ask(who, Method::GET, path).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new() }
    }

    /// The next message: up to which event it tells, and the markup.
    async fn message(&mut self) -> Option<(u64, String)> {
        loop {
            if let Some((message, rest)) = self.rest.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.rest = rest;
                let Some(id) = message.lines().find_map(|line| line.strip_prefix("id: ")) else { continue };
                let lines: Vec<&str> =
                    message.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                return Some((id.parse().unwrap(), lines.join("\n")));
            }
            let chunk = timeout(LONG, self.response.chunk()).await.unwrap().ok()??;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All messages up to one that tells of this event.
    async fn until(&mut self, wanted: u64) -> Vec<(u64, String)> {
        let mut messages: Vec<(u64, String)> = Vec::new();
        while messages.last().is_none_or(|(seq, _)| *seq < wanted) {
            messages.push(self.message().await.unwrap());
        }
        messages
    }
}

async fn say(world: &World, session: SessionId, text: String) {
    let from = "ann".to_owned();
    let message = EventBody::MessageReceived { from, text, label: Label::REQUESTER, about: None };
    world.append(session, message).await;
}

async fn a_page_is_written_out_once_for_all_who_look_at_it(kind: Kind) {
    const LOOKERS: usize = 30;
    const EVENTS: u64 = 20;
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Viewer).await;
    let session = world.session(&who, Vec::new()).await;
    let mut lookers = Vec::new();
    for _ in 0..LOOKERS {
        lookers.push(Looker::open(&world, &who, session, 1).await);
    }
    // One who does not read: more than is kept for all goes by meanwhile.
    let mut slow = Looker::open(&world, &who, session, 1).await;
    let said = |number: u64| format!("said {number}. ") + &"x".repeat(30_000);
    for number in 2..2 + EVENTS {
        world.append(session, EventBody::PauseAsked { by: "ann".to_owned() }).await;
        let last = lookers[0].until(number).await;
        assert_eq!(last.last().unwrap().0, number);
    }
    let all = lookers[1].until(1 + EVENTS).await;
    let rest = futures_util::future::join_all(lookers[2..].iter_mut().map(|looker| looker.until(1 + EVENTS)));
    for other in rest.await {
        assert_eq!(other, all, "the same bytes for everybody");
    }
    say(&world, session, said(1)).await;
    let markup =
        |messages: &[(u64, String)]| messages.iter().map(|(_, markup)| markup.clone()).collect::<String>();
    for looker in lookers.iter_mut().take(3) {
        assert!(markup(&looker.until(2 + EVENTS).await).contains("said 1."));
    }
    for number in 2..30 {
        say(&world, session, said(number)).await;
        lookers[0].until(1 + EVENTS + number).await;
    }
    let end = 1 + EVENTS + 29;
    let late = Looker::open(&world, &who, session, 1).await.until(end).await;
    for messages in [slow.until(end).await, late] {
        let markup = markup(&messages);
        assert!((1..30).all(|number| markup.contains(&format!("said {number}."))), "nothing is missing");
    }
    world.store.forget(session).await.unwrap();
    while slow.message().await.is_some() {}
    world.end().await;
}

async fn a_page_of_results_is_written_out_once_for_all_who_look_at_it(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Viewer).await;
    let session = world.session(&who, Vec::new()).await;
    let at = |after: u64, showing: &str| {
        format!("/sessions/{session}/live?after={after}&page=evidence&showing={showing}")
    };
    // Those who look at nothing yet, and those who look at something that is there no more.
    let (mut nothing, mut other) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        nothing.push(Looker::open_at(&world, &who, &at(1, "")).await);
        other.push(Looker::open_at(&world, &who, &at(1, "old%20one")).await);
    }
    for number in 2..8 {
        world.append(session, EventBody::PauseAsked { by: "ann".to_owned() }).await;
        let (mut of_nothing, mut of_other) = (Vec::new(), Vec::new());
        for looker in &mut nothing {
            of_nothing.push(looker.until(number).await);
        }
        for looker in &mut other {
            of_other.push(looker.until(number).await);
        }
        assert!(of_nothing.iter().all(|told| *told == of_nothing[0]), "the same bytes for everybody");
        assert!(of_other.iter().all(|told| *told == of_other[0]), "the same bytes for everybody");
        assert!(!of_nothing[0][0].1.contains("not the latest"), "{of_nothing:?}");
        assert!(of_other[0][0].1.contains("not the latest"), "{of_other:?}");
    }
    // Who comes late gets to where the others are.
    nothing.push(Looker::open_at(&world, &who, &at(1, "")).await);
    assert!(nothing[5].until(7).await.last().unwrap().0 == 7);
    // Now there is something: who looked at nothing loads the page.
    let reason = "the tests cannot be run".to_owned();
    world.append(session, EventBody::EvidenceMissing { reason }).await;
    for looker in &mut nothing {
        assert_eq!(looker.until(8).await, [(8, "now".to_owned())]);
    }
    for looker in &mut other {
        assert!(looker.until(8).await[0].1.contains("not the latest"));
    }
    world.end().await;
}

async fn nobody_has_more_streams_than_is_fair(kind: Kind) {
    let Some(world) = World::with(kind, Limits { streams: 2, ..Limits::default() }).await else { return };
    let (who, other) = (world.local(Rank::Viewer).await, world.local(Rank::Viewer).await);
    let first = Reader::open(&world, &who, "/sessions/live", None).await;
    let second = Reader::open(&world, &who, "/sessions/live", None).await;
    let third = world.ask(&who, Method::GET, "/api/v1/sessions/live").send().await.unwrap();
    assert!(third.headers().contains_key("retry-after"));
    is_problem(third, 429).await;
    drop(Reader::open(&world, &other, "/sessions/live", None).await);
    drop((first, second));
    // The server hears of it when it next writes, or of the closed connection.
    timeout(LONG, async {
        loop {
            let again = world.ask(&who, Method::GET, "/api/v1/sessions/live").send().await.unwrap();
            if again.status() == StatusCode::OK {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    world.end().await;
}

async fn the_client_follows(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let who = world.local(Rank::Member).await;
    let session = world.session(&who, vec![question()]).await;
    let client = Client::new(&format!("http://{}", world.address), Secret::new(who.token.clone())).unwrap();
    let mut events = client.follow(session, Seq::START);
    for expected in ["task_accepted", "question_asked"] {
        assert_eq!(events.next().await.unwrap().unwrap().body.name(), expected);
    }
    client.act(session, &cofferdam_server::Act::Pause).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().body.name(), "pause_asked");
    let refused = client.act(session, &cofferdam_server::Act::Pause).await.unwrap_err();
    assert!(refused.to_string().contains("paused already"), "{refused}");
    world.end().await;
}
