//! What people write on forges, as the agent reads it: bounded, without a character that cannot be seen, and nothing is left of it that more reading
//! would take away from a single line.

#![no_main]

use cofferdam_domain::hidden::hidden;
use cofferdam_forge::{MOST_CHARACTERS, rendered, rendered_line};
use libfuzzer_sys::fuzz_target;

fn unseen(text: &str) -> usize {
    hidden(&text.chars().collect::<Vec<_>>()).len()
}

fuzz_target!(|markdown: &str| {
    let page = rendered(markdown);
    assert_eq!(unseen(&page.text), 0, "{:?}", page.text);
    assert!(page.text.len() <= 12 * MOST_CHARACTERS);
    assert_eq!(rendered(markdown), page);
    let line = rendered_line(markdown);
    assert!(!line.text.contains(['\n', '\r']), "{:?}", line.text);
    assert_eq!(unseen(&line.text), 0, "{:?}", line.text);
});
