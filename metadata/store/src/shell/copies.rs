//! Copies of the row-level stores.

use super::{Backend, Space, Store};
use crate::ops;
use crate::{Applied, CloneRequest, Cloned, Copies, OpContext, StoreResult};
use async_trait::async_trait;

/// Redo record that a clone is guessed to need at first; bytes.
const CLONE_REDO: u64 = 64 << 10;

#[async_trait]
impl<B: Backend> Copies for Store<B> {
    async fn clone_file(&self, cx: OpContext<'_>, request: CloneRequest) -> StoreResult<Applied<Cloned>> {
        let op = |tx: &mut ops::Tx<'_>| ops::clone_file(tx, &cx, &request);
        self.backend.write(cx.share, Space::Large(CLONE_REDO), &op).await
    }
}
