//! What a search for a text finds: what a look at every text would.

use std::{collections::BTreeSet, sync::Arc};

use cofferdam_domain::{EventBody, Owner, SessionId, Source, Task, Timestamp};
use cofferdam_store::{Everything, LOOKED_THROUGH, Placement, SessionFilter, Store, Ticket};
use futures_util::future::join_all;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{
    contract::Subject,
    events::{owner, queued_with},
};

/// A session and what it is found by.
#[derive(Debug, Clone)]
struct Made {
    id: SessionId,
    owner: Owner,
    title: String,
    repository: String,
    archived: bool,
}

/// So that what is looked for is often there: few letters, of several scripts and sizes, and what databases take for something else.
const TITLES: &str = "[abAB %_!'\u{301}éÉßẞσΣς修復парсПАРС🦀İı]{1,24}";
const REPOSITORIES: &str = "/srv/[abß%_]{1,4}";
const QUERIES: &str = "[abAB %_!'\\\\\u{301}éÉßẞσΣς修復парсПАРС🦀İı\0]{0,5}|/srv|ss|SRV/A|.{1,3}";

/// Values of a kind, always the same.
fn some<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// As texts are compared; said in another way than the store says it.
fn folded(text: &str) -> String {
    let one = |character: char| -> String {
        character.to_string().to_lowercase().to_uppercase().chars().flat_map(char::to_lowercase).collect()
    };
    text.chars().filter(|character| *character != '\0').map(one).collect()
}

fn has(made: &Made, text: &str) -> bool {
    [&made.title, &made.repository].into_iter().any(|own| folded(own).contains(&folded(text)))
}

/// Sessions with such texts, every fifth of another organisation.
async fn make(store: &Arc<dyn Everything>, count: usize) -> Vec<Made> {
    let texts = some((TITLES, REPOSITORIES), count);
    let mut all = Vec::new();
    for (number, (title, repository)) in texts.into_iter().enumerate() {
        let title = if title.trim().is_empty() { "a".to_owned() } else { title.trim().to_owned() };
        let owner = owner(1 + u128::from(number % 5 == 4), number as u128 % 3);
        all.push(Made { id: SessionId::generate(), owner, title, repository, archived: number % 5 == 0 });
    }
    join_all(all.iter().map(|made| add(&**store, made))).await;
    join_all(
        all.iter().filter(|made| made.archived).map(async |made| store.set_archived(made.id, true).await),
    )
    .await;
    all.sort_by_key(|made| std::cmp::Reverse(made.id));
    all
}

async fn add(store: &dyn Everything, made: &Made) {
    let task = Task::new(made.title.clone(), made.repository.clone(), None, "ann".into(), Source::Cli);
    let first = EventBody::TaskAccepted { task: task.unwrap() };
    let ticket = Ticket { owner: made.owner, placement: Placement::Queued { priority: 0 } };
    store.enqueue(ticket, made.id, Timestamp(1000), first, Vec::new()).await.unwrap();
}

/// Deletes them, a few at once: each waits until the one before has left the index, and nobody waits for a connection for ever.
async fn forget(store: &dyn Everything, those: &[Made]) {
    for some in those.chunks(4) {
        join_all(some.iter().map(async |made| store.forget(made.id).await.unwrap())).await;
    }
}

/// All pages of a search, one after the other.
async fn pages(store: &dyn Store, filter: SessionFilter) -> Vec<SessionId> {
    let mut all = Vec::new();
    let mut before = filter.before;
    loop {
        let (rows, next) = store.search(SessionFilter { before, ..filter.clone() }).await.unwrap();
        assert!(filter.limit == 0 || rows.len() <= filter.limit as usize);
        all.extend(rows.into_iter().map(|row| row.id));
        match next {
            None => return all,
            next => {
                assert!(before.is_none_or(|before| next < Some(before)), "it goes on");
                before = next;
            }
        }
    }
}

fn naive(all: &[Made], filter: &SessionFilter) -> Vec<SessionId> {
    let text = filter.text.as_deref().unwrap_or_default();
    all.iter()
        .filter(|made| filter.org.is_none_or(|org| org == made.owner.org))
        .filter(|made| filter.user.is_none_or(|user| user == made.owner.user))
        .filter(|made| filter.archived.is_none_or(|archived| archived == made.archived))
        .filter(|made| filter.before.is_none_or(|before| made.id < before))
        .filter(|made| has(made, text))
        .map(|made| made.id)
        .collect()
}

async fn same(store: &dyn Store, all: &[Made], filter: SessionFilter) {
    assert_eq!(pages(store, filter.clone()).await, naive(all, &filter), "{filter:?}");
}

