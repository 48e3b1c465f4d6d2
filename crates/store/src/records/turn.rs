//! Whose turn it is: the highest place first; there, whoever has the fewest sessions running; of theirs, the oldest. Whoever has their share
//! running is passed over.
//!
//! What is looked at grows with what runs and with how many people wait, never with how many sessions do: the oldest few are looked at first,
//! and nearly always one of them is somebody's who has nothing running. Otherwise the lanes (one for each user of an organisation) are walked
//! from one to the next in the index, not from session to session.

use std::collections::{HashMap, HashSet};

use cofferdam_domain::SessionId;
use sqlx::AssertSqlSafe;

use crate::{
    Shares, StoreError,
    sql::{Origin, Row, Sql, Value, values},
};

/// Sessions that are looked at before lanes are.
const OLDEST: u32 = 64;

macro_rules! ready {
    () => {
        "queued = 1 AND wanted = 1 AND worker IS NULL AND not_before = 0"
    };
}

/// Looks for the next session, in a transaction in which nothing else does.
pub(crate) struct Turn {
    shares: Shares,
    running: Running,
    passed: HashSet<SessionId>,
}

/// What runs, and may not run.
#[derive(Debug, Default)]
struct Running {
    /// Sessions of each lane.
    lanes: HashMap<String, u64>,
    /// Organisations, and pairs of them with a project or a user or a repository, that have their share.
    full_orgs: HashSet<String>,
    full_lanes: HashSet<String>,
    full_projects: HashSet<(String, String)>,
    full_repositories: HashSet<(String, String)>,
}

/// A session that waits.
#[derive(Debug)]
struct Candidate {
    session: SessionId,
    place: i64,
    org: String,
    lane: String,
    project: String,
    repository: String,
}

impl Turn {
    /// Counts what runs.
    pub(crate) async fn of(sql: &mut Sql<'_>, shares: Shares) -> Result<Self, StoreError> {
        let running = Running::count(sql, shares).await?;
        Ok(Self { shares, running, passed: HashSet::new() })
    }

    /// This session cannot be had now.
    pub(crate) fn pass(&mut self, session: SessionId) {
        self.passed.insert(session);
    }

    /// The session that is next.
    pub(crate) async fn next(&self, sql: &mut Sql<'_>) -> Result<Option<SessionId>, StoreError> {
        let oldest = sql
            .all(
                concat!(
                    "SELECT id, place, org, lane, project, repository FROM sessions WHERE ",
                    ready!(),
                    " ORDER BY place DESC, id LIMIT $1"
                ),
                values![OLDEST],
            )
            .await?;
        let oldest = oldest.iter().map(candidate).collect::<Result<Vec<_>, _>>()?;
        let Some(place) = oldest.first().map(|candidate| candidate.place) else { return Ok(None) };
        let at_once = oldest.iter().find(|candidate| {
            candidate.place == place
                && !self.running.lanes.contains_key(&candidate.lane)
                && self.may_run(candidate)
        });
        if let Some(candidate) = at_once {
            return Ok(Some(candidate.session));
        }
        if oldest.len() < OLDEST as usize {
            return Ok(self.best(&oldest));
        }
        self.walk(sql, place).await
    }

    /// The best of all that there are, oldest first.
    fn best(&self, candidates: &[Candidate]) -> Option<SessionId> {
        candidates
            .iter()
            .filter(|candidate| self.may_run(candidate))
            .min_by_key(|candidate| {
                (std::cmp::Reverse(candidate.place), self.running_in(&candidate.lane), candidate.session)
            })
            .map(|candidate| candidate.session)
    }

    /// Goes from lane to lane, place by place downwards.
    async fn walk(&self, sql: &mut Sql<'_>, highest: i64) -> Result<Option<SessionId>, StoreError> {
        let mut place = Some(highest);
        while let Some(here) = place {
            let mut lanes = self.lanes(sql, here).await?;
            lanes.retain(|(lane, _)| self.lane_may_run(lane));
            lanes.sort_by_key(|(lane, oldest)| (self.running_in(lane), *oldest));
            for (lane, _) in lanes {
                if let Some(session) = self.first_of(sql, here, &lane).await? {
                    return Ok(Some(session));
                }
            }
            place = next_place(sql, here).await?;
        }
        Ok(None)
    }

