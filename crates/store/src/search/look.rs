//! Looking for a text.

use std::collections::BTreeSet;

use cofferdam_domain::{OrgId, SessionId};
use sqlx::AssertSqlSafe;

use super::{BLOCK, NAMED, fill::TAIL, listed, words::Sought};
use crate::{
    SessionFilter, StoreError,
    log::listing::{self, conditions},
    sql::{Origin, Readers, Row, Value, values},
};

/// How many sessions are looked at for a page at least, where there are so many, before it ends with what was found.
pub const LOOKED_THROUGH: u32 = 5000;

/// Rows of the tail, or of sessions without an index, that are read at once.
const READ: u32 = 256;

/// Blocks that are read at once.
const BLOCKS: u32 = 16;

/// Rows of a gram that are counted: what is rarer is asked for first.
const COUNTED: u32 = 64;

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
    let mut search = Search { readers, filter, sought, limit, is_loose: false };
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
struct Seen {
    found: BTreeSet<SessionId>,
    /// All that fit are found down to this one; `None` where there is nothing left to look at.
    down_to: Option<SessionId>,
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
    fn is_enough(&self, limit: usize, newer_than: SessionId) -> bool {
        self.found.iter().rev().take_while(|session| **session > newer_than).take(limit + 1).count() > limit
    }
}

struct Search<'s> {
    readers: &'s Readers,
    filter: &'s SessionFilter,
    sought: Sought,
    limit: usize,
    is_loose: bool,
}

