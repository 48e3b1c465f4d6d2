//! Which users of the host sandboxes' processes and files belong to.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use cofferdam_hand::protocol::zygote::{Blocks, Ids, Owner, WHOLE_BLOCK};
use rustix::fs::OFlags;

use super::probe::version;
use crate::SandboxError;

/// The blocks of a host that has all ids. systemd and the distributions use nothing from 0x7000_0000 on, up to where files on disk belong
/// that are mapped when they are used: "foreign" ids, made for that (<https://systemd.io/UIDS-GIDS/>).
const FIRST: u32 = 0x7140_0000;
const FOREIGN: u32 = 0x7ffe_0000;
/// Single ids that are taken in a container that has no room for blocks.
const SINGLES: u32 = 1024;
/// The oldest kernel with overlays over layers whose owners are mapped.
const OLDEST_KERNEL: (u32, u32) = (5, 19);
/// `nobody`, whom other things run as.
const NOBODY: u32 = 65534;
/// Directories in which everybody on this machine finds the same file of locks.
const LOCK_PLACES: [&str; 2] = ["/run", "/var/lib"];

/// What to do where root is only that of a user namespace: it has ids to give away (newuidmap(1)), but may neither show the host's files as
/// theirs nor say to others which of them are in use.
pub(super) const AS_ITSELF: &str = "Run cofferdam as the host's root, or as an ordinary user without a user namespace around it: it makes its own";

/// As an ordinary user that user; as root users that nothing else on the host runs as, for each sandbox others.
pub(super) fn choose() -> io::Result<Ids> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if !uid.is_root() {
        return Ok(Ids::Shared(Owner { uid: uid.as_raw(), gid: gid.as_raw() }));
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let (users, groups) =
        (fs::read_to_string("/proc/self/uid_map")?, fs::read_to_string("/proc/self/gid_map")?);
    let ids = unused_ids(&common(&ranges(&users), &ranges(&groups)))
        .ok_or_else(|| io::Error::other("no user id but 0 is mapped here"))?;
    Ok(if version(&release) < OLDEST_KERNEL { Ids::Shared(on_disk(ids)) } else { ids })
}

/// The agent, as the owner of files on disk.
pub(super) const fn on_disk(ids: Ids) -> Owner {
    match ids {
        Ids::Shared(owner) => owner,
        Ids::Blocks(blocks) => blocks.agent_on_disk(),
    }
}

/// The root of sandboxes, as the owner of files on disk, if they have one.
pub(super) const fn root_on_disk(ids: Ids) -> Option<Owner> {
    match ids {
        Ids::Blocks(Blocks { size: WHOLE_BLOCK, disk, .. }) => Some(Owner { uid: disk, gid: disk }),
        Ids::Blocks(_) | Ids::Shared(_) => None,
    }
}

/// What sandboxes have, in words.
pub(super) fn in_words(ids: Ids, shared: bool) -> String {
    match ids {
        Ids::Blocks(_) if shared => "user ids: weak (one for all sandboxes)".to_owned(),
        Ids::Blocks(Blocks { size: 1, .. }) => "a user id of its own".to_owned(),
        Ids::Blocks(Blocks { size, .. }) => format!("{size} user ids of its own"),
        Ids::Shared(owner) if rustix::process::geteuid().is_root() => {
            format!("user ids: weak (all sandboxes are user {})", owner.uid)
        }
        Ids::Shared(owner) => format!("user id of its maker ({})", owner.uid),
    }
}

/// The file whose bytes are locked for blocks, the same one for all workers on this machine.
pub(super) fn lock_file() -> Result<File, SandboxError> {
    let open = |place: &str| -> io::Result<File> {
        let directory = Path::new(place).join("cofferdam");
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
        if directory.symlink_metadata()?.uid() != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits()).unwrap_or_default();
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(directory.join("user-ids"))
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in LOCK_PLACES {
        match open(place) {
            Ok(file) => return Ok(file),
            Err(error) => last = error,
        }
    }
    Err(SandboxError::Host {
        missing: format!(
            "neither of {} can hold a file with locks on user ids ({last})",
            LOCK_PLACES.join(" and ")
        ),
        remedy: format!("Let root write to one of them. {AS_ITSELF}"),
    })
}

