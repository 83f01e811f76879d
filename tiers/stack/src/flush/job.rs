//! A job: one batch of cuts from blocks to packs to place.
//!
//! Packs are built one after the other, each within its memory permit, and upload side by side. A job ends when every cut of
//! it is settled, or with the flusher. Cancelled or crashed, it leaves packs that no place took.

use super::Flusher;
use super::batch::Ticket;
use super::draft::{BatchCut, Draft, decoded};
use super::held::Why;
use super::place::Packs;
use super::plan::{BlockSpec, Fill, From};
use super::rewrite::{CutPlan, Unreadable};
use super::upload::{Stop, Uploaded};
use crate::error::StackReadError;
use crate::fetch::{Origin, RECORDS_MAX};
use dfs_block::Encoder;
use dfs_model::{Activity, Generation, InodeId};
use dfs_policy::BlockSource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// Why a cut is planned again, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The inode is gone.
    Gone,
    /// The row is not at the cut's `from_seq`.
    Order,
    /// The row moved in between.
    Moved,
    /// A cut before it is held.
    Held,
    /// The metadata store failed.
    Later(String),
}

impl Again {
    pub fn of(error: &StackReadError) -> Again {
        match error {
            StackReadError::Gone => Again::Gone,
            StackReadError::Moved => Again::Moved,
            other => Again::Later(other.to_string()),
        }
    }
}

/// Wait before a batch that could not be planned or placed is tried again.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A batch under construction.
struct Build {
    tickets: Vec<Ticket>,
    plans: Vec<CutPlan>,
    batch: Arc<Vec<BatchCut>>,
    draft: Option<Draft>,
    uploads: JoinSet<Result<Uploaded, Stop>>,
    packs: Packs,
    /// Cuts whose inode turned out to be gone.
    dead: BTreeSet<usize>,
    /// Cuts whose bytes in the journal are not what was written, and where.
    damaged: BTreeMap<usize, String>,
    parts: Vec<u32>,
}

impl Flusher {
    pub(super) async fn run_job(self: Arc<Self>, tickets: Vec<Ticket>) {
        let mut left = tickets;
        while !left.is_empty() {
            match self.attempt_all(left).await {
                Ok(again) if again.is_empty() => return,
                Ok(again) => {
                    left = again;
                    if self.uploads.pause(AGAIN_AFTER).await.is_err() {
                        return;
                    }
                }
                Err(Stop(why)) => return self.stopped(&why),
            }
        }
    }

    /// Tries to settle every cut, together or, where that was too large, one by one; answers those to try again.
    async fn attempt_all(self: &Arc<Self>, tickets: Vec<Ticket>) -> Result<Vec<Ticket>, Stop> {
        let (alone, together): (Vec<_>, Vec<_>) = tickets.into_iter().partition(|ticket| ticket.alone);
        let mut again = self.attempt(together).await?;
        for ticket in alone {
            again.extend(self.attempt(vec![ticket]).await?);
        }
        Ok(again)
    }

