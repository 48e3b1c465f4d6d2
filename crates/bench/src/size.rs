//! The size of the program and what it is made of.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{complain, figures::say, options::Options, session};

/// Prints the sizes.
pub(crate) fn measure(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["program"])?;
    let program = session::program(options.path("program"))?;
    let size = |path: &Path| Ok::<_, anyhow::Error>(fs::metadata(path)?.len());
    let whole = size(&program)?;
    let line = |what: &str, bytes: u64| {
        say(&format!("{what:<44} {bytes:>11} {:>6.1} %", bytes as f64 * 100.0 / whole as f64));
    };
    say(&format!("{:<44} {:>11}", "", "bytes"));
    line("cofferdam, stripped", whole);
    line("of it the hand, which it carries", size(&hand(&program)?)?);
    for (name, bytes) in sections(&program)? {
        line(&format!("section {name}"), bytes);
    }
    Ok(())
}

/// The hand, as the sandbox crate's build script leaves it beside the program.
fn hand(program: &Path) -> Result<PathBuf> {
    let target = program.parent().and_then(Path::parent).context("the program is in no target directory")?;
    let hands = fs::read_dir(target.join("hand")).context("the hand is not beside the program")?;
    let built = |triple: PathBuf| triple.join("hand").join("cofferdam-hand");
    let found = hands.flatten().map(|triple| built(triple.path())).find(|path| path.is_file());
    found.context("the hand is not beside the program")
}

/// The largest sections, by `size` of the binutils.
fn sections(program: &Path) -> Result<Vec<(String, u64)>> {
    let Ok(output) = Command::new("size").args(["--format=sysv", "--radix=10"]).arg(program).output() else {
        complain("SKIPPED: the sections: `size` is not installed: apt-get install binutils");
        return Ok(Vec::new());
    };
    ensure!(output.status.success(), "size: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("size printed something that is not text")?;
    let mut sections: Vec<(String, u64)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.strip_prefix('.')?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect();
    sections.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    sections.truncate(6);
    Ok(sections)
}