    /// The lanes with sessions at a place, each with its oldest.
    async fn lanes(&self, sql: &mut Sql<'_>, place: i64) -> Result<Vec<(String, SessionId)>, StoreError> {
        let rows = sql
            .all(
                concat!(
                    "WITH RECURSIVE lanes (lane) AS (
                         SELECT MIN(lane) FROM sessions WHERE place = $1 AND ",
                    ready!(),
                    " UNION ALL
                         SELECT (SELECT MIN(s.lane) FROM sessions s WHERE s.place = $1 AND s.lane > lanes.lane AND ",
                    ready!(),
                    ") FROM lanes WHERE lanes.lane IS NOT NULL
                     )
                     SELECT lane, (SELECT MIN(s.id) FROM sessions s WHERE s.place = $1 AND s.lane = lanes.lane AND ",
                    ready!(),
                    ") AS id FROM lanes WHERE lane IS NOT NULL"
                ),
                values![place],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("lane")?, row.parsed("id")?)))
            .collect::<sqlx::Result<_>>()
            .map_err(Origin::unreadable)
    }

    /// The oldest session of a lane that may run.
    async fn first_of(
        &self,
        sql: &mut Sql<'_>,
        place: i64,
        lane: &str,
    ) -> Result<Option<SessionId>, StoreError> {
        let org = org_of(lane);
        let mut values: Vec<Value> = vec![place.into(), lane.into()];
        let mut text = String::from(concat!(
            "SELECT id, place, org, lane, project, repository FROM sessions WHERE place = $1 AND lane = $2 AND ",
            ready!()
        ));
        let not_in = |text: &mut String, column: &str, names: Vec<String>, values: &mut Vec<Value>| {
            for name in names {
                values.push(name.into());
                text.push_str(&format!(" AND {column} <> ${}", values.len()));
            }
        };
        let of_org = |full: &HashSet<(String, String)>| -> Vec<String> {
            full.iter().filter(|(full, _)| full == org).map(|(_, name)| name.clone()).collect()
        };
        not_in(&mut text, "repository", of_org(&self.running.full_repositories), &mut values);
        not_in(&mut text, "project", of_org(&self.running.full_projects), &mut values);
        not_in(&mut text, "id", self.passed.iter().map(ToString::to_string).collect(), &mut values);
        text.push_str(" ORDER BY id LIMIT 1");
        let row = sql.first(AssertSqlSafe(text), &values).await?;
        Ok(row.as_ref().map(candidate).transpose()?.map(|candidate| candidate.session))
    }

    fn running_in(&self, lane: &str) -> u64 {
        self.running.lanes.get(lane).copied().unwrap_or_default()
    }

    fn lane_may_run(&self, lane: &str) -> bool {
        let org = org_of(lane);
        !self.running.full_orgs.contains(org)
            && !self.running.full_lanes.contains(lane)
            && self.running_in(lane) < u64::from(self.shares.per_user.get())
    }

    fn may_run(&self, candidate: &Candidate) -> bool {
        let Candidate { session, place: _, org, lane, project, repository } = candidate;
        let of = |name: &String| (org.clone(), name.clone());
        !self.passed.contains(session)
            && self.lane_may_run(lane)
            && !self.running.full_projects.contains(&of(project))
            && !self.running.full_repositories.contains(&of(repository))
    }
}

impl Running {
    async fn count(sql: &mut Sql<'_>, shares: Shares) -> Result<Self, StoreError> {
        let rows = sql
            .all(
                "SELECT org, lane, project, repository, COUNT(*) AS running FROM sessions
                 WHERE worker > '' GROUP BY org, lane, project, repository",
                &[],
            )
            .await?;
        let mut running = Self::default();
        let (mut orgs, mut projects, mut repositories) = (HashMap::new(), HashMap::new(), HashMap::new());
        for row in &rows {
            let (group, count) = running_row(row).map_err(Origin::unreadable)?;
            let [org, lane, project, repository] = group;
            *running.lanes.entry(lane).or_default() += count;
            *projects.entry((org.clone(), project)).or_default() += count;
            *repositories.entry((org.clone(), repository)).or_default() += count;
            *orgs.entry(org).or_default() += count;
        }
        running.full_orgs = full(&orgs, shares.per_org.get().into());
        running.full_repositories = full(&repositories, shares.per_repository.get().into());
        running.apply_budgets(sql, &orgs, &projects).await?;
        Ok(running)
    }

    /// Budgets say how many may run at once, too.
    async fn apply_budgets(
        &mut self,
        sql: &mut Sql<'_>,
        orgs: &HashMap<String, u64>,
        projects: &HashMap<(String, String), u64>,
    ) -> Result<(), StoreError> {
        let text = "SELECT org, purse, concurrent FROM budgets WHERE concurrent IS NOT NULL";
        for row in sql.all(text, &[]).await? {
            let read = || -> sqlx::Result<_> {
                Ok((row.text("org")?, row.text("purse")?, row.count("concurrent")?))
            };
            let (org, purse, limit) = read().map_err(Origin::unreadable)?;
            let lane = format!("{org}/{purse}");
            let project = (org.clone(), purse.clone());
            let is_full = |running: Option<&u64>| running.copied().unwrap_or_default() >= limit;
            if purse.is_empty() {
                if is_full(orgs.get(&org)) {
                    self.full_orgs.insert(org);
                }
            } else if purse.starts_with("prj_") {
                if is_full(projects.get(&project)) {
                    self.full_projects.insert(project);
                }
            } else if is_full(self.lanes.get(&lane)) {
                self.full_lanes.insert(lane);
            }
        }
        Ok(())
    }
}

fn running_row(row: &Row) -> sqlx::Result<([String; 4], u64)> {
    let group = [row.text("org")?, row.text("lane")?, row.text("project")?, row.text("repository")?];
    Ok((group, row.count("running")?))
}

/// Those of which as many run as may.
fn full<K: Clone + Eq + std::hash::Hash>(running: &HashMap<K, u64>, limit: u64) -> HashSet<K> {
    running.iter().filter(|(_, running)| **running >= limit).map(|(key, _)| key.clone()).collect()
}

fn org_of(lane: &str) -> &str {
    lane.split_once('/').map_or(lane, |(org, _)| org)
}

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    let read = || -> sqlx::Result<Candidate> {
        Ok(Candidate {
            session: row.parsed("id")?,
            place: row.int("place")?,
            org: row.text("org")?,
            lane: row.text("lane")?,
            project: row.text("project")?,
            repository: row.text("repository")?,
        })
    };
    read().map_err(Origin::unreadable)
}

/// The next lower place at which something waits.
async fn next_place(sql: &mut Sql<'_>, place: i64) -> Result<Option<i64>, StoreError> {
    let text = concat!("SELECT MAX(place) AS place FROM sessions WHERE place < $1 AND ", ready!());
    let row = sql.first(text, values![place]).await?;
    row.map_or(Ok(None), |row| row.int_or_null("place")).map_err(Origin::unreadable)
}
