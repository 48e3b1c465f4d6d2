//! Which texts a path brings up.

use cofferdam_domain::event::{Applies, Instruction, InstructionKind};

use crate::fits;

/// The places in `files` of the texts that are about the file at `path`, beside those that always are. Of the files like `AGENTS.md` only the
/// nearest is; so is, of the rules that are for a whole directory.
#[must_use]
pub fn about(files: &[Instruction], path: &str) -> Vec<usize> {
    let nearest = |rules: bool| {
        let depth = |directory: &str| {
            path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')).then_some(directory.len())
        };
        let of = |file: &Instruction| match &file.applies {
            Applies::Below { directory } if (file.kind == InstructionKind::Cursor) == rules => {
                depth(directory)
            }
            Applies::Below { .. }
            | Applies::Always
            | Applies::Matching { .. }
            | Applies::OnRequest
            | Applies::Never => None,
        };
        files.iter().filter_map(of).max()
    };
    let (nearest_text, nearest_rule) = (nearest(false), nearest(true));
    let is_about = |file: &Instruction| match &file.applies {
        Applies::Below { directory } => {
            let wanted = if file.kind == InstructionKind::Cursor { nearest_rule } else { nearest_text };
            wanted == Some(directory.len()) && path.starts_with(directory.as_str())
        }
        Applies::Matching { globs, directory } => {
            let below = if directory.is_empty() {
                Some(path)
            } else {
                path.strip_prefix(directory.as_str()).and_then(|rest| rest.strip_prefix('/'))
            };
            below.is_some_and(|below| globs.iter().any(|glob| fits(glob, below)))
        }
        Applies::Always | Applies::OnRequest | Applies::Never => false,
    };
    files.iter().enumerate().filter(|(_, file)| is_about(file)).map(|(index, _)| index).collect()
}
