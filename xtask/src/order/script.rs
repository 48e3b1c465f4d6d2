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
const TAIL: &str = "  }
}
INSERT AFTER .text;
";

/// What a section is called that has a function of its own, before the name of that. What the compiler takes for rarely called has the second; symbols
/// do not show which that is.
const SECTIONS: [&str; 2] = [".text.", ".text.unlikely."];
/// Both, for names that begin with what stands in no other place of a section's name.
const EITHER: &str = ".text*.";
/// So names begin that Rust gives (<https://doc.rust-lang.org/rustc/symbol-mangling/v0.html>); C's have dots in them.
const RUST: &str = "_R";

/// The script for these prefixes of names.
pub(super) fn write(prefixes: &[&str]) -> String {
    let mut script = HEAD.to_owned();
    for prefix in prefixes {
        let prefix = prefix.trim_end_matches('?');
        let patterns = match prefix.starts_with(RUST) {
            true => format!("{EITHER}{prefix}*"),
            false => SECTIONS.map(|section| format!("{section}{prefix}*")).join(" "),
        };
        script.push_str(&format!("    *({patterns})\n"));
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
            .map(|line| line.strip_prefix("    *(.text").unwrap())
            .map(|line| line.strip_prefix("*.").or_else(|| line.strip_prefix('.')).unwrap())
            .map(|line| line.split_once("*").unwrap().0)
            .collect();
        assert!(prefixes.len() > 100, "{} lines", prefixes.len());
        assert_eq!(write(&prefixes), kept);
    }

    #[test]
    fn a_prefix_may_end_in_a_hash_that_was_left_out() {
        let script = write(&["_RNvCs???", "sqlite3"]);
        assert!(script.contains("    *(.text*._RNvCs*)\n    *(.text.sqlite3* .text.unlikely.sqlite3*)\n"));
    }
}
