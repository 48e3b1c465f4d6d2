//! The rules on a great deal of other people's code: how often they cry wolf.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use cofferdam_domain::Severity;

use crate::changes::{added, findings};

/// Files larger than this are not source.
const MAX_SIZE: u64 = 1 << 20;

/// Prints how many findings each rule makes on every file below the folder that `GATE_SCAN` names, taken as
/// new, and where secrets block. For people: nothing is right or wrong about the numbers but that they should
/// be small.
#[test]
#[ignore = "reads hundreds of megabytes; run by hand with --ignored --nocapture"]
fn count_findings_on_a_tree() {
    let Some(root) = env::var_os("GATE_SCAN").map(PathBuf::from) else {
        eprintln!("SKIPPED: nothing to scan: set GATE_SCAN to a folder of sources");
        return;
    };
    let mut files = Vec::new();
    walk(&root, &mut files);
    let (mut counts, mut bytes) = (BTreeMap::<(Severity, String), usize>::new(), 0);
    for path in &files {
        let content = fs::read(path).expect("a listed file can be read");
        bytes += content.len();
        let name =
            path.strip_prefix(&root).expect("a listed file is below the root").to_string_lossy().into_owned();
        // Relative to its own project, as in a change.
        for finding in findings(vec![added(name.as_bytes(), &content)]) {
            let blocking = finding.severity == Severity::Blocking;
            if blocking && !matches!(finding.rule.as_str(), "protected-path" | "binary") {
                eprintln!("{}: {}:{} {}", finding.rule, finding.path, finding.line.unwrap_or(0), finding.why);
            }
            *counts.entry((finding.severity, finding.rule)).or_default() += 1;
        }
    }
    eprintln!("{} files, {bytes} bytes", files.len());
    for ((severity, rule), count) in counts {
        eprintln!("{severity:?} {rule} {count}");
    }
    assert!(!files.is_empty(), "nothing below {}", root.display());
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the tree can be read").flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && entry.file_name() != "target" && entry.file_name() != ".git" {
            walk(&entry.path(), files);
        } else if kind.is_file() && entry.metadata().is_ok_and(|metadata| metadata.len() <= MAX_SIZE) {
            files.push(entry.path());
        }
    }
}
