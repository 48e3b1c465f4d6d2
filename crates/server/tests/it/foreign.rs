//! Nobody reaches what belongs to another organisation, by whatever route. The routes are taken from the server's own description, so that a
//! new one is looked at without being named here.

use cofferdam_domain::Rank;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Kind, World, answer, json as with_json};

on_every_store!(every_route_answers_a_foreign_id_as_an_unknown_one, lists_and_questions_know_only_their_own,);

/// A value that a schema of the description takes.
fn sample(description: &Value, schema: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/")) {
        return sample(description, &description["components"]["schemas"][name]);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(first) = schema["oneOf"].as_array().and_then(|kinds| kinds.last()) {
        return sample(description, first);
    }
    // A type, or several of which one is null.
    let kind = &schema["type"];
    let kind = kind.as_str().or_else(|| kind[0].as_str()).unwrap_or("object");
    match kind {
        "string" => match schema["pattern"].as_str() {
            Some(pattern) if pattern.starts_with("^sha256") => json!(format!("sha256:{}", "0".repeat(64))),
            Some(pattern) if pattern.starts_with("^call") => json!("call_1_0"),
            Some(_) => json!("1".repeat(40)),
            None => json!("/srv/a"),
        },
        "integer" => schema
            .get("minimum")
            .cloned()
            .unwrap_or(json!(1))
            .as_i64()
            .map_or(json!(1), |least| json!(least.max(1))),
        "boolean" => json!(true),
        "array" => json!([]),
        _ => {
            let required = schema["required"].as_array().into_iter().flatten();
            let named = required.map(|name| name.as_str().unwrap());
            named.map(|name| (name.to_owned(), sample(description, &schema["properties"][name]))).collect()
        }
    }
}

async fn attempts(world: &World, admin: &crate::harness::Somebody) -> usize {
    let (_, audit) = world.get(admin, "/audit?limit=500").await;
    let entries = audit["entries"].as_array().unwrap();
    entries.iter().filter(|entry| entry["action"] == "tenancy.foreign_id").count()
}

async fn every_route_answers_a_foreign_id_as_an_unknown_one(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (ours, theirs) = (world.local(Rank::Admin).await, world.elsewhere().await);
    let (session, blob) = world.finished(&theirs).await;
    let (_, tokens) = world.get(&theirs, "/tokens").await;
    let token = tokens["tokens"][0]["id"].as_str().unwrap().to_owned();
    let put = with_json(world.ask(&theirs, Method::PUT, "/api/v1/policies/secret"), &json!({}));
    assert_eq!(answer(put).await.0, StatusCode::NO_CONTENT);
    let put =
        with_json(world.ask(&theirs, Method::PUT, "/api/v1/credentials/secret"), &json!({ "secret": "x" }));
    assert_eq!(answer(put).await.0, StatusCode::NO_CONTENT);

    let note = world.post(&theirs, "/memories", &json!({ "text": "x" })).await;
    let memory = note.1["id"].as_str().unwrap().to_owned();

    let (_, description) = answer(world.plain(Method::GET, "/openapi.json")).await;
    let mut looked_at = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        if !path.contains('{') {
            continue;
        }
        let foreign = path
            .replace("{id}", &session.to_string())
            .replace("{digest}", &blob.to_string())
            .replace("{user}", &theirs.user.to_string())
            .replace("{token}", &token)
            .replace("{memory}", &memory)
            .replace("{name}", "secret");
        assert!(!foreign.contains('{'), "say here what {path} names");
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // What is kept under a name is each organisation's own.
            if path.contains("{name}") && method == Method::PUT {
                continue;
            }
            let before = attempts(&world, &ours).await;
            let mut request = world.ask(&ours, method.clone(), &foreign);
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !schema.is_null() {
                request = with_json(request, &sample(&description, schema));
            }
            let (status, problem) = answer(request).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {problem}");
            if !path.contains("{name}") {
                assert_eq!(attempts(&world, &ours).await, before + 1, "{method} {path} is written down");
            }
            looked_at += 1;
        }
    }
    assert!(looked_at >= 30, "only {looked_at} operations were looked at");
    // Nothing of it has changed anything.
    let (_, rows) = world.get(&theirs, &format!("/sessions/{session}")).await;
    assert_eq!((&rows["state"], &rows["archived"]), (&json!("ended"), &json!(false)));
    let (_, tokens) = world.get(&theirs, "/tokens").await;
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1);
    world.end().await;
}

async fn lists_and_questions_know_only_their_own(kind: Kind) {
    let Some(world) = World::on(kind).await else { return };
    let (ours, theirs) = (world.local(Rank::Admin).await, world.elsewhere().await);
    world.finished(&theirs).await;
    let project = world.project(theirs.org).await;
    for path in
        ["/sessions", &format!("/sessions?project={project}"), &format!("/sessions?user={}", theirs.user)]
    {
        let (status, page) = world.get(&ours, path).await;
        assert_eq!((status, page["sessions"].as_array().unwrap().len()), (StatusCode::OK, 0), "{path}");
    }
    for path in ["usage", "budgets"] {
        for whose in [format!("project={project}"), format!("user={}", theirs.user)] {
            let (status, _) = world.get(&ours, &format!("/{path}?{whose}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path} {whose}");
        }
    }
    let task = json!({ "prompt": "x", "repository": "/srv/a", "project": project });
    assert_eq!(world.post(&ours, "/sessions", &task).await.0, StatusCode::NOT_FOUND);
    let token = json!({ "name": "x", "rank": "member", "project": project, "days": 1 });
    assert_eq!(world.post(&ours, "/tokens", &token).await.0, StatusCode::NOT_FOUND);
    let (_, members) = world.get(&ours, "/members").await;
    let foreign = theirs.user.to_string();
    assert!(members["members"].as_array().unwrap().iter().all(|member| member["user"] != foreign));
    world.end().await;
}
