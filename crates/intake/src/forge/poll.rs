//! Asks a forge for what its webhooks did not tell.
//!
//! Forges do not tell again what they could not deliver, and some cannot reach this server at all. So each is asked what has happened when a server
//! begins, from time to time, and as often as the configuration says (`poll`). What is found arrives like everything else: under a name that is
//! the same each time, in its repository's line, and whoever did it is looked up when it is dealt with. Until when a repository was looked at is in
//! the store, and is written down after what was found there: whoever dies in between finds it again, under the same names.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use cofferdam_domain::{PullRequestState, SessionId, Timestamp};
use cofferdam_forge::{
    RemoteRepository, RepositoryAddress,
    hook::Account,
    remote::{At, Happened, News, TalkError},
};
use cofferdam_store::{Arrival, SessionFilter, SessionRow, StoreError};
use tokio::{sync::watch, time::sleep};

use super::{
    decide::{Decision, Facts},
    reading::{How, Reading, Rules, reading},
    way::{ForgeWay, Trouble},
};
use crate::now;

/// What kind of thing is found by asking. No forge has an event of this name.
pub(super) const POLLED: &str = "cofferdam.poll";
/// How often a forge is asked that tells by itself: for what it could not deliver.
const NOW_AND_THEN: Duration = Duration::from_secs(60 * 60);
/// How long a forge or a store is left alone that does not answer, at first and at most.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How much earlier is looked than it is known to have been, for clocks that differ and for what a forge writes down late.
const OVERLAP: u64 = 60 * 1000;
/// The same where it is known only by what has arrived.
const LONGER_OVERLAP: u64 = 10 * 60 * 1000;
/// What is older than this is not looked for: nobody expects an answer any more.
const OLDEST: u64 = 6 * 24 * 60 * 60 * 1000;
/// Repositories that are looked at, and looks at one of them in a row.
const MOST_REPOSITORIES: usize = 1_000;
const MOST_LOOKS: usize = 20;
/// Deliveries among which repositories are looked for, and in one read.
const MOST_ARRIVED: usize = 2_000;
const ARRIVED: u32 = 200;
/// Sessions of a forge that are looked through, and in one read.
const MOST_SESSIONS: usize = 2_000;
const PAGE: u32 = 200;

/// A repository that is looked at.
#[derive(Debug, Default)]
struct Watched {
    /// Empty where only its number is known.
    path: String,
    /// Until when it was looked at.
    until: Option<Timestamp>,
    /// When something of it arrived last.
    arrived: Option<Timestamp>,
    /// The pull requests of sessions that are not known to be merged or closed.
    pulls: Vec<u64>,
}

impl Watched {
    /// Since when it is looked at now. One that nobody knew before begins now: what was asked before is nothing that this platform was there for.
    fn since(&self, now: Timestamp) -> Timestamp {
        let earlier = |at: Timestamp, by: u64| Timestamp(at.0.saturating_sub(by));
        let since = match (self.until, self.arrived) {
            (Some(until), _) => until,
            (None, Some(arrived)) => earlier(arrived, LONGER_OVERLAP),
            (None, None) => earlier(now, OVERLAP),
        };
        since.max(earlier(now, OLDEST))
    }
}

