//! The task of a group of flights: the journal and warm first, then one GET for blocks that lie close together in a pack.

use super::Fetcher;
use super::flight::{FetchError, FlightEnd};
use bytes::Bytes;
use dfs_block::decode_block;
use dfs_cold::ColdErrorKind;
use dfs_cold::PermanentCause;
use dfs_model::Activity;
use dfs_model::extent::BlockPiece;
use dfs_policy::BlockSource;
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Unwanted bytes between two blocks that are fetched along rather than asking twice.
const GAP_MAX: u64 = 128 << 10;
/// Warm reads at once.
const WARM_WIDTH: usize = 8;
/// How often a block is fetched again after a damaged answer, before the object counts as damaged.
const TRIES_AFTER_DAMAGE: u32 = 4;

/// One block to fetch, and whom to tell.
pub(crate) struct Job {
    pub piece: BlockPiece,
    pub end: FlightEnd,
}

/// Fetches a group of blocks. Every job ends.
pub(super) async fn run(fetcher: Arc<Fetcher>, jobs: Vec<Job>, activity: Activity, source: BlockSource) {
    let jobs = from_probation(&fetcher, jobs, &activity);
    let cold = match fetcher.cache.has_warm() {
        true => from_warm(&fetcher, jobs, &activity).await,
        false => jobs,
    };
    for get in coalesce(cold, fetcher.shared.settings.get_max) {
        tokio::spawn(from_cold(fetcher.clone(), get, activity, source));
    }
}

/// Ends what the journal still has; returns the rest.
fn from_probation(fetcher: &Arc<Fetcher>, jobs: Vec<Job>, activity: &Activity) -> Vec<Job> {
    let mut rest = Vec::new();
    for job in jobs {
        let wanted = job.piece.block.decoded_len as usize;
        let found = fetcher.probation.read(&fetcher.shared.journal, job.piece.id);
        let Some(decoded) = found.filter(|bytes| bytes.len() == wanted) else {
            rest.push(job);
            continue;
        };
        fetcher.served.warm.fetch_add(1, Ordering::Relaxed);
        fetcher.metrics.probation_bytes.increment(decoded.len() as u64);
        let admission = fetcher.admission(activity, BlockSource::Warm);
        fetcher.cache.offer(job.piece.id, None, Some(decoded.clone()), admission);
        fetcher.end(job, Ok(decoded));
    }
    rest
}

/// Ends what warm has; returns the rest.
async fn from_warm(fetcher: &Arc<Fetcher>, jobs: Vec<Job>, activity: &Activity) -> Vec<Job> {
    let mut cold = Vec::new();
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let some: Vec<Job> = jobs.by_ref().take(WARM_WIDTH).collect();
        let found = join_all(some.iter().map(|job| fetcher.cache.warm(job.piece.id))).await;
        for (job, stored) in some.into_iter().zip(found) {
            let Some(stored) = stored else {
                cold.push(job);
                continue;
            };
            match decode_block(job.piece.id, stored, &job.piece.block) {
                Ok(decoded) => {
                    fetcher.served.warm.fetch_add(1, Ordering::Relaxed);
                    fetcher.metrics.warm_bytes.increment(decoded.len() as u64);
                    let admission = fetcher.admission(activity, BlockSource::Warm);
                    fetcher.cache.offer(job.piece.id, None, Some(decoded.clone()), admission);
                    fetcher.end(job, Ok(decoded));
                }
                Err(error) => {
                    tracing::warn!(%error, "a block on NVMe is damaged; it is fetched from the object store again");
                    fetcher.metrics.warm_damaged.increment(1);
                    fetcher.cache.forget(job.piece.id);
                    cold.push(job);
                }
            }
        }
    }
    cold
}

