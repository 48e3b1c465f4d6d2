//! Sessions that work for others: listed with the one that they work for, with what they cost; and going on after a limit.

use cofferdam_domain::{EventBody, Outcome, Owner, Parent, Rank, SessionId, Source, SubagentKind, Task};
use cofferdam_store::{Placement, Ticket};
use reqwest::{Method, StatusCode};

use crate::harness::{Kind, Somebody, World, call};

on_every_store!(a_session_lists_those_that_work_for_it, what_a_limit_has_stopped_can_go_on_from_its_page,);

async fn page(world: &World, who: &Somebody, session: SessionId) -> String {
    let answer = world.ask(who, Method::GET, &format!("/sessions/{session}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.text().await.unwrap()
}

async fn a_session_lists_those_that_work_for_it(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let (parent, child) = (world.session(&ann, Vec::new()).await, SessionId::generate());
    let task =
        Task::new("Look <b>there</b>".into(), "/srv/a".into(), None, "ann".into(), Source::Api).unwrap();
    let of = Parent {
        session: parent,
        call: call(),
        kind: SubagentKind::Explore,
        depth: 1,
        schema: None,
        custom: None,
    };
    let owner = Owner { org: ann.org, project: world.project(ann.org).await, user: ann.user };
    let ticket = Ticket { owner, placement: Placement::Queued { priority: 0 } };
    let accepted = EventBody::TaskAccepted { task: task.delegated(of) };
    world.store.enqueue(ticket, child, world.now(), accepted, Vec::new()).await.unwrap();
    let share = cofferdam_domain::Budget::default();
    let delegated = EventBody::Delegated {
        call: call(),
        session: child,
        kind: SubagentKind::Explore,
        share,
        named: None,
    };
    world.append(parent, delegated).await;

    let shown = page(&world, &ann, parent).await;
    for part in
        ["Subagents", &format!("/sessions/{child}"), "Look &lt;b&gt;there&lt;/b&gt;", "Queued", "$0.00"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let back = page(&world, &ann, child).await;
    assert!(
        back.contains(&format!("<a href=\"/sessions/{parent}\">the session that it works for</a>")),
        "{back}"
    );
    let ids = async |path: &str| {
        let (_, listed) = world.get(&ann, path).await;
        let sessions = listed["sessions"].as_array().unwrap().clone();
        sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("/sessions").await, [parent.to_string()]);
    assert_eq!(ids("/sessions?subagents=true").await, [child.to_string(), parent.to_string()]);
    let (_, row) = world.get(&ann, &format!("/sessions/{child}")).await;
    assert_eq!(row["parent"], parent.to_string());
    world.end().await;
}

async fn what_a_limit_has_stopped_can_go_on_from_its_page(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let ann = world.local(Rank::Member).await;
    let stopped = EventBody::SessionEnded { outcome: Outcome::Stopped { limit: "50 <steps>".into() } };
    let session = world.session(&ann, vec![stopped]).await;
    let shown = page(&world, &ann, session).await;
    let form = format!("action=\"/sessions/{session}/continue\"");
    assert!(
        shown.contains("A limit was reached") && shown.contains("50 &lt;steps&gt;") && shown.contains(&form)
    );
    let go_on = || world.ask(&ann, Method::POST, &format!("/sessions/{session}/continue")).send();
    assert_eq!(go_on().await.unwrap().status(), StatusCode::SEE_OTHER);
    assert!(!page(&world, &ann, session).await.contains("A limit was reached"), "it goes on");
    assert_eq!(go_on().await.unwrap().status(), StatusCode::CONFLICT);
    let over = world.session(&ann, vec![EventBody::SessionEnded { outcome: Outcome::NothingToDo }]).await;
    assert!(!page(&world, &ann, over).await.contains("/continue\""), "what is done does not go on");
    world.end().await;
}