    /// Tries to settle every cut; answers those to try again.
    async fn attempt(self: &Arc<Self>, tickets: Vec<Ticket>) -> Result<Vec<Ticket>, Stop> {
        let (mut ready, mut plans, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for ticket in tickets {
            match self.plan(&ticket).await {
                Ok(plan) => {
                    plans.push(plan);
                    ready.push(ticket);
                }
                Err(Again::Gone) => self.bury(ticket).await?,
                Err(Again::Order) => again.extend(self.disordered(ticket).await?),
                Err(Again::Moved) => again.push(ticket),
                Err(Again::Held) => self.hold(ticket, Why::Behind).await,
                Err(Again::Later(why)) => {
                    self.shared.note_error(&why);
                    again.push(ticket);
                }
            }
        }
        if !ready.is_empty() {
            again.extend(self.build_and_place(ready, plans).await?);
        }
        Ok(again)
    }

    async fn build_and_place(
        self: &Arc<Self>,
        tickets: Vec<Ticket>,
        plans: Vec<CutPlan>,
    ) -> Result<Vec<Ticket>, Stop> {
        let mut batch = Vec::with_capacity(tickets.len());
        for ticket in &tickets {
            // For the footer only: an inode that is gone by now is found out by the place.
            let row = self.maps.row(ticket.cut.inode).await;
            let generation = row.map_or(Generation(0), |row| row.generation);
            batch.push(BatchCut { cut: ticket.cut.clone(), generation });
        }
        let parts = vec![0; tickets.len()];
        let mut build = Build {
            tickets,
            plans,
            batch: Arc::new(batch),
            draft: None,
            uploads: JoinSet::new(),
            packs: Packs::default(),
            dead: BTreeSet::new(),
            damaged: BTreeMap::new(),
            parts,
        };
        let mut encoder =
            Encoder::new(self.shared.settings.compression).map_err(|error| Stop(error.to_string()))?;
        for cut in 0..build.tickets.len() {
            self.build_cut(&mut build, cut, &mut encoder).await?;
        }
        self.ship(&mut build, None)?;
        while let Some(done) = build.uploads.join_next().await {
            let uploaded = done.map_err(|error| Stop(error.to_string()))??;
            build.packs.add(uploaded);
        }
        self.place(build.tickets, build.packs, &build.dead, &build.damaged).await
    }

    /// Adds a cut's blocks to the packs.
    async fn build_cut(
        self: &Arc<Self>,
        build: &mut Build,
        cut: usize,
        encoder: &mut Encoder,
    ) -> Result<(), Stop> {
        let Some(plan) = build.plans.get_mut(cut) else { return Ok(()) };
        let (blocks, base) = (std::mem::take(&mut plan.blocks), plan.base);
        let mut queue: std::collections::VecDeque<BlockSpec> = blocks.into();
        let mut record = None;
        while let Some(spec) = queue.pop_front() {
            let inode = match build.tickets.get(cut) {
                Some(ticket) => ticket.cut.inode,
                None => return Ok(()),
            };
            let bytes = match self.read_block(inode, &spec, base.as_ref(), &mut record).await {
                Ok(bytes) => bytes,
                Err(Unreadable::Recycled) => {
                    build.dead.insert(cut);
                    return Ok(());
                }
                Err(Unreadable::Damaged(why)) => {
                    build.damaged.insert(cut, why);
                    return Ok(());
                }
                Err(Unreadable::Base(why)) => {
                    tracing::warn!(%inode, why, "a window cannot be written anew; its parts are written as they are");
                    spec.instead.into_iter().rev().for_each(|part| queue.push_front(part));
                    continue;
                }
                Err(Unreadable::Stop(stop)) => return Err(stop),
            };
            self.uploads.rewritten.fetch_add(spec.base_bytes(), Ordering::Relaxed);
            self.uploads.metrics.rewritten_bytes.increment(spec.base_bytes());
            let block = encoder.encode(bytes.into()).map_err(|error| Stop(error.to_string()))?;
            let size = self.shared.settings.pack_size;
            if build.draft.as_ref().is_some_and(|draft| !draft.fits(block.stored.len() as u64, size)) {
                self.ship(build, Some(cut))?;
            }
            let draft = match &mut build.draft {
                Some(draft) => draft,
                None => {
                    let memory = self.uploads.memory().await?;
                    build.draft.insert(Draft::new(build.batch.clone(), memory))
                }
            };
            draft.push(cut, spec.offset(), block, origin_of(inode, &spec));
            // One block is a fraction of a millisecond of work: readers come in between.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Sends the draft on its way. `open`: the cut whose blocks go on in the next pack.
    fn ship(self: &Arc<Self>, build: &mut Build, open: Option<usize>) -> Result<(), Stop> {
        let Some(mut draft) = build.draft.take().filter(|draft| !draft.is_empty()) else { return Ok(()) };
        let mut told: BTreeSet<usize> = draft.cuts().collect();
        if open.is_none() {
            let without_data =
                |cut: &usize| build.tickets.get(*cut).is_some_and(|of| of.cut.writes.is_empty());
            told.extend((0..build.tickets.len()).filter(without_data));
        }
        for cut in told {
            if let Some(part) = build.parts.get_mut(cut) {
                let whole = open != Some(cut) && !build.damaged.contains_key(&cut);
                draft.record(cut, *part, whole);
                *part += 1;
            }
        }
        let flusher = self.clone();
        build.uploads.spawn(async move {
            let uploaded = flusher.uploads.upload(&draft).await?;
            flusher.keep_locally(&mut draft, &uploaded);
            Ok(uploaded)
        });
        Ok(())
    }

    /// Offers what was just uploaded to the cache: it is immutable and in the object store now.
    fn keep_locally(&self, draft: &mut Draft, uploaded: &Uploaded) {
        let activity = Activity::INTERACTIVE;
        let admission = self.fetcher.admission(&activity, BlockSource::Flushed);
        for (id, block) in draft.blocks(uploaded.pack) {
            let hot = if admission.hot { decoded(id, block) } else { None };
            self.fetcher.cache.offer(id, Some(block.stored.clone()), hot, admission);
        }
        for (id, origin) in draft.take_origins(uploaded.pack) {
            self.fetcher.probation.note(id, origin);
        }
        self.uploads.metrics.flushed_bytes.increment(draft.decoded_bytes());
    }
}

/// Where a block's bytes lie in the journal, if they all do and in few records.
fn origin_of(inode: InodeId, spec: &BlockSpec) -> Option<Origin> {
    let few = spec.fills.len() <= RECORDS_MAX;
    let record = |fill: &Fill| match fill.from {
        From::Log(location) => Some((location, u32::try_from(fill.len).ok()?)),
        From::Zero | From::Base => None,
    };
    let records = few.then(|| spec.fills.iter().map(record).collect::<Option<Box<[_]>>>()).flatten()?;
    Some(Origin { inode, records })
}
