//! Looking for a text.
//!
//! What many sessions have is found among the newest ones, sooner than by an index: so a search begins there, and goes on like that for as long as
//! it pays. The index is asked for what is rare among them.

use std::collections::BTreeSet;

use cofferdam_domain::{OrgId, SessionId};
use sqlx::AssertSqlSafe;

use super::{fill::TAIL, words::Sought};
use crate::{
    SessionFilter, StoreError,
    log::listing::{self, conditions, passes},
    sql::{Origin, Readers, Row, Value},
};

/// How many sessions are looked at for a page at least, where there are so many, before it ends with what was found.
pub const LOOKED_THROUGH: u32 = 5000;

/// Sessions whose texts are read at once.
const READ: u32 = 256;

/// Where fewer than one session in so many is found, the index is asked: to look at one by the index takes as long as to look through several.
const OFTEN: usize = 8;

/// After every id, as text.
const END: &str = "~";

/// A page of what was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The newest first.
    pub(crate) sessions: Vec<SessionId>,
    /// Where the next page begins, if there may be one.
    pub(crate) next: Option<SessionId>,
    /// Whether there is enough in the tail to make blocks of.
    pub(crate) is_loose: bool,
}

/// Looks for the sessions that pass a filter and have a text, the newest first.
pub(crate) async fn find(readers: &Readers, filter: &SessionFilter, text: &str) -> Result<Found, StoreError> {
    let sought = Sought::new(text);
    let limit = listing::limit(filter) as usize;
    let mut search = Search { readers, filter: filter.clone(), sought, limit, is_loose: false };
    let seen = if search.sought.is_nowhere() { Seen::default() } else { search.best().await? };
    let Seen { found, down_to } = seen;
    let all = found.into_iter().rev().filter(|session| down_to.is_none_or(|down_to| *session >= down_to));
    let mut sessions: Vec<SessionId> = all.take(limit + 1).collect();
    let next = if sessions.len() > limit {
        sessions.truncate(limit);
        sessions.last().copied()
    } else {
        down_to
    };
    Ok(Found { sessions, next, is_loose: search.is_loose })
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) found: BTreeSet<SessionId>,
    /// All that fit are found down to this one; `None` where there is nothing left to look at.
    pub(super) down_to: Option<SessionId>,
}

impl Seen {
    fn reaches_further(&self, than: &Self) -> bool {
        match (self.down_to, than.down_to) {
            (None, Some(_)) => true,
            (Some(here), Some(there)) => here < there,
            (_, None) => false,
        }
    }

    /// Whether more than a page was found among the newer ones.
    pub(super) fn is_enough(&self, limit: usize, newer_than: SessionId) -> bool {
        self.found.iter().rev().take_while(|session| **session > newer_than).take(limit + 1).count() > limit
    }

    /// Whether this is all, or more than a page.
    fn is_whole(&self, limit: usize) -> bool {
        self.down_to.is_none_or(|down_to| {
            self.is_enough(limit, SessionId::from_u128(down_to.as_u128().saturating_sub(1)))
        })
    }
}

pub(super) struct Search<'s> {
    pub(super) readers: &'s Readers,
    /// What is still to be looked at.
    pub(super) filter: SessionFilter,
    pub(super) sought: Sought,
    pub(super) limit: usize,
    is_loose: bool,
}

