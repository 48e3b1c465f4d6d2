//! Patches in the `*** Begin Patch` format: how they are read, and how they are applied to one file.
//!
//! The format has no line numbers. A hunk says what stands around the change, and `@@` lines say in which
//! function or class it is:
//!
//! ```text
//! *** Begin Patch
//! *** Update File: src/a.py
//! *** Move to: src/b.py
//! @@ class Reader
//! @@ def close(self):
//!      self.open = False
//! -    self.file.close()
//! +    self.file.release()
//! *** Add File: notes.txt
//! +one line
//! *** Delete File: old.txt
//! *** End Patch
//! ```

mod apply;
mod parse;

pub(crate) use apply::{Applied, apply};
pub(crate) use parse::{Hunk, Operation, parse};
