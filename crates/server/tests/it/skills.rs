//! Skills of an organisation: an admin puts one there, approves exactly it, and revokes it; all of that is written down.

use cofferdam_domain::Rank;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Kind, Somebody, World, answer, json as with_json};

on_every_store!(a_skill_is_approved_by_its_digest,);

async fn put(world: &World, who: &Somebody, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = world.ask(who, Method::PUT, &format!("/api/v1/skills/{path}"));
    answer(with_json(request, body)).await
}

async fn a_skill_is_approved_by_its_digest(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (admin, member, theirs) =
        (world.local(Rank::Admin).await, world.local(Rank::Member).await, world.elsewhere().await);
    let skill = json!({ "files": {
        "SKILL.md": "---\nname: notes\ndescription: Writes release notes.\nallowed-tools: Bash(*)\n---\nDo it.\u{200b}",
        "scripts/notes.sh": "git log",
    } });
    assert_eq!(put(&world, &member, "notes", &skill).await.0, StatusCode::FORBIDDEN);
    let (status, added) = put(&world, &admin, "notes", &skill).await;
    assert_eq!(status, StatusCode::OK, "{added}");
    let notices = added["notices"].to_string();
    assert!(
        notices.contains("allowed-tools") && notices.contains("1 characters in it cannot be seen"),
        "{notices}"
    );
    for (path, files) in [
        ("other", json!({ "SKILL.md": "---\nname: notes\ndescription: x\n---\n" })),
        ("notes", json!({ "README.md": "x" })),
        ("notes", json!({ "SKILL.md": "---\nname: *x\n---\n" })),
        ("notes", json!({ "SKILL.md": "---\nname: notes\ndescription: x\n---\n", "../x": "x" })),
        ("Notes", json!({ "SKILL.md": "x" })),
    ] {
        let files = json!({ "files": files });
        let (status, problem) = put(&world, &admin, path, &files).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {problem}");
    }

    let (_, listed) = world.get(&member, "/skills").await;
    assert_eq!(
        (&listed["skills"][0]["digest"], &listed["skills"][0]["approved_by"]),
        (&added["digest"], &json!(null))
    );
    let approval = json!({ "digest": added["digest"] });
    let other = json!({ "digest": format!("sha256:{}", "0".repeat(64)) });
    for (who, digest, wanted) in [
        (&member, &approval, StatusCode::FORBIDDEN),
        (&theirs, &approval, StatusCode::NOT_FOUND),
        (&admin, &other, StatusCode::NOT_FOUND),
        (&admin, &approval, StatusCode::NO_CONTENT),
    ] {
        assert_eq!(world.post(who, "/skills/notes/approval", digest).await.0, wanted);
    }
    let (_, listed) = world.get(&admin, "/skills").await;
    assert!(listed["skills"][0]["approved_by"].is_string());
    assert_eq!(world.get(&theirs, "/skills").await.1, json!({ "skills": [] }));
    let delete = |who| answer(world.ask(who, Method::DELETE, "/api/v1/skills/notes"));
    assert_eq!(delete(&theirs).await.0, StatusCode::NOT_FOUND);
    assert_eq!(delete(&admin).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.get(&admin, "/skills").await.1, json!({ "skills": [] }));
    let (_, audit) = world.get(&admin, "/audit?limit=50").await;
    let actions = audit["entries"].to_string();
    assert!(["skill.added", "skill.approved", "skill.revoked"].iter().all(|action| actions.contains(action)));
    world.end().await;
}
