//! Counts and lengths of time in the words in which people read them, the same on the terminal, in a pull
//! request and in a tool's answer.

use std::time::Duration;

/// A number with its noun: `1 test`, `2 tests`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A length of time: `350 ms`, `4.2 s`, `3 m 07 s`, `2 h 05 m`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} m {:02} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {:02} m", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "test")), ["0 tests", "1 test", "2 tests"]);
        let shown = [350, 4_210, 187_000, 7_500_000].map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(shown, ["350 ms", "4.2 s", "3 m 07 s", "2 h 05 m"]);
    }
}
