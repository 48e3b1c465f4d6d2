//! An operator's template and what another program posts: the values stand between marks that nothing in them can end, and no line of them passes for a
//! line of the platform's. The template and the document are parted by a zero.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/intake/src/hook/template.rs"]
mod template;

fuzz_target!(|text: &str| {
    let Some((words, body)) = text.split_once('\0') else { return };
    let Ok(template) = template::Template::parse(words) else { return };
    let Ok(body) = serde_json::from_str(body) else { return };
    let data = template.data("sender", &body);
    assert!(template.prompt("sender", &body).ends_with(&data) || !words.contains("{{"));
    let Some((_, marked)) = data.split_once("<data ") else { return };
    let (mark, rest) = marked.split_once(">\n").expect("the mark is whole");
    let end = format!("</data {mark}>");
    assert_eq!(rest.find(&end), Some(rest.len() - end.len()), "{rest:?}");
    for line in rest.strip_suffix(&end).unwrap_or_default().lines() {
        assert!(line.starts_with("    ") || line.starts_with("[/") && line.ends_with(']'), "{line:?}");
    }
});
