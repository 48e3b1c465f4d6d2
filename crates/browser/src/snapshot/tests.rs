//! An outline of a page, whatever the browser says of it.

use proptest::prelude::*;

use super::*;

fn drawn(nodes: &Value) -> String {
    let tree = tree("F".into(), &json!({ "nodes": nodes }), None).unwrap();
    let mut refs = Refs::default();
    let place = |frame: &str, node| Place { session: "S".into(), document: 1, frame: frame.into(), node };
    let (lines, more) = outline::draw(&[tree], &HashMap::new(), &mut refs, &place);
    Snapshot { lines, more, document: (String::new(), 1) }.text()
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
