//! Random histories: whatever is written, cut, failed, forgotten and collected, readers see the file's own state.

use super::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};

const FILES: usize = 4;
const SIZE: u64 = 60_000;

struct History {
    bench: Arc<Bench>,
    rng: SmallRng,
    files: Vec<(InodeId, Vec<u8>)>,
}

impl History {
    async fn new(seed: u64) -> History {
        let cache = Forgetfulness { forget: 40, refuse: 40, rot: 20, warm: !seed.is_multiple_of(3) };
        let settings: fn(&mut StackSettings) = |s| {
            s.flush_after = Duration::from_secs(2);
            s.pack_delete_after = Duration::from_secs(60);
            s.owner_settle = Duration::from_secs(1);
        };
        let plan = Plan {
            seed,
            cache: Some(cache),
            pack_size: 16 << 10,
            journal_bytes: 8 << 20,
            settings,
            ..Plan::default()
        };
        let bench = Arc::new(Bench::new(plan).await);
        let mut files = Vec::new();
        for n in 0..FILES {
            files.push((bench.create(&format!("f{n}")).await, Vec::new()));
        }
        History { bench, rng: SmallRng::seed_from_u64(seed), files }
    }

    async fn step(&mut self) {
        let n = self.rng.random_range(0..FILES);
        let inode = self.files[n].0;
        match self.rng.random_range(0..100) {
            0..=44 => {
                let len = if self.rng.random_ratio(1, 6) {
                    self.rng.random_range(1..20_000)
                } else {
                    self.rng.random_range(1..300)
                };
                let offset = self.rng.random_range(0..SIZE - len);
                let data = noise(self.rng.random(), len as usize);
                let model = &mut self.files[n].1;
                if model.len() < (offset + len) as usize {
                    model.resize((offset + len) as usize, 0);
                }
                model[offset as usize..(offset + len) as usize].copy_from_slice(&data);
                self.bench.write(inode, offset, &data).await;
            }
            45..=49 => {
                let size = self.rng.random_range(0..SIZE);
                self.files[n].1.resize(size as usize, 0);
                self.bench.truncate(inode, size).await;
            }
            50..=57 => {
                let (offset, len) = (self.rng.random_range(0..SIZE), self.rng.random_range(1..8000));
                let model = &mut self.files[n].1;
                let (from, to) =
                    ((offset as usize).min(model.len()), ((offset + len) as usize).min(model.len()));
                model[from..to].fill(0);
                self.bench.punch(inode, offset, len).await;
            }
            58..=73 => self.check(n).await,
            74..=77 => self.check_late(n).await,
            78..=83 => {
                let bench = self.bench.clone();
                tokio::spawn(async move { bench.stack.flush(FlushScope::Inode(inode)).await });
            }
            84..=86 => {
                let bench = self.bench.clone();
                tokio::spawn(async move { bench.stack.flush(FlushScope::All).await });
            }
            87..=90 => tokio::time::sleep(Duration::from_millis(self.rng.random_range(1..3000))).await,
            91 => self.bench.cache.wipe(),
            92..=93 => {
                let sweep = self.rng.random();
                let _ = self.bench.stack.gc_once(self.bench.world.clock.wall(), sweep).await;
            }
            _ => self.trouble(),
        }
    }

    fn trouble(&mut self) {
        let heal = self.rng.random_ratio(1, 2);
        let (kind, rate) = (self.rng.random_range(0..6), self.rng.random_range(0.0..0.5));
        self.bench.faults.change(|plan| {
            if heal {
                *plan = dfs_cold::FaultPlan::default();
                return;
            }
            plan.latency = (Duration::from_millis(5), Duration::from_millis(200));
            match kind {
                0 => plan.error_rate = rate,
                1 => plan.lost_reply_rate = rate,
                2 => (plan.late_put_rate, plan.late_put_delay) = (rate, Duration::from_secs(3)),
                3 => plan.throttle_rate = rate,
                4 => plan.partial_rate = rate,
                _ => plan.wrong_bytes_rate = rate / 10.0,
            }
        });
    }

