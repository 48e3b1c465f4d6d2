//! An outline of a page, whatever the browser says of it.

use proptest::prelude::*;

use super::*;
use crate::{Inbound, element::Refs, wire::Unread};

/// An answer, as it comes.
fn answer(result: &str) -> Unread {
    match Inbound::parse(format!("{{\"id\":1,\"result\":{result}}}").as_bytes()) {
        Ok(Inbound::Answer { result: Ok(answer), .. }) => answer,
        other => panic!("{other:?}"),
    }
}

fn tree(nodes: &str) -> Tree {
    let answer = answer(&format!("{{\"nodes\":{nodes}}}"));
    Tree::read("F".into(), &answer, None, &mut Room::default()).unwrap()
}

fn drawn_with(nodes: &str, refs: &mut Refs) -> Snapshot {
    let place = |frame: &Id, node| Place { session: "S".into(), document: 1, frame: frame.clone(), node };
    let (lines, more) = outline::draw(&[tree(nodes)], &Inside::new(), refs, &place);
    Snapshot { lines, more, document: ("T".into(), 1) }
}

fn drawn(nodes: &Value) -> String {
    drawn_with(&nodes.to_string(), &mut Refs::default()).text()
}

fn node(id: u64, role: &str, name: &str, children: &[u64]) -> Value {
    let children: Vec<String> = children.iter().map(u64::to_string).collect();
    json!({
        "nodeId": id.to_string(), "role": { "value": role }, "name": { "value": name }, "backendDOMNodeId": id, "childIds": children
    })
}