impl ForgeWay {
    /// Asks until it is told to stop: at once, then every hour, or as often as is configured.
    pub async fn watch(&self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            // Nobody can ask any more where that fails.
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.look_on() => {}
        }
    }

    /// For ever.
    async fn look_on(&self) {
        let (mut pause, mut numbers) = (PAUSE, HashMap::new());
        loop {
            let wait = match self.look(&mut numbers).await {
                Ok(()) => {
                    pause = PAUSE;
                    let wanted = self.every.unwrap_or(NOW_AND_THEN);
                    wanted.max(self.talk.seldom().unwrap_or_default())
                }
                Err(trouble) => {
                    tracing::warn!(forge = self.site.name(), error = %trouble, "what has happened there cannot be asked");
                    let told = match &trouble {
                        Trouble::Talk(TalkError::ForNow { again: Some(again), .. }) => {
                            again.millis_since(now())
                        }
                        Trouble::Talk(_) | Trouble::Store(_) => 0,
                    };
                    let wait = pause.max(Duration::from_millis(told));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// Looks at every repository once. `numbers` remembers which number a path has, or 0 for one that may not be seen.
    async fn look(&self, numbers: &mut HashMap<String, u64>) -> Result<(), Trouble> {
        let rules = self.rules().await?;
        // What could not be seen the last time may be seen now.
        numbers.retain(|_, id| *id != 0);
        for (id, watched) in self.watched(numbers).await? {
            let looked = self.look_at(id, &watched, &rules).await;
            match looked {
                Ok(()) => {}
                // It wants to be left alone, or the store does.
                Err(trouble @ (Trouble::Store(_) | Trouble::Talk(TalkError::ForNow { .. }))) => {
                    return Err(trouble);
                }
                Err(Trouble::Talk(error)) => {
                    tracing::info!(forge = self.site.name(), repository = id, %error, "what has happened in a repository cannot be asked");
                }
            }
        }
        Ok(())
    }

    async fn look_at(&self, id: u64, watched: &Watched, rules: &Rules) -> Result<(), Trouble> {
        let (at, line) = (At { id, path: watched.path.clone() }, id.to_string());
        let mut since = watched.since(now());
        for _ in 0..MOST_LOOKS {
            let News { happened, until, more } = self.talk.news(&at, since, &watched.pulls).await?;
            let mut new = 0;
            for happened in happened {
                if !matches!(reading(&happened.occasion, rules), Reading::Nothing(_)) {
                    new += usize::from(self.store.arrive(self.arrival(happened, &line)).await?);
                }
            }
            if new > 0 {
                tracing::info!(forge = self.site.name(), repository = id, new, "found by asking");
            }
            self.store.note_watched(self.site.name(), &line, until).await?;
            if !more || until <= since {
                break;
            }
            since = until;
        }
        Ok(())
    }

    fn arrival(&self, happened: Happened, line: &str) -> Arrival {
        let now = now();
        // What was done since then may have been done because of it.
        let at = Timestamp(happened.at.min(now).0.saturating_sub(OVERLAP));
        let body = serde_json::to_vec(&happened).unwrap_or_default();
        Arrival {
            source: self.site.name().to_owned(),
            id: happened.name,
            event: POLLED.to_owned(),
            line: line.to_owned(),
            org: self.place.org,
            at: at.max(Timestamp(now.0.saturating_sub(OLDEST))),
            body,
        }
    }

    /// The repositories that are looked at: those that something has arrived of, those of sessions, and, where webhooks are not relied on, all that
    /// the account works on.
    async fn watched(&self, numbers: &mut HashMap<String, u64>) -> Result<BTreeMap<u64, Watched>, Trouble> {
        let mut all: BTreeMap<u64, Watched> = BTreeMap::new();
        for (line, until) in self.store.watched(self.site.name()).await? {
            if let Ok(id) = line.parse() {
                all.entry(id).or_default().until = Some(until);
            }
        }
        self.arrived_of(&mut all).await?;
        for row in self.sessions().await? {
            let Some((id, path)) = self.number_of(&row, numbers).await? else { continue };
            let watched = all.entry(id).or_default();
            watched.path = path;
            if let Some((pull, PullRequestState::Open)) = row.pull_request {
                watched.pulls.push(pull);
            }
        }
        if self.every.is_some() {
            for repository in self.talk.repositories(MOST_REPOSITORIES).await? {
                all.entry(repository.id).or_default().path = repository.path;
            }
        }
        while all.len() > MOST_REPOSITORIES {
            // The oldest are those that anything is least likely to happen in.
            all.pop_first();
        }
        Ok(all)
    }

    async fn arrived_of(&self, all: &mut BTreeMap<u64, Watched>) -> Result<(), StoreError> {
        let (mut before, mut read) = (None, 0);
        while read < MOST_ARRIVED {
            let page = self.store.arrived(self.place.org, before, ARRIVED).await?;
            for arrived in page.iter().filter(|arrived| arrived.arrival.source == self.site.name()) {
                if let Ok(id) = arrived.arrival.line.parse() {
                    // The newest comes first.
                    all.entry(id).or_default().arrived.get_or_insert(arrived.arrival.at);
                }
            }
            read += page.len();
            before = page.last().map(|last| last.number);
            if page.len() < ARRIVED as usize {
                break;
            }
        }
        Ok(())
    }

    /// The repository of a session, if it is one of this forge: its number and path.
    async fn number_of(
        &self,
        row: &SessionRow,
        numbers: &mut HashMap<String, u64>,
    ) -> Result<Option<(u64, String)>, TalkError> {
        let address = RemoteRepository::try_from(row.repository.clone()).map(RepositoryAddress::Remote);
        let Some(path) = address.ok().and_then(|address| self.site.owns(&address)) else { return Ok(None) };
        if let Some(id) = numbers.get(&path) {
            return Ok((*id != 0).then_some((*id, path)));
        }
        let id = match self.talk.repository(&path).await {
            Ok(repository) => repository.id,
            Err(error) if error.needs_a_person() => 0,
            Err(error) => return Err(error),
        };
        numbers.insert(path.clone(), id);
        Ok((id != 0).then_some((id, path)))
    }

    /// The latest sessions on repositories of this forge.
    pub(super) async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let mut rows: Vec<SessionRow> = Vec::new();
        loop {
            let filter = SessionFilter {
                org: Some(self.place.org),
                text: Some(self.site.web().as_str().trim_end_matches('/').to_owned()),
                before: rows.last().map(|row| row.id),
                limit: PAGE,
                ..SessionFilter::default()
            };
            let page = self.store.sessions(filter).await?;
            let whole = page.len() < PAGE as usize;
            rows.extend(page);
            if whole || rows.len() >= MOST_SESSIONS {
                return Ok(rows);
            }
        }
    }
}

/// What becomes of something that was found by asking. `at` is when it happened, or a little before; `unsure` whether the text may be another one by
/// now than whoever asked has seen.
pub(super) fn found(
    decision: Decision,
    reading: &Reading,
    actor: &Account,
    facts: &Facts,
    (at, unsure): (Timestamp, bool),
) -> Decision {
    let Reading::Asked(issue, how) = reading else { return decision };
    let asks = matches!(decision, Decision::Begin { .. } | Decision::BeginAnew { .. } | Decision::Tell(_));
    if !asks {
        return decision;
    }
    // A webhook has told of it, and what began then may be over.
    if matches!(how, How::Label | How::Assigned) && facts.bound.is_some_and(|session| made(session) >= at) {
        return Decision::Nothing("it was asked for already");
    }
    if unsure && issue.author.id != actor.id { Decision::Changed } else { decision }
}

/// When a session was made (UUID version 7: the first 48 bits are milliseconds).
fn made(session: SessionId) -> Timestamp {
    Timestamp(u64::try_from(session.as_u128() >> 80).unwrap_or(0))
}