    /// A read must be right or say that it cannot be had.
    async fn check(&mut self, n: usize) {
        let (inode, model) = &self.files[n];
        let offset = self.rng.random_range(0..SIZE);
        let len = self.rng.random_range(1..SIZE);
        let from = (offset as usize).min(model.len());
        let to = ((offset + len) as usize).min(model.len());
        match self.bench.try_read(*inode, offset, len).await {
            Ok(bytes) => assert!(bytes == model[from..to], "file {n}, {from}..{to}: wrong bytes"),
            Err(StackReadError::ColdUnavailable) => {}
            // Wrong bytes twice in a row look like damage; the faults make them.
            Err(StackReadError::Corrupt { .. }) if self.bench.faults.counts().wrong_bytes > 0 => {}
            Err(error) => panic!("file {n}: {error}"),
        }
    }

    /// A read whose plan is older than what happened since: the state at the plan, or `Moved`. Nothing else.
    async fn check_late(&mut self, n: usize) {
        let (inode, model) = &self.files[n];
        let (from, to) = (self.rng.random_range(0..SIZE), self.rng.random_range(1..SIZE));
        let len = to.min((model.len() as u64).saturating_sub(from));
        if len == 0 {
            return;
        }
        let plan = self.bench.journal.read_plan(*inode, from, len);
        let then = model[from as usize..(from + len) as usize].to_vec();
        let inode = *inode;
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..4000))).await;
        if self.rng.random_ratio(1, 2) {
            let data = noise(self.rng.random(), 500);
            let at = self.rng.random_range(0..SIZE - 500);
            let model = &mut self.files[n].1;
            model.resize(model.len().max(at as usize + 500), 0);
            model[at as usize..at as usize + 500].copy_from_slice(&data);
            self.bench.write(inode, at, &data).await;
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..4000))).await;
        }
        let now = self.files[n].1[from as usize..(from + len) as usize].to_vec();
        let planned = plan.is_some();
        let deadline = Some(self.bench.world.clock.monotonic().plus(Duration::from_secs(600)));
        let read =
            self.bench.stack.read(inode, plan, from, len, &Activity::INTERACTIVE, &client(2), deadline).await;
        if let Ok(parts) = read {
            let bytes = parts.concat();
            // Without a plan the state is the row's, which may have moved on to the newest.
            let right = bytes == then || (!planned && bytes == now);
            assert!(right, "file {n}, {from}+{len}: a state that never was (plan {planned})");
        }
    }

    async fn finish(self) {
        self.bench.faults.heal();
        self.bench.flush().await;
        assert_eq!(self.bench.journal.stats().dirty_inodes, 0, "everything drains");
        self.bench.cache.wipe();
        for (n, (inode, model)) in self.files.iter().enumerate() {
            let most = self.bench.extents_in_a_window(*inode, 4096).await;
            assert!(most <= 8, "file {n} has {most} extents in a window");
            assert!(self.bench.read(*inode, 0, 1 << 30).await == *model, "file {n} after everything");
        }
        let bench = Arc::into_inner(self.bench);
        let Some(bench) = bench else { return };
        let bench = bench.reopen(Plan { cache: None, ..Plan::default() }).await;
        for (n, (inode, model)) in self.files.iter().enumerate() {
            assert!(bench.read(*inode, 0, 1 << 30).await == *model, "file {n} after the restart");
        }
    }
}

async fn run(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut history = History::new(seed).await;
    for _ in 0..steps {
        history.step().await;
    }
    history.finish().await;
}

#[tokio::test(start_paused = true)]
async fn random_histories_read_back_as_written() {
    let seeds = std::env::var("DFS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let first = std::env::var("DFS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        run(seed, 250).await;
    }
}
