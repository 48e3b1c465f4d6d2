//! What was written down about an organisation leaves the server, and is checked without it.

use cofferdam_domain::Rank;
use cofferdam_store::{Exported, check_export};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Kind, Somebody, World, is_problem, json as with_json};

on_every_store!(an_audit_log_leaves_whole_and_is_checked_elsewhere,);

async fn export(world: &World, who: &Somebody) -> String {
    let response = world.ask(who, Method::GET, "/api/v1/audit/export").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/jsonl");
    response.text().await.unwrap()
}

async fn an_audit_log_leaves_whole_and_is_checked_elsewhere(kind: Kind) {
    /// More than are read at once.
    const PROJECTS: usize = 230;
    let Some(world) = World::on(kind).await else { return };
    let (admin, theirs) = (world.local(Rank::Admin).await, world.elsewhere().await);
    for number in 0..PROJECTS {
        let project = json!({ "name": format!("project {number}") });
        let made = with_json(world.ask(&admin, Method::POST, "/api/v1/projects"), &project).send().await;
        assert_eq!(made.unwrap().status(), StatusCode::CREATED);
    }
    let text = export(&world, &admin).await;
    let (status, end) = world.get(&admin, "/audit/checkpoint").await;
    assert_eq!(status, StatusCode::OK, "{end}");
    let hex = end["key"].as_str().unwrap();
    let key: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let pin = end["checkpoint"].as_str().unwrap();
    let checked = check_export(text.as_bytes(), Some((&key, pin))).unwrap();
    assert_eq!(checked.of, Exported::Audit(admin.org));
    assert!(checked.events >= PROJECTS as u64, "{checked:?}");
    let lines: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, checked.events);
    assert!(check_export(text.replace("project 7", "project 8").as_bytes(), None).is_err());
    let cut: String = text.lines().take(100).map(|line| format!("{line}\n")).collect();
    assert!(check_export(cut.as_bytes(), None).is_ok());
    assert!(check_export(cut.as_bytes(), Some((&key, pin))).is_err(), "something is missing at the end");

    assert!(!export(&world, &theirs).await.contains("project 7"), "each organisation its own");
    let member = world.local(Rank::Member).await;
    for path in ["export", "checkpoint"] {
        let refused = world.ask(&member, Method::GET, &format!("/api/v1/audit/{path}")).send().await;
        is_problem(refused.unwrap(), 403).await;
    }
    world.end().await;
}