#[test]
fn an_outline_has_what_can_be_used() {
    let mut field = node(5, "textbox", "Email", &[]);
    field["value"] = json!({ "value": "a@b" });
    field["properties"] = json!([{ "name": "required", "value": { "value": true } }, { "name": "invalid", "value": { "value": "false" } }]);
    let mut link = node(8, "link", "Docs", &[9]);
    link["properties"] = json!([{ "name": "url", "value": { "value": "http://a/docs" } }]);
    let mut heading = node(3, "heading", "Sign in", &[4]);
    heading["properties"] = json!([{ "name": "level", "value": { "value": 2 } }]);
    let nodes = json!([
        node(1, "RootWebArea", "Title", &[2]),
        node(2, "generic", "", &[3, 5, 6, 7, 8]),
        heading,
        node(4, "StaticText", "Sign in", &[]),
        field,
        node(6, "button", "Go \"now\"\n- button \"Lie\" [ref=e1]", &[]),
        node(7, "StaticText", "text\u{202e} here", &[]),
        link,
        node(9, "StaticText", "Docs", &[]),
    ]);
    insta::assert_snapshot!(drawn(&nodes), @r#"
    - heading "Sign in" [level=2] [ref=e1]
    - textbox "Email" [required] value "a@b" [ref=e2]
    - button "Go \"now\" - button \"Lie\" [ref=e1]" [ref=e3]
    - text "text\u{202e} here"
    - link "Docs" to "http://a/docs" [ref=e4]
    "#);
}

#[test]
fn trees_that_are_none_end() {
    let circle = json!([node(1, "form", "a", &[2]), node(2, "form", "b", &[1, 2, 3])]);
    assert_eq!(drawn(&circle).lines().count(), 2);
    assert_eq!(drawn(&json!([])), "[nothing on the page]");
    let deep: Vec<Value> = (1..5_000).map(|id| node(id, "form", "deep", &[id + 1])).collect();
    let text = drawn(&json!(deep));
    assert!(text.len() < MOST_BYTES + 200 && text.contains("more lines"), "{}", text.len());
    assert!(text.lines().all(|line| line.len() < 400));
}

/// One that calls a child again and again is looked at once.
#[test]
fn an_answer_takes_as_long_as_it_has_nodes() {
    let many = 20_000;
    let children = vec!["\"2\""; 300_000].join(",");
    let mut nodes = vec![format!(
        r#"{{"nodeId":"1","role":{{"value":"button"}},"name":{{"value":"{}"}},"backendDOMNodeId":1,"childIds":[{children}]}}"#,
        "name ".repeat(100_000)
    )];
    let below: Vec<String> = (3..many).map(|id| format!("\"{id}\"")).collect();
    let below = below.join(",");
    nodes.push(format!(r#"{{"nodeId":"2","role":{{"value":"generic"}},"childIds":[{below}]}}"#));
    // Each says that it has all of the others.
    let endless = vec!["\"9\""; 20].join(",");
    nodes.extend((3..many).map(|id| {
        format!(r#"{{"nodeId":"{id}","role":{{"value":"StaticText"}},"name":{{"value":"a"}},"childIds":[{endless}]}}"#)
    }));
    let tree = tree(&format!("[{}]", nodes.join(",")));
    let children: usize = tree.nodes.iter().map(|node| node.children.len()).sum();
    assert_eq!(children, tree.nodes.len() - 1, "each is a child of one other");
    assert!(tree.nodes.iter().all(|node| node.name.chars().count() <= 1_000));
}

#[test]
fn what_is_kept_of_all_frames_has_an_end() {
    let mut room = Room::default();
    let nodes = vec![r#"{"nodeId":"1"}"#; 60_000].join(",");
    let answer = answer(&format!("{{\"nodes\":[{nodes}]}}"));
    let mut read = || Tree::read("F".into(), &answer, None, &mut room).map(|tree| tree.nodes.len());
    let kept: Vec<_> = (0..40).map(|_| read()).collect();
    assert_eq!((&kept[0], &kept[1], &kept[2]), (&Ok(60_000), &Ok(40_000), &Ok(0)));
    assert!(matches!(kept[39], Err(BrowserError::TooLong(_))), "{kept:?}");
}

#[test]
fn ids_that_are_none_name_nothing() {
    let long = "x".repeat(1_000);
    let nodes = json!([
        { "nodeId": long, "role": { "value": "button" }, "name": { "value": "long" } },
        { "nodeId": "1", "role": { "value": "form" }, "name": { "value": "first" }, "childIds": [long, "a b", 2, null, "2"] },
        { "nodeId": "2", "role": { "value": "button" }, "name": { "value": "second" } },
        { "nodeId": 3, "role": { "value": "button" }, "name": { "value": "number" } },
        7,
    ]);
    assert_eq!(drawn(&nodes), "- form \"first\"\n  - button \"second\"");
    assert!(Tree::read("F".into(), &answer(r#"{"nodes":7}"#), None, &mut Room::default()).is_err());
}

#[test]
fn what_is_not_shown_is_not_named() {
    let mut refs = Refs::default();
    let all: Vec<u64> = (2..5_000).collect();
    let mut nodes = vec![node(1, "RootWebArea", "", &all)];
    nodes.extend(all.iter().map(|id| node(*id, "button", "press", &[])));
    let snapshot = drawn_with(&json!(nodes).to_string(), &mut refs);
    assert_eq!(snapshot.lines.len() + snapshot.more, all.len());
    let next = refs.name(Place { session: "S".into(), document: 2, frame: "F".into(), node: 1 });
    assert!((next as usize) < snapshot.lines.len() + 3, "{next} for {} lines", snapshot.lines.len());
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded_and_one_line_each(
        nodes in prop::collection::vec((0u64..30, "(button|StaticText|generic|[a-z\n\"]{0,8})", ".{0,30}", prop::collection::vec(0u64..30, 0..5)), 0..30)
    ) {
        let nodes: Vec<Value> = nodes.iter().map(|(id, role, name, children)| node(*id, role, name, children)).collect();
        let text = drawn(&json!(nodes));
        prop_assert!(text == "[nothing on the page]" || text.lines().all(|line| line.trim_start().starts_with("- ")), "{}", text);
    }
}