fn ranges(map: &str) -> Vec<Range<u32>> {
    let ranges = map.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (first, _outside, count) = (fields.next()?, fields.next()?, fields.next()?);
        let (first, count) = (first.parse::<u32>().ok()?, count.parse::<u32>().ok()?);
        Some(first..first.saturating_add(count))
    });
    ranges.collect()
}

/// What is in both.
fn common(users: &[Range<u32>], groups: &[Range<u32>]) -> Vec<Range<u32>> {
    let pairs = users.iter().flat_map(|user| groups.iter().map(move |group| (user, group)));
    let both = pairs.map(|(user, group)| user.start.max(group.start)..user.end.min(group.end));
    both.filter(|range| !range.is_empty()).collect()
}

/// All that the host has, or, in a container, the end of its widest range: blocks, single ids, or at least one.
fn unused_ids(ranges: &[Range<u32>]) -> Option<Ids> {
    let has = |wanted: Range<u32>| {
        ranges.iter().any(|range| range.start <= wanted.start && wanted.end <= range.end)
    };
    if has(FIRST..FOREIGN + WHOLE_BLOCK) {
        let count = (FOREIGN - FIRST) / WHOLE_BLOCK;
        return Some(Ids::Blocks(Blocks { first: FIRST, count, size: WHOLE_BLOCK, disk: FOREIGN }));
    }
    let widest = ranges.iter().max_by_key(|range| range.end - range.start)?;
    // The first block of a container is its own users'.
    let spare = ((widest.end - widest.start) / WHOLE_BLOCK).saturating_sub(1);
    if let count @ 1.. = spare.saturating_sub(1) {
        let disk = widest.end - WHOLE_BLOCK;
        let first = disk - count * WHOLE_BLOCK;
        return Some(Ids::Blocks(Blocks { first, count, size: WHOLE_BLOCK, disk }));
    }
    let end = if widest.contains(&NOBODY) { NOBODY } else { widest.end };
    let free = end.saturating_sub(widest.start.max(1));
    let disk = end.checked_sub(1).filter(|_| free > 0)?;
    // Not below the ordinary users of a container.
    match free > 4 * SINGLES {
        true => Some(Ids::Blocks(Blocks { first: disk - SINGLES, count: SINGLES, size: 1, disk })),
        false => Some(Ids::Shared(Owner { uid: disk, gid: disk })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(map: &str) -> Option<Ids> {
        unused_ids(&ranges(map))
    }

    #[test]
    fn a_host_with_all_ids_has_thousands_of_blocks() {
        let Some(Ids::Blocks(blocks)) = chosen("         0          0 4294967295\n") else { panic!() };
        assert_eq!((blocks.size, blocks.disk), (WHOLE_BLOCK, FOREIGN));
        assert!(blocks.count > 3000);
        assert!(blocks.first + blocks.count * blocks.size <= blocks.disk, "files belong to none of them");
    }

    #[test]
    fn a_wide_container_has_some_blocks_at_its_end() {
        let wide = Blocks { first: 65536, count: 2, size: WHOLE_BLOCK, disk: 3 * 65536 };
        assert_eq!(chosen("0 100000 262144\n"), Some(Ids::Blocks(wide)));
        let single = Blocks { first: 64509, count: 1024, size: 1, disk: 65533 };
        assert_eq!(chosen("0 100000 65536\n"), Some(Ids::Blocks(single)));
        assert_eq!(
            chosen("0 100000 131072\n").map(|ids| matches!(ids, Ids::Blocks(Blocks { size: 1, .. }))),
            Some(true)
        );
    }

    #[test]
    fn a_narrow_container_has_one_id_and_never_root() {
        let shared = |id| Some(Ids::Shared(Owner { uid: id, gid: id }));
        assert_eq!(chosen("0 1000 1\n1 100000 100\n"), shared(100));
        assert_eq!(chosen("0 1000 2\n"), shared(1));
        assert_eq!(chosen("0 1000 1\n"), None);
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn users_and_groups_have_the_same_ids() {
        let (users, groups) = (ranges("0 0 1000\n"), ranges("0 1000 1\n500 5000 9000\n"));
        assert_eq!(common(&users, &groups), [0..1, 500..1000]);
    }
}
