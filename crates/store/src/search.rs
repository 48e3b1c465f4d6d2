//! Finding sessions by a text in their title or their repository's name, however many there are.
//!
//! What matches: the text anywhere in one of the two, in whatever case (Unicode's full case folding, character by character; accents count, and
//! composed letters are others than decomposed ones). The databases have nothing for this that both of them always have, so the index is made of
//! plain tables. Each text is known by its grams: all runs of one, two and three characters. 256 sessions of an organisation are a block, in
//! which each session has a place that fits into a byte; a row for each gram of a block holds the places of the sessions that have it. A search
//! reads the rows of a few grams, the rarest first, block after block, the newest first, and looks at the texts of the sessions that have them
//! all, so that what it finds does not depend on hashes. Before that it looks through the newest sessions, and for what many have it goes on
//! like that: an index would only be in the way.
//!
//! A new session costs one short row: it is in the tail, which a search reads as texts, until the tail is long enough for a block to be made of
//! its oldest half ([`fill`]). So the index is small, and making it costs no task anything while it is accepted. A session that is forgotten
//! leaves its place and all rows that name it ([`fill::remove`]).
//!
//! A search for a text that many have beside a filter that few pass ends after so many looked at ([`look::LOOKED_THROUGH`]) and says where to go
//! on; it never finds less than looking through so many sessions, the newest first, would have.

mod blocks;
pub(crate) mod fill;
pub(crate) mod look;
mod words;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use cofferdam_domain::OrgId;

use crate::sql::{Database, Value};

/// Sessions of a block. A place in it is a byte.
const BLOCK: u32 = 256;

/// Sessions or grams named in one statement, whose text is then always the same.
pub(crate) const NAMED: usize = 64;

/// Makes blocks in the background, when there is something to make them of.
#[derive(Debug, Clone)]
pub(crate) struct Filling<B> {
    base: B,
    /// Organisations for which somebody in this process does so now.
    busy: Arc<Mutex<BTreeSet<OrgId>>>,
    /// Sessions that this process has made.
    made: Arc<AtomicU32>,
}

impl<B: Database> Filling<B> {
    pub(crate) fn new(base: B) -> Self {
        Self { base, busy: Arc::default(), made: Arc::default() }
    }

    /// A session was made. So often it is seen to the organisation's blocks, whose turn comes the more often the more it makes.
    pub(crate) fn made(&self, org: OrgId) {
        if self.made.fetch_add(1, Ordering::Relaxed) % BLOCK == BLOCK - 1 {
            self.start(org);
        }
    }

    /// Makes blocks of what is in the tail, unless somebody does already. What fails is done another time.
    pub(crate) fn start(&self, org: OrgId) {
        if !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(org) {
            return;
        }
        let Self { base, busy, made: _ } = self.clone();
        tokio::spawn(async move {
            fill::all(&base, org, fill::Turn::Theirs).await.ok();
            busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&org);
        });
    }
}

/// What stands for these after `IN`, at most [`NAMED`] of them, and the parameters for it, which follow the first few.
pub(crate) fn listed(those: impl IntoIterator<Item = Value>, first: usize) -> (String, Vec<Value>) {
    any_of(those, first, NAMED)
}

/// The same for at most `most` of them. Where there are fewer, the last one is named again: the statement's text stays the same.
fn any_of(those: impl IntoIterator<Item = Value>, first: usize, most: usize) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = those.into_iter().take(most).collect();
    if let Some(last) = values.last().cloned() {
        values.resize(most, last);
    }
    let places: Vec<String> = (1..=values.len()).map(|place| format!("${}", first + place)).collect();
    (format!("({})", if places.is_empty() { "NULL".to_owned() } else { places.join(", ") }), values)
}
