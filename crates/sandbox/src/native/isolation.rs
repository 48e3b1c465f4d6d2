//! How strictly the walls of a sandbox must stand, and what was found when they were tried.

use std::sync::{Arc, OnceLock};

use cofferdam_hand::protocol::{
    message::{Profile, ReplyBody, RequestBody, Tested},
    zygote::{Ids, Owner},
};
use tokio::sync::OnceCell;

use super::{
    connection::{ANSWER, Connection, wrong_reply},
    owner,
};
use crate::{SandboxError, System};

/// How strictly the walls of a sandbox must stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Every wall that this version of Cofferdam knows is there; where that is not possible, there is no sandbox.
    #[default]
    Full,
    /// A host without Landlock, or without user ids for each sandbox, will do. Namespaces, the system call filter and the rest of the
    /// self-test are never done without.
    WeakerAllowed,
}

/// The walls that this host lets sandboxes have.
#[derive(Debug)]
pub(super) struct Walls {
    level: IsolationLevel,
    ids: Ids,
    landlock: u32,
    /// That a layer was on a filesystem that cannot show its files as belonging to a block.
    sharing: OnceLock<()>,
    /// How many probes have passed, for each kind of system.
    tested: [OnceCell<u32>; 2],
}

impl Walls {
    /// Refuses a host that lacks some, unless that is permitted.
    pub(super) fn new(level: IsolationLevel, ids: Ids, landlock: u32) -> Result<Self, SandboxError> {
        if level == IsolationLevel::Full && landlock == 0 {
            return Err(missing(
                "its kernel has no Landlock",
                "Boot with `lsm=…,landlock` (see `cat /sys/kernel/security/lsm`)",
            ));
        }
        if level == IsolationLevel::Full
            && matches!(ids, Ids::Shared(_))
            && rustix::process::geteuid().is_root()
        {
            return Err(missing(
                "sandboxes cannot have user ids of their own: too few are mapped here, or Linux is older than 5.19",
                "Give the container more ids (a `uid_map` of 65536), use a later kernel, or run cofferdam as an ordinary user",
            ));
        }
        Ok(Self {
            level,
            ids,
            landlock,
            sharing: OnceLock::new(),
            tested: [OnceCell::new(), OnceCell::new()],
        })
    }

    /// Whether sandboxes are to do without ids of their own.
    pub(super) fn share(&self) -> bool {
        self.sharing.get().is_some()
    }

    /// Decides what to do about a layer whose files cannot be shown as belonging to a block: try again without, or nothing.
    pub(super) fn cannot_show(
        &self,
        layer: &std::path::Path,
        source: &std::io::Error,
    ) -> Result<(), SandboxError> {
        match self.level {
            IsolationLevel::WeakerAllowed => {
                self.sharing.get_or_init(|| ());
                Ok(())
            }
            IsolationLevel::Full => Err(missing(
                &format!("the filesystem of {} cannot map owners ({source})", layer.display()),
                if source.kind() == std::io::ErrorKind::PermissionDenied {
                    // It belongs to another user namespace, and its owner's permission cannot be had (mount_setattr(2)).
                    owner::AS_ITSELF
                } else {
                    "Put the data directory on ext4, XFS or Btrfs and use Linux 5.19 or later"
                },
            )),
        }
    }

    /// The agent, as the owner of files on disk.
    pub(super) const fn owner(&self) -> Owner {
        owner::on_disk(self.ids)
    }

    /// Root of a sandbox, as the owner of files on disk.
    ///
    /// # Errors
    /// When there can be none.
    pub(super) fn root(&self) -> Result<Owner, SandboxError> {
        owner::root_on_disk(self.ids).filter(|_| !self.share()).ok_or_else(|| SandboxError::Host {
            missing: "a sandbox with a root needs 65536 user ids of its own".to_owned(),
            remedy: "Run cofferdam as root, on the host or in a container with that many to spare, or leave the system read-only".to_owned(),
        })
    }

    /// The walls in words.
    pub(super) fn in_words(&self) -> String {
        let landlock = match self.landlock {
            0 => "Landlock: none (weaker)".to_owned(),
            version => format!("Landlock {version}"),
        };
        format!("{}; {landlock}; system call filter", owner::in_words(self.ids, self.share()))
    }

    /// Has the first sandbox of each kind try its walls, before any command; gives how many probes have passed.
    ///
    /// # Errors
    /// When something is possible inside that must not be; names it.
    pub(super) async fn test(
        &self,
        system: System,
        connection: &Arc<Connection>,
    ) -> Result<u32, SandboxError> {
        let [read_only, writable] = &self.tested;
        let tested = match system {
            System::ReadOnly => read_only,
            System::Writable => writable,
        };
        let profile = Profile { landlock: self.landlock > 0, own_users: true, own_kernel: false };
        tested.get_or_try_init(|| try_walls(connection, profile)).await.copied()
    }

    /// What the self-test has found in sandboxes with a read-only system, once it has been done.
    pub(super) fn passed(&self) -> Option<u32> {
        self.tested[0].get().copied()
    }
}

/// Has a sandbox try its walls; gives how many probes have passed.
///
/// # Errors
/// As [`Walls::test`].
pub(super) async fn try_walls(connection: &Arc<Connection>, profile: Profile) -> Result<u32, SandboxError> {
    let reply = connection.ask(RequestBody::SelfTest(profile), &[], ANSWER).await?;
    let ReplyBody::Tested(Tested { passed, failed }) = reply else { return Err(wrong_reply(connection)) };
    match failed {
        None => Ok(passed),
        Some(probe) => Err(SandboxError::Host {
            missing: format!("the self-test in a sandbox failed after {passed} probes: {}", probe.as_str()),
            remedy: "Do not run anything in it; report this with the kernel's version".to_owned(),
        }),
    }
}

fn missing(what: &str, remedy: &str) -> SandboxError {
    SandboxError::Host {
        missing: what.to_owned(),
        remedy: format!("{remedy}; or accept less with `isolation = \"weaker\"` in the [sandbox] table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_landlock_is_refused_unless_less_is_accepted() {
        let ids = owner::choose().unwrap();
        let Err(SandboxError::Host { missing, remedy }) = Walls::new(IsolationLevel::Full, ids, 0) else {
            panic!("no Landlock, and no error")
        };
        assert!(
            missing.contains("Landlock") && remedy.contains("isolation = \"weaker\""),
            "{missing} {remedy}"
        );
        let weaker = Walls::new(IsolationLevel::WeakerAllowed, ids, 0).unwrap();
        assert!(weaker.in_words().contains("Landlock: none"));
        assert!(Walls::new(IsolationLevel::Full, ids, 1).unwrap().in_words().contains("Landlock 1"));
    }

    #[test]
    fn a_layer_that_cannot_be_shown_is_refused_unless_less_is_accepted() {
        let ids = owner::choose().unwrap();
        let (place, error) = (std::path::Path::new("/layer"), std::io::Error::from_raw_os_error(22));
        let full = Walls::new(IsolationLevel::Full, ids, 1).unwrap();
        let refused = full.cannot_show(place, &error).unwrap_err().to_string();
        assert!(refused.contains("/layer") && refused.contains("weaker"), "{refused}");
        assert!(!full.share());
        let weaker = Walls::new(IsolationLevel::WeakerAllowed, ids, 1).unwrap();
        weaker.cannot_show(place, &error).unwrap();
        assert!(weaker.share() && weaker.root().is_err());
    }
}
