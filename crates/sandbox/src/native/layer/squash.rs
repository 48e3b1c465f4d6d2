//! Squashing: the lowest frozen parts of a deep layer are merged into one, which is mounted in their place from then on.
//!
//! Each part that is mounted costs time whenever a file is looked for. The merged tree consists of links to the files of the parts, so it
//! takes next to no room; the parts themselves stay, so that every snapshot can still be gone back to. Sandboxes that run over the parts
//! notice nothing.

use std::{fs, path::PathBuf};

use super::{
    LayerStack,
    error::{LayerError, failed},
    make,
    merge::{self, BELOW},
    remove,
    stack::{self, Squashed, Stack},
    uppers,
};

/// More parts than this are squashed.
pub(super) const SQUASH_DEPTH: usize = 16;
/// So many of the newest are left as they are: they are what is changed and gone back to.
const LEFT: usize = 4;
/// What the names of merged parts begin with.
const MERGED: &str = "merged-";

impl LayerStack {
    /// Merges frozen parts if there are more than 16 to be mounted; says whether it did. Takes time in proportion to the files; a sandbox may
    /// run meanwhile.
    ///
    /// # Errors
    /// [`LayerError::Merge`] when a tree cannot be merged (it is deeper or larger than any real one), or the layer was changed meanwhile. It
    /// stays as it is then.
    pub fn squash(&self) -> Result<bool, LayerError> {
        let before = Stack::read(&self.path)?;
        if before.mounted().len() <= SQUASH_DEPTH {
            return Ok(false);
        }
        let parts = before.frozen.len().saturating_sub(LEFT);
        let directory = self.path.join(format!("{MERGED}{parts}-{}", before.number));
        make(&self.path, None)
            .and_then(|()| fs::create_dir(&directory))
            .map_err(failed("make a merged part"))?;
        let merged = self.merge_into(&before, parts, directory.clone());
        if merged.is_err() {
            // The first error tells more.
            remove::remove_all(&directory).ok();
        }
        merged.map(|()| true)
    }

    fn merge_into(&self, before: &Stack, parts: usize, directory: PathBuf) -> Result<(), LayerError> {
        let sources: Vec<PathBuf> =
            before.frozen.iter().take(parts).map(|part| part.directory.clone()).collect();
        let _locks = sources
            .iter()
            .map(|part| stack::lock_shared(part))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed("lock frozen parts"))?;
        merge_parts(&sources, &directory, &|| Stack::read(&self.path).is_ok_and(|now| now.id == before.id))?;
        let _changes = self.lock_changes()?;
        let now = Stack::read(&self.path)?;
        // Snapshots may have been added; those that were merged must still be there.
        if now.id != before.id
            || now.frozen.get(..parts) != before.frozen.get(..parts)
            || now.squashed != before.squashed
        {
            return Err(LayerError::Merge("it was changed meanwhile".to_owned()));
        }
        let mut after = now.clone();
        after.squashed = Some(Squashed { parts, directory });
        after.write()?;
        self.let_go(&now, &after);
        Ok(())
    }
}

/// Merges the workspaces, home directories and caches of parts, lowest first.
pub(super) fn merge_parts(
    parts: &[PathBuf],
    into: &std::path::Path,
    go_on: &dyn Fn() -> bool,
) -> Result<(), LayerError> {
    let mut places: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
    for part in parts {
        for (place, upper) in uppers(part).map_err(failed("read a frozen part"))? {
            match places.iter_mut().find(|(known, _)| *known == place) {
                Some((_, uppers)) => uppers.push(upper),
                None => places.push((place, vec![upper])),
            }
        }
    }
    for (place, uppers) in places {
        let target = into.join(&place);
        let skeleton = target.with_file_name(BELOW);
        make(&target, None).and_then(|()| make(&skeleton, None)).map_err(failed("make a merged part"))?;
        merge::like(uppers.last(), &target)?;
        merge::merge(&uppers, &target, &skeleton, go_on)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cofferdam_hand::protocol::zygote::Owner;

    use super::*;
    use crate::native::layer::{Layer, workspace_upper};

    #[test]
    fn a_layer_can_be_used_whenever_it_is_being_squashed() {
        let place = tempfile::tempdir().unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = Owner { uid, gid };
        for round in 0..10 {
            let path = place.path().join(round.to_string());
            let stack = LayerStack::at(&path);
            for number in 0..=SQUASH_DEPTH {
                drop(Layer::prepare(&path, owner).unwrap());
                fs::write(workspace_upper(&path).join(number.to_string()), "").unwrap();
                stack.snapshot().unwrap();
            }
            let squashing = std::thread::spawn(move || stack.squash());
            while !squashing.is_finished() {
                Layer::prepare(&path, owner).unwrap();
            }
            assert!(squashing.join().unwrap().unwrap(), "there was something to squash");
            assert!(!Layer::prepare(&path, owner).unwrap().is_too_deep());
        }
    }
}
