//! What logs look like, and that nothing in one breaks out of its place.

use std::{collections::BTreeSet, fmt::Write as _};

use cofferdam_domain::{Cost, Event, EventBody, SessionState, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::pages::{
    diff::{self, Shown},
    evidence::{self, Outputs},
    list::Listed,
    parsed::Parsed,
    pull_request,
    sample::{self, Words},
    session::{self, Row, View},
    shell::{self, Place, Viewer},
};

fn row(words: Words, state: SessionState) -> Row {
    let subagent = Listed {
        row: alone(words, state),
        outcome: None,
        accesses: 0,
        pull_request: None,
        cost: Cost(1_200),
        steps: 3,
        updated: Timestamp(1_780_000_000_000),
    };
    Row { subagents: [subagent].into(), ..alone(words, state) }
}

fn alone(words: Words, state: SessionState) -> Row {
    Row {
        id: sample::SESSION,
        title: words("Parse durations"),
        repository: words("https://forge.example/ann/durations.git"),
        state,
        waiting: None,
        archived: false,
        created: Timestamp(1_780_000_000_000),
        // Whoever runs the server says these.
        models: ["scripted/demo".to_owned(), "other/model".to_owned()].into(),
        thread: Some("https://forge.example/ann/durations/issues/12".to_owned()),
        parent: None,
        subagents: [].into(),
    }
}

/// Everything that is shown of a log, one page after the other.
fn pages(words: Words, events: &[Event]) -> Vec<String> {
    let view = View::of(events);
    let patch = words(
        "diff --git a/a.rs b/a.rs\n--- a/a.rs\n+++ b/a.rs\n@@ -1,2 +1,2 @@ fn a()\n x\n-let a = \"1\";\n+let a = \"2\";\n",
    );
    let mut contents = vec![];
    for state in [SessionState::Working, SessionState::Waiting, SessionState::Ended] {
        contents.push(session::page(&row(words, state), &view, None));
    }
    let ended = row(words, SessionState::Ended);
    let outputs =
        Outputs { base: Some(words("output").into_bytes()), head: Some(words("output").into_bytes()) };
    contents.push(diff::page(&ended, &view.facts, &Shown::Patch { text: &patch, cut: false, alone: None }));
    contents.push(evidence::page(&ended, &view.facts, &outputs));
    contents.push(evidence::raw(&ended, &view.facts, "Output", words("output").as_bytes(), 0, "/x"));
    contents.push(pull_request::page(&ended, &view.facts));
    let viewer = Viewer { name: words("ann"), acts: true, administers: true };
    contents
        .iter()
        .map(|content| shell::page(Some(&viewer), Place::Sessions, &words("title"), content).into_string())
        .collect()
}

/// Each element's name with its attributes' names.
fn elements(page: &str) -> BTreeSet<String> {
    let elements = Parsed::page(page).elements.into_iter();
    elements
        .map(|element| {
            let mut names: Vec<&str> = element.attributes.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            format!("{} {}", element.name, names.join(" ")).trim_end().to_owned()
        })
        .collect()
}

/// Addresses that a page makes a browser ask for, or lets a person go to.
fn addresses(page: &str) -> Vec<String> {
    let wanted = ["href", "src", "action", "formaction", "data-live"];
    let attributes = Parsed::page(page).elements.into_iter().flat_map(|element| element.attributes);
    attributes.filter(|(name, _)| wanted.contains(&name.as_str())).map(|(_, value)| value).collect()
}

/// A timeline as text: one line for each piece of text, indented as it stands.
fn outline(timeline: &Timeline) -> String {
    let mut text = String::new();
    for entry in timeline.entries() {
        let shown = super::entry(sample::SESSION, entry).into_string();
        let parsed = Parsed::piece(&shown);
        let item = parsed.elements.iter().find(|element| element.name == "li");
        let classes = item.and_then(|item| item.attribute("class")).unwrap_or_default();
        _ = writeln!(text, "[{classes}] {}", words(&parsed));
    }
    text
}

fn words(parsed: &Parsed) -> String {
    let words: Vec<&str> = parsed.texts.iter().flat_map(|text| text.split_whitespace()).collect();
    words.join(" ")
}

fn folded(events: &[Event]) -> Timeline {
    let mut timeline = Timeline::new(WINDOW);
    events.iter().for_each(|event| timeline.apply(event));
    timeline
}

#[test]
fn a_session_from_its_task_to_its_pull_request() {
    let words: Words = sample::as_they_are;
    let events =
        sample::log([sample::beginning(words), sample::work(words), sample::delivery(words)].concat());
    insta::assert_snapshot!(outline(&folded(&events)));
}

#[test]
fn every_other_kind_of_event() {
    let words: Words = sample::as_they_are;
    insta::assert_snapshot!(outline(&folded(&sample::log(sample::rest(words)))));
}

#[test]
fn a_result_changes_the_entry_of_its_call_and_no_other() {
    let words: Words = sample::as_they_are;
    let mut bodies = sample::beginning(words);
    let first = bodies.len() as u64 + 1;
    let call = ("shell", r#"{"command":"true"}"#.to_owned());
    bodies.extend(sample::step(
        words,
        1,
        "Look.",
        call,
        cofferdam_domain::ToolStatus::Ok,
        "exit 0 after 1 s",
    ));
    let events = sample::log(bodies);
    let timeline = folded(&events);
    let changed: Vec<u64> =
        timeline.changed_after(Seq(events.len() as u64 - 1)).map(|entry| entry.first.0).collect();
    assert_eq!(changed, [first]);
    assert_eq!(timeline.changed_after(Seq(events.len() as u64)).count(), 0);
}

#[test]
fn what_was_taken_back_is_said_and_numbers_begin_anew() {
    let words: Words = sample::as_they_are;
    let call = || ("shell", r#"{"command":"ls"}"#.to_owned());
    let mut bodies = vec![sample::task(words)];
    bodies.extend(sample::step(words, 1, "First.", call(), cofferdam_domain::ToolStatus::Ok, "exit 0"));
    bodies.push(EventBody::RolledBack { to: Seq(1), by: "ann".to_owned(), instruction: None });
    bodies.extend(sample::step(words, 1, "Second.", call(), cofferdam_domain::ToolStatus::Ok, "exit 0"));
    let timeline = folded(&sample::log(bodies));
    let steps: Vec<bool> = timeline
        .entries()
        .filter(|entry| matches!(entry.what, What::Step(_)))
        .map(|entry| entry.undone)
        .collect();
    assert_eq!(steps, [true, false]);
    let last = timeline.entries().next_back().unwrap();
    assert!(matches!(&last.what, What::Step(step) if matches!(step.calls[0].state, CallState::Ended(_))));
}

#[test]
fn a_long_session_keeps_its_end_and_the_way_to_its_beginning() {
    let words: Words = sample::as_they_are;
    let call = || ("shell", r#"{"command":"ls"}"#.to_owned());
    let steps =
        |number| sample::step(words, number, "On.", call(), cofferdam_domain::ToolStatus::Ok, "exit 0");
    let events = sample::log((1..=500).flat_map(steps).collect());
    let timeline = folded(&events);
    assert_eq!((timeline.entries().count(), timeline.earlier()), (WINDOW, 440));
    let shown = entries(sample::SESSION, &timeline).into_string();
    assert!(
        shown.contains("?before=1761#timeline") && shown.contains("440 earlier entries"),
        "{}",
        &shown[..400]
    );

    // Looked at from there, the entries before are whole, also where they ended later.
    let mut earlier = Timeline::new(WINDOW);
    for event in &events {
        if event.seq.0 < 1_759 { earlier.apply(event) } else { earlier.finish(event) }
    }
    let last = earlier.entries().next_back().unwrap();
    assert_eq!(last.first, Seq(1_757));
    assert!(matches!(&last.what, What::Step(step) if matches!(step.calls[0].state, CallState::Ended(_))));
}

#[test]
fn megabytes_in_every_field_are_cut() {
    let huge: Words = |text| format!("{text} {}", "<b>\u{202e}&amp;\n ".repeat(100_000));
    let events = sample::everything(huge);
    let longest = pages(huge, &events).into_iter().map(|page| page.len()).max().unwrap();
    assert!(longest < 8 << 20, "{longest}");
    let timeline = folded(&events);
    assert!(timeline.weight <= MOST_BYTES + (64 << 10), "{}", timeline.weight);
}

/// What somebody would write who wants to leave his place.
fn hostile(text: &str) -> String {
    format!(
        "{text}\"'><script>alert(1)</script><img src=x onerror=alert(1)><!--\u{202e}\u{0}</textarea></pre>]]>"
    )
}

#[test]
fn a_hostile_log_makes_no_other_elements_than_a_harmless_one() {
    let harmless = sample::everything(sample::as_they_are);
    let attacked = sample::everything(hostile);
    let known: BTreeSet<String> =
        pages(sample::as_they_are, &harmless).iter().flat_map(|page| elements(page)).collect();
    // What marks hidden characters, and what Markdown makes of an attack's own signs.
    let also = ["span class title", "blockquote", "br", "ul", "span class"];
    for page in pages(hostile, &attacked) {
        for element in elements(&page) {
            assert!(known.contains(&element) || also.contains(&element.as_str()), "{element}");
        }
        assert!(!elements(&page).iter().any(|element| element.starts_with("img") || element.contains(" on")));
        for address in addresses(&page) {
            let inside = address.starts_with('/') || address.starts_with('#');
            // The forge's page is made from the configuration.
            let known = ["https://docs.units.example/", "https://forge.example/ann/durations/issues/12"];
            assert!(inside || known.iter().any(|known| address.starts_with(known)), "{address}");
        }
    }
}

#[test]
fn where_it_was_asked_for_is_linked_and_what_was_hidden_there_is_counted() {
    let page = pages(sample::as_they_are, &sample::everything(sample::as_they_are)).remove(0);
    assert!(
        page.contains(
            "<a href=\"https://forge.example/ann/durations/issues/12\" rel=\"noreferrer\">issue #12 of ann/durations on hub</a>"
        ) && page.contains("title=\"120 in hidden comments, left out; 1 invisible, written out\">121 characters not as written<"),
        "{page}"
    );
}

/// Signs that mean something to a browser, to Markdown or to a terminal.
fn signs() -> impl Strategy<Value = String> {
    let sign = prop::sample::select(vec![
        "<",
        ">",
        "\"",
        "'",
        "&",
        "`",
        "=",
        "/",
        "\\",
        "\n",
        "\r",
        "\t",
        " ",
        "\0",
        "\u{1b}[31m",
        "\u{202e}",
        "\u{200b}",
        "é",
        "x",
        "1",
        "[",
        "](",
        "javascript:",
        "https://a.example/",
        "<script>",
        "</li>",
        "<style>",
        "onload=",
        "</title>",
        "<!--",
        "-->",
        "| |\n|-|-|\n",
        "> ",
        "# ",
        "- ",
        "```\n",
        "{",
        "}",
        "diff --git a/x b/x\n",
        "@@ -1 +1 @@\n",
    ]);
    prop::collection::vec(sign, 0..24).prop_map(|signs| signs.concat())
}

thread_local! {
    static SAID: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_written_stays_in_its_place(said in prop_oneof![signs(), any::<String>()]) {
        SAID.with_borrow_mut(|held| held.clone_from(&said));
        let words: Words = |text| SAID.with_borrow(|said| if text.len() % 2 == 0 { said.clone() } else { format!("{text}{said}") });
        let allowed_elements: BTreeSet<&str> = [
            "html", "head", "meta", "title", "link", "script", "body", "a", "header", "div", "svg", "path", "span", "nav", "details", "summary", "form",
            "button", "main", "p", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "ul", "li", "section", "article", "aside", "dl", "dt", "dd", "code", "pre",
            "b", "i", "q", "em", "strong", "s", "br", "hr", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "time", "label", "input", "textarea",
            "progress", "dialog", "kbd", "mark", "select", "option",
        ].into_iter().collect();
        let events = sample::everything(words);
        for page in pages(words, &events) {
            for element in elements(&page) {
                let (name, attributes) = element.split_once(' ').unwrap_or((&element, ""));
                prop_assert!(allowed_elements.contains(name), "{}", element);
                prop_assert!(!attributes.split(' ').any(|attribute| attribute.starts_with("on") || attribute == "style"), "{}", element);
                prop_assert!(name != "script" || attributes == "defer src", "{}", element);
            }
            for address in addresses(&page) {
                let web = address.starts_with("https://") || address.starts_with("http://");
                prop_assert!(web || (address.starts_with('/') && !address.starts_with("//")) || address.starts_with('#'), "{}", address);
            }
        }
    }

    #[test]
    fn an_update_is_what_a_page_would_be(cut in 1_usize..90) {
        let words: Words = sample::as_they_are;
        let events = sample::log([sample::beginning(words), sample::work(words), sample::delivery(words)].concat());
        let cut = cut.min(events.len());
        let mut view = View::of(&events[..cut]);
        prop_assert!(view.add(&events[cut..]));
        let whole = View::of(&events);
        let shown = |view: &View| session::page(&row(words, SessionState::Ended), view, None).into_string();
        prop_assert_eq!(shown(&view), shown(&whole));
    }
}
