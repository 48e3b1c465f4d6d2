//! Workspaces that have only some directories of a large repository: what belongs to them, and that everything
//! else stays as it is.
//!
//! The sandbox has all objects, so an agent that needs more brings it in by itself (`git sparse-checkout add`).
//! What it leaves is put together with the rest of the tree when it is collected; and since nothing that runs
//! in a sandbox is to be believed, it is looked at here once more.

use std::collections::BTreeSet;

use cofferdam_domain::cone::{is_cone, is_inside};

use crate::{
    ChangeError, GitError, Mirror, ObjectId, Quarantine,
    objects::{self, ObjectKind},
};

/// Directories outside that evidence is given besides.
const MOST_BESIDES: usize = 200;

/// The pathspecs (gitglossary(7)) that leave out what belongs to cones.
pub(crate) fn leaving_out(cones: &[String]) -> Vec<String> {
    let mut specs = BTreeSet::new();
    for cone in cones {
        specs.insert(format!(":(top,exclude,literal){cone}"));
        specs.insert(":(top,exclude,glob)*".to_owned());
        let above = cone.match_indices('/').map(|(end, _)| &cone[..end]);
        specs.extend(above.map(|directory| format!(":(top,exclude,glob){directory}/*")));
    }
    specs.into_iter().collect()
}

impl Mirror {
    /// Those of the cones that are no directories in a tree.
    ///
    /// # Errors
    /// When git cannot be run.
    pub async fn lacking(&self, tree: &ObjectId, cones: &[String]) -> Result<Vec<String>, GitError> {
        let names: Vec<String> = cones.iter().map(|cone| format!("{tree}:{cone}")).collect();
        let found = objects::look_up(&self.git, &self.repository(), &names).await?;
        let is_there = |found: &Option<objects::ObjectInfo>| {
            found.as_ref().is_some_and(|info| info.kind == ObjectKind::Tree)
        };
        Ok(cones
            .iter()
            .zip(&found)
            .filter(|(_, found)| !is_there(found))
            .map(|(cone, _)| cone.clone())
            .collect())
    }
}

impl Quarantine {
    /// A file outside the cones that `base` has and `head` has not: no workspace with these cones leaves that behind.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn gone_outside(
        &self,
        base: &ObjectId,
        head: &ObjectId,
        cones: &[String],
    ) -> Result<Option<Vec<u8>>, ChangeError> {
        if cones.is_empty() {
            return Ok(None);
        }
        let entries = self.entries(base, head).await?;
        let mut gone =
            entries.into_iter().filter(|entry| entry.new.is_none() && !is_inside(cones, &entry.path));
        Ok(gone.next().map(|entry| entry.path))
    }

    /// The directories outside the cones in which files differ, so that tests can be given them besides; without those whose
    /// names could not be cones.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn changed_outside(
        &self,
        base: &ObjectId,
        head: &ObjectId,
        cones: &[String],
    ) -> Result<Vec<String>, ChangeError> {
        if cones.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries(base, head).await?;
        let outside = entries.iter().map(|entry| &entry.path).filter(|path| !is_inside(cones, path));
        let directories = outside.filter_map(|path| {
            let (directory, _) = std::str::from_utf8(path).ok()?.rsplit_once('/')?;
            is_cone(directory).then(|| directory.to_owned())
        });
        let directories: BTreeSet<String> = directories.collect();
        Ok(directories.into_iter().take(MOST_BESIDES).collect())
    }
}
