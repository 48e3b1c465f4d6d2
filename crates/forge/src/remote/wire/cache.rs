//! Answers that are kept with their entity tags, so that a forge need not send again what has not changed (RFC 9110, section 13.1.2): GitHub
//! does not count such requests.

use std::{collections::VecDeque, sync::Arc};

use cofferdam_domain::Digest;
use reqwest::header::HeaderValue;
use url::Url;

/// Answers that are kept.
const MOST: usize = 512;
/// Their bytes.
const MOST_BYTES: usize = 16 << 20;
/// Bytes of the largest.
const LARGEST: usize = 1 << 20;

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) body: Arc<[u8]>,
    /// The pages beside it.
    pub(super) links: Links,
}

/// Where other pages of a list are.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    pub(super) next: Option<Url>,
    pub(super) prev: Option<Url>,
    pub(super) last: Option<Url>,
}

/// The latest answers, the one that was used last at the end.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: VecDeque<(Digest, HeaderValue, Answer)>,
    bytes: usize,
}

impl Cache {
    /// What was answered there last, with its tag.
    pub(super) fn get(&mut self, key: &Digest) -> Option<(HeaderValue, Answer)> {
        let place = self.answers.iter().position(|(kept, ..)| kept == key)?;
        let kept = self.answers.remove(place)?;
        let (tag, answer) = (kept.1.clone(), kept.2.clone());
        self.answers.push_back(kept);
        Some((tag, answer))
    }

    pub(super) fn put(&mut self, key: Digest, tag: HeaderValue, answer: Answer) {
        if let Some(place) = self.answers.iter().position(|(kept, ..)| *kept == key) {
            self.forget(place);
        }
        if answer.body.len() > LARGEST {
            return;
        }
        self.bytes += answer.body.len();
        self.answers.push_back((key, tag, answer));
        while self.answers.len() > MOST || self.bytes > MOST_BYTES {
            self.forget(0);
        }
    }

    fn forget(&mut self, place: usize) {
        if let Some((_, _, answer)) = self.answers.remove(place) {
            self.bytes -= answer.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(size: usize) -> Answer {
        Answer { body: vec![0; size].into(), links: Links::default() }
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let mut cache = Cache::default();
        let key = |number: usize| Digest::of(number.to_string().as_bytes());
        for number in 0..MOST {
            cache.put(key(number), HeaderValue::from_static("a"), answer(1));
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(MOST), HeaderValue::from_static("a"), answer(1));
        assert!(cache.get(&key(0)).is_some() && cache.get(&key(1)).is_none());
        cache.put(key(0), HeaderValue::from_static("b"), answer(LARGEST + 1));
        assert!(cache.get(&key(0)).is_none());
        for number in 0..40 {
            cache.put(key(number), HeaderValue::from_static("a"), answer(LARGEST));
            cache.put(key(number), HeaderValue::from_static("b"), answer(LARGEST));
        }
        assert_eq!((cache.bytes, cache.answers.len()), (MOST_BYTES, 16));
        assert_eq!(cache.get(&key(39)).unwrap().0, "b");
    }
}
