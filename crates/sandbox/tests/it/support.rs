//! What the tests share: a driver with a place on disk, and short ways to run things.

use std::{ops::Deref, path::Path, sync::Arc};

use cofferdam_conformance::Scene;
use cofferdam_sandbox::{HostEnvironment, LimitLevel, NativeDriver, NativeOptions, SandboxError};

pub(crate) use cofferdam_conformance::{LONG, eventually, host_processes, marker, run, sh, shell, text};

/// The native driver and a place for layers, which is emptied at the end.
pub(crate) struct Place {
    pub(crate) driver: Arc<NativeDriver>,
    scene: Scene,
}

impl Place {
    /// `None`, loudly, where the host cannot run sandboxes at all.
    pub(crate) async fn new() -> Option<Self> {
        Self::with(NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed)).await
    }

    /// The same with other options.
    pub(crate) async fn with(options: NativeOptions) -> Option<Self> {
        match NativeDriver::new(options).await {
            Ok(driver) => {
                let driver = Arc::new(driver);
                Some(Self { scene: Scene::new(driver.clone()), driver })
            }
            Err(error @ SandboxError::Host { .. }) => {
                eprintln!("SKIPPED: {error}");
                None
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// Without what only this driver has.
    pub(crate) fn into_scene(self) -> Scene {
        self.scene
    }

    /// Whether the kernel limits sandboxes as a whole.
    pub(crate) fn limits_are_strong(&self) -> bool {
        !self.driver.level().contains("limits: weak")
    }
}

impl Deref for Place {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