/// Sorts jobs into GETs: same pack, small gaps, at most `bytes_max` each.
fn coalesce(mut jobs: Vec<Job>, bytes_max: u64) -> Vec<Vec<Job>> {
    jobs.sort_by_key(|job| (job.piece.id.pack, job.piece.pack_offset));
    let mut gets: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        let joins =
            gets.last().and_then(|get| Some((get.first()?, get.last()?))).is_some_and(|(first, last)| {
                let gap = job.piece.pack_offset.checked_sub(last.piece.pack_end());
                let whole = job.piece.pack_end().saturating_sub(first.piece.pack_offset);
                let near = gap.is_some_and(|gap| gap <= GAP_MAX);
                first.piece.id.pack == job.piece.id.pack && near && whole <= bytes_max
            });
        match gets.last_mut() {
            Some(get) if joins => get.push(job),
            _ => gets.push(vec![job]),
        }
    }
    gets
}

/// One GET, verified block by block.
async fn from_cold(fetcher: Arc<Fetcher>, jobs: Vec<Job>, activity: Activity, source: BlockSource) {
    let pieces: Vec<BlockPiece> = jobs.iter().map(|job| job.piece).collect();
    let mut bodies = fetcher.get(&pieces).await.map(Vec::into_iter);
    for job in jobs {
        let piece = job.piece;
        let stored = match &mut bodies {
            Ok(bodies) => bodies.next().ok_or(FetchError::Damaged(piece.id)),
            Err(error) => Err(error.clone()),
        };
        let result = match stored {
            Ok(stored) => match decode_block(piece.id, stored.clone(), &piece.block) {
                Ok(decoded) => Ok((stored, decoded)),
                Err(error) => {
                    tracing::warn!(%error, "the object store returned a damaged block; it is asked again");
                    fetcher.try_again(&piece).await
                }
            },
            Err(error) => Err(error),
        };
        let result = result.map(|(stored, decoded)| {
            fetcher.served.cold.fetch_add(1, Ordering::Relaxed);
            fetcher.metrics.cold_bytes.increment(decoded.len() as u64);
            let admission = fetcher.admission(&activity, source);
            fetcher.cache.offer(piece.id, Some(stored), Some(decoded.clone()), admission);
            decoded
        });
        fetcher.end(job, result);
    }
}

impl Fetcher {
    /// The stored bytes of pieces of one pack, each in memory of its own: what is kept of one must not keep the others.
    async fn get(&self, pieces: &[BlockPiece]) -> Result<Vec<Bytes>, FetchError> {
        let (Some(piece), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(Vec::new()) };
        let key = self.keys.pack(self.shared.share, piece.id.pack);
        let ranges: Vec<_> = pieces.iter().map(|piece| piece.pack_offset..piece.pack_end()).collect();
        self.metrics.gets.increment(1);
        let error = match self.shared.cold.get_ranges(&key, &ranges).await {
            Ok(bodies) => {
                let whole = last.pack_end().saturating_sub(piece.pack_offset);
                self.served.fetched.fetch_add(whole, Ordering::Relaxed);
                return Ok(bodies);
            }
            Err(error) => error,
        };
        match error.kind {
            ColdErrorKind::NotFound => Err(FetchError::Missing(piece.id)),
            ColdErrorKind::Permanent(PermanentCause::OutOfRange) => Err(FetchError::Damaged(piece.id)),
            _ => {
                self.shared.note_error(&error.to_string());
                Err(FetchError::Unavailable(error.to_string()))
            }
        }
    }

    /// Asks for one block again, after a body that was wrong: a path that damages some answers is not a damaged object.
    async fn try_again(&self, piece: &BlockPiece) -> Result<(Bytes, Bytes), FetchError> {
        let mut tries = TRIES_AFTER_DAMAGE;
        loop {
            let stored = self.get(std::slice::from_ref(piece)).await?.pop().unwrap_or_default();
            tries -= 1;
            match decode_block(piece.id, stored.clone(), &piece.block) {
                Ok(decoded) => return Ok((stored, decoded)),
                Err(_) if tries > 0 => {}
                Err(error) => {
                    self.metrics.cold_damaged.increment(1);
                    tracing::error!(share = %self.shared.share, %error, "damaged in the object store: reads of it fail");
                    self.shared.note_error(&error.to_string());
                    return Err(FetchError::Damaged(piece.id));
                }
            }
        }
    }
}
