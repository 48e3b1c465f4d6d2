//! The functions of an executable, as nm(1) lists them, and what of their names is the same in the next build.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// A function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Where it begins, from the executable's own beginning.
    pub(super) address: u64,
    /// How many bytes it has.
    pub(super) size: u64,
    /// Its name as the linker knows it.
    pub(super) name: String,
}

/// The functions of `program`.
pub(super) fn read(program: &Path) -> Result<Vec<Function>> {
    let output = Command::new("nm")
        .args(["--defined-only", "--print-size", "--format=posix"])
        .arg(program)
        .output()
        .context("nm does not run: install binutils")?;
    ensure!(output.status.success(), "nm failed: {}", String::from_utf8_lossy(&output.stderr));
    let functions = parse(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        !functions.is_empty(),
        "{} has no symbols: build it with CARGO_PROFILE_RELEASE_STRIP=none",
        program.display()
    );
    Ok(functions)
}

/// Lines of four fields: name, kind, address, size. What has no size is a label inside of something, perhaps of data.
fn parse(listed: &str) -> Vec<Function> {
    let function = |line: &str| {
        let [name, kind, address, size] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let of_code = matches!(kind, "T" | "t" | "W" | "w");
        let (address, size) = (u64::from_str_radix(address, 16).ok()?, u64::from_str_radix(size, 16).ok()?);
        (of_code && size > 0 && is_plain(name)).then(|| Function { address, size, name: name.to_owned() })
    };
    listed.lines().filter_map(function).collect()
}

/// Whether a linker script can hold it as it is.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte))
}

/// The part of a name that no other compiler and no other version of a crate changes, as a pattern of a linker script that matches the whole
/// name when `*` is put behind it.
///
/// Names of the older form end in a hash of 16 digits (`17h0123456789abcdefE`). Those of the newer one, which the standard library has, name
/// each crate with a hash (`Cs0123456789A_3std`): <https://doc.rust-lang.org/rustc/symbol-mangling/v0.html>.
pub(super) fn lasting(name: &str) -> String {
    const HASH: &str = "17h";
    if name.starts_with("_R") {
        return without_crate_hashes(name);
    }
    let hashed = name.match_indices(HASH).find(|(start, _)| {
        let digits = name.as_bytes().get(start + HASH.len()..start + HASH.len() + 16);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    hashed.map_or(name, |(start, _)| &name[..start + HASH.len()]).to_owned()
}

fn without_crate_hashes(name: &str) -> String {
    let mut parts = name.split("Cs");
    let mut lasting = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hash = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let rest = &part[hash..];
        lasting.push_str("Cs");
        // A `?` for each digit, of which nearly all hashes have 11: `*` would match names, too, in which the rest comes behind another crate's hash.
        match rest.starts_with('_') {
            true => lasting.push_str(&"?".repeat(hash)),
            false => lasting.push_str(&part[..hash]),
        }
        lasting.push_str(rest);
    }
    lasting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_read_and_nothing_else() {
        let listed = "_ZN1a1bE t 1050 2f\n_ZN1a1cE T 10a0 1\ntable r 900 40\nlabel t 1060\nempty t 1070 0\nodd,name t 1080 8\nweak W 2000 10\n";
        let functions = parse(listed);
        let read: Vec<(&str, u64, u64)> =
            functions.iter().map(|one| (one.name.as_str(), one.address, one.size)).collect();
        assert_eq!(read, [("_ZN1a1bE", 0x1050, 0x2f), ("_ZN1a1cE", 0x10a0, 1), ("weak", 0x2000, 0x10)]);
    }

    #[test]
    fn hashes_are_left_out() {
        for (name, wanted) in [
            (
                "_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE",
                "_ZN4core3ops8function6FnOnce9call_once17h",
            ),
            ("_ZN1a3run17h0123456789abcdefE.llvm.123", "_ZN1a3run17h"),
            ("_ZN1a17hexE", "_ZN1a17hexE"),
            ("sqlite3_step", "sqlite3_step"),
            (
                "_RNvNtCsjrHSEGnQ3l9_3std6thread4scopeCs1a_5alloc",
                "_RNvNtCs???????????_3std6thread4scopeCs??_5alloc",
            ),
            ("_RNvC9CsvReaderE", "_RNvC9CsvReaderE"),
        ] {
            assert_eq!(lasting(name), wanted, "{name}");
        }
    }

    #[test]
    fn this_program_has_functions() {
        let functions = read(&std::env::current_exe().unwrap()).unwrap();
        assert!(functions.iter().any(|function| function.name.contains("this_program_has_functions")));
    }
}
