//! The linker script that lays the selected functions beside one another.

/// What the script says of itself.
const HEAD: &str = "\
/* The functions that a session runs, beside one another in the executable, so that fewer of its pages are resident in a worker.

   Written by `cargo run -p xtask -- order`, which runs sessions and sees which functions are entered; docs/performance.md says what it gains. Each
   line selects the functions whose names begin so. Lines that match nothing do no harm, and what no line matches stays where it was: a list
   that is old makes a larger process, never another program. crates/cofferdam/build.rs hands it to the linker. */

SECTIONS
{
  .text.session :
  {
";
/// Functions that the compiler takes for rarely called have sections of another name, which symbols do not show. Many are called once.
const TAIL: &str = "\
    *(.text.unlikely.*)
  }
}
INSERT AFTER .text;
";

/// The script for these prefixes of names. Every function has a section of its own, called after it.
pub(super) fn write(prefixes: &[&str]) -> String {
    let mut script = HEAD.to_owned();
    for prefix in prefixes {
        script.push_str("    *(.text.");
        script.push_str(prefix.trim_end_matches('*'));
        script.push_str("*)\n");
    }
    script.push_str(TAIL);
    script
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_script_that_is_kept_is_one_of_ours() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate::order::SCRIPT);
        let kept = fs::read_to_string(path).unwrap();
        let lines = kept.strip_prefix(HEAD).unwrap().strip_suffix(TAIL).unwrap();
        let prefixes: Vec<&str> = lines
            .lines()
            .map(|line| line.strip_prefix("    *(.text.").unwrap().strip_suffix("*)").unwrap())
            .collect();
        assert!(prefixes.len() > 100, "{} lines", prefixes.len());
        assert_eq!(write(&prefixes), kept);
    }

    #[test]
    fn a_prefix_may_end_in_a_hash_that_was_left_out() {
        assert!(write(&["_RNvCs*", "sqlite3"]).contains("    *(.text._RNvCs*)\n    *(.text.sqlite3*)\n"));
    }
}
