//! The native driver, where it can run: every case in a sandbox of its own.

use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_sandbox::{
    Driver, HostEnvironment, LimitLevel, NativeDriver, NativeOptions, SandboxError, SandboxSpec,
};

use crate::suite::Bench;

crate::suite::cases!(open);

async fn open() -> Option<Bench> {
    let options =
        NativeOptions { environment: HostEnvironment::of_this_host(), limits: LimitLevel::WeakAllowed };
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
    let spec = SandboxSpec {
        id: SandboxId::generate(),
        lower: vec![lower],
        layer: directory.path().join("layer"),
        read_only: Vec::new(),
        limits: Limits::default(),
    };
    let sandbox = driver.create(spec).await.unwrap();
    Some(Bench::new(sandbox, Some(Box::new((driver, directory)))))
}
