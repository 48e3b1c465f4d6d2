//! A command in a sandbox that something else has made.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cofferdam_hand::protocol::{message::RequestId, tunnel::Size};

use super::{super::process::NativeProcess, near::Near};
use crate::{Finished, Process, SandboxError};

/// The same as in others, but for the size of its terminal, which is no terminal of this host.
#[derive(Debug)]
pub(super) struct RemoteProcess {
    pub(super) process: NativeProcess,
    pub(super) id: RequestId,
    pub(super) near: Arc<Near>,
}

#[async_trait]
impl Process for RemoteProcess {
    fn take_output(&mut self) -> Vec<u8> {
        self.process.take_output()
    }

    async fn stir(&mut self, patience: Duration) {
        self.process.stir(patience).await;
    }

    async fn write_input(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.process.write_input(bytes).await
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.near.resize(self.id, Size { columns, rows });
    }

    async fn wait(&mut self, patience: Duration) -> Result<Option<Finished>, SandboxError> {
        self.process.wait(patience).await
    }

    async fn kill(&mut self) -> Result<(), SandboxError> {
        self.process.kill().await
    }
}
