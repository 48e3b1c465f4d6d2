//! The output of a process, for whoever reads it as a stream.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::Process;

/// How long it is waited before it is looked again whether it still lives.
const LOOK: Duration = Duration::from_secs(60);

/// Carries output to whoever reads it, as fast as that is done, until the process ends or nobody reads any more. Dropping this kills the process.
pub async fn carry(mut process: Box<dyn Process>, mut inward: impl AsyncWrite + Send + Unpin) {
    loop {
        process.stir(LOOK).await;
        let output = process.take_output();
        if output.is_empty() {
            match process.wait(Duration::ZERO).await {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return,
            }
        } else if inward.write_all(&output).await.is_err() {
            return;
        }
    }
}
