//! Whole outputs of calls whose text shows only a part: as a blob for people, as a file in the sandbox for
//! the agent.

use cofferdam_domain::BlobRef;
use cofferdam_sandbox::HOME;

use crate::tool::Context;

/// Where a whole output is.
pub(crate) struct Whole {
    /// In the store, as it came.
    pub(crate) blob: Option<BlobRef>,
    /// How the agent gets at the rest, in one sentence.
    pub(crate) hint: String,
}

/// Keeps an output: `raw` in the store, `text` in the sandbox, outside the workspace so that it is never part
/// of the change.
pub(crate) async fn keep(context: &Context<'_>, raw: &[u8], text: &str) -> Whole {
    let path = format!("{HOME}/.cofferdam/outputs/{}.txt", context.call);
    let (blob, written) =
        tokio::join!(context.blobs.put(raw), context.sandbox.write(&path, text.as_bytes(), None));
    let hint = match written {
        Ok(_) => format!("Whole output: {path} (page it with `read`, search it with `grep`)."),
        Err(error) => format!("The whole output could not be saved for you ({error}); run less at once."),
    };
    Whole { blob, hint }
}
