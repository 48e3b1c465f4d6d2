//! The native driver, where it can run: every case in a sandbox of its own.

use cofferdam_domain::{SandboxId, event::EditFormat, policy::Limits};
use cofferdam_sandbox::{
    Driver, HostEnvironment, LimitLevel, NativeDriver, NativeOptions, SandboxError, SandboxSpec, System,
};
use cofferdam_tools::Toolbox;
use serde_json::json;

use crate::suite::Bench;

crate::suite::cases!(open);

async fn open() -> Option<Bench> {
    open_with(System::ReadOnly).await
}

/// One whose sandbox has such a system, and tools to match.
pub(crate) async fn open_with(system: System) -> Option<Bench> {
    let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
    let driver = match NativeDriver::new(options).await {
        Ok(driver) => driver,
        Err(error @ SandboxError::Host { .. }) => {
            eprintln!("SKIPPED: tools in the native sandbox: {error}");
            return None;
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    };
    let directory = tempfile::tempdir().unwrap();
    let lower = directory.path().join("base");
    std::fs::create_dir(&lower).unwrap();
    let layer = directory.path().join("layer");
    let mut spec = SandboxSpec::new(SandboxId::generate(), layer, Limits::default());
    spec.lower.push(lower);
    spec.system = system;
    let sandbox = match driver.create(spec).await {
        Err(error @ SandboxError::Host { .. }) => {
            eprintln!("SKIPPED: a sandbox with a system that can be changed: {error}");
            return None;
        }
        made => made.unwrap(),
    };
    let mut bench = Bench::new(sandbox, Some(Box::new((driver, directory))));
    bench.toolbox = Toolbox::standard(EditFormat::Replace).with_system(system);
    Some(bench)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shell_is_root_where_it_may() {
    let who = "id -u; touch /usr/by-root 2>/dev/null && echo written";
    let Some(bench) = open_with(System::Writable).await else { return };
    assert_eq!(
        bench.ok("shell", json!({"command": who, "root": true})).await,
        "[exit 0 after T]\n0\nwritten"
    );
    let agent = bench.ok("shell", json!({"command": who})).await;
    assert!(agent.starts_with("[exit 1 after T]") && !agent.contains("written"), "{agent}");
    let Some(bench) = open().await else { return };
    let asked = bench.call("shell", json!({"command": who, "root": true})).await.text;
    assert!(!asked.contains("written") && !asked.contains("\n0\n"), "{asked}");
}
