//! What people see of a session: its timeline, afterwards or live.

mod call;
mod egress;
mod interaction;
mod live;
mod outside;
mod result;
mod timeline;

use cofferdam_domain::{amount::counted, change::DiffStat};

pub(crate) use live::{JsonLines, LiveView};
pub(crate) use result::show_result;
pub(crate) use timeline::{Detail, Timeline};

/// The size of a change for people: `1 file, +3 −0`.
fn size(stat: DiffStat) -> String {
    format!("{}, +{} −{}", counted(stat.files, "file"), stat.added, stat.removed)
}

/// A number of tokens for people: `812`, `12.4k`, `3.1M`.
pub(crate) fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{}.{}k", count / 1_000, count % 1_000 / 100),
        _ => format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        assert_eq!([812, 12_440, 3_190_000].map(tokens), ["812", "12.4k", "3.1M"]);
    }
}
