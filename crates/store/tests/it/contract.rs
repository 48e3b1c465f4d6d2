//! What every store must do, whatever it is made of.
//!
//! A [`Subject`] is one storage that can be opened any number of times; [`contract_tests`] makes a test of
//! each promise for it.

use std::{future::Future, sync::Arc};

use cofferdam_domain::{SessionId, WorkerId};
use cofferdam_store::Everything;

use crate::events::soon;

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
        $crate::contract::contract_tests! { $subject, writing:
            events_come_back_as_they_were_written
            the_chain_links_every_event_to_the_one_before
            time_never_goes_back
            a_session_is_made_once
            unknown_sessions_are_told_apart_from_empty_answers
            reading_is_bounded_and_goes_on
            anybody_may_write_beside_a_worker
            writers_at_once_keep_one_chain
            refusals_do_not_disturb_others_at_the_same_time
            callers_that_give_up_leave_a_whole_log
            what_is_too_large_is_refused
        }
        $crate::contract::contract_tests! { $subject, claims:
            an_old_claim_cannot_write
            a_claim_of_another_session_cannot_write
            a_worker_that_is_behind_cannot_write
            a_claim_is_exclusive_and_ends_when_it_is_dropped
            looking_at_claims_does_not_disturb_them
            fences_rise_across_reopening
        }
        $crate::contract::contract_tests! { $subject, following:
            followers_see_what_was_and_what_comes
            followers_miss_nothing_at_the_seam
            a_follower_hears_of_appends_through_another_opening
            changes_are_heard_by_their_organisation_alone
        }
        $crate::contract::contract_tests! { $subject, rows:
            sessions_are_listed_newest_first_by_state_and_page
            the_row_follows_the_events
            sessions_are_found_by_whose_they_are_and_by_text
            what_a_session_waits_for_shows_in_its_row
        }
        $crate::contract::contract_tests! { $subject, contents:
            blobs_come_back_and_are_stored_once
            verify_counts_and_finds_missing_content
            a_forgotten_session_is_gone_for_good
            content_stays_for_whoever_has_stored_it_too
            content_that_others_need_is_not_forgotten
        }
        $crate::contract::contract_tests! { $subject, search:
            any_search_finds_what_a_look_at_every_text_does
            no_text_breaks_a_search
            what_is_forgotten_leaves_nothing_in_the_index
            what_stays_is_found_whatever_happens_meanwhile
            a_page_ends_and_says_where_to_go_on
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
            what_others_need_does_not_expire
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
            what_stays_in_a_models_words_stays_a_models
            what_may_be_of_something_private_stays_so
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