impl Search<'_> {
    async fn best(&mut self) -> Result<Seen, StoreError> {
        let Some(org) = self.filter.org.filter(|_| !self.sought.is_everywhere()) else {
            return self.without_index().await;
        };
        let seen = self.in_index(org).await?;
        let Some(down_to) = seen.down_to else { return Ok(seen) };
        let below = SessionId::from_u128(down_to.as_u128().saturating_sub(1));
        if seen.is_enough(self.limit, below) {
            return Ok(seen);
        }
        // Many have the text and few of them pass the filter, or there are no blocks yet: looking at all that pass may lead further.
        let other = self.without_index().await?;
        Ok(if other.reaches_further(&seen) { other } else { seen })
    }

    async fn in_index(&mut self, org: OrgId) -> Result<Seen, StoreError> {
        // The tail first: what goes from there into a block meanwhile is found in one of them, or in both.
        let mut seen = self.in_tail(org).await?;
        let down_to = self.in_blocks(org, &mut seen.found).await?;
        seen.down_to = seen.down_to.max(down_to);
        Ok(seen)
    }

    async fn in_tail(&mut self, org: OrgId) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        let (mut before, mut looked) = (self.before(), 0);
        loop {
            let (statement, named) = tail_statement(self.filter, org, &before);
            let rows = self.readers.all(AssertSqlSafe(statement), &named).await?;
            let sessions = ids(&rows, "session")?;
            looked += u32::try_from(rows.len()).unwrap_or(READ);
            self.is_loose |= looked >= TAIL;
            for (row, session) in rows.iter().zip(&sessions) {
                let passes = row.text_or_null("id").map_err(Origin::unreadable)?.is_some();
                if passes && self.has_it(row).map_err(Origin::unreadable)? {
                    seen.found.insert(*session);
                }
            }
            let Some(last) = sessions.last().filter(|_| rows.len() >= READ as usize) else { return Ok(seen) };
            if looked >= LOOKED_THROUGH || seen.is_enough(self.limit, *last) {
                seen.down_to = Some(*last);
                return Ok(seen);
            }
            before = last.to_string();
        }
    }

    /// Looks through the blocks, the newest first. Returns down to where, if not to the end.
    async fn in_blocks(
        &self,
        org: OrgId,
        found: &mut BTreeSet<SessionId>,
    ) -> Result<Option<SessionId>, StoreError> {
        let mut seen = Seen { found: std::mem::take(found), down_to: None };
        let down_to = self.go_through_blocks(org, &mut seen).await;
        *found = seen.found;
        down_to
    }

    async fn go_through_blocks(&self, org: OrgId, seen: &mut Seen) -> Result<Option<SessionId>, StoreError> {
        let first = self.readers.first(FIRST_BLOCK, values![org, self.before()]).await?;
        let Some(mut next) = first.as_ref().map(bound).transpose().map_err(Origin::unreadable)? else {
            return Ok(None);
        };
        if seen.is_enough(self.limit, next.upto) {
            return Ok(Some(next.after()));
        }
        let Some(grams) = self.rarest_first(org).await? else { return Ok(None) };
        let statement = blocks_statement(grams.len());
        let (mut pending, mut looked) = (Vec::new(), 0);
        loop {
            let mut named = vec![Value::from(org), next.number.into()];
            named.extend(grams.iter().map(|gram| Value::from(*gram)));
            let rows = self.readers.all(AssertSqlSafe(statement.clone()), &named).await?;
            for (place, row) in rows.iter().enumerate().take(BLOCKS as usize) {
                let spots = spots(row, grams.len()).map_err(Origin::unreadable)?;
                looked += spots.len();
                pending.extend(spots);
                let below = rows.get(place + 1).map(bound).transpose().map_err(Origin::unreadable)?;
                if pending.len() < NAMED && below.is_some() {
                    continue;
                }
                self.look_in(&std::mem::take(&mut pending), &mut seen.found).await?;
                let Some(below) = below else { return Ok(None) };
                if looked >= LOOKED_THROUGH as usize || seen.is_enough(self.limit, below.upto) {
                    return Ok(Some(below.after()));
                }
            }
            match rows.get(BLOCKS as usize).map(bound).transpose().map_err(Origin::unreadable)? {
                Some(below) => next = below,
                None => return Ok(None),
            }
        }
    }

    /// The grams of the text, the rarest first; `None` where no block has one of them.
    async fn rarest_first(&self, org: OrgId) -> Result<Option<Vec<i64>>, StoreError> {
        let grams = self.sought.grams(org);
        let named: Vec<Value> = grams.iter().map(|gram| Value::from(*gram)).collect();
        let Some(row) = self.readers.first(AssertSqlSafe(counts_statement(grams.len())), &named).await?
        else {
            return Ok(None);
        };
        let counts: sqlx::Result<Vec<(u64, i64)>> = (0..)
            .zip(grams)
            .map(|(place, gram): (usize, i64)| Ok((row.count(&format!("n{place}"))?, gram)))
            .collect();
        let mut counts = counts.map_err(Origin::unreadable)?;
        counts.sort_unstable();
        let is_missing = counts.iter().any(|(count, _)| *count == 0);
        Ok((!is_missing).then(|| counts.into_iter().map(|(_, gram)| gram).collect()))
    }

    /// Looks at the sessions in these places.
    async fn look_in(&self, spots: &[i64], found: &mut BTreeSet<SessionId>) -> Result<(), StoreError> {
        for some in spots.chunks(NAMED) {
            let (list, named) = listed(some.iter().map(|spot| Value::from(*spot)), 0);
            let text = format!("SELECT session FROM search_spots WHERE spot IN {list}");
            let rows = self.readers.all(AssertSqlSafe(text), &named).await?;
            self.look_at(&ids(&rows, "session")?, found).await?;
        }
        Ok(())
    }

    /// Looks at these sessions.
    async fn look_at(
        &self,
        sessions: &[SessionId],
        found: &mut BTreeSet<SessionId>,
    ) -> Result<(), StoreError> {
        for some in sessions.chunks(NAMED) {
            let (statement, named) = look_statement(self.filter, some);
            for row in self.readers.all(AssertSqlSafe(statement), &named).await? {
                if self.has_it(&row).map_err(Origin::unreadable)? {
                    found.insert(row.parsed("id").map_err(Origin::unreadable)?);
                }
            }
        }
        Ok(())
    }

    /// Looks through the newest sessions that pass the filter, without the index.
    async fn without_index(&self) -> Result<Seen, StoreError> {
        let SessionFilter { parent, subagents, .. } = *self.filter;
        // That others' workers are not listed is in no index: how far is looked does not depend on it.
        let mut all = SessionFilter { subagents: true, ..self.filter.clone() };
        let (mut seen, mut looked) = (Seen::default(), 0);
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

    fn has_it(&self, row: &Row) -> sqlx::Result<bool> {
        Ok(self.sought.is_in([&row.text("title")?, &row.text("repository")?]))
    }

    fn before(&self) -> String {
        self.filter.before.map_or_else(|| END.to_owned(), |before| before.to_string())
    }
}

/// A block that is still to be looked at, and after which session no session in it or in one before it comes.
struct Bound {
    number: i64,
    upto: SessionId,
}

impl Bound {
    /// All that was looked at down to here is all there is.
    fn after(&self) -> SessionId {
        SessionId::from_u128(self.upto.as_u128().saturating_add(1))
    }
}

fn bound(row: &Row) -> sqlx::Result<Bound> {
    Ok(Bound { number: row.int("number")?, upto: row.parsed("upto")? })
}

