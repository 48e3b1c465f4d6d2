//! Looking for a text in blocks, by its grams.

use std::collections::BTreeSet;

use cofferdam_domain::{OrgId, SessionId};
use sqlx::AssertSqlSafe;

use super::{
    BLOCK, NAMED, listed,
    look::{LOOKED_THROUGH, Search, Seen, looked_at},
};
use crate::{
    SessionFilter, StoreError,
    sql::{Origin, Row, Value},
};

/// Blocks that are read at once: first so many, then twice as many, and so on until there are the most.
const FEW: u32 = 8;
const MANY: u32 = 64;

/// Rows of a gram that are counted: what is rarer is asked for first.
const COUNTED: u32 = 64;

/// A block that is still to be looked at.
struct Bound {
    number: i64,
    /// No session in it or in one before it is newer than this. Unknown where it is another organisation's: hashes can meet.
    upto: Option<SessionId>,
}

impl Bound {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let read = || -> sqlx::Result<Self> {
            Ok(Self { number: row.int("number")?, upto: row.parsed_or_null("upto")? })
        };
        read().map_err(Origin::unreadable)
    }
}

/// All that was looked at is all there is down to here, if what is left is not newer than `upto`.
fn after(upto: SessionId) -> SessionId {
    SessionId::from_u128(upto.as_u128().saturating_add(1))
}

impl Search<'_> {
    /// Looks through the blocks, the newest first. Returns down to where, if not to the end.
    pub(super) async fn in_blocks(
        &self,
        org: OrgId,
        seen: &mut Seen,
    ) -> Result<Option<SessionId>, StoreError> {
        let Some((first, grams)) = self.first_block(org).await? else { return Ok(None) };
        if let Some(upto) = first.upto.filter(|upto| seen.is_enough(self.limit, *upto)) {
            return Ok(Some(after(upto)));
        }
        let statement = blocks_statement(grams.len());
        let (mut next, mut many) = (first.number, FEW);
        let (mut pending, mut looked) = (Vec::new(), 0);
        loop {
            // One more than is looked at says where to go on.
            let mut named = vec![Value::from(org), next.into(), (many + 1).into()];
            named.extend(grams.iter().map(|gram| Value::from(*gram)));
            let rows = self.readers.all(AssertSqlSafe(statement.clone()), &named).await?;
            let bounds: Vec<Bound> = rows.iter().map(Bound::of).collect::<Result<_, _>>()?;
            for (place, row) in rows.iter().enumerate().take(many as usize) {
                let spots = spots(row, grams.len()).map_err(Origin::unreadable)?;
                looked += spots.len();
                pending.extend(spots);
                let below = bounds.get(place + 1);
                if pending.len() < NAMED && below.is_some() {
                    continue;
                }
                self.look_at(&std::mem::take(&mut pending), &mut seen.found).await?;
                let Some(below) = below else { return Ok(None) };
                let is_long = looked >= LOOKED_THROUGH as usize;
                let enough = |upto: &SessionId| is_long || seen.is_enough(self.limit, *upto);
                if let Some(upto) = below.upto.filter(enough) {
                    return Ok(Some(after(upto)));
                }
            }
            let Some(below) = bounds.into_iter().nth(many as usize) else { return Ok(None) };
            next = below.number;
            many = MANY.min(2 * many);
        }
    }

    /// The first block in which there may be something, and the grams of the text, the rarest first; `None` where no block has one of them.
    async fn first_block(&self, org: OrgId) -> Result<Option<(Bound, Vec<i64>)>, StoreError> {
        let grams = self.sought.grams(org);
        let mut named = vec![Value::from(org), self.before().into()];
        named.extend(grams.iter().map(|gram| Value::from(*gram)));
        let statement = first_statement(grams.len());
        let Some(row) = self.readers.first(AssertSqlSafe(statement), &named).await? else {
            return Ok(None);
        };
        let counts: sqlx::Result<Vec<(u64, i64)>> = (0..)
            .zip(grams)
            .map(|(place, gram): (usize, i64)| Ok((row.count(&format!("n{place}"))?, gram)))
            .collect();
        let mut counts = counts.map_err(Origin::unreadable)?;
        counts.sort_unstable();
        if counts.iter().any(|(count, _)| *count == 0) {
            return Ok(None);
        }
        Ok(Some((Bound::of(&row)?, counts.into_iter().map(|(_, gram)| gram).collect())))
    }

    /// Looks at the sessions in these places.
    async fn look_at(&self, spots: &[i64], found: &mut BTreeSet<SessionId>) -> Result<(), StoreError> {
        for some in spots.chunks(NAMED) {
            let (statement, named) = look_statement(&self.filter, some);
            self.look_through(&self.readers.all(AssertSqlSafe(statement), &named).await?, found)?;
        }
        Ok(())
    }
}

