//! A playbook and what somebody gives as the value of each of its parameters: whatever is read can be filled or says why, what comes out is bounded, and
//! a value is in it as it was given. The playbook and the value are parted by a zero.

#![no_main]

use cofferdam_instructions::{MOST_PLAYBOOK, Playbook};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (text, value) = input.split_once('\0').unwrap_or((input, "{{a}}"));
    let Ok(playbook) = Playbook::parse(text) else { return };
    assert!(text.len() <= MOST_PLAYBOOK && playbook.parameters.len() <= 32);
    let values = playbook.parameters.iter().map(|parameter| (parameter.name.clone(), value.to_owned())).collect();
    match playbook.fill(&values) {
        Ok(filled) => {
            assert!(filled.len() <= cofferdam_domain::task::MAX_PROMPT);
            assert!(playbook.parameters.is_empty() || filled.contains(value));
        }
        Err(problem) => assert!(problem.to_string().chars().count() < 16_384),
    }
});
