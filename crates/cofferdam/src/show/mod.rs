//! What people see of a session: its timeline, afterwards or live.

mod call;
mod live;
mod result;
mod timeline;

use cofferdam_domain::change::DiffStat;

pub(crate) use live::{JsonLines, LiveView};
pub(crate) use result::show_result;
pub(crate) use timeline::{Detail, Timeline};

/// A length of time for people: `350 ms`, `4.2 s`, `3 m 07 s`, `2 h 05 m`.
pub(crate) fn duration(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} m {:02} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {:02} m", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// The size of a change for people: `1 file, +3 −0`.
fn size(stat: DiffStat) -> String {
    format!("{}, +{} −{}", counted(stat.files.into(), "file"), stat.added, stat.removed)
}

/// A number of things for people: `1 step`, `2 steps`.
fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
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
        assert_eq!(
            [350, 4_210, 187_000, 7_500_000].map(duration),
            ["350 ms", "4.2 s", "3 m 07 s", "2 h 05 m"]
        );
        assert_eq!([812, 12_440, 3_190_000].map(tokens), ["812", "12.4k", "3.1M"]);
    }
}
