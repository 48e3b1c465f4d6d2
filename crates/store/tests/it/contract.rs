//! What every store must do, whatever it is made of.
//!
//! A [`Subject`] is one storage that can be opened any number of times; [`contract_tests`] makes a test of
//! each promise for it.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use cofferdam_domain::{
    BlobRef, CallId, Digest, Event, EventBody, Seq, SessionId, SessionState, Timestamp, WaitingFor, WorkerId,
};
use cofferdam_store::{Everything, SessionFilter, StoreError, Writer};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{join_all, ready},
};
use tokio::sync::mpsc;

use crate::events::{
    accepted, all, answered, claimed, ended, finished, message, now, output, owner, pushed, queued,
    queued_with, say, session, soon,
};

/// A storage to test.
pub(crate) trait Subject: Sized {
    /// A new, empty one; `None`, and said so, where this machine has none.
    fn fresh() -> impl Future<Output = Option<Self>>;
    /// Opens it, as another process would.
    fn open(&self) -> impl Future<Output = Arc<dyn Everything>>;
    /// What another process opens it by.
    fn address(&self) -> String;
    /// Makes a worker look as if it had not been heard of for long.
    fn silence(&self, worker: WorkerId) -> impl Future<Output = ()>;
    /// Does what no store would: runs a statement of its own.
    fn tamper(&self, sql: &'static str) -> impl Future<Output = ()>;
}

/// Waits until nobody has the session: the end of a claim may show a little later.
pub(crate) async fn free(store: &dyn Everything, session: SessionId) {
    let freed = async {
        while store.session(None, session).await.unwrap().unwrap().claimed {
            tokio::task::yield_now().await;
        }
    };
    soon(freed).await;
}

/// Makes a test of each promise of a module.
macro_rules! contract_tests {
    ($subject:ty, $module:ident: $($promise:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    if let Some(subject) = <$subject as $crate::contract::Subject>::fresh().await {
                        $crate::$module::$promise(&subject).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use contract_tests;

/// All promises of all modules.
macro_rules! all_contracts {
    ($subject:ty) => {
        $crate::contract::contract_tests! { $subject, contract:
            events_come_back_as_they_were_written
            the_chain_links_every_event_to_the_one_before
            time_never_goes_back
            a_session_is_made_once
            unknown_sessions_are_told_apart_from_empty_answers
            reading_is_bounded_and_goes_on
            an_old_claim_cannot_write
            a_claim_of_another_session_cannot_write
            a_worker_that_is_behind_cannot_write
            a_claim_is_exclusive_and_ends_when_it_is_dropped
            looking_at_claims_does_not_disturb_them
            fences_rise_across_reopening
            anybody_may_write_beside_a_worker
            writers_at_once_keep_one_chain
            refusals_do_not_disturb_others_at_the_same_time
            callers_that_give_up_leave_a_whole_log
            followers_see_what_was_and_what_comes
            followers_miss_nothing_at_the_seam
            a_follower_hears_of_appends_through_another_opening
            sessions_are_listed_newest_first_by_state_and_page
            the_row_follows_the_events
            blobs_come_back_and_are_stored_once
            verify_counts_and_finds_missing_content
            what_is_too_large_is_refused
            a_forgotten_session_is_gone_for_good
            content_that_others_need_is_not_forgotten
            changes_are_heard_by_their_organisation_alone
            sessions_are_found_by_whose_they_are_and_by_text
            what_a_session_waits_for_shows_in_its_row
        }
        $crate::contract::contract_tests! { $subject, queue:
            whoever_has_least_goes_first_and_their_oldest
            higher_priorities_go_first
            shares_hold
            budgets_limit_how_many_run
            each_session_is_taken_by_one_worker
            a_silent_workers_sessions_come_first_and_it_is_fenced
            a_worker_that_leaves_gives_back_at_once
            what_is_done_is_not_taken_again_until_something_happens
            what_is_put_off_comes_back_by_itself
            who_waits_for_a_person_is_not_taken
            who_waits_for_a_budget_is_taken_when_it_is_raised
            a_claim_by_id_and_the_queue_keep_off_each_other
            the_queue_is_heard_from_elsewhere
            many_lanes_are_walked_when_the_oldest_may_not_run
            a_frozen_process_comes_back_to_nothing
            any_history_keeps_one_holder
        }
        $crate::contract::contract_tests! { $subject, attempts:
            attempts_are_found_together_by_organisation
            who_decides_on_what_they_read_is_refused_when_it_has_changed
            an_attempt_is_held_until_its_worker_lets_go
            those_that_wait_are_woken_when_one_is_deleted
        }
        $crate::contract::contract_tests! { $subject, people:
            names_are_unique_and_lists_are_their_own
            a_token_stands_for_its_user_as_long_as_both_are_good
            the_last_admin_stays
            a_link_is_used_once
            a_browser_is_signed_in_until_it_is_not
            a_request_is_carried_out_once
            secrets_and_policies_are_kept_by_name
            skills_are_given_once_somebody_has_approved_exactly_them
            the_latest_version_of_a_playbook_is_begun
            the_audit_chain_is_checked
            spending_is_counted_for_each_purse_and_day
            budgets_say_when_they_are_used_up
            no_more_pull_requests_are_kept_than_a_budget_has
            sandbox_time_counts_while_it_is_used
            a_fork_spends_nothing_again
        }
        $crate::contract::contract_tests! { $subject, outbox:
            a_letter_is_there_if_and_only_if_its_event_is
            a_letter_goes_to_all_who_are_to_be_told
            who_dies_with_a_letter_keeps_it_for_a_while_only
            who_lives_holds_on_to_a_letter
            one_letter_at_a_time_however_many_want_one
            what_failed_comes_back_in_its_time_or_is_given_up
            letters_are_heard_of_from_elsewhere
            each_letter_is_taken_once_however_many_want_it
            one_letter_of_a_session_is_told_at_a_time
            a_session_that_is_given_up_for_its_workers_is_a_dead_letter
            a_forgotten_session_is_told_of_no_more
        }
        $crate::contract::contract_tests! { $subject, intake:
            what_is_sent_again_is_kept_once
            a_line_is_dealt_with_in_order
            who_dies_with_an_arrival_keeps_its_line_for_a_while_only
            who_lives_holds_on_to_an_arrival
            what_is_given_up_is_accounted_for_and_holds_nothing_up
            arrivals_are_heard_of_from_elsewhere
            nothing_is_lost_doubled_or_reordered
            a_killed_process_loses_nothing
            what_was_dealt_with_is_dropped_in_its_time
            a_thread_has_one_session
            what_was_sent_for_a_forgotten_session_goes_with_it
        }
        $crate::contract::contract_tests! { $subject, apps:
            an_app_has_a_name_that_is_nobody_elses
            what_is_begun_is_ended_once_and_in_its_browser
            apps_are_heard_of_from_elsewhere
            only_admins_make_apps_and_for_their_own_organisation
        }
        $crate::contract::contract_tests! { $subject, sealed:
            what_is_sealed_is_opened_only_in_its_place
            another_master_key_takes_over
            a_rotation_that_was_cut_short_goes_on
            data_keys_made_at_once_are_one
            a_checkpoint_pins_all_before_it
        }
        $crate::contract::contract_tests! { $subject, keeping:
            followers_hear_that_a_session_is_forgotten
            sessions_expire_when_their_time_has_come
            organisations_keep_less_and_archived_ones_may_stay
            one_process_at_a_time_has_a_duty
            files_expire_and_the_log_stays_whole
            what_nobody_refers_to_is_swept
            what_is_referred_to_at_that_moment_is_never_swept
            answers_about_what_was_deleted_are_emptied
            an_export_is_checked_without_the_store
        }
        $crate::contract::contract_tests! { $subject, servers:
            what_was_approved_is_the_organisations_own_and_the_last_counts
        }
        $crate::contract::contract_tests! { $subject, memories:
            a_proposal_is_there_if_and_only_if_its_event_is
            a_proposal_becomes_a_memory_by_its_digest_and_once
            what_people_write_takes_the_place_of_what_was_there
            recalled_is_what_is_about_the_repository_and_of_the_organisation
            however_much_is_proposed_little_is_kept
            an_organisation_has_so_many_memories
            a_forgotten_session_proposes_no_more
            only_admins_note_and_for_their_own_organisation
        }
        $crate::contract::contract_tests! { $subject, subagents:
            whoever_works_for_another_stands_and_goes_with_that_one
        }
        $crate::contract::contract_tests! { $subject, tenancy:
            what_is_others_looks_like_what_is_not
            ranks_are_needed
            a_token_for_a_project_sees_nothing_else
        }
    };
}
pub(crate) use all_contracts;

pub(crate) async fn events_come_back_as_they_were_written(subject: &impl Subject) {
    let store = subject.open().await;
    let session = SessionId::generate();
    let first =
        store.create(session, Timestamp(5), accepted("Fix \u{1f980} \"it\"\n"), Vec::new()).await.unwrap();
    let blob = store.put_blob(b"whole").await.unwrap();
    let bodies = vec![message("ß\u{0}\\"), output(blob), EventBody::NothingChanged];
    let more = store.append(session, Writer::Anybody, Timestamp(9), bodies.clone()).await.unwrap();
    assert_eq!(more.iter().map(|event| event.body.clone()).collect::<Vec<_>>(), bodies);
    let written: Vec<Event> = first.into_iter().chain(more).collect();
    assert_eq!(all(&*store, session).await, written);
    assert_eq!(all(&*subject.open().await, session).await, written, "after opening it again");
    assert_eq!(store.append(session, Writer::Anybody, Timestamp(9), Vec::new()).await.unwrap(), []);
}

pub(crate) async fn the_chain_links_every_event_to_the_one_before(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    for text in ["a", "b", "c"] {
        say(&*store, session, text).await;
    }
    let events = all(&*store, session).await;
    assert_eq!(events[0].previous, Digest::ZERO);
    for (place, event) in (1..).zip(&events) {
        assert_eq!((event.seq, event.session), (Seq(place), session));
    }
    for pair in events.windows(2) {
        assert_eq!(pair[1].previous, pair[0].hash);
        assert!(pair[1].id > pair[0].id && pair[1].id.to_string() > pair[0].id.to_string());
    }
}

pub(crate) async fn time_never_goes_back(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let mut times = Vec::new();
    for at in [2000, 1500, 1, 3000] {
        times.push(
            store.append(session, Writer::Anybody, Timestamp(at), vec![message("")]).await.unwrap()[0].at,
        );
    }
    assert_eq!(times, [2000, 2000, 2000, 3000].map(Timestamp));
}

pub(crate) async fn a_session_is_made_once(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let again = store.create(session, Timestamp(2), accepted("Something else"), Vec::new()).await;
    assert!(matches!(again, Err(StoreError::Exists(id)) if id == session));
    assert_eq!(all(&*store, session).await.len(), 1);
}

pub(crate) async fn unknown_sessions_are_told_apart_from_empty_answers(subject: &impl Subject) {
    let store = subject.open().await;
    let known = session(&*store).await;
    assert_eq!(store.read(known, Seq(7), 10).await.unwrap(), []);
    let nobody = SessionId::generate();
    let unknown =
        |error: Option<StoreError>| matches!(error, Some(StoreError::UnknownSession(id)) if id == nobody);
    assert!(unknown(store.read(nobody, Seq::START, 10).await.err()));
    assert!(unknown(store.append(nobody, Writer::Anybody, Timestamp(1), vec![message("")]).await.err()));
    assert!(unknown(store.claim(nobody, "w").await.err()));
    assert!(unknown(store.follow(nobody, Seq::START).await.err()));
    assert!(unknown(store.verify(nobody).await.err()));
    let digest = Digest::of(b"never stored");
    assert!(matches!(store.blob(digest).await, Err(StoreError::UnknownBlob(missing)) if missing == digest));
}

pub(crate) async fn reading_is_bounded_and_goes_on(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let bodies = (0..20).map(|number| message(&number.to_string())).collect();
    store.append(session, Writer::Anybody, Timestamp(1), bodies).await.unwrap();
    let mut after = Seq::START;
    let mut pages = Vec::new();
    loop {
        let page = store.read(session, after, 6).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        pages.push(page.len());
    }
    assert_eq!((pages, after), (vec![6, 6, 6, 3], Seq(21)));
}

pub(crate) async fn an_old_claim_cannot_write(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let taken = store.claim(session, "old").await.unwrap();
    // As a worker that does not know yet that its claim has ended.
    let old = cofferdam_store::Claim::new(session, taken.fence, "old".into(), ());
    drop(taken);
    free(&*store, session).await;
    let new = store.claim(session, "new").await.unwrap();
    assert!(new.fence > old.fence);
    let late = Writer::Worker { claim: &old, after: Seq(1) };
    let refused = store.append(session, late, Timestamp(2), vec![message("late")]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { fence, .. }) if fence == new.fence), "{refused:?}");
    let writer = Writer::Worker { claim: &new, after: Seq(1) };
    store.append(session, writer, Timestamp(2), vec![claimed(new.fence)]).await.unwrap();
    assert_eq!(all(&*store, session).await.len(), 2);
}

pub(crate) async fn a_claim_of_another_session_cannot_write(subject: &impl Subject) {
    let store = subject.open().await;
    let (mine, other) = (session(&*store).await, session(&*store).await);
    let claim = store.claim(mine, "w").await.unwrap();
    let writer = Writer::Worker { claim: &claim, after: Seq(1) };
    for _ in 0..2 {
        let refused = store.append(other, writer, Timestamp(2), vec![message("")]).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
        // The second time the other session has the same fence, or a higher one.
        drop(store.claim(other, "v").await.unwrap());
        free(&*store, other).await;
    }
}

pub(crate) async fn a_worker_that_is_behind_cannot_write(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let claim = store.claim(session, "w").await.unwrap();
    say(&*store, session, "wait!").await;
    let behind = Writer::Worker { claim: &claim, after: Seq(1) };
    let refused = store.append(session, behind, Timestamp(2), vec![finished()]).await;
    assert!(matches!(refused, Err(StoreError::Behind { last: 2, .. })), "{refused:?}");
    let ahead = Writer::Worker { claim: &claim, after: Seq(3) };
    let refused = store.append(session, ahead, Timestamp(2), vec![finished()]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    assert_eq!(all(&*store, session).await.len(), 2, "nothing was written");
    let caught_up = Writer::Worker { claim: &claim, after: Seq(2) };
    store.append(session, caught_up, Timestamp(2), vec![finished()]).await.unwrap();
}

pub(crate) async fn a_claim_is_exclusive_and_ends_when_it_is_dropped(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let claim = store.claim(session, "worker 7 on\nalpha").await.unwrap();
    for store in [&store, &other] {
        let refused = store.claim(session, "worker 8").await;
        assert!(
            matches!(&refused, Err(StoreError::Claimed { worker, .. }) if worker == "worker 7 onalpha"),
            "{refused:?}"
        );
        assert!(store.sessions(SessionFilter::default()).await.unwrap()[0].claimed);
    }
    drop(claim);
    free(&*other, session).await;
    other.claim(session, "worker 8").await.unwrap();
}

pub(crate) async fn looking_at_claims_does_not_disturb_them(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let looking = tokio::spawn(async move {
        loop {
            other.sessions(SessionFilter::default()).await.unwrap();
        }
    });
    for _ in 0..100 {
        drop(store.claim(session, "w").await.unwrap());
        free(&*store, session).await;
    }
    assert!(!looking.is_finished(), "it looked all the time");
    looking.abort();
}

pub(crate) async fn fences_rise_across_reopening(subject: &impl Subject) {
    let mut fences = BTreeSet::new();
    let session = session(&*subject.open().await).await;
    for _ in 0..4 {
        let store = subject.open().await;
        let fence = store.claim(session, "w").await.unwrap().fence;
        free(&*store, session).await;
        assert!(fences.last().is_none_or(|last| fence > *last));
        fences.insert(fence);
    }
}

pub(crate) async fn anybody_may_write_beside_a_worker(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let claim = store.claim(session, "w").await.unwrap();
    let cancel = vec![EventBody::CancelAsked { by: "ann".into() }];
    other.append(session, Writer::Anybody, Timestamp(2), cancel).await.unwrap();
    let writer = Writer::Worker { claim: &claim, after: Seq(2) };
    let written =
        store.append(session, writer, Timestamp(2), vec![message("a"), message("b")]).await.unwrap();
    assert_eq!(written.last().unwrap().seq, Seq(4));
}

pub(crate) async fn writers_at_once_keep_one_chain(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let sessions = [session(&*stores[0]).await, session(&*stores[0]).await];
    let mut tasks = Vec::new();
    for writer in 0..8_usize {
        let (store, session) = (Arc::clone(&stores[writer % 2]), sessions[writer / 2 % 2]);
        tasks.push(tokio::spawn(async move {
            for number in 0..10 {
                say(&*store, session, &format!("{writer} {number}")).await;
            }
        }));
    }
    assert!(join_all(tasks).await.iter().all(Result::is_ok));
    for session in sessions {
        assert_eq!(all(&*stores[0], session).await.len(), 41);
        assert_eq!(stores[1].verify(session).await.unwrap().events, 41);
    }
}

pub(crate) async fn refusals_do_not_disturb_others_at_the_same_time(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let results = join_all((0..30).map(async |number| match number % 3 {
        0 => store.append(session, Writer::Anybody, Timestamp(2), vec![message("kept")]).await.map(|_| true),
        1 => store.append(SessionId::generate(), Writer::Anybody, Timestamp(2), vec![]).await.map(|_| true),
        _ => store.create(session, Timestamp(2), accepted("again"), Vec::new()).await.map(|_| true),
    }))
    .await;
    for (number, result) in results.into_iter().enumerate() {
        match number % 3 {
            0 => assert!(result.unwrap()),
            1 => assert!(matches!(result, Err(StoreError::UnknownSession(_))), "{result:?}"),
            _ => assert!(matches!(result, Err(StoreError::Exists(_))), "{result:?}"),
        }
    }
    assert_eq!(store.verify(session).await.unwrap().events, 11);
}

pub(crate) async fn callers_that_give_up_leave_a_whole_log(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    for _ in 0..30 {
        let append = store.append(session, Writer::Anybody, Timestamp(2), vec![message("a"), message("b")]);
        // Polled once, then dropped.
        assert!(append.now_or_never().is_none());
    }
    say(&*store, session, "last").await;
    let events = store.verify(session).await.unwrap().events;
    assert!(events >= 2 && events % 2 == 0, "each append is whole or not there: {events}");
}

pub(crate) async fn followers_see_what_was_and_what_comes(subject: &impl Subject) {
    let store = subject.open().await;
    let (session, other) = (session(&*store).await, session(&*store).await);
    say(&*store, session, "2").await;
    let mut from_start = store.follow(session, Seq::START).await.unwrap();
    let mut from_two = store.follow(session, Seq(2)).await.unwrap();
    assert_eq!(from_start.next().await.unwrap().unwrap().seq, Seq(1));
    assert_eq!(from_start.next().await.unwrap().unwrap().seq, Seq(2));
    say(&*store, other, "of another session").await;
    let third = say(&*store, session, "3").await;
    assert_eq!(soon(from_start.next()).await.unwrap().unwrap(), third);
    assert_eq!(soon(from_two.next()).await.unwrap().unwrap(), third);
    // The last follower gone, the next one starts from nothing.
    drop((from_start, from_two));
    let mut later = store.follow(session, Seq(3)).await.unwrap();
    let fourth = say(&*store, session, "4").await;
    assert_eq!(soon(later.next()).await.unwrap().unwrap(), fourth);
}

pub(crate) async fn followers_miss_nothing_at_the_seam(subject: &impl Subject) {
    const EVENTS: u64 = 200;
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let writing = tokio::spawn(async move {
        for number in 1..EVENTS {
            say(&*other, session, &number.to_string()).await;
        }
    });
    // New followers join all the time while events are appended.
    let mut joined = 0;
    while joined < EVENTS {
        let events = store.follow(session, Seq(joined / 2)).await.unwrap();
        let places: Vec<u64> = events
            .take(20.min((EVENTS - joined / 2) as usize))
            .map(|event| event.unwrap().seq.0)
            .collect()
            .await;
        let expected: Vec<u64> = (joined / 2 + 1..).take(places.len()).collect();
        assert_eq!(places, expected);
        joined += 20;
    }
    writing.await.unwrap();
}

pub(crate) async fn a_follower_hears_of_appends_through_another_opening(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let events = store.follow(session, Seq(1)).await.unwrap();
    // On a task of its own, so that it already waits when the next event is written.
    let (seen, mut heard) = mpsc::unbounded_channel();
    let follower = tokio::spawn(events.for_each(move |event| {
        seen.send(event.unwrap()).unwrap();
        ready(())
    }));
    for number in 0..100 {
        let written = say(&*other, session, &number.to_string()).await;
        assert_eq!(soon(heard.recv()).await.unwrap(), written);
    }
    follower.abort();
}

pub(crate) async fn sessions_are_listed_newest_first_by_state_and_page(subject: &impl Subject) {
    let store = subject.open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(session(&*store).await);
    }
    made.reverse();
    store.append(made[1], Writer::Anybody, Timestamp(2), vec![ended()]).await.unwrap();
    store.append(made[3], Writer::Anybody, Timestamp(2), vec![ended()]).await.unwrap();
    let list = async |state, before, limit| -> Vec<SessionId> {
        let rows =
            store.sessions(SessionFilter { state, before, limit, ..SessionFilter::default() }).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(list(None, None, 0).await, made);
    assert_eq!(list(None, None, 2).await, made[..2]);
    assert_eq!(list(None, Some(made[1]), 2).await, made[2..4]);
    assert_eq!(list(Some(SessionState::Ended), None, 0).await, [made[1], made[3]]);
    assert_eq!(list(Some(SessionState::Ended), Some(made[1]), 0).await, [made[3]]);
    assert_eq!(list(Some(SessionState::Working), None, 0).await, []);
}

pub(crate) async fn the_row_follows_the_events(subject: &impl Subject) {
    let store = subject.open().await;
    let session = SessionId::generate();
    store.create(session, Timestamp(10), accepted("\nFix the parser\nnow"), Vec::new()).await.unwrap();
    let row = async || store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    let first = row().await;
    assert_eq!((first.id, first.state, first.last), (session, SessionState::Queued, Seq(1)));
    assert_eq!((first.title.as_str(), first.repository.as_str()), ("Fix the parser", "/srv/repository"));
    assert_eq!((first.created, first.updated, first.outcome), (Timestamp(10), Timestamp(10), None));
    for (body, state) in [
        (claimed(1), SessionState::Working),
        (message("x"), SessionState::Working),
        (finished(), SessionState::Delivering),
        (ended(), SessionState::Ended),
    ] {
        store.append(session, Writer::Anybody, Timestamp(20), vec![body]).await.unwrap();
        assert_eq!(row().await.state, state);
    }
    let last = row().await;
    assert_eq!((last.outcome.as_deref(), last.last), (Some("held"), Seq(5)));
    assert_eq!((last.created, last.updated, last.claimed), (Timestamp(10), Timestamp(20), false));
}

pub(crate) async fn blobs_come_back_and_are_stored_once(subject: &impl Subject) {
    let store = subject.open().await;
    for content in [&b""[..], b"a", &vec![7; 1 << 20]] {
        let blob = store.put_blob(content).await.unwrap();
        assert_eq!(blob, BlobRef { digest: Digest::of(content), size: content.len() as u64 });
        assert_eq!(store.put_blob(content).await.unwrap(), blob);
        assert_eq!(subject.open().await.blob(blob.digest).await.unwrap(), content);
    }
    let content: Arc<[u8]> = Arc::from(vec![9; 1 << 16]);
    let at_once = (0..8).map(|_| {
        let (store, content) = (Arc::clone(&store), Arc::clone(&content));
        tokio::spawn(async move { store.put_blob(&content).await.unwrap() })
    });
    assert!(join_all(at_once).await.into_iter().all(|blob| blob.unwrap().digest == Digest::of(&content)));
}

pub(crate) async fn verify_counts_and_finds_missing_content(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let blob = store.put_blob(b"whole").await.unwrap();
    let bodies = vec![output(blob), output(blob)];
    let last = store.append(session, Writer::Anybody, Timestamp(2), bodies).await.unwrap().remove(1);
    let verified = store.verify(session).await.unwrap();
    assert_eq!((verified.events, verified.blobs, verified.head), (3, 1, last.hash));
    for wrong in [BlobRef { size: 4, ..blob }, BlobRef { digest: Digest::of(b"gone"), size: 4 }] {
        let session = self::session(&*store).await;
        store.append(session, Writer::Anybody, Timestamp(2), vec![output(wrong)]).await.unwrap();
        let error = store.verify(session).await.unwrap_err().to_string();
        assert!(error.contains("event 2"), "{error}");
    }
}

pub(crate) async fn what_is_too_large_is_refused(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let large = "x".repeat(17 << 20);
    let refused =
        store.append(session, Writer::Anybody, Timestamp(2), vec![message("fits"), message(&large)]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert!(matches!(store.put_blob(&vec![0; (64 << 20) + 1]).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(all(&*store, session).await.len(), 1, "nothing was written");
}

pub(crate) async fn a_forgotten_session_is_gone_for_good(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let blob = store.put_blob(b"secret").await.unwrap();
    store.append(session, Writer::Anybody, Timestamp(2), vec![output(blob)]).await.unwrap();
    assert!(store.is_blob_of(session, blob.digest).await.unwrap());
    let claim = store.claim(session, "w").await.unwrap();
    store.forget(session).await.unwrap();
    let writer = Writer::Worker { claim: &claim, after: Seq(2) };
    let unknown = |error: Option<StoreError>| matches!(error, Some(StoreError::UnknownSession(_)));
    assert!(unknown(store.append(session, writer, Timestamp(3), vec![message("late")]).await.err()));
    assert!(unknown(store.read(session, Seq::START, 10).await.err()));
    assert!(unknown(store.follow(session, Seq::START).await.err()));
    assert!(unknown(store.claim(session, "v").await.err()));
    assert!(unknown(store.forget(session).await.err()));
    assert_eq!(store.session(None, session).await.unwrap(), None);
    assert_eq!(store.sessions(SessionFilter::default()).await.unwrap(), []);
    assert!(matches!(store.blob(blob.digest).await, Err(StoreError::UnknownBlob(_))));
    assert!(!store.is_blob_of(session, blob.digest).await.unwrap());
    let again = store.create(session, Timestamp(4), accepted("again"), Vec::new()).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
}

pub(crate) async fn content_that_others_need_is_not_forgotten(subject: &impl Subject) {
    let store = subject.open().await;
    let (mine, other, later) = (session(&*store).await, session(&*store).await, session(&*store).await);
    let [shared, stored_again] = [store.put_blob(b"a").await.unwrap(), store.put_blob(b"b").await.unwrap()];
    let refer = async |session, blob| {
        store.append(session, Writer::Anybody, Timestamp(2), vec![output(blob)]).await.unwrap();
    };
    refer(mine, shared).await;
    refer(other, shared).await;
    refer(mine, stored_again).await;
    // Somebody is about to refer to it: time must have passed since the reference before.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    store.put_blob(b"b").await.unwrap();
    store.forget(mine).await.unwrap();
    refer(later, stored_again).await;
    assert_eq!(store.blob(shared.digest).await.unwrap(), b"a");
    assert_eq!(store.verify(later).await.unwrap().blobs, 1);
}

pub(crate) async fn changes_are_heard_by_their_organisation_alone(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let (ann, ben) = (owner(1, 1), owner(2, 2));
    let (hers, his) = (queued(&*store, ann, 0).await, queued(&*store, ben, 0).await);
    let mut changes = store.changes(ann.org).await.unwrap();
    say(&*other, his, "not hers").await;
    say(&*other, hers, "hers").await;
    assert_eq!(soon(changes.next()).await, Some(hers));
    let new = queued(&*other, ann, 0).await;
    let heard = async { while changes.next().await != Some(new) {} };
    soon(heard).await;
}

pub(crate) async fn sessions_are_found_by_whose_they_are_and_by_text(subject: &impl Subject) {
    let store = subject.open().await;
    let (ann, ben) = (owner(1, 1), owner(1, 2));
    let (a, b) = (queued(&*store, ann, 0).await, queued(&*store, ben, 0).await);
    let c = queued_with(&*store, owner(2, 3), 0, "100% _sure_!", "/srv/Other").await;
    let list = async |filter: SessionFilter| -> Vec<SessionId> {
        store.sessions(filter).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    let all = SessionFilter::default;
    assert_eq!(list(SessionFilter { org: Some(ann.org), ..all() }).await, [b, a]);
    assert_eq!(list(SessionFilter { user: Some(ben.user), ..all() }).await, [b]);
    assert_eq!(list(SessionFilter { project: Some(ann.project), org: Some(ann.org), ..all() }).await, [b, a]);
    for (text, found) in
        [("0% _SURE", vec![c]), ("_", vec![c]), ("%", vec![c]), ("other", vec![c]), ("parser", vec![b, a])]
    {
        assert_eq!(list(SessionFilter { text: Some(text.into()), ..all() }).await, found, "{text}");
    }
    store.append(b, Writer::Anybody, now(), vec![pushed("c0ffee")]).await.unwrap();
    assert_eq!(list(SessionFilter { pushed: Some("c0ffee".into()), ..all() }).await, [b]);
    store.append(b, Writer::Anybody, now(), vec![pushed("f00d")]).await.unwrap();
    assert_eq!(list(SessionFilter { pushed: Some("c0ffee".into()), ..all() }).await, []);
    store.set_archived(a, true).await.unwrap();
    assert_eq!(list(SessionFilter { archived: Some(true), ..all() }).await, [a]);
    assert_eq!(list(SessionFilter { archived: Some(false), ..all() }).await, [c, b]);
    assert_eq!(store.session(Some(owner(2, 3).org), a).await.unwrap(), None);
    assert!(store.session(Some(ann.org), a).await.unwrap().unwrap().archived);
}

pub(crate) async fn what_a_session_waits_for_shows_in_its_row(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let by = || "ann".to_owned();
    let call = CallId { step: 1, index: 0 };
    for (body, state, waiting) in [
        (claimed(0), SessionState::Working, None),
        (answered(1, 70, 9), SessionState::Working, None),
        (
            EventBody::QuestionAsked { call, question: "?".into() },
            SessionState::Waiting,
            Some(WaitingFor::Answer),
        ),
        (EventBody::PauseAsked { by: by() }, SessionState::Waiting, Some(WaitingFor::Pause)),
        (EventBody::ContinueAsked { by: by() }, SessionState::Working, None),
        (EventBody::BudgetExceeded { what: "all".into() }, SessionState::Waiting, Some(WaitingFor::Budget)),
        (ended(), SessionState::Ended, None),
        (message("more"), SessionState::Queued, None),
    ] {
        store.append(session, Writer::Anybody, Timestamp(20), vec![body]).await.unwrap();
        let row = store.session(None, session).await.unwrap().unwrap();
        assert_eq!((row.state, row.waiting), (state, waiting));
    }
    let row = store.session(None, session).await.unwrap().unwrap();
    assert_eq!((row.cost, row.tokens, row.steps, row.outcome), (70, 9, 1, None));
    assert_eq!(store.verify(session).await.unwrap().events, 9);
}
