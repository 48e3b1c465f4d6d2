//! Recorded transcripts, as people write them.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "what the crate uses and this does not")]
#[path = "../../crates/model/src/scripted/transcript.rs"]
mod transcript;

use transcript::{Transcript, TranscriptError};

fuzz_target!(|text: &str| match Transcript::parse(text) {
    Ok(transcript) => assert!(!transcript.is_empty() && transcript.len() <= text.matches("step").count()),
    Err(TranscriptError::Format(_)) => {}
    Err(error @ (TranscriptError::Read(_) | TranscriptError::Step { .. })) => {
        assert!(error.to_string().len() < text.len() * 3 + 500);
    }
});
