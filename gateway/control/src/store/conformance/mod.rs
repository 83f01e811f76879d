//! What every store does, tested over each: the body once, the embedded file and Postgres run it.
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod audit;
pub mod commits;
pub mod rows;

use crate::database::ControlDatabase;
use std::future::Future;
use std::pin::Pin;

/// A database that can be opened, closed and opened again.
pub trait Bed: Send + Sync {
    /// Opens it.
    fn open(&self) -> Pin<Box<dyn Future<Output = ControlDatabase> + Send + '_>>;
    /// All that is stored, as bytes in which a text can be looked for. The database is closed.
    fn stored(&self) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + '_>>;
}

/// Runs every case, each on a bed of its own.
macro_rules! suite {
    ($bed:expr) => {
        crate::store::conformance::cases! { $bed;
            rows::{every_kind_of_row_is_the_same_after_reopening, secret_is_sealed_where_it_is_stored,
                replaced_rows_are_all_that_there_is},
            commits::{change_on_an_old_snapshot_is_a_conflict_and_changes_nothing, concurrent_changes_are_all_counted,
                caller_who_goes_away_leaves_mirror_and_store_alike, last_step_about_a_row_counts,
                change_of_many_rows_is_seen_whole},
            audit::{record_stands_with_its_change_or_not_at_all, queries_find_what_they_ask_for_newest_first,
                trimmed_records_are_gone_and_ids_go_on, texts_of_callers_are_kept_whatever_they_are},
        }
    };
}

macro_rules! cases {
    ($bed:expr; $($module:ident::{$($case:ident),* $(,)?}),* $(,)?) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let bed = $bed;
                crate::store::conformance::$module::$case(&bed).await;
            }
        )*)*
    };
}

pub(crate) use {cases, suite};