impl Search<'_> {
    async fn best(&mut self) -> Result<Seen, StoreError> {
        let Some(org) = self.filter.org.filter(|_| !self.sought.is_everywhere()) else {
            return self.without_index(BTreeSet::new()).await;
        };
        let newest = self.among_newest(org).await?;
        if newest.is_whole(self.limit) {
            return Ok(newest);
        }
        self.filter.before = newest.down_to;
        let seen = self.in_index(org, newest.found.clone()).await?;
        if seen.is_whole(self.limit) {
            return Ok(seen);
        }
        // Many have the text and few of them pass the filter, or there are no blocks yet: looking at all that pass may lead further.
        let other = self.without_index(newest.found).await?;
        Ok(if other.reaches_further(&seen) { other } else { seen })
    }

    /// Looks through the newest sessions, for as long as many of them are found.
    async fn among_newest(&self, org: OrgId) -> Result<Seen, StoreError> {
        let (mut seen, mut looked, mut before) = (Seen::default(), 0, self.before());
        loop {
            let (statement, named) = newest_statement(&self.filter, org, &before);
            let rows = self.readers.all(AssertSqlSafe(statement), &named).await?;
            let sessions = self.look_through(&rows, &mut seen.found)?;
            looked += rows.len();
            seen.down_to = sessions.last().copied().filter(|_| rows.len() >= READ as usize);
            let Some(last) = seen.down_to else { return Ok(seen) };
            let is_rare = seen.found.len().saturating_mul(OFTEN) < looked;
            if is_rare || looked >= LOOKED_THROUGH as usize || seen.is_whole(self.limit) {
                return Ok(seen);
            }
            before = last.to_string();
        }
    }

    async fn in_index(&mut self, org: OrgId, found: BTreeSet<SessionId>) -> Result<Seen, StoreError> {
        // The tail first: what goes from there into a block meanwhile is found in one of them, or in both.
        let mut seen = self.in_tail(org, found).await?;
        let down_to = self.in_blocks(org, &mut seen).await?;
        seen.down_to = seen.down_to.max(down_to);
        Ok(seen)
    }

    async fn in_tail(&mut self, org: OrgId, found: BTreeSet<SessionId>) -> Result<Seen, StoreError> {
        let mut seen = Seen { found, down_to: None };
        let (mut before, mut looked) = (self.before(), 0);
        loop {
            let (statement, named) = tail_statement(&self.filter, org, &before);
            let rows = self.readers.all(AssertSqlSafe(statement), &named).await?;
            let sessions = self.look_through(&rows, &mut seen.found)?;
            looked += u32::try_from(rows.len()).unwrap_or(TAIL);
            self.is_loose |= looked >= TAIL;
            let Some(last) = sessions.last().filter(|_| rows.len() >= TAIL as usize) else { return Ok(seen) };
            if looked >= LOOKED_THROUGH || seen.is_enough(self.limit, *last) {
                seen.down_to = Some(*last);
                return Ok(seen);
            }
            before = last.to_string();
        }
    }

    /// Looks through the newest sessions that pass the filter, without the index.
    async fn without_index(&self, found: BTreeSet<SessionId>) -> Result<Seen, StoreError> {
        let SessionFilter { parent, subagents, .. } = self.filter;
        // That others' workers are not listed is in no index: how far is looked does not depend on it.
        let mut all = SessionFilter { subagents: true, ..self.filter.clone() };
        let (mut seen, mut looked) = (Seen { found, down_to: None }, 0);
        loop {
            let (conditions, values) = conditions(&all);
            let text = format!(
                "SELECT s.id, s.title, s.repository, s.parent FROM sessions s {conditions} ORDER BY s.id DESC LIMIT {READ}"
            );
            let rows = self.readers.all(AssertSqlSafe(text), &values).await?;
            looked += u32::try_from(rows.len()).unwrap_or(READ);
            for row in &rows {
                let fits = || -> sqlx::Result<bool> {
                    let shown = subagents || parent.is_some() || row.text_or_null("parent")?.is_none();
                    Ok(shown && self.has_it(row)?)
                };
                if fits().map_err(Origin::unreadable)? {
                    seen.found.insert(row.parsed("id").map_err(Origin::unreadable)?);
                }
            }
            let sessions = ids(&rows, "id")?;
            let Some(last) = sessions.last().filter(|_| rows.len() >= READ as usize) else { return Ok(seen) };
            if looked >= LOOKED_THROUGH || seen.is_enough(self.limit, *last) {
                seen.down_to = Some(*last);
                return Ok(seen);
            }
            all.before = Some(*last);
        }
    }

    /// Takes up those of some rows that pass and have the text; says which sessions the rows are.
    pub(super) fn look_through(
        &self,
        rows: &[Row],
        found: &mut BTreeSet<SessionId>,
    ) -> Result<Vec<SessionId>, StoreError> {
        let sessions = ids(rows, "id")?;
        for (row, session) in rows.iter().zip(&sessions) {
            let fits = || -> sqlx::Result<bool> { Ok(row.is("passes")? && self.has_it(row)?) };
            if fits().map_err(Origin::unreadable)? {
                found.insert(*session);
            }
        }
        Ok(sessions)
    }

    fn has_it(&self, row: &Row) -> sqlx::Result<bool> {
        Ok(self.sought.is_in([&row.text("title")?, &row.text("repository")?]))
    }

    pub(super) fn before(&self) -> String {
        self.filter.before.map_or_else(|| END.to_owned(), |before| before.to_string())
    }
}

fn ids(rows: &[Row], column: &str) -> Result<Vec<SessionId>, StoreError> {
    rows.iter().map(|row| row.parsed(column)).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

/// What is read of a session, and whether it passes the filter; the values up to there.
pub(super) fn looked_at(filter: &SessionFilter) -> (String, Vec<Value>) {
    let (passes, values) = passes(filter);
    (format!("s.id, s.title, s.repository, {passes}"), values)
}

/// The newest sessions of an organisation, whether they pass the filter or not: how many rows are read does not depend on it.
fn newest_statement(filter: &SessionFilter, org: OrgId, before: &str) -> (String, Vec<Value>) {
    let (columns, mut values) = looked_at(filter);
    let place = values.len();
    values.extend([Value::from(org), before.into()]);
    let text = format!(
        "SELECT {columns} FROM sessions s WHERE s.forgotten = 0 AND s.org = ${} AND s.id < ${} ORDER BY s.id DESC LIMIT {READ}",
        place + 1,
        place + 2
    );
    (text, values)
}

/// The newest sessions of the tail, whether they pass the filter or not.
fn tail_statement(filter: &SessionFilter, org: OrgId, before: &str) -> (String, Vec<Value>) {
    let (columns, mut values) = looked_at(filter);
    let place = values.len();
    values.extend([Value::from(org), before.into()]);
    let tail = format!(
        "SELECT session FROM search_tail WHERE org = ${} AND session < ${} ORDER BY session DESC LIMIT {TAIL}",
        place + 1,
        place + 2
    );
    let text = format!(
        "SELECT {columns} FROM ({tail}) AS t CROSS JOIN sessions s WHERE s.id = t.session ORDER BY t.session DESC"
    );
    (text, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::plan;

    #[tokio::test]
    async fn texts_are_read_in_order_from_an_index() {
        let org = OrgId::from_u128(1);
        let ours = SessionFilter { org: Some(org), archived: Some(false), ..SessionFilter::default() };
        for (statement, lines) in [
            (newest_statement(&ours, org, END).0, &["s USING INDEX sessions_by_org (org=? AND id<?)"][..]),
            (
                tail_statement(&ours, org, END).0,
                &["search_tail USING PRIMARY KEY (org=? AND session<?)", "s USING PRIMARY KEY (id=?)"],
            ),
        ] {
            let plan = plan(&statement).await;
            let searches: Vec<&str> = plan.iter().filter_map(|line| line.strip_prefix("SEARCH ")).collect();
            assert_eq!(searches, lines, "{statement}: {plan:?}");
            let wasteful = |line: &String| line.starts_with("SCAN s") || line.contains("TEMP B-TREE");
            assert!(!plan.iter().any(wasteful), "{plan:?}");
        }
    }
}
