//! The one place where the layers are put over a store.

use crate::health::{ColdHealth, HealthKeeper};
use crate::layer::fault::{Fault, FaultHandle};
use crate::layer::limit::{Limit, LimitConfig};
use crate::layer::meter::{ColdCounters, Meter};
use crate::layer::overdue::Overdue;
use crate::layer::retry::{Retry, RetryConfig};
use crate::layer::swap::Swap;
use crate::metrics::ColdMetrics;
use crate::{ColdInfo, ColdStore};
use dfs_model::{Clock, Entropy};
use std::sync::Arc;
use tokio::sync::watch;

/// How the layers of a cold store behave.
#[derive(Clone)]
pub struct ColdConfig {
    /// The configured name of the cold store, for metrics and messages.
    pub name: String,
    /// Bounds of requests, bandwidth and time.
    pub limit: LimitConfig,
    /// Patience.
    pub retry: RetryConfig,
    /// Failed attempts in a row after which the store counts as down.
    pub down_after: u32,
    /// Makes it misbehave; tests only.
    pub fault: Option<FaultHandle>,
}

impl ColdConfig {
    /// The defaults, under a name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> ColdConfig {
        ColdConfig {
            name: name.into(),
            limit: LimitConfig::default(),
            retry: RetryConfig::default(),
            down_after: 4,
            fault: None,
        }
    }
}

/// A cold store with its layers, and the handles to look at and close it. Clones are the same store.
#[derive(Clone)]
pub struct ColdStack {
    top: Arc<dyn ColdStore>,
    base: Arc<Swap>,
    name: Arc<str>,
    health: Arc<HealthKeeper>,
    counters: Arc<ColdCounters>,
    closed: Arc<watch::Sender<bool>>,
}

impl ColdStack {
    /// Puts the layers over a store: retry over limit over meter over overdue over (fault over) swap over the store itself.
    #[must_use]
    pub fn build(
        base: Arc<dyn ColdStore>,
        config: ColdConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> ColdStack {
        let base = Arc::new(Swap::new(base));
        let name = config.name;
        let metrics = Arc::new(ColdMetrics::new(&name));
        let counters = Arc::new(ColdCounters::default());
        let health = Arc::new(HealthKeeper::new(config.down_after));
        metrics.up.set(1.0);
        let store: Arc<dyn ColdStore> = match config.fault {
            Some(handle) => Arc::new(Fault { inner: base.clone(), handle }),
            None => base.clone(),
        };
        let meter = Meter {
            inner: Arc::new(Overdue::new(store, &config.limit, name.clone())),
            counters: Arc::clone(&counters),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            clock: Arc::clone(&clock),
            name: name.clone(),
        };
        let limit = Limit::new(Arc::new(meter), &config.limit, Arc::clone(&clock));
        let (closed, closing) = watch::channel(false);
        let retry = Retry {
            inner: Arc::new(limit),
            config: config.retry,
            clock,
            entropy,
            counters: Arc::clone(&counters),
            metrics,
            closed: closing,
            name: name.clone(),
        };
        ColdStack {
            top: Arc::new(retry),
            base,
            name: name.into(),
            health,
            counters,
            closed: Arc::new(closed),
        }
    }

    /// The store to use.
    #[must_use]
    pub fn store(&self) -> Arc<dyn ColdStore> {
        Arc::clone(&self.top)
    }

    /// The store without its layers: for a probe at start, whose answers should come at once and untranslated.
    #[must_use]
    pub fn base(&self) -> Arc<dyn ColdStore> {
        self.base.clone()
    }

    /// Goes on with another door to the same store: other credentials for the same bucket. What has begun ends at the old one,
    /// or is tried again at the new one. The caller has seen that it can be used and has the same objects.
    pub fn replace(&self, base: Arc<dyn ColdStore>) {
        self.base.set(base);
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the store is.
    #[must_use]
    pub fn describe(&self) -> ColdInfo {
        self.base.describe()
    }

    /// Its health; the receiver wakes when the state changes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<ColdHealth> {
        self.health.subscribe()
    }

    /// Attempts so far.
    #[must_use]
    pub fn counters(&self) -> Arc<ColdCounters> {
        Arc::clone(&self.counters)
    }

    /// Ends every wait and refuses new calls with `Cancelled`. *Cancel:* uploads under way are in doubt.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }
}
