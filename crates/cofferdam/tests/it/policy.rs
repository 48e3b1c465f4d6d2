//! `cofferdam policy`: what it says about rules and requests, and the status it ends with.

use serde_json::Value;

use crate::harness::{Output, World};

const RULES: &str = r#"
[policy.egress]
access = "ask"

[[policy.egress.rules]]
name = "issues"
host = "api.forge.test"
methods = ["GET", "POST"]
paths = ["/repos/a/b/issues", "/repos/a/b/issues/*"]
query = true
body_limit = 1000
credential = "forge"

[[policy.egress.rules]]
name = "docs"
host = "*.docs.test"

[[policy.egress.rules]]
name = "pinned"
host = "pinned.test"
inspection = "pass_through"

[[credentials]]
name = "forge"
host = "api.forge.test"
methods = ["GET", "POST"]
source = { env = "FORGE_TOKEN" }
"#;

/// A world whose configuration has these rules.
fn world(rules: &str) -> World {
    let world = World::new();
    world.add_to_configuration(rules);
    world
}

fn explain(world: &World, arguments: &[&str]) -> Output {
    world.run(&[&["policy", "explain"], arguments].concat())
}

#[test]
fn rules_are_listed_with_what_may_not_be_meant() {
    let world = world(RULES);
    let output = world.ok(&["policy", "check"]);
    insta::assert_snapshot!("policy_check", output.stdout);
    let file = world.file("other.toml", RULES);
    assert_eq!(World::new().ok(&["policy", "check", file.to_str().unwrap()]).stdout, output.stdout);
    let json: Value = serde_json::from_str(&world.ok(&["policy", "check", "--json"]).stdout).unwrap();
    assert_eq!(json["rules"].as_array().unwrap().len(), 3);
    assert_eq!(
        (json["mistakes"].as_array().unwrap().len(), &json["warnings"][0]["name"]),
        (0, &"docs".into())
    );
    assert_eq!(World::new().ok(&["policy", "check"]).stdout, "0 rules, 0 mistakes, 0 warnings\n");
}

#[test]
fn all_mistakes_are_found_with_their_lines() {
    let world = world(
        r#"[[policy.egress.rules]]
name = "one"
host = "*.example.com"

[[policy.egress.rules]]
name = "two"
host = "a.example.com"

[[policy.egress.rules]]
name = "one"
host = "b.example.org"
credential = "forg"
port = 0
methods = []

[[credentials]]
name = "forge"
host = "b.example.org"
source = { env = "FORGE_TOKEN" }
"#,
    );
    let output = world.run(&["policy", "check"]);
    assert_eq!(output.status, 1, "{output}");
    for said in [
        "mistake: line 7: rule 2 (\"two\"), key `host`: it can never match, because rule 1 (\"one\")",
        "mistake: line 10: rule 3 (\"one\"), key `name`: rule 1 has the same name",
        "mistake: line 12: rule 3 (\"one\"), key `credential`: there is no credential \"forg\"; did you mean \"forge\"?",
        "mistake: line 13: rule 3 (\"one\"), key `port`",
        "mistake: line 14: rule 3 (\"one\"), key `methods`",
        "3 rules, 5 mistakes, ",
    ] {
        assert!(output.stdout.contains(said), "{said}: {output}");
    }
    let refused = explain(&world, &["https://a.example.com/"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{refused}");
    assert!(
        refused.stderr.contains("rule 2 (\"two\")") && refused.stderr.contains("policy check"),
        "{refused}"
    );
}

#[test]
fn a_mistyped_key_is_shown_where_it_is() {
    let world = World::new();
    let file = world
        .file("rules.toml", "[[policy.egress.rules]]\nname = \"a\"\nhost = \"a.test\"\npath = [\"/x\"]\n");
    let output = world.run(&["policy", "check", file.to_str().unwrap()]);
    assert_eq!(output.status, 1, "{output}");
    for said in ["rules.toml", "line 4, column 1", "path = [\"/x\"]", "did you mean `paths`?"] {
        assert!(output.stderr.contains(said), "{said}: {output}");
    }
}

#[test]
fn a_request_is_explained_rule_by_rule() {
    let world = world(RULES);
    let passes =
        explain(&world, &["-X", "POST", "--body", "1000", "https://api.forge.test/repos/a/b/issues"]);
    assert_eq!(passes.status, 0, "{passes}");
    assert!(
        passes.stdout.ends_with("passes: by rule \"issues\", with the credential \"forge\"\n"),
        "{passes}"
    );
    let unseen = explain(&world, &["https://pinned.test/anything"]);
    assert!(unseen.status == 0 && unseen.stdout.contains("passes: unseen, by rule \"pinned\""), "{unseen}");
    let refused = explain(&world, &["--method", "DELETE", "https://api.forge.test/repos/a/b/issues/1"]);
    assert_eq!(refused.status, 1, "{refused}");
    insta::assert_snapshot!("policy_explain", refused.stdout);
}

#[test]
fn the_rule_that_is_suggested_permits_the_request() {
    let world = world(RULES);
    let request = ["-X", "PUT", "--body", "7", "http://up.test:8080/a/b?c=d"];
    let refused = explain(&world, &request);
    let (_, rule) = refused.stdout.split_once("permit it:\n\n").unwrap();
    let file = world.file("more.toml", rule);
    let passes = explain(&world, &[&["--policy", file.to_str().unwrap()], &request[..]].concat());
    assert_eq!(passes.status, 0, "{passes}");
}

#[test]
fn an_explanation_can_be_read_by_programs() {
    let world = world(RULES);
    for (arguments, status, verdict, key, wanted) in [
        (&["https://a.docs.test/x"][..], 0, "allow", "rule", "docs"),
        (&["https://pinned.test/"], 0, "pass_through", "rule", "pinned"),
        (&["https://evil.test/"], 1, "refuse", "code", "host"),
        (&["https://a.docs.test/x?q"], 1, "refuse", "code", "query"),
        (&["--web-socket", "https://a.docs.test/x"], 1, "refuse", "code", "upgrade"),
        (&["--body", "1", "https://a.docs.test/x"], 1, "refuse", "code", "body"),
        (&["https://127.0.0.1/"], 1, "refuse", "code", "malformed"),
        (&["https://a.docs.test@evil.test/"], 1, "refuse", "code", "malformed"),
        (&["https://a.docs.test/../x"], 1, "refuse", "code", "malformed"),
    ] {
        let output = explain(&world, &[&["--json"], arguments].concat());
        assert_eq!(output.status, status, "{arguments:?}: {output}");
        let json: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(
            (&json["verdict"], &json[key]),
            (&verdict.into(), &wanted.into()),
            "{arguments:?}: {output}"
        );
    }
    for wrong in [&["--method", "get", "https://a.test/"][..], &["--body", "-1", "https://a.test/"], &[]] {
        assert_eq!(explain(&world, wrong).status, 2, "{wrong:?}");
    }
}
