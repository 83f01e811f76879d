//! The end of a job: the place transaction, and what follows from it for each inode.
//!
//! Order, and why: the transaction; the observer and the maps learn of the new rows; successors may go on (`applied`); the
//! transaction is durable; only then the journal forgets the records. A crash in between repeats work, never loses bytes.

use super::Flusher;
use super::batch::{Fate, Ticket};
use super::held::Why;
use super::job::AGAIN_AFTER;
use super::upload::{Stop, Uploaded};
use dfs_log::mutation::Rule;
use dfs_model::{ExtentRun, FsError, Inode, InodeId, PackId};
use dfs_store::{
    Applied, CommitToken, PlaceInode, PlaceRequest, Placed, PlacedInode, StoreError, StoreResult,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a batch uploaded.
#[derive(Default)]
pub(super) struct Packs {
    packs: Vec<PackId>,
    runs: BTreeMap<usize, Vec<ExtentRun>>,
}

impl Packs {
    pub fn add(&mut self, uploaded: Uploaded) {
        self.packs.push(uploaded.pack);
        for (cut, run) in uploaded.runs {
            self.runs.entry(cut).or_default().push(run);
        }
    }
}

impl Flusher {
    /// Places a batch and settles its cuts; answers those to do again.
    pub(super) async fn place(
        &self,
        tickets: Vec<Ticket>,
        mut packs: Packs,
        dead: &BTreeSet<usize>,
        damaged: &BTreeMap<usize, String>,
    ) -> Result<Vec<Ticket>, Stop> {
        let (mut placing, mut inodes) = (Vec::new(), Vec::new());
        for (index, ticket) in tickets.into_iter().enumerate() {
            if dead.contains(&index) {
                self.bury(ticket).await?;
                continue;
            }
            if let Some(why) = damaged.get(&index) {
                self.hold(ticket, Why::Damaged(why)).await;
                continue;
            }
            if !self.wait_turn(&ticket).await? {
                self.hold(ticket, Why::Behind).await;
                continue;
            }
            let mut extents = packs.runs.remove(&index).unwrap_or_default();
            extents.sort_by_key(|run| run.offset);
            inodes.push(part_of(&ticket, extents));
            placing.push(ticket);
        }
        if placing.is_empty() {
            return Ok(Vec::new());
        }
        let request = PlaceRequest { packs: packs.packs, inodes };
        match self.place_rows(&request).await? {
            Ok(applied) => self.settle(placing, applied).await,
            Err(StoreError::Refused(FsError::TooLarge)) => {
                request.packs.iter().for_each(|pack| self.uploads.abandon(*pack));
                self.place_apart(placing).await
            }
            Err(StoreError::Refused(FsError::Internal) | StoreError::Broken(_) | StoreError::Raced) => {
                self.shared.note_error("a place was refused; its cuts are uploaded again");
                request.packs.iter().for_each(|pack| self.uploads.abandon(*pack));
                Ok(placing)
            }
            Err(error) => Err(Stop(error.to_string())),
        }
    }

    /// Answers the cuts of a place that was too large, to be placed one by one; one that is too large by itself is held.
    async fn place_apart(&self, mut tickets: Vec<Ticket>) -> Result<Vec<Ticket>, Stop> {
        if tickets.len() == 1
            && let Some(ticket) = tickets.pop()
        {
            self.hold(ticket, Why::TooLarge).await;
        }
        tickets.iter_mut().for_each(|ticket| ticket.alone = true);
        Ok(tickets)
    }

    /// Waits for the cuts before it. Without `place` comparing `from_seq` nothing else keeps the order, so a test that
    /// drops that rule drops this wait with it. `false`: one before it is held.
    async fn wait_turn(&self, ticket: &Ticket) -> Result<bool, Stop> {
        if self.shared.mutations.off(Rule::PlaceComparesFrom) {
            return Ok(true);
        }
        tokio::select! {
            biased;
            () = self.shared.stopping() => Err(Stop(String::from("shut down"))),
            joined = ticket.wait_before() => Ok(joined),
        }
    }

    async fn settle(&self, tickets: Vec<Ticket>, applied: Applied<Placed>) -> Result<Vec<Ticket>, Stop> {
        let (mut placed, mut absent, mut disordered) = (Vec::new(), Vec::new(), Vec::new());
        for (ticket, outcome) in tickets.into_iter().zip(applied.value.inodes) {
            match outcome {
                PlacedInode::Placed(row) => {
                    self.uploads.metrics.placed.increment(1);
                    if let Some(observer) = &self.shared.observer {
                        observer.placed(&row);
                    }
                    self.maps.forget(ticket.cut.inode);
                    ticket.mine.fate.send_replace(Fate::Applied);
                    placed.push(ticket);
                }
                PlacedInode::Absent => {
                    self.uploads.metrics.absent.increment(1);
                    absent.push(ticket);
                }
                PlacedInode::OutOfOrder { .. } => {
                    self.uploads.metrics.out_of_order.increment(1);
                    disordered.push(ticket);
                }
            }
        }
        self.durable(applied.commit).await?;
        for ticket in placed {
            self.shared.journal.placed(ticket.cut.inode, ticket.cut.to_seq);
            self.settled(ticket.cut.inode, &ticket.mine);
        }
        for ticket in absent {
            self.bury(ticket).await?;
        }
        let mut again = Vec::new();
        for ticket in disordered {
            again.extend(self.disordered(ticket).await?);
        }
        Ok(again)
    }

    async fn durable(&self, commit: CommitToken) -> Result<(), Stop> {
        if self.shared.mutations.off(Rule::FreeByDurableMetadata) {
            return Ok(());
        }
        self.shared.store.durable(commit).await.map_err(|error| Stop(error.to_string()))
    }

    /// Places, waiting for a metadata database that is away: what is uploaded need not be uploaded again.
    async fn place_rows(&self, request: &PlaceRequest) -> Result<StoreResult<Applied<Placed>>, Stop> {
        loop {
            match self.shared.store.place(self.shared.share, self.shared.epoch, request.clone()).await {
                Err(StoreError::Unavailable(why)) => {
                    self.shared.note_error(&why);
                    self.uploads.pause(AGAIN_AFTER).await?;
                }
                other => return Ok(other),
            }
        }
    }

    /// An inode's row; waits for a metadata database that is away.
    async fn row(&self, inode: InodeId) -> Result<Option<Arc<Inode>>, Stop> {
        loop {
            match self.shared.store.inode(self.shared.share, inode).await {
                Err(StoreError::Unavailable(why)) => {
                    self.shared.note_error(&why);
                    self.uploads.pause(AGAIN_AFTER).await?;
                }
                other => return other.map_err(|error| Stop(error.to_string())),
            }
        }
    }

    /// Ends a cut whose inode is gone: once that is durable, its records are dead.
    pub(super) async fn bury(&self, ticket: Ticket) -> Result<(), Stop> {
        let inode = ticket.cut.inode;
        let row = self.row(inode).await?;
        if row.is_some() {
            return Err(Stop(format!("the journal lost records of inode {inode}, which still exists")));
        }
        self.durable(self.shared.store.last_commit()).await?;
        self.shared.journal.gone(inode);
        self.maps.forget(inode);
        ticket.mine.fate.send_replace(Fate::Applied);
        self.settled(inode, &ticket.mine);
        Ok(())
    }

    /// A cut whose row is not at its `from_seq`: done already (an answer was lost), or to do again.
    pub(super) async fn disordered(&self, ticket: Ticket) -> Result<Option<Ticket>, Stop> {
        let inode = ticket.cut.inode;
        self.maps.forget(inode);
        let row = self.row(inode).await?;
        let Some(row) = row else {
            self.bury(ticket).await?;
            return Ok(None);
        };
        if row.flushed_seq >= ticket.cut.to_seq {
            ticket.mine.fate.send_replace(Fate::Applied);
            self.durable(self.shared.store.last_commit()).await?;
            self.shared.journal.placed(inode, ticket.cut.to_seq);
            self.settled(inode, &ticket.mine);
            return Ok(None);
        }
        tracing::warn!(%inode, at = %row.flushed_seq, from = %ticket.cut.from_seq, "a cut does not join its row yet");
        Ok(Some(ticket))
    }
}

fn part_of(ticket: &Ticket, extents: Vec<ExtentRun>) -> PlaceInode {
    let cut = &ticket.cut;
    PlaceInode {
        inode: cut.inode,
        from_seq: cut.from_seq,
        to_seq: cut.to_seq,
        extents,
        zeros: cut.zeros.clone(),
        size_low: cut.size_low,
        size: cut.size,
        atime: cut.atime,
        mtime: cut.mtime,
        ctime: cut.ctime,
        change: cut.change,
        clear_suid: cut.clear_suid,
        set_archive: cut.set_archive,
    }
}