pub(crate) async fn any_search_finds_what_a_look_at_every_text_does(subject: &impl Subject) {
    let store = subject.open().await;
    let mut all = make(&store, 900).await;
    let kinds = (QUERIES, any::<u8>(), 5..400_u32, any::<proptest::sample::Index>());
    let filters = |all: &[Made], count| -> Vec<SessionFilter> {
        let of = |(text, bits, limit, at): (String, u8, u32, proptest::sample::Index)| {
            let which = owner(1 + u128::from(bits & 1), u128::from(bits >> 1 & 3) % 3);
            let org = (bits & 8 == 0 || bits & 16 == 0).then_some(which.org);
            let user = (bits & 96 == 96).then_some(which.user);
            let archived = (bits & 24 == 8).then_some(bits & 32 == 0);
            let before = (bits & 4 == 4).then(|| at.get(all).id);
            let text = Some(text);
            SessionFilter { org, user, archived, text, before, limit, ..SessionFilter::default() }
        };
        some(kinds.clone(), count).into_iter().map(of).collect()
    };
    // Whatever blocks there are by now, and when there can be no more.
    for filter in filters(&all, 30) {
        same(&*store, &all, filter).await;
    }
    for org in [1, 2] {
        store.index(owner(org, 0).org).await.unwrap();
    }
    for filter in filters(&all, 60) {
        same(&*store, &all, filter).await;
    }
    // Every third leaves, from blocks and from the tail.
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for (number, made) in all.into_iter().enumerate() {
        if number % 3 == 0 { gone.push(made) } else { kept.push(made) }
    }
    forget(&*store, &gone).await;
    all = kept;
    for filter in filters(&all, 30) {
        same(&*store, &all, filter).await;
    }
}

/// What anybody may type, or a program send.
pub(crate) async fn no_text_breaks_a_search(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued_with(&*store, owner(1, 1), 0, "100% _sure_! \u{202e}x", "/srv/Other").await;
    let giant = "parser ".repeat(200_000);
    for (text, found) in [
        ("0% _SURE", true),
        ("_", true),
        ("%", true),
        ("\u{202e}", true),
        ("o\0ther", true),
        ("", true),
        ("\0", true),
        (" ", true),
        ("%%", false),
        ("s_re", false),
        ("'; DROP TABLE sessions; --", false),
        ("\\", false),
        ("$1", false),
        ("NULL", false),
        ("\u{fffd}", false),
        ("\u{10ffff}", false),
        (giant.as_str(), false),
    ] {
        for org in [None, Some(owner(1, 1).org)] {
            let filter = SessionFilter { org, text: Some(text.to_owned()), ..SessionFilter::default() };
            let (rows, next) = store.search(filter).await.unwrap();
            let expected: Vec<SessionId> = found.then_some(session).into_iter().collect();
            assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), expected, "{:?}", text.get(..9));
            assert_eq!(next, None);
        }
    }
}

/// A row of a table that must be empty.
const MUST_BE_EMPTY: &str = "
    CREATE TABLE rows_left (many BIGINT CHECK (many = 0));
    INSERT INTO rows_left SELECT COUNT(*) FROM search_tail;
    INSERT INTO rows_left SELECT COUNT(*) FROM search_blocks;
    INSERT INTO rows_left SELECT COUNT(*) FROM search_spots;
    INSERT INTO rows_left SELECT COUNT(*) FROM search_grams";

pub(crate) async fn what_is_forgotten_leaves_nothing_in_the_index(subject: &impl Subject) {
    let store = subject.open().await;
    let all = make(&store, 700).await;
    for org in [1, 2] {
        store.index(owner(org, 0).org).await.unwrap();
    }
    forget(&*store, &all).await;
    subject.tamper(MUST_BE_EMPTY).await;
}

/// Sessions that an earlier version made are found at once, and put into the index afterwards. `back` makes the schema that of this version.
pub(crate) async fn older_sessions_are_found(subject: &impl Subject, back: &'static str) {
    let (store, back_again) = (subject.open().await, subject.open().await);
    let mut all = make(&store, 700).await;
    // One that is made no more, and one that is forgotten, are in nobody's way.
    let gone = all.pop().unwrap();
    store.forget(gone.id).await.unwrap();
    for org in [1, 2] {
        store.index(owner(org, 0).org).await.unwrap();
    }
    drop((store, back_again));
    subject.tamper(back).await;
    let store = subject.open().await;
    let search = |text: &str| SessionFilter {
        org: Some(owner(1, 0).org),
        text: Some(text.to_owned()),
        limit: 50,
        ..SessionFilter::default()
    };
    for text in ["a", "修", "аР", "/srv/a"] {
        same(&*store, &all, search(text)).await;
    }
    store.index(owner(1, 0).org).await.unwrap();
    for text in ["a", "修", "аР", "/srv/a"] {
        same(&*store, &all, search(text)).await;
    }
}

