//! Which user of the host a sandbox's processes and files belong to.

use std::{fs, io};

use cofferdam_hand::protocol::zygote::Owner;

/// Where systemd's and the distributions' ranges of user ids end and nothing else begins
/// (<https://systemd.io/UIDS-GIDS/>, "unused").
const PREFERRED: u32 = 1_900_000_000;
/// `nobody`, whom other things run as.
const NOBODY: u32 = 65534;

/// As an ordinary user that user; as root a user that nothing else on the host runs as.
pub(super) fn choose() -> io::Result<Owner> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if !uid.is_root() {
        return Ok(Owner { uid: uid.as_raw(), gid: gid.as_raw() });
    }
    let choose = |map: &str| {
        unused_id(&fs::read_to_string(map)?)
            .ok_or_else(|| io::Error::other("no user id but 0 is mapped here"))
    };
    Ok(Owner { uid: choose("/proc/self/uid_map")?, gid: choose("/proc/self/gid_map")? })
}

/// The preferred id, or, in a container that has not got it, the last id of the widest range that it has.
fn unused_id(map: &str) -> Option<u32> {
    let ranges = map.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (first, _outside, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((first.parse::<u32>().ok()?, count.parse::<u32>().ok()?))
    });
    let ranges: Vec<(u32, u32)> = ranges.collect();
    if ranges.iter().any(|(first, count)| (*first..first.saturating_add(*count)).contains(&PREFERRED)) {
        return Some(PREFERRED);
    }
    let (first, count) = ranges.into_iter().max_by_key(|(_, count)| *count)?;
    let last = first.saturating_add(count).checked_sub(1)?;
    let last = if last == NOBODY { last - 1 } else { last };
    (last != 0 && last >= first).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_range_has_the_preferred_id() {
        assert_eq!(unused_id("         0          0 4294967295\n"), Some(PREFERRED));
    }

    #[test]
    fn a_container_gives_its_last_id_but_never_nobody_or_root() {
        assert_eq!(unused_id("0 100000 65536\n"), Some(65535));
        assert_eq!(unused_id("0 100000 65535\n"), Some(65533));
        assert_eq!(unused_id("0 1000 1\n"), None);
        assert_eq!(unused_id("0 1000 1\n1 100000 65536\n"), Some(65536));
        assert_eq!(unused_id(""), None);
    }
}
