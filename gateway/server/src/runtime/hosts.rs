//! Host names in client lists: resolved off the request path, within a bound, and remembered.
//!
//! A name that cannot be resolved matches nobody; a name that could be is believed for a while longer when its server fails.
//! At most one look-up per name is under way, so a dead name server holds one thread per name and no request.

use dfs_model::{Clock, Monotonic};
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer, good or bad, is taken without asking again.
pub(super) const TTL: Duration = Duration::from_secs(60);
/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a good answer outlives the failure of later look-ups.
const STALE_MAX: Duration = Duration::from_secs(600);

/// Asks for the addresses of a name.
#[async_trait::async_trait]
pub(super) trait Resolver: Send + Sync + 'static {
    /// *Errors:* in words.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String>;
}

/// The machine's resolver, on threads of its own.
pub(super) struct SystemResolver;

#[async_trait::async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
        Ok(found.map(|at| at.ip()).collect())
    }
}

#[derive(Clone, Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// When the addresses were answered.
    good_at: Option<Monotonic>,
    asked_at: Monotonic,
    failed: bool,
}

/// The names that client lists have, and their addresses.
pub(crate) struct HostNames {
    resolver: Arc<dyn Resolver>,
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<String, Known>>,
    asking: Arc<Mutex<BTreeSet<String>>>,
}

impl HostNames {
    pub fn system(clock: Arc<dyn Clock>) -> HostNames {
        HostNames::new(Arc::new(SystemResolver), clock)
    }

    fn new(resolver: Arc<dyn Resolver>, clock: Arc<dyn Clock>) -> HostNames {
        HostNames { resolver, clock, known: Mutex::default(), asking: Arc::default() }
    }

    /// What is known of a name now; never asks.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        self.known.lock().get(name).map(|known| known.addresses.clone()).unwrap_or_default()
    }

    /// Asks for the names whose answers are too old, side by side, and forgets names that are not among them. Takes a few
    /// seconds at most. Answers whether anything changed. *Cancel:* safe.
    pub async fn refresh(&self, names: &BTreeSet<String>) -> bool {
        let now = self.clock.monotonic();
        let due: Vec<String> = {
            let mut known = self.known.lock();
            known.retain(|name, _| names.contains(name));
            let fresh = |name: &String| known.get(name).is_some_and(|known| now.since(known.asked_at) < TTL);
            names.iter().filter(|name| !fresh(name)).cloned().collect()
        };
        join_all(due.iter().map(|name| self.look_up(name))).await.contains(&true)
    }

    async fn look_up(&self, name: &str) -> bool {
        let answer = self.ask(name).await;
        self.note(name, answer)
    }

    async fn ask(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        if !self.asking.lock().insert(name.to_owned()) {
            return Err(String::from("an earlier look-up has not ended"));
        }
        let (resolver, asking, owned) = (self.resolver.clone(), self.asking.clone(), name.to_owned());
        let task = tokio::spawn(async move {
            let answer = resolver.resolve(&owned).await;
            asking.lock().remove(&owned);
            answer
        });
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(answer) => answer.map_err(|error| error.to_string()).and_then(|answer| answer),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    fn note(&self, name: &str, answer: Result<Vec<IpAddr>, String>) -> bool {
        let now = self.clock.monotonic();
        let mut all = self.known.lock();
        let known = all.entry(name.to_owned()).or_default();
        known.asked_at = now;
        let before = known.addresses.clone();
        match answer {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                if std::mem::take(&mut known.failed) {
                    tracing::info!(host = name, "a client's name is resolved again");
                }
                known.addresses = addresses;
                known.good_at = Some(now);
            }
            refused => {
                let why = refused.err().unwrap_or_else(|| String::from("no address"));
                let kept = known.good_at.is_some_and(|at| now.since(at) < STALE_MAX);
                if !kept {
                    known.addresses.clear();
                }
                if !std::mem::replace(&mut known.failed, true) {
                    tracing::warn!(
                        host = name,
                        why,
                        kept,
                        "a client's name cannot be resolved; without an earlier answer it may not mount"
                    );
                }
            }
        }
        known.addresses != before
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use dfs_model::Timestamp;

    struct Paused(tokio::time::Instant);

    impl Clock for Paused {
        fn wall(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn monotonic(&self) -> Monotonic {
            Monotonic(1).plus(self.0.elapsed())
        }
    }

    /// An answer: `None` never comes.
    type Answer = Option<Result<Vec<IpAddr>, String>>;

    /// Answers per name.
    #[derive(Default)]
    struct Scripted {
        answers: Mutex<BTreeMap<String, Answer>>,
        asked: Mutex<u32>,
    }

    #[async_trait::async_trait]
    impl Resolver for Scripted {
        async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
            *self.asked.lock() += 1;
            let answer = self.answers.lock().get(name).cloned();
            match answer {
                Some(Some(answer)) => answer,
                _ => std::future::pending().await,
            }
        }
    }

    fn bed() -> (Arc<Scripted>, HostNames, Vec<IpAddr>) {
        let scripted = Arc::new(Scripted::default());
        let names = HostNames::new(scripted.clone(), Arc::new(Paused(tokio::time::Instant::now())));
        (scripted, names, vec!["192.0.2.1".parse().unwrap()])
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn name_server_that_never_answers_costs_a_bounded_time_once_and_matches_nobody() {
        let (scripted, names, good) = bed();
        scripted.answers.lock().insert("fine".to_owned(), Some(Ok(good.clone())));
        let started = tokio::time::Instant::now();
        assert!(names.refresh(&set(&["dead", "dead2", "fine"])).await);
        assert!(started.elapsed() <= PATIENCE + Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!((names.addresses("fine"), names.addresses("dead")), (good, vec![]));
        tokio::time::sleep(TTL).await;
        let asked = *scripted.asked.lock();
        names.refresh(&set(&["dead", "dead2"])).await;
        assert_eq!(*scripted.asked.lock(), asked, "a second look-up of a name that hangs");
    }

    #[tokio::test(start_paused = true)]
    async fn answer_is_taken_for_its_time_then_asked_for_and_outlives_a_short_failure_only() {
        let (scripted, names, good) = bed();
        scripted.answers.lock().insert("a".to_owned(), Some(Ok(good.clone())));
        names.refresh(&set(&["a"])).await;
        names.refresh(&set(&["a"])).await;
        assert_eq!(*scripted.asked.lock(), 1);
        scripted.answers.lock().insert("a".to_owned(), Some(Err("down".to_owned())));
        for _ in 0..5 {
            tokio::time::sleep(TTL).await;
            assert!(!names.refresh(&set(&["a"])).await);
        }
        assert_eq!(names.addresses("a"), good);
        tokio::time::sleep(STALE_MAX).await;
        assert!(names.refresh(&set(&["a"])).await);
        assert_eq!(names.addresses("a"), Vec::<IpAddr>::new());
        let other: Vec<IpAddr> = vec!["192.0.2.9".parse().unwrap()];
        scripted.answers.lock().insert("a".to_owned(), Some(Ok(other.clone())));
        tokio::time::sleep(TTL).await;
        assert!(names.refresh(&set(&["a"])).await);
        assert_eq!(names.addresses("a"), other);
    }
}