/// Sessions come, go, and are put into blocks by several processes, while somebody searches: nothing that is there all the time is missed.
pub(crate) async fn what_stays_is_found_whatever_happens_meanwhile(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let stays = make(&store, 700).await;
    let goes = make(&store, 100).await;
    let org = owner(1, 0).org;
    let search = |text: &str| SessionFilter {
        org: Some(org),
        text: Some(text.to_owned()),
        limit: 30,
        ..SessionFilter::default()
    };
    let staying: BTreeSet<SessionId> = naive(&stays, &search("a")).into_iter().collect();
    let changes = async {
        join_all([
            tokio::spawn({
                let store = Arc::clone(&store);
                async move { store.index(org).await.unwrap() }
            }),
            tokio::spawn({
                let other = Arc::clone(&other);
                async move { other.index(org).await.unwrap() }
            }),
            tokio::spawn({
                let other = Arc::clone(&other);
                async move { drop(make(&other, 100).await) }
            }),
            tokio::spawn({
                let store = Arc::clone(&store);
                async move {
                    forget(&*store, &goes).await;
                }
            }),
        ])
        .await
    };
    let searches = async {
        for _ in 0..5 {
            let found: BTreeSet<SessionId> = pages(&*store, search("a")).await.into_iter().collect();
            assert!(found.is_superset(&staying), "{:?}", staying.difference(&found).collect::<Vec<_>>());
        }
    };
    let (done, ()) = futures_util::future::join(changes, searches).await;
    done.into_iter().for_each(|done| done.unwrap());
    store.index(org).await.unwrap();
    // All is in its place: of what is there now, each is found once.
    let everything = SessionFilter { org: Some(org), limit: 1000, ..SessionFilter::default() };
    let mut there = Vec::new();
    let mut before = None;
    loop {
        let rows = store.sessions(SessionFilter { before, ..everything.clone() }).await.unwrap();
        let Some(last) = rows.last() else { break };
        before = Some(last.id);
        there.extend(rows);
    }
    let expected: Vec<SessionId> =
        there.iter().filter(|row| row.title.contains(['a', 'A'])).map(|row| row.id).collect();
    let in_title = pages(&*store, search("a")).await;
    assert!(expected.iter().all(|session| in_title.contains(session)));
    assert_eq!(in_title.iter().collect::<BTreeSet<_>>().len(), in_title.len());
}

/// Many have the text and few pass the filter: a page ends, says where to go on, and is never poorer than a look at all that pass.
pub(crate) async fn a_page_ends_and_says_where_to_go_on(subject: &impl Subject) {
    let store = subject.open().await;
    let whose = owner(1, 1);
    let oldest = queued_with(&*store, whose, 0, "Mend the parser", "/srv/r").await;
    subject.tamper(MANY_COPIES).await;
    let search = |text: &str| SessionFilter {
        org: Some(whose.org),
        text: Some(text.to_owned()),
        limit: 10,
        ..SessionFilter::default()
    };
    // Without an index yet: as many are looked through as ever, and the next page goes on.
    let (rows, next) = store.search(search("mend")).await.unwrap();
    assert!(rows.is_empty() && next.is_some(), "{rows:?}");
    assert_eq!(pages(&*store, search("mend")).await, [oldest]);
    store.index(whose.org).await.unwrap();
    // With it, nothing has to be looked through.
    let (rows, next) = store.search(search("mend")).await.unwrap();
    assert_eq!((rows.len(), rows[0].id, next), (1, oldest, None));
    let (rows, next) = store.search(search("copy")).await.unwrap();
    assert_eq!((rows.len(), next), (10, Some(rows[9].id)));
    assert_eq!(pages(&*store, search("copy")).await.len(), LOOKED_THROUGH as usize + 1000);
    // Of those with the text only the oldest passes, which a look at all that pass finds at once.
    store.set_archived(oldest, true).await.unwrap();
    let (rows, next) = store.search(SessionFilter { archived: Some(true), ..search("r") }).await.unwrap();
    assert_eq!((rows.len(), rows[0].id, next), (1, oldest, None));
}

/// 6,000 more sessions like the one that there is, with another title, made later.
const MANY_COPIES: &str = "
    CREATE TABLE many (n BIGINT);
    INSERT INTO many WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 6000) SELECT n FROM number;
    CREATE TABLE copy AS SELECT s.*, n FROM sessions s CROSS JOIN many;
    UPDATE copy SET title = 'A copy', id = 'ses_7' || substr(id, 6, 19) || CAST(100000 + n AS TEXT);
    ALTER TABLE copy DROP COLUMN n;
    INSERT INTO sessions SELECT * FROM copy;
    INSERT INTO search_tail SELECT org, id FROM copy;
    DROP TABLE copy;
    DROP TABLE many";