/// The places that are in the rows of all grams of a block of ours, the newest first.
fn spots(row: &Row, grams: usize) -> sqlx::Result<Vec<i64>> {
    if row.text_or_null("upto")?.is_none() {
        return Ok(Vec::new());
    }
    let first = row.int("number")?.saturating_mul(BLOCK.into());
    let mut places = row.bytes("p0")?;
    for gram in 1..grams {
        let others = row.bytes_or_null(&format!("p{gram}"))?.unwrap_or_default();
        places.retain(|place| others.binary_search(place).is_ok());
    }
    Ok(places.into_iter().rev().map(|place| first + i64::from(place)).collect())
}

/// The newest block with something older than the place where to begin, and how many rows each gram has, as far as it is counted.
fn first_statement(grams: usize) -> String {
    let counts: Vec<String> = (0..grams)
        .map(|gram| {
            let place = gram + 3;
            format!(
                "(SELECT COUNT(*) FROM (SELECT 1 FROM search_grams WHERE gram = ${place} LIMIT {COUNTED}) AS c{gram}) AS n{gram}"
            )
        })
        .collect();
    format!(
        "SELECT number, upto, {} FROM search_blocks WHERE org = $1 AND oldest < $2 ORDER BY number DESC LIMIT 1",
        counts.join(", ")
    )
}

/// The blocks that have rows of the first gram, from a number on downwards, and their rows of the others. Not one join of all: PostgreSQL would take
/// longer to find the best order for that than to read it.
fn blocks_statement(grams: usize) -> String {
    let others: Vec<String> = (1..grams)
        .map(|gram| {
            let place = gram + 4;
            format!(
                ", (SELECT g{gram}.places FROM search_grams g{gram} WHERE g{gram}.gram = ${place} AND g{gram}.block = g0.block) AS p{gram}"
            )
        })
        .collect();
    format!(
        "SELECT g0.block AS number, g0.places AS p0, (SELECT upto FROM search_blocks WHERE number = g0.block AND org = $1) AS upto{}
         FROM search_grams g0 WHERE g0.gram = $4 AND g0.block <= $2 ORDER BY g0.block DESC LIMIT $3",
        others.concat()
    )
}

/// The sessions in some places, with their texts.
fn look_statement(filter: &SessionFilter, spots: &[i64]) -> (String, Vec<Value>) {
    let (columns, mut values) = looked_at(filter);
    let (list, named) = listed(spots.iter().map(|spot| (*spot).into()), values.len());
    values.extend(named);
    let text = format!(
        "SELECT {columns} FROM search_spots p CROSS JOIN sessions s WHERE p.spot IN {list} AND s.id = p.session"
    );
    (text, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::plan;

    #[tokio::test]
    async fn every_look_is_answered_from_an_index() {
        let ours = SessionFilter { org: Some(OrgId::from_u128(1)), ..SessionFilter::default() };
        for (statement, lines) in [
            (
                first_statement(1),
                &[
                    "search_blocks USING COVERING INDEX search_blocks_by_org (org=?)",
                    "search_grams USING PRIMARY KEY (gram=?)",
                ][..],
            ),
            (
                blocks_statement(2),
                &[
                    "g0 USING PRIMARY KEY (gram=? AND block<?)",
                    "search_blocks USING INTEGER PRIMARY KEY (rowid=?)",
                    "g1 USING PRIMARY KEY (gram=? AND block=?)",
                ],
            ),
            (
                look_statement(&ours, &[1]).0,
                &["p USING INTEGER PRIMARY KEY (rowid=?)", "s USING PRIMARY KEY (id=?)"],
            ),
        ] {
            let plan = plan(&statement).await;
            let searches: Vec<&str> = plan.iter().filter_map(|line| line.strip_prefix("SEARCH ")).collect();
            assert_eq!(searches, lines, "{statement}: {plan:?}");
            assert!(!plan.iter().any(|line| line.starts_with("SCAN s")), "{plan:?}");
        }
    }
}
