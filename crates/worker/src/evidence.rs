//! Evidence: the platform runs the repository's own tests on base and head, each in a fresh sandbox made from objects.
//!
//! The agent's workspace has no part in it: the base comes from the base layer, the head's tree from the quarantine. The test command is found
//! from the *base* tree, so that a change cannot choose its own examination.

use std::{path::PathBuf, time::Duration};

use cofferdam_domain::{EventBody, EvidenceRun, Part, Side, change::Received, evidence::Exit};
use cofferdam_gate::{RootEntry, TestCommand, WANTED_ROOT_FILES, detect_test_command, parse_report};
use cofferdam_sandbox::{EntryKind, Finished, ReadOnly, Sandbox, WORKSPACE};

use crate::{
    WorkerError, base,
    collect::object_id,
    door::Housed,
    effects::millis_since,
    layers::remove_layer,
    lfs::{self, LENT, Lent},
    script::{self, SEED, shell},
    sparse,
    stage::{Done, StageContext},
};

/// Entries of the base tree's root that are looked at to find the test command.
const ROOT_ENTRIES: usize = 2_000;
/// Bytes of one file that are looked at.
const ROOT_FILE: u64 = 256 * 1024;
/// How long putting the head's tree into the workspace may take.
const CHECKOUT_TIME: Duration = Duration::from_secs(600);

/// Runs the tests on one side.
pub(crate) async fn run(context: &StageContext, side: Side) -> Result<Done, WorkerError> {
    let layer = layer(context, side);
    remove_layer(&layer).await?;
    let lent = match side {
        Side::Base => None,
        Side::Head => lfs::lend_new(context, &object_id(&head(context)?.head)?).await?,
    };
    let sandbox = fresh_sandbox(context, side, layer.clone(), lent.as_ref()).await?;
    let result = observe(context, side, &*sandbox).await;
    let destroyed = sandbox.destroy().await;
    let done = result?;
    destroyed?;
    remove_layer(&layer).await?;
    Ok(done)
}

fn layer(context: &StageContext, side: Side) -> PathBuf {
    let name = match side {
        Side::Base => "evidence-base",
        Side::Head => "evidence-head",
    };
    context.parts.session_directory(context.session).join(name)
}

fn head(context: &StageContext) -> Result<&Received, WorkerError> {
    context.agent.received().ok_or(WorkerError::Log("there is no change to test"))
}

async fn fresh_sandbox(
    context: &StageContext,
    side: Side,
    layer: PathBuf,
    lent: Option<&Lent>,
) -> Result<Housed, WorkerError> {
    let lower = base::layer(context).await?;
    let mut extra = match side {
        Side::Base => Vec::new(),
        Side::Head => {
            vec![ReadOnly { host: context.quarantine_path(), inside: PathBuf::from(SEED) }]
        }
    };
    extra.extend(lent.map(Lent::read_only));
    context.sandbox(vec![lower], layer, extra).await
}

async fn observe(context: &StageContext, side: Side, sandbox: &dyn Sandbox) -> Result<Done, WorkerError> {
    let configured = of_policy(context).or(context.repository()?.tests.as_deref());
    let Some(test) = find_command(sandbox, configured).await? else {
        let reason = "no known way to test this repository: name the command with --test, as policy.test_command, or in [[repositories.tests]]";
        return Ok(Done::fact(EventBody::EvidenceMissing { reason: reason.to_owned() }));
    };
    sparse::besides(context, sandbox, WORKSPACE).await?;
    let tree = match side {
        Side::Base => context.repository()?.base_tree.clone(),
        Side::Head => {
            let received = head(context)?;
            if let Err(problem) = check_out(sandbox, &received.head).await? {
                let reason = format!("the head's tree could not be put into a workspace: {problem}");
                return Ok(Done::fact(EventBody::EvidenceMissing { reason }));
            }
            received.tree.clone()
        }
    };
    let run = measure(context, side, sandbox, test, tree).await?;
    Ok(Done::fact(EventBody::EvidenceRun(run)))
}

/// What the policy has is how the task's own repository is tested, whatever is configured for that.
fn of_policy(context: &StageContext) -> Option<&str> {
    let fixed = context.agent.fixed().filter(|_| context.part == Part::FIRST);
    fixed.and_then(|fixed| fixed.policy.test_command.as_deref())
}

/// What the agent is told of the command that is configured for a repository, where that counts.
pub(crate) fn note(context: &StageContext, tests: Option<&str>) -> Option<String> {
    let command = tests.filter(|_| of_policy(context).is_none())?;
    Some(format!("Its tests are run with this command: {command}"))
}

async fn find_command(
    sandbox: &dyn Sandbox,
    configured: Option<&str>,
) -> Result<Option<TestCommand>, WorkerError> {
    let listing = sandbox.list(".", ROOT_ENTRIES).await?;
    let mut entries = Vec::new();
    for entry in listing.entries {
        let Ok(mut name) = String::from_utf8(entry.name) else { continue };
        let content = if WANTED_ROOT_FILES.contains(&name.as_str()) && entry.kind == EntryKind::File {
            sandbox.read(&name, 0, ROOT_FILE).await.ok().map(|data| data.bytes)
        } else {
            None
        };
        if entry.kind == EntryKind::Directory {
            name.push('/');
        }
        entries.push((name, content));
    }
    let entries: Vec<RootEntry<'_>> =
        entries.iter().map(|(name, content)| RootEntry { name, content: content.as_deref() }).collect();
    Ok(detect_test_command(&entries, configured))
}

/// Puts the head's tree into the workspace: its objects are lent by the quarantine, and no setting or hook of the change is in force yet.
async fn check_out(sandbox: &dyn Sandbox, commit: &str) -> Result<Result<(), String>, WorkerError> {
    if !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(WorkerError::Log("the head is not an object id"));
    }
    let script = format!(
        "set -eu\n\
         export GIT_CONFIG_NOSYSTEM=1\n\
         mkdir -p .git/objects/info\n\
         printf '{SEED}/objects\\n' >> .git/objects/info/alternates\n\
         if [ -d {LENT} ]; then cp -R {LENT}/. .git/lfs/objects/; fi\n\
         git -c core.hooksPath=/dev/null -c advice.detachedHead=false checkout --quiet --force --detach {commit}\n\
         git clean -ffdxq\n"
    );
    let finished = script::run(sandbox, shell(&script), WORKSPACE, CHECKOUT_TIME, 64 * 1024).await?;
    Ok(match finished {
        Some(finished) if finished.exit.success() => Ok(()),
        Some(finished) => Err(String::from_utf8_lossy(&finished.output.joined()).trim().to_owned()),
        None => Err("it took too long".to_owned()),
    })
}

async fn measure(
    context: &StageContext,
    side: Side,
    sandbox: &dyn Sandbox,
    test: TestCommand,
    tree: String,
) -> Result<EvidenceRun, WorkerError> {
    let limits = context.limits();
    let started = std::time::Instant::now();
    let timeout = Duration::from_millis(limits.command_max_ms);
    let finished = script::run(sandbox, shell(&test.command), WORKSPACE, timeout, limits.output).await?;
    let millis = millis_since(started);
    let (exit, output) = match finished {
        Some(Finished { exit, output, .. }) => (exit, output.joined()),
        None => (Exit::TimedOut, Vec::new()),
    };
    let tests = parse_report(&test.command, &output);
    let output = context.parts.store.put_blob(&output).await?;
    Ok(EvidenceRun { side, tree, command: test.command, exit, output, millis, tests })
}
