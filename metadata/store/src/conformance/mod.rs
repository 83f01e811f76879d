//! What every metadata store must do: named cases, each on its own share, and a check that all indexes agree.
//!
//! Run by this crate's tests over `memory` and `embedded` (simulated and real disk); another implementation runs
//! [`run_all`] over itself. A case panics where the store is wrong; `names` of the cases say what is expected.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod attrs;
mod bed;
mod check;
mod clones;
mod create;
mod dirs;
pub mod model;
mod packs;
mod place;
mod quotas;
mod remove;
mod rename;
mod replay;
mod shares;
mod snapshots;
mod xattr;

pub use bed::{Bed, name, refused};
pub use check::check_consistent;

use crate::MetadataStore;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// One expectation.
pub struct Case {
    pub name: &'static str,
    pub run: for<'a> fn(&'a Bed) -> BoxFuture<'a, ()>,
}

/// Declares cases and the function that lists them.
macro_rules! case_list {
    ($(async fn $name:ident($bed:ident) $body:block)*) => {
        $(async fn $name($bed: &$crate::conformance::Bed) $body)*

        pub(super) fn cases() -> Vec<$crate::conformance::Case> {
            vec![$($crate::conformance::Case { name: stringify!($name), run: |bed| Box::pin($name(bed)) }),*]
        }
    };
}
use case_list;

/// Every case.
pub fn cases() -> Vec<Case> {
    let parts = [
        create::cases(),
        remove::cases(),
        rename::cases(),
        dirs::cases(),
        attrs::cases(),
        place::cases(),
        packs::cases(),
        clones::cases(),
        quotas::cases(),
        replay::cases(),
        shares::cases(),
        snapshots::cases(),
        xattr::cases(),
    ];
    parts.into_iter().flatten().collect()
}

/// Runs every case on a share of its own, checks the share's consistency after each, and answers how many there were.
pub async fn run_all(store: Arc<dyn MetadataStore>) -> usize {
    let cases = cases();
    let count = cases.len();
    for (nth, case) in cases.into_iter().enumerate() {
        println!("case {}", case.name);
        let bed = Bed::new(Arc::clone(&store), nth as u128 + 1).await;
        (case.run)(&bed).await;
        if store.share(bed.share).await.is_ok() {
            check_consistent(store.as_ref(), bed.share).await;
        }
    }
    count
}