fn ids(rows: &[Row], column: &str) -> Result<Vec<SessionId>, StoreError> {
    rows.iter().map(|row| row.parsed(column)).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

/// The places that are in the rows of all grams of a block, the newest first.
fn spots(row: &Row, grams: usize) -> sqlx::Result<Vec<i64>> {
    let first = row.int("number")?.saturating_mul(BLOCK.into());
    let mut places = row.bytes("p0")?;
    for gram in 1..grams {
        let others = row.bytes(&format!("p{gram}"))?;
        places.retain(|place| others.binary_search(place).is_ok());
    }
    Ok(places.into_iter().rev().map(|place| first + i64::from(place)).collect())
}

/// The newest sessions of the tail, with the texts of those that pass a filter.
fn tail_statement(filter: &SessionFilter, org: OrgId, before: &str) -> (String, Vec<Value>) {
    let (conditions, mut values) = conditions(filter);
    let (passes, place) = (conditions.replacen("WHERE", "AND", 1), values.len());
    values.extend([Value::from(org), before.into(), READ.into()]);
    let tail = format!(
        "SELECT session FROM search_tail WHERE org = ${} AND session < ${} ORDER BY session DESC LIMIT ${}",
        place + 1,
        place + 2,
        place + 3
    );
    let text = format!(
        "SELECT t.session, s.id, s.title, s.repository FROM ({tail}) AS t
         LEFT JOIN sessions s ON s.id = t.session {passes} ORDER BY t.session DESC"
    );
    (text, values)
}

const FIRST_BLOCK: &str =
    "SELECT number, upto FROM search_blocks WHERE org = $1 AND oldest < $2 ORDER BY number DESC LIMIT 1";

/// How many rows each gram has, as far as it is counted.
fn counts_statement(grams: usize) -> String {
    let counts: Vec<String> = (0..grams)
        .map(|gram| {
            let place = gram + 1;
            format!("(SELECT COUNT(*) FROM (SELECT 1 FROM search_grams WHERE gram = ${place} LIMIT {COUNTED}) AS c{gram}) AS n{gram}")
        })
        .collect();
    format!("SELECT {}", counts.join(", "))
}

/// The blocks that have rows of all grams, from a number on downwards. The joins are taken in this order, so that the rarest gram leads.
fn blocks_statement(grams: usize) -> String {
    let columns: Vec<String> = (0..grams).map(|gram| format!("g{gram}.places AS p{gram}")).collect();
    let tables: Vec<String> = (0..grams).map(|gram| format!("search_grams g{gram}")).collect();
    let mut text = format!(
        "SELECT b.number, b.upto, {} FROM {} CROSS JOIN search_blocks b WHERE g0.gram = $3 AND g0.block <= $2",
        columns.join(", "),
        tables.join(" CROSS JOIN ")
    );
    for gram in 1..grams {
        text.push_str(&format!(" AND g{gram}.gram = ${} AND g{gram}.block = g0.block", gram + 3));
    }
    text.push_str(&format!(
        " AND b.number = g0.block AND b.org = $1 ORDER BY g0.block DESC LIMIT {}",
        BLOCKS + 1
    ));
    text
}

/// Those of some sessions that pass a filter, with their texts.
fn look_statement(filter: &SessionFilter, sessions: &[SessionId]) -> (String, Vec<Value>) {
    let (conditions, mut values) = conditions(filter);
    let (list, named) = listed(sessions.iter().map(|session| (*session).into()), values.len());
    values.extend(named);
    (format!("SELECT s.id, s.title, s.repository FROM sessions s {conditions} AND s.id IN {list}"), values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::plan;

    #[tokio::test]
    async fn every_look_is_answered_from_an_index() {
        let ours = SessionFilter { org: Some(OrgId::from_u128(1)), ..SessionFilter::default() };
        let (look, _) = look_statement(&ours, &[SessionId::from_u128(1)]);
        let spots = format!("SELECT session FROM search_spots WHERE spot IN {}", listed([1_i64.into()], 0).0);
        for (statement, lines) in [
            (
                FIRST_BLOCK.to_owned(),
                &["search_blocks USING COVERING INDEX search_blocks_by_org (org=?)"][..],
            ),
            (
                blocks_statement(3),
                &[
                    "g0 USING PRIMARY KEY (gram=? AND block<?)",
                    "g1 USING PRIMARY KEY (gram=? AND block=?)",
                    "g2 USING PRIMARY KEY (gram=? AND block=?)",
                    "b USING INTEGER PRIMARY KEY (rowid=?)",
                ],
            ),
            (spots, &["search_spots USING INTEGER PRIMARY KEY (rowid=?)"]),
            (look, &["s USING INDEX sessions_by_org (org=? AND id=?)"]),
        ] {
            let plan = plan(&statement).await;
            assert_eq!(plan.len(), lines.len(), "{statement}: {plan:?}");
            for (line, part) in plan.iter().zip(lines) {
                assert_eq!(*line, format!("SEARCH {part}"), "{statement}: {plan:?}");
            }
        }
        let plan = plan(&tail_statement(&ours, OrgId::from_u128(1), END).0).await;
        let has = |part: &str| plan.iter().any(|line| line.contains(part));
        assert!(has("SEARCH search_tail USING PRIMARY KEY (org=? AND session<?)"), "{plan:?}");
        assert!(has("SEARCH s USING") && !has("SCAN s") && !has("SCAN search_tail"), "{plan:?}");
    }
}
