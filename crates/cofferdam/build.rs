//! How the executable is linked, both for what stays resident in every worker.
//!
//! * The addresses in it that the loader has to move are written in the packed form (DT_RELR), where the C library of this system can read it.
//!   Otherwise they are some 0.9 MB, all of which the loader reads.
//! * In a release build the functions that a session runs lie beside one another (`order.ld`), where the linker is one that takes such a script.

use std::{env, process::Command};

/// The first GNU C library that reads the packed form: see the news of its release 2.36.
const READS_PACKED: (u32, u32) = (2, 36);
/// The linker script, which `cargo run -p xtask -- order` writes.
const ORDER: &str = "order.ld";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let gnu = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // What is built for another system is for who knows which version, and linked by who knows what.
    let here = gnu && env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    if here && library().is_some_and(|version| version >= READS_PACKED) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let known = is("CARGO_CFG_TARGET_ARCH", "x86_64") || is("CARGO_CFG_TARGET_ARCH", "aarch64");
    if here && known && is("PROFILE", "release") && usual_linker() {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        // Not by -Wl, which would end the path at a comma.
        println!("cargo::rustc-link-arg-bins=-T{folder}/{ORDER}");
    }
}

/// The version of this system's GNU C library (getconf(1)).
fn library() -> Option<(u32, u32)> {
    let text = output("getconf", "GNU_LIBC_VERSION")?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

/// Whether the linker is GNU's or LLVM's, which take a script that adds to their own. It is one of these two when nobody has asked for another:
/// rustc brings LLVM's for some systems, and for the others `cc` calls the system's.
fn usual_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if env::var_os("RUSTC_LINKER").is_some() || flags.contains("link") {
        return false;
    }
    let version = output("cc", "-Wl,--version").unwrap_or_default();
    version.lines().next().is_some_and(|name| name.starts_with("GNU ld ") || name.contains("LLD "))
}

fn output(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}
