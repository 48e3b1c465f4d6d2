//! The `[display]` table: the virtual display that sessions have.

use anyhow::{Result, bail};
use cofferdam_tools::{Display, Size};
use serde::Deserialize;

/// Where the program that uses pointer and keyboard is, if nothing is said.
const INPUT: &str = "/usr/bin/xdotool";

/// The display that sessions have, if they have one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DisplaySettings {
    /// Where Xvfb is inside sandboxes.
    server: Option<String>,
    /// Where xdotool is.
    input: Option<String>,
    /// Pixels from left to right.
    width: Option<u32>,
    /// Pixels from top to bottom.
    height: Option<u32>,
}

impl DisplaySettings {
    /// The same, if it can be.
    pub(super) fn checked(self) -> Result<Self> {
        let named = [("server", &self.server), ("input", &self.input)];
        for (name, program) in named {
            if let Some(program) = program
                && (!program.starts_with('/') || program.contains(['\0', '\n']))
            {
                bail!(
                    "[display]: {name} {program:?} must be an absolute path: where the program is inside sandboxes"
                );
            }
        }
        if self.server.is_none() && self != Self::default() {
            bail!(
                "[display]: without `server`, which says where Xvfb is inside sandboxes, there is no display"
            );
        }
        if self.size().is_none() {
            let sides = Size::SIDES;
            bail!("[display]: width and height must be {} to {} pixels", sides.start(), sides.end());
        }
        Ok(self)
    }

    /// The display, if there is to be one.
    pub(crate) fn display(&self) -> Option<Display> {
        let input = self.input.clone().unwrap_or_else(|| INPUT.to_owned());
        Some(Display { server: self.server.clone()?, input, size: self.size()? })
    }

    fn size(&self) -> Option<Size> {
        let usual = Size::default();
        Size::new(self.width.unwrap_or(usual.width()), self.height.unwrap_or(usual.height()))
    }
}
