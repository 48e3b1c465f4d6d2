//! The transcript as a [`Model`].

use std::{fs::File, io::Read as _, path::Path, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{
    Answer, Block, ModelRequest,
    event::{ModelFailure, ModelInfo},
};

use super::transcript::{FaultKind, MAX_FILE, Transcript, TranscriptError};
use crate::{Model, ModelError, Progress};

/// As many tries as a real provider gets by default.
const TRIES: u32 = 6;

/// Plays a transcript.
#[derive(Debug, Clone)]
pub struct Scripted {
    transcript: Transcript,
}

impl Scripted {
    /// A model that plays `transcript`.
    #[must_use]
    pub const fn new(transcript: Transcript) -> Self {
        Self { transcript }
    }

    /// Reads the transcript at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a transcript.
    pub fn from_file(path: &Path) -> Result<Self, TranscriptError> {
        let mut text = String::new();
        let file = File::open(path).map_err(TranscriptError::Read)?;
        file.take(MAX_FILE).read_to_string(&mut text).map_err(TranscriptError::Read)?;
        let mut transcript = Transcript::parse(&text)?;
        // Absolute, so that a session can be resumed from anywhere.
        transcript.info.transcript =
            std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
        Ok(Self::new(transcript))
    }
}

#[async_trait]
impl Model for Scripted {
    fn info(&self) -> &ModelInfo {
        self.transcript.info()
    }

    async fn ask(
        &mut self,
        request: &ModelRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Answer, ModelError> {
        let played = self
            .transcript
            .play(request)
            .map_err(|mismatch| ModelError { kind: ModelFailure::Rejected, message: mismatch.to_string() })?;
        if !played.delay.is_zero() {
            tokio::time::sleep(played.delay).await;
        }
        if let Some(fault) = played.fault {
            let reason = match fault.kind {
                FaultKind::Disconnect => {
                    "the connection was cut in the middle of the answer (as the transcript says)"
                }
                FaultKind::Overload => "the provider is overloaded (as the transcript says)",
            };
            if fault.times >= TRIES {
                return Err(ModelError { kind: ModelFailure::Unavailable, message: reason.to_owned() });
            }
            for _ in 0..fault.times {
                if fault.kind == FaultKind::Disconnect {
                    progress(Progress::Text("I was going to sa".to_owned()));
                }
                progress(Progress::Retry {
                    reason: reason.to_owned(),
                    after: Duration::ZERO,
                    fallback: None,
                });
            }
        }
        for block in &played.answer.blocks {
            match block {
                Block::Text { text } => progress(Progress::Text(text.clone())),
                Block::Reasoning(reasoning) => progress(Progress::Reasoning(reasoning.text.clone())),
                Block::ToolCall(call) => progress(Progress::Tool(call.name.clone())),
                Block::ToolResult(_) | Block::Image(_) => (),
            }
        }
        Ok(played.answer)
    }
}
