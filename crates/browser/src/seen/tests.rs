//! What is remembered of a page, whatever the browser says of it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn tell(seen: &mut Seen, session: Option<&str>, method: &str, params: Value) -> Follows {
    let Value::Object(params) = params else { panic!("{params}") };
    seen.note(session.map(Id::from).as_ref(), method, &params)
}

fn tab(seen: &mut Seen, name: &str, by: Option<&str>) -> Follows {
    let mut info =
        json!({ "targetId": format!("T{name}"), "type": "page", "title": "", "url": "about:blank" });
    if let Some(by) = by {
        info["openerId"] = by.into();
    }
    tell(
        seen,
        None,
        "Target.attachedToTarget",
        json!({ "sessionId": format!("S{name}"), "targetInfo": info }),
    )
}

#[test]
fn dialogs_are_answered_and_told_and_too_many_end_the_tab() {
    let mut seen = Seen::default();
    tab(&mut seen, "1", None);
    let open = |seen: &mut Seen, kind: &str| {
        tell(
            seen,
            Some("S1"),
            "Page.javascriptDialogOpening",
            json!({ "type": kind, "message": "Sure?\nYes \"now\"" }),
        )
    };
    let follows = open(&mut seen, "confirm");
    assert_eq!(follows.orders[0].params, json!({ "accept": false }));
    let notes = seen.take_notes();
    assert!(notes[0].contains(r#""Sure? Yes \"now\"""#) && notes[0].contains("dismissed"), "{notes:?}");
    seen.answer = Answer { accept: true, text: Some("Ann".into()) };
    assert_eq!(open(&mut seen, "prompt").orders[0].params, json!({ "accept": true, "promptText": "Ann" }));
    for _ in 0..100 {
        open(&mut seen, "alert");
    }
    let last = open(&mut seen, "alert");
    assert!(last.orders.iter().any(|order| order.method == "Target.closeTarget"), "{last:?}");
    let notes = seen.take_notes();
    assert!(notes.len() < 40 && notes.iter().any(|note| note.contains("more than 20 dialogs")), "{notes:?}");
}

#[test]
fn what_is_no_name_names_nothing() {
    let mut seen = Seen::default();
    let long = "x".repeat(1 << 20);
    let info = |target: &str| json!({ "targetId": target, "type": "page" });
    for (target, session) in [(long.as_str(), "S"), ("T", long.as_str()), ("T", "a b"), ("", "S")] {
        let attached = json!({ "sessionId": session, "targetInfo": info(target) });
        assert_eq!(tell(&mut seen, None, "Target.attachedToTarget", attached), Follows::default());
    }
    assert!(seen.tabs.is_empty());
    let lost = tell(&mut seen, None, "Target.detachedFromTarget", json!({ "sessionId": long }));
    assert_eq!(lost, Follows::default());
    let begun = json!({ "guid": long, "suggestedFilename": "x" });
    let refused = tell(&mut seen, None, "Browser.downloadWillBegin", begun);
    assert!(refused.orders[0].params.to_string().len() < 200, "nothing long is said back");
}

#[test]
fn tabs_have_an_end() {
    let mut seen = Seen::default();
    assert!(tab(&mut seen, "0", None).orders.iter().any(|order| order.method == "Page.enable"));
    for number in 1..50 {
        let follows = tab(&mut seen, &number.to_string(), Some("T0"));
        let closed = follows.orders.iter().any(|order| order.method == "Target.closeTarget");
        assert_eq!(closed, number >= MOST_TABS);
    }
    assert_eq!(seen.tabs.len(), MOST_TABS);
    tell(&mut seen, None, "Target.detachedFromTarget", json!({ "sessionId": "S3" }));
    assert!(seen.take_notes().iter().any(|note| note.contains("Tab 4 was closed by its page")));
}

#[test]
fn downloads_are_bounded_in_number_and_size() {
    let mut seen = Seen::default();
    for number in 0..100 {
        let follows = tell(
            &mut seen,
            None,
            "Browser.downloadWillBegin",
            json!({ "guid": format!("00ab-{number}"), "url": "http://a/", "suggestedFilename": "../../x" }),
        );
        assert_eq!(follows.orders.is_empty(), number < MOST_DOWNLOADS);
    }
    let path = json!({ "guid": "../../etc/passwd", "url": "http://a/", "suggestedFilename": "x" });
    seen.downloads.clear();
    assert!(
        !tell(&mut seen, None, "Browser.downloadWillBegin", path).orders.is_empty(),
        "a name that is a path"
    );
    let fine = json!({ "guid": "ab", "url": "http://a/", "suggestedFilename": "x" });
    tell(&mut seen, None, "Browser.downloadWillBegin", fine);
    let large = json!({ "guid": "ab", "state": "inProgress", "receivedBytes": 1, "totalBytes": 1e12 });
    assert_eq!(
        tell(&mut seen, None, "Browser.downloadProgress", large).orders[0].method,
        "Browser.cancelDownload"
    );
}

#[test]
fn a_document_and_its_status() {
    let mut seen = Seen::default();
    tab(&mut seen, "1", None);
    let mut say = |method: &str, params: Value| tell(&mut seen, Some("S1"), method, params);
    say("Page.frameStartedLoading", json!({ "frameId": "T1" }));
    say(
        "Network.requestWillBeSent",
        json!({ "requestId": "L", "type": "Document", "request": { "url": "http://a/", "method": "GET" } }),
    );
    say("Network.responseReceived", json!({ "requestId": "L", "response": { "status": 404 } }));
    say("Page.frameNavigated", json!({ "frame": { "id": "T1", "loaderId": "L", "url": "http://a/" } }));
    say(
        "Page.frameNavigated",
        json!({ "frame": { "id": "F", "parentId": "T1", "loaderId": "M", "url": "http://b/" } }),
    );
    say(
        "Runtime.consoleAPICalled",
        json!({ "type": "error", "args": [{ "type": "string", "value": "x" }, { "type": "number", "value": 3 }] }),
    );
    let tab = &seen.tabs[0];
    assert_eq!((tab.status, tab.documents, tab.loading, tab.url.as_str()), (Some(404), 1, true, "http://a/"));
    assert_eq!(tab.console[0].text, "x 3");
    tell(&mut seen, Some("S1"), "Page.frameStoppedLoading", json!({ "frameId": "T1" }));
    assert!(!seen.tabs[0].loading);
    let lost = tell(&mut seen, Some("S1"), "Inspector.targetCrashed", json!({})).lost;
    assert_eq!(lost, Some(("S1".into(), true)));
    assert!(seen.tabs[0].crashed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn floods_leave_little(count in 0usize..1_200, long in prop::sample::select(vec![1usize, 1_500])) {
        let mut seen = Seen::default();
        tab(&mut seen, "1", None);
        let words = "x".repeat(long);
        for number in 0..count {
            tell(&mut seen, Some("S1"), "Runtime.consoleAPICalled", json!({ "type": words, "args": [{ "value": words }] }));
            let request = json!({ "requestId": number.to_string(), "request": { "url": words, "method": words } });
            tell(&mut seen, Some("S1"), "Network.requestWillBeSent", request);
        }
        let tab = &seen.tabs[0];
        prop_assert!(tab.console.len() <= 200 && tab.requests.len() <= 200 && tab.under_way.len() <= 500);
        prop_assert!(tab.console.iter().all(|line| line.text.len() <= 1_000));
    }
}
