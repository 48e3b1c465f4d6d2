//! The `[browser]` table: the browser that sessions have.

use anyhow::{Result, bail};
use serde::Deserialize;

/// The browser that sessions have, if they have one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BrowserSettings {
    /// Where its program is inside sandboxes.
    pub(crate) program: Option<String>,
}

impl BrowserSettings {
    /// The same, if it can be.
    pub(super) fn checked(self) -> Result<Self> {
        if let Some(program) = &self.program
            && (!program.starts_with('/') || program.contains(['\0', '\n']))
        {
            bail!(
                "[browser]: program {program:?} must be an absolute path: where Chromium is inside sandboxes"
            );
        }
        Ok(self)
    }
}
