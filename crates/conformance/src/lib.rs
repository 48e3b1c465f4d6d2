//! What every sandbox driver must do: one set of tests over [`Driver`](cofferdam_sandbox::Driver), run by each driver's own suite.
//!
//! What this crate is for: a promise of the interface is tested here, once, and what only one driver promises in that driver's tests. A driver
//! runs all of them with [`suite!`], which makes a test of each.
//!
//! What it never does: look behind the interface. What there is to see on the host (processes, files of a layer) is the same for every driver
//! whose sandboxes run on it.
//!
//! Where to start reading: `scene.rs` (what each test gets), then any other file.

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "the names of tests are sentences that say what must hold")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "it is all tests")]

pub mod commands;
pub mod figures;
pub mod files;
pub mod freeze;
pub mod layers;
pub mod limits;
mod scene;
pub mod walls;

pub use scene::{LONG, Scene, command, eventually, host_processes, marker, own, run, sh, shell, text};

/// Makes a test of each of them. `$open` is an async function without arguments that gives the [`Scene`] of a test, or says loudly why there is
/// none and gives `None`.
#[macro_export]
macro_rules! suite {
    ($open:path) => {
        $crate::tests! { $open =>
            commands {
                a_command_has_its_arguments_directory_variables_and_input,
                what_cannot_be_started_says_why,
                arguments_that_are_too_long_are_refused_and_the_sandbox_lives,
                output_can_be_taken_as_it_comes,
                a_flood_of_output_is_bounded_and_its_ends_are_kept,
                a_console_is_a_pipe_or_a_terminal_of_its_size,
                a_terminal_is_a_terminal,
                a_command_that_takes_too_long_is_killed_with_everything_it_started,
                what_runs_in_the_background_lives_until_its_command_is_dropped,
                killing_one_command_leaves_its_neighbours,
                many_commands_run_at_once,
            }
            files {
                files_are_written_read_and_removed,
                what_is_not_a_file_says_so_at_once,
                directories_are_listed_by_name_up_to_a_limit,
                files_are_found_by_content_and_by_name,
            }
            freeze {
                a_frozen_sandbox_does_nothing_until_it_is_released,
                a_frozen_sandbox_can_be_ended,
                a_time_limit_takes_effect_when_it_goes_on,
            }
            layers {
                changes_stay_in_the_own_layer_and_come_back,
                what_one_sandbox_wrote_can_be_the_layer_of_others,
                later_layers_hide_earlier_ones,
                more_of_the_host_can_be_shown_read_only,
                what_is_missing_or_wrong_is_named,
                snapshots_and_forks_go_on_where_they_were_taken,
            }
            limits {
                a_fork_bomb_stays_in_its_sandbox,
                too_much_memory_ends_the_command_and_is_told,
                too_much_disk_ends_the_sandbox,
            }
            walls {
                there_is_no_network_but_loopback,
                the_hosts_files_are_not_there,
                there_are_no_privileges_and_no_way_to_get_any,
                killing_everybody_inside_leaves_the_sandbox,
                a_dropped_sandbox_ends_with_its_processes,
                many_sandboxes_come_and_go_at_once,
            }
        }
    };
}

/// See [`suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! tests {
    ($open:path => $($module:ident { $($test:ident),* $(,)? })*) => {
        $($(
            #[tokio::test]
            async fn $test() {
                let Some(scene) = $open().await else { return };
                $crate::$module::$test(&scene).await;
            }
        )*)*
    };
}
