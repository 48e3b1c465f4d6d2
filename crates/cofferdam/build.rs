//! How the executable is linked: the addresses in it that the loader has to move are written in the packed form (DT_RELR), where the C library
//! of this system can read it. Otherwise they are some 0.9 MB, all of which the loader reads and which stay resident in every worker.

use std::{env, process::Command};

/// The first GNU C library that reads the packed form: see the news of its release 2.36.
const READS_PACKED: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let gnu = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // What is built for another system is for who knows which version.
    let here = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    if gnu && here && library().is_some_and(|version| version >= READS_PACKED) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this system's GNU C library (getconf(1)).
fn library() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
