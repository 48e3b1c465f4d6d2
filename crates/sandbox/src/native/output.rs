//! Bounded collection of what a command prints.

use std::collections::VecDeque;

use crate::Output;

/// Keeps the first half and the last half of a bound; counts what falls out between them.
#[derive(Debug)]
pub(super) struct Bounded {
    half: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Bounded {
    pub(super) const fn new(limit: u64) -> Self {
        // A limit that no memory can hold is as good as none.
        let half = if limit / 2 > (usize::MAX / 4) as u64 { usize::MAX / 4 } else { (limit / 2) as usize };
        Self { half, head: Vec::new(), tail: VecDeque::new(), dropped: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.half - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // Only the end of a large piece can stay.
        let skipped = rest.len().saturating_sub(self.half);
        let over = (self.tail.len() + rest.len() - skipped).saturating_sub(self.half);
        self.tail.drain(..over);
        self.tail.extend(rest.iter().skip(skipped));
        self.dropped += (skipped + over) as u64;
    }

    /// Whether nothing has come since it was made or last taken.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty() && self.dropped == 0
    }

    /// A copy of what is kept.
    pub(super) fn output(&self) -> Output {
        let (front, back) = self.tail.as_slices();
        Output { head: self.head.clone(), dropped: self.dropped, tail: [front, back].concat() }
    }

    /// What is kept, after which nothing is.
    pub(super) fn take(&mut self) -> Output {
        let tail = std::mem::take(&mut self.tail).into();
        Output { head: std::mem::take(&mut self.head), dropped: std::mem::take(&mut self.dropped), tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_output_is_kept_whole() {
        let mut bounded = Bounded::new(10);
        bounded.push(b"abc");
        bounded.push(b"defg");
        assert_eq!(bounded.output(), Output { head: b"abcde".to_vec(), dropped: 0, tail: b"fg".to_vec() });
        assert_eq!(bounded.take().joined(), b"abcdefg");
        assert_eq!(bounded.output(), Output::default());
    }

    #[test]
    fn of_much_output_the_ends_are_kept() {
        for size in [1, 2, 3, 5, 7, 100] {
            let mut bounded = Bounded::new(8);
            let all: Vec<u8> = (0..100).collect();
            for piece in all.chunks(size) {
                bounded.push(piece);
            }
            let expected = Output { head: vec![0, 1, 2, 3], dropped: 92, tail: vec![96, 97, 98, 99] };
            assert_eq!(bounded.output(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_bound_of_nothing_keeps_nothing() {
        let mut bounded = Bounded::new(0);
        bounded.push(b"abc");
        assert_eq!(bounded.output(), Output { head: Vec::new(), dropped: 3, tail: Vec::new() });
    }
}
