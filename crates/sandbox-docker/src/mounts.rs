//! What a container has mounted: overlays that the engine makes of the sandbox's layers, and paths of the host to be read.

use std::{
    collections::HashMap,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use bollard::models::{
    ContainerCreateBody, Mount, MountBindOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};
use cofferdam_sandbox::{ReadOnly, SandboxError, Stacked};

/// The kernel takes the options of a mount on one page (mount(2)), and the engine adds a few of its own.
const LONGEST: usize = 3800;

/// An overlay at `target`, of read-only layers (lowest first) and a session's own above them. The engine makes it when it starts the container
/// and unmounts it when that has ended: it is a volume without a name, which goes with its container.
pub(crate) fn overlay(target: &str, lower: &[PathBuf], own: &Stacked) -> Result<Mount, SandboxError> {
    let layers: Vec<&Path> = lower.iter().chain(&own.lower).map(PathBuf::as_path).collect();
    if layers.is_empty() {
        return bind(&own.upper, Path::new(target), Access::Written);
    }
    // The kernel wants the uppermost first.
    let lower = layers.iter().rev().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?.join(":");
    let (upper, work) = (text(&own.upper)?, text(&own.work)?);
    // As the native driver has them, so that one can go on where the other has ended.
    let options = format!("nosuid,nodev,userxattr,lowerdir={lower},upperdir={upper},workdir={work}");
    if options.len() > LONGEST {
        return Err(refused(&format!(
            "stack {} layers at {target}: their names are longer than the {LONGEST} bytes that a mount takes; squash the \
             layer, or use a data directory with a shorter path",
            layers.len()
        )));
    }
    let options = [("type", "overlay"), ("device", "overlay"), ("o", options.as_str())];
    let options: HashMap<String, String> =
        options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let config = MountVolumeOptionsDriverConfig { name: Some("local".to_owned()), options: Some(options) };
    let volume = MountVolumeOptions {
        // Nothing of the image is copied to it.
        no_copy: Some(true),
        driver_config: Some(config),
        ..MountVolumeOptions::default()
    };
    Ok(Mount {
        target: Some(target.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(volume),
        ..Mount::default()
    })
}

/// How many volumes a container is to have, all of which are overlays.
pub(crate) fn volumes(body: &ContainerCreateBody) -> usize {
    let mounts = body.host_config.iter().flat_map(|host| host.mounts.iter().flatten());
    mounts.filter(|mount| mount.typ == Some(MountType::VOLUME)).count()
}

/// What may be done with a path of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Written,
}

/// A path of the host.
pub(crate) fn bind(host: &Path, inside: &Path, access: Access) -> Result<Mount, SandboxError> {
    Ok(Mount {
        source: Some(text(host)?.to_owned()),
        target: Some(text(inside)?.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(access == Access::Read),
        // A path that is missing is an error, not an empty directory.
        bind_options: Some(MountBindOptions { create_mountpoint: None, ..MountBindOptions::default() }),
        ..Mount::default()
    })
}

/// What a specification names to be read.
pub(crate) fn read_only(paths: &[ReadOnly]) -> Result<Vec<Mount>, SandboxError> {
    let mount = |path: &ReadOnly| {
        found(&path.host)?;
        bind(&path.host, &path.inside, Access::Read)
    };
    paths.iter().map(mount).collect()
}

/// Refuses layers that are not there, or in which the sandbox could change nothing: an engine cannot show files as another owner's, and what
/// does not belong to `owner` is read-only to it.
pub(crate) fn check(lower: &[PathBuf], owner: u32) -> Result<(), SandboxError> {
    for path in lower {
        let layer = found(path)?;
        if !layer.is_dir() {
            return Err(refused(&format!("use the layer {}: it is not a directory", path.display())));
        }
        if layer.uid() != owner {
            return Err(SandboxError::Host {
                missing: format!(
                    "{} belongs to user {}, and files of containers must belong to user {owner}",
                    path.display(),
                    layer.uid()
                ),
                remedy: format!(
                    "Give a copy of it to that user (`chown -R {owner}`), or use the native driver, which needs no copy"
                ),
            });
        }
    }
    Ok(())
}

fn found(path: &Path) -> Result<Metadata, SandboxError> {
    path.metadata()
        .map_err(|source| SandboxError::Setup { step: format!("find the layer {}", path.display()), source })
}

/// A path as engine and kernel take it: absolute and plain, and without what separates paths and options.
fn text(path: &Path) -> Result<&str, SandboxError> {
    let plain = path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let text = path.to_str().filter(|text| plain && !text.contains([',', ':', '\\', '"', '\n', '\0']));
    text.ok_or_else(|| {
        refused(&format!(
            "mount {}: a container engine takes absolute paths without `..`, commas, colons, quotes and backslashes",
            path.display()
        ))
    })
}

fn refused(step: &str) -> SandboxError {
    SandboxError::Setup { step: step.to_owned(), source: io::ErrorKind::InvalidInput.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(frozen: usize) -> Stacked {
        let lower = (0..frozen).map(|number| format!("/data/{number}/upper").into()).collect();
        Stacked { lower, upper: "/data/top/upper".into(), work: "/data/top/work".into() }
    }

    fn options(mount: &Mount) -> String {
        let volume = mount.volume_options.clone().unwrap();
        volume.driver_config.unwrap().options.unwrap()["o"].clone()
    }

    #[test]
    fn the_uppermost_layer_comes_first() {
        let mount = overlay("/workspace", &["/base".into(), "/more".into()], &own(2)).unwrap();
        assert_eq!(
            options(&mount),
            "nosuid,nodev,userxattr,lowerdir=/data/1/upper:/data/0/upper:/more:/base,upperdir=/data/top/upper,workdir=/data/top/work"
        );
        assert_eq!((mount.typ, mount.source), (Some(MountType::VOLUME), None));
    }

    #[test]
    fn without_layers_there_is_just_the_own_one() {
        let mount = overlay("/home/agent", &[], &own(0)).unwrap();
        assert_eq!(mount.source.as_deref(), Some("/data/top/upper"));
        assert_eq!((mount.typ, mount.read_only), (Some(MountType::BIND), Some(false)));
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for path in ["/a,b", "/a:b", "/a\\b", "relative", "/a/../b", "/a\"b"] {
            let refused = overlay("/workspace", &[path.into()], &own(0)).unwrap_err();
            assert!(refused.to_string().contains(path), "{refused}");
        }
        let many: Vec<PathBuf> =
            (0..200).map(|number| format!("/var/lib/cofferdam/layers/{number}").into()).collect();
        let refused = overlay("/workspace", &many, &own(0)).unwrap_err();
        assert!(refused.to_string().contains("squash"), "{refused}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let place = tempfile::tempdir().unwrap();
        let (directory, own) = (place.path().to_owned(), place.path().metadata().unwrap().uid());
        check(std::slice::from_ref(&directory), own).unwrap();
        for (path, owner, words) in [
            ("/no/such/layer".into(), own, "/no/such/layer".to_owned()),
            ("/proc/self/status".into(), own, "not a directory".to_owned()),
            (directory, own + 1, format!("chown -R {}", own + 1)),
        ] {
            let refused = check(&[path], owner).unwrap_err().to_string();
            assert!(refused.contains(&words), "{refused}");
        }
    }
}
