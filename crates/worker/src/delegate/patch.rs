//! A subagent's change: taken out of its sandbox as a patch, and put into the workspace of the session that it worked for, as a whole or not at all.
//!
//! All of it happens inside sandboxes, by git. What comes out is bytes that a model and its programs have made: nothing is read from them but
//! where they go, and git itself refuses paths that lead out of the workspace or into `.git`.

use std::{path::PathBuf, time::Duration};

use cofferdam_domain::{SessionId, hidden::visible};
use cofferdam_sandbox::{HOME, Sandbox, WORKSPACE};

use crate::{WorkerError, script};

const TREE: &str = include_str!("scripts/tree.sh");
const DIFF: &str = include_str!("scripts/diff.sh");
const APPLY: &str = include_str!("scripts/apply.sh");

/// How long one of them may take.
const TIME: Duration = Duration::from_secs(10 * 60);
/// The longest patch, in bytes.
const MAX_PATCH: u64 = 4 << 20;
/// Bytes read out of a sandbox at once.
const CHUNK: u64 = 1 << 20;
/// What a script prints at the most.
const MAX_SAID: u64 = 64 * 1024;
/// Bytes of what git says about conflicts.
const MAX_CONFLICTS: usize = 4_000;

/// A change.
pub(super) struct Change {
    /// The files, as text for people.
    pub(super) files: Vec<String>,
    /// The patch.
    pub(super) patch: Vec<u8>,
}

/// The id of a tree with the files of a workspace as they are now, whose contents the repository in it has from then on.
pub(super) async fn tree(
    sandbox: &dyn Sandbox,
    child: SessionId,
) -> Result<Result<String, String>, WorkerError> {
    let said = match run(sandbox, TREE, &[&name(child)]).await? {
        Ok(said) => said,
        Err(problem) => return Ok(Err(problem)),
    };
    let tree = last(&said).strip_prefix("cofferdam: tree ").filter(|tree| is_object_id(tree));
    Ok(tree.map(str::to_owned).ok_or_else(|| "git gives no tree of the workspace".to_owned()))
}

/// What the files of a workspace differ in from a tree; `None` where they do not.
pub(super) async fn change(
    sandbox: &dyn Sandbox,
    child: SessionId,
    from: &str,
) -> Result<Result<Option<Change>, String>, WorkerError> {
    let place = place(child);
    let said = match run(sandbox, DIFF, &[&name(child), from, &place]).await? {
        Ok(said) => said,
        Err(problem) => return Ok(Err(problem)),
    };
    let size = last(&said).strip_prefix("cofferdam: patch of ").and_then(|rest| rest.strip_suffix(" bytes"));
    match size.and_then(|size| size.parse::<u64>().ok()) {
        None => Ok(Err("git gives no patch of its change".to_owned())),
        Some(0) => Ok(Ok(None)),
        Some(size) if size > MAX_PATCH => {
            Ok(Err(format!("its change is a patch of {size} bytes, at most {MAX_PATCH} are taken")))
        }
        Some(_) => {
            let mut lines: Vec<&str> = said.lines().collect();
            lines.pop();
            let files = lines.into_iter().map(|line| visible(line.as_bytes())).collect();
            Ok(copy_out(sandbox, &place).await?.map(|patch| Some(Change { files, patch })))
        }
    }
}

/// Puts a patch into a workspace. What it conflicts with, if it cannot be.
pub(super) async fn apply(
    sandbox: &dyn Sandbox,
    child: SessionId,
    patch: &[u8],
) -> Result<Result<(), String>, WorkerError> {
    let place = place(child);
    sandbox.write(&place, patch, None).await?;
    let said = match run(sandbox, APPLY, &[&name(child), &place]).await? {
        Ok(said) => said,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(match last(&said) {
        "cofferdam: applied" => Ok(()),
        "cofferdam: conflicts" => {
            let mut lines: Vec<&str> = said.lines().collect();
            lines.pop();
            let lines: Vec<String> = lines.into_iter().map(|line| visible(line.as_bytes())).collect();
            let mut conflicts = lines.join(", ");
            conflicts.truncate(conflicts.floor_char_boundary(MAX_CONFLICTS));
            Err(format!("It conflicts with what has changed in your workspace meanwhile: {conflicts}."))
        }
        _ => Err("git could not apply it.".to_owned()),
    })
}

/// What a script printed; why there is nothing, where it failed.
async fn run(
    sandbox: &dyn Sandbox,
    text: &str,
    arguments: &[&str],
) -> Result<Result<String, String>, WorkerError> {
    let mut argv: Vec<String> = ["/bin/sh", "-c", text, "cofferdam", WORKSPACE].map(str::to_owned).to_vec();
    argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    // Not in the workspace: it may be so that nothing can be started there.
    let Some(finished) = script::run(sandbox, argv, "/", TIME, MAX_SAID).await? else {
        return Ok(Err("git took too long".to_owned()));
    };
    let said = String::from_utf8_lossy(&finished.output.joined()).into_owned();
    if finished.exit.success() {
        return Ok(Ok(said));
    }
    let end: Vec<char> = said.trim_end().chars().rev().take(300).collect();
    let end: String = end.into_iter().rev().collect();
    Ok(Err(format!("git failed: {}", visible(end.as_bytes()))))
}

async fn copy_out(sandbox: &dyn Sandbox, path: &str) -> Result<Result<Vec<u8>, String>, WorkerError> {
    let mut bytes = Vec::new();
    while bytes.len() as u64 <= MAX_PATCH {
        let data = sandbox.read(path, bytes.len() as u64, CHUNK).await?;
        if data.bytes.is_empty() {
            return Ok(Ok(bytes));
        }
        bytes.extend_from_slice(&data.bytes);
    }
    Ok(Err("its change is too large to be taken".to_owned()))
}

fn last(said: &str) -> &str {
    said.trim_end().lines().next_back().unwrap_or_default()
}

fn name(child: SessionId) -> String {
    format!("cofferdam-{child}")
}

/// Beside the workspace, which it is no part of.
fn place(child: SessionId) -> String {
    PathBuf::from(HOME).join(format!(".cofferdam-{child}.patch")).display().to_string()
}

fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
