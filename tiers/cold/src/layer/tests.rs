//! Tests of the layers over the memory store, in paused time.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::conformance::{RuntimeClock, SeededEntropy, body};
use crate::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

struct Rig {
    base: Arc<MemoryCold>,
    stack: ColdStack,
    faults: FaultHandle,
}

fn rig(seed: u64, change: impl FnOnce(&mut ColdConfig)) -> Rig {
    println!("seed {seed}");
    let (base, faults) = (Arc::new(MemoryCold::new(RuntimeClock::shared())), FaultHandle::new(seed));
    let mut config = ColdConfig { fault: Some(faults.clone()), ..ColdConfig::named("test") };
    change(&mut config);
    let stack = ColdStack::build(base.clone(), config, RuntimeClock::shared(), SeededEntropy::shared(seed));
    Rig { base, stack, faults }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn get_through_errors_is_retried_to_success() {
    let rig = rig(1, |_| {});
    let store = rig.stack.store();
    store.put_if_absent(&key("a"), body(100, 1).into()).await.unwrap();
    rig.faults.change(|plan| plan.error_rate = 0.2);
    let mut failed = 0;
    for _ in 0..300 {
        match store.get_range(&key("a"), 0..100).await {
            Ok(bytes) => assert_eq!(bytes, body(100, 1)),
            Err(error) => {
                assert_eq!(error.kind, ColdErrorKind::Retry);
                failed += 1;
            }
        }
    }
    // Six attempts at 20 % fail with a chance of 0.00006.
    assert!(failed <= 1, "{failed}");
    assert!((40..110).contains(&rig.stack.counters().retries()), "{}", rig.stack.counters().retries());
}

#[tokio::test(start_paused = true)]
async fn put_whose_reply_is_lost_is_unknown_and_never_stored() {
    let rig = rig(2, |_| {});
    rig.faults.change(|plan| plan.lost_reply_rate = 1.0);
    let faults = rig.faults.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        faults.heal();
    });
    let error = rig.stack.store().put_if_absent(&key("a"), body(9, 1).into()).await.unwrap_err();
    assert_eq!((rig.faults.counts().lost_replies, rig.stack.counters().attempts(ColdOp::Put)), (1, 2));
    // The first attempt landed; the second finds the object, which proves nothing.
    assert_eq!((error.kind, error.in_doubt), (ColdErrorKind::Unknown, true), "{error}");
    assert_eq!(error.class(), RetryClass::Never);
    assert_eq!((rig.stack.counters().unknown_puts(), rig.base.inventory().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn put_after_certain_refusals_is_stored_and_existing_is_exists() {
    let rig = rig(3, |_| {});
    rig.faults.change(|plan| plan.throttle_rate = 0.5);
    let store = rig.stack.store();
    let mut stored = 0;
    for i in 0..50 {
        if let Ok(outcome) = store.put_if_absent(&key(&format!("k{i}")), body(9, 1).into()).await {
            assert_eq!(outcome, PutOutcome::Stored);
            stored += 1;
            // A refusal by throttling is certain: what is there was there before.
            match store.put_if_absent(&key(&format!("k{i}")), body(9, 1).into()).await {
                Ok(outcome) => assert_eq!(outcome, PutOutcome::Exists),
                Err(error) => assert!(matches!(error.kind, ColdErrorKind::Throttled { .. })),
            }
        }
    }
    assert!(stored > 40 && rig.stack.counters().unknown_puts() == 0, "{stored}");
}

/// The rule behind every place: whatever goes wrong, what is reported as stored is there with exactly these bytes, and what
/// is reported as a certain failure is not there and never will be.
#[tokio::test(start_paused = true)]
async fn put_under_every_fault_reports_only_what_is_true() {
    for seed in 0..20 {
        let rig = rig(seed, |config| config.retry.attempts_max = 4);
        rig.faults.change(|plan| {
            plan.error_rate = 0.2;
            plan.throttle_rate = 0.2;
            plan.lost_reply_rate = 0.2;
            plan.late_put_rate = 0.2;
            plan.late_put_delay = Duration::from_secs(100);
        });
        let (mut stored, mut absent, mut unknown) = (Vec::new(), Vec::new(), 0);
        for i in 0..100 {
            let name = key(&format!("k{i}"));
            match rig.stack.store().put_if_absent(&name, body(50, i).into()).await {
                Ok(PutOutcome::Stored) => stored.push((name, i)),
                Ok(PutOutcome::Exists) => panic!("k{i} exists without doubt"),
                Err(error) if error.in_doubt => {
                    assert_eq!(error.kind, ColdErrorKind::Unknown);
                    unknown += 1;
                }
                Err(_) => absent.push(name),
            }
        }
        tokio::time::sleep(Duration::from_secs(1000)).await;
        for (name, i) in &stored {
            assert_eq!(rig.base.get_range(name, 0..50).await.unwrap(), body(50, *i));
        }
        for name in &absent {
            assert!(rig.base.head(name).await.unwrap_err().is_not_found(), "{name}");
        }
        assert!(stored.len() > 30 && unknown > 5, "{} {unknown}", stored.len());
        assert!(rig.faults.counts().late_puts_landed > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_call_waits_at_least_what_the_store_asked() {
    let rig = rig(4, |_| {});
    let store = rig.stack.store();
    rig.faults.change(|plan| {
        plan.throttle_rate = 1.0;
        plan.throttle_after = Some(Duration::from_secs(7));
    });
    let faults = rig.faults.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        faults.heal();
    });
    let started = Instant::now();
    assert!(store.head(&key("a")).await.unwrap_err().is_not_found());
    assert!(started.elapsed() >= Duration::from_secs(7), "{:?}", started.elapsed());
    // Longer than the deadline: not waited for at all.
    rig.faults.change(|plan| {
        plan.throttle_rate = 1.0;
        plan.throttle_after = Some(Duration::from_secs(3600));
    });
    let started = Instant::now();
    let error = store.head(&key("a")).await.unwrap_err();
    assert_eq!(error.class(), RetryClass::Throttled(Some(Duration::from_secs(3600))));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn outage_ends_within_the_deadline_and_health_follows() {
    let rig = rig(5, |config| config.retry.attempts_max = 1000);
    let (store, mut health) = (rig.stack.store(), rig.stack.health());
    store.put_if_absent(&key("a"), body(9, 1).into()).await.unwrap();
    rig.faults.change(|plan| plan.cut = true);
    let started = Instant::now();
    assert!(store.get_range(&key("a"), 0..9).await.is_err());
    assert!((30..=60).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert!(health.has_changed().unwrap());
    let seen = health.borrow_and_update().clone();
    assert!(matches!(seen.state, ColdState::Down { .. }), "{seen:?}");
    assert!(seen.last_error.unwrap().1.contains("the link is cut"));
    rig.faults.heal();
    store.get_range(&key("a"), 0..9).await.unwrap();
    assert!(health.borrow_and_update().is_up());
}

#[tokio::test(start_paused = true)]
async fn permanent_cause_is_not_retried_and_names_itself() {
    let rig = rig(6, |_| {});
    rig.faults.change(|plan| plan.permanent = Some(PermanentCause::AccessDenied));
    let error = rig.stack.store().put_if_absent(&key("a"), body(9, 1).into()).await.unwrap_err();
    assert_eq!((error.cause(), error.in_doubt), (Some(PermanentCause::AccessDenied), false));
    assert_eq!(rig.stack.counters().attempts(ColdOp::Put), 1);
    assert_eq!(rig.stack.health().borrow().permanent(), Some(PermanentCause::AccessDenied));
    rig.faults.heal();
    rig.stack.store().put_if_absent(&key("a"), body(9, 1).into()).await.unwrap();
    assert!(rig.stack.health().borrow().is_up());
}

#[tokio::test(start_paused = true)]
async fn hanging_store_is_given_up_after_the_attempt_time() {
    let rig = rig(7, |config| {
        config.retry.attempts_max = 2;
        config.limit.attempt_timeout = Duration::from_secs(3);
    });
    rig.faults.change(|plan| plan.latency = (Duration::from_secs(10_000), Duration::ZERO));
    let started = Instant::now();
    let error = rig.stack.store().put_if_absent(&key("a"), body(9, 1).into()).await.unwrap_err();
    assert_eq!(error.kind, ColdErrorKind::Unknown, "{error}");
    assert!((6..8).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(rig.stack.counters().in_flight(), 0);
    assert!(rig.stack.store().put_if_absent(&key("b"), body(9, 1).into()).await.is_err());
    let seen = rig.stack.health().borrow().clone();
    assert!(matches!(seen.state, ColdState::Down { .. }), "silence is a failure too: {seen:?}");
    assert!(seen.last_error.unwrap().1.contains("no answer within 3 s"));
}

#[tokio::test(start_paused = true)]
async fn limits_hold_requests_and_bandwidth_down_but_uploads_never_block_reads() {
    let rig = rig(8, |config| {
        config.limit.uploads_max = 2;
        config.limit.requests_max = 3;
        config.limit.upload_rate = Some(1000);
    });
    rig.faults.change(|plan| plan.latency = (Duration::from_secs(1), Duration::ZERO));
    let started = Instant::now();
    let puts = (0..4u64).map(|i| {
        let store = rig.stack.store();
        tokio::spawn(async move { store.put_if_absent(&key(&format!("p{i}")), body(5000, i).into()).await })
    });
    let puts: Vec<_> = puts.collect();
    assert!(rig.stack.store().head(&key("none")).await.unwrap_err().is_not_found());
    assert_eq!(started.elapsed(), Duration::from_secs(1), "a read waited for uploads");
    for put in puts {
        assert_eq!(put.await.unwrap().unwrap(), PutOutcome::Stored);
    }
    // Three bodies of 5 s each must have passed before the fourth starts.
    assert!(started.elapsed() >= Duration::from_secs(15), "{:?}", started.elapsed());
    let started = Instant::now();
    let heads: Vec<_> = (0..9)
        .map(|_| {
            let store = rig.stack.store();
            tokio::spawn(async move { store.head(&key("p0")).await })
        })
        .collect();
    for head in heads {
        head.await.unwrap().unwrap();
    }
    assert_eq!(started.elapsed().as_secs(), 3, "nine requests, three at a time");
}

#[tokio::test(start_paused = true)]
async fn close_ends_waits_and_refuses_new_calls() {
    let rig = rig(9, |_| {});
    rig.faults.change(|plan| plan.cut = true);
    let store = rig.stack.store();
    let waiting = tokio::spawn(async move { store.head(&key("a")).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    rig.stack.close();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ColdErrorKind::Cancelled, "{error}");
    let refused = rig.stack.store().put_if_absent(&key("a"), body(1, 1).into()).await.unwrap_err();
    assert_eq!((refused.kind, refused.in_doubt), (ColdErrorKind::Cancelled, false));
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_arrive_with_the_right_length() {
    let rig = rig(10, |_| {});
    let store = rig.stack.store();
    store.put_if_absent(&key("a"), body(100, 1).into()).await.unwrap();
    rig.faults.change(|plan| plan.wrong_bytes_rate = 1.0);
    let wrong = store.get_range(&key("a"), 0..100).await.unwrap();
    let differing = wrong.iter().zip(body(100, 1).iter()).filter(|(a, b)| a != b).count();
    assert_eq!((wrong.len(), differing), (100, 1));
}

/// A store that ignores conditions, as some that call themselves compatible do.
struct Careless(MemoryCold);

#[async_trait::async_trait]
impl ColdStore for Careless {
    async fn put_if_absent(&self, key: &Key, body: PutBody) -> ColdResult<PutOutcome> {
        self.0.delete_batch(std::slice::from_ref(key)).await?;
        self.0.put_if_absent(key, body).await
    }
    async fn put_owner(
        &self,
        k: &Key,
        b: bytes::Bytes,
        _: Option<&ObjectVersion>,
    ) -> ColdResult<ObjectVersion> {
        self.0.delete_batch(std::slice::from_ref(k)).await?;
        self.0.put_owner(k, b, None).await
    }
    async fn get_owner(&self, key: &Key) -> ColdResult<(bytes::Bytes, ObjectVersion)> {
        self.0.get_owner(key).await
    }
    async fn get_ranges(&self, key: &Key, ranges: &[std::ops::Range<u64>]) -> ColdResult<Vec<bytes::Bytes>> {
        self.0.get_ranges(key, ranges).await
    }
    async fn head(&self, key: &Key) -> ColdResult<ObjectInfo> {
        self.0.head(key).await
    }
    async fn list_page(&self, prefix: &KeyPrefix, after: Option<&ListToken>) -> ColdResult<ListPage> {
        self.0.list_page(prefix, after).await
    }
    async fn delete_batch(&self, keys: &[Key]) -> ColdResult<Vec<DeleteOutcome>> {
        self.0.delete_batch(keys).await
    }
    fn describe(&self) -> ColdInfo {
        self.0.describe()
    }
}

#[tokio::test]
async fn probe_notices_a_store_that_ignores_conditions() {
    let store = Careless(MemoryCold::new(RuntimeClock::shared()));
    let report = probe(&store, &KeySpace::new("x").unwrap(), &*SeededEntropy::shared(1)).await;
    let text = report.text();
    assert!(text.contains("If-None-Match") && text.contains("If-Match"), "{text}");
    assert!(!report.is_good() && !report.is_transient());
}

#[tokio::test(start_paused = true)]
async fn probe_of_a_dead_or_denied_store_says_so_at_once() {
    let rig = rig(11, |_| {});
    let space = KeySpace::new("x").unwrap();
    rig.faults.change(|plan| plan.cut = true);
    let report = probe(&*rig.stack.store(), &space, &*SeededEntropy::shared(1)).await;
    assert!(report.findings.len() == 1 && report.is_transient(), "{}", report.text());
    rig.faults.change(|plan| {
        *plan = FaultPlan { permanent: Some(PermanentCause::BucketMissing), ..Default::default() }
    });
    let report = probe(&*rig.stack.store(), &space, &*SeededEntropy::shared(1)).await;
    assert!(report.findings.len() == 1 && !report.is_transient());
    assert!(report.text().contains("create the bucket"), "{}", report.text());
}

/// A door to a bucket that is shut: every call is refused as with wrong credentials.
fn shut_door(to: &Arc<MemoryCold>) -> Arc<dyn ColdStore> {
    let faults = FaultHandle::new(1);
    faults.change(|plan| plan.permanent = Some(PermanentCause::BadCredentials));
    Arc::new(crate::layer::fault::Fault { inner: to.clone(), handle: faults })
}

#[tokio::test(start_paused = true)]
async fn store_that_is_replaced_serves_the_next_call_and_lifts_what_stopped_it() {
    let rig = rig(9, |_| {});
    let store = rig.stack.store();
    store.put_if_absent(&key("a"), body(9, 1).into()).await.unwrap();
    rig.stack.replace(shut_door(&rig.base));
    store.get_range(&key("a"), 0..9).await.unwrap_err();
    assert_eq!(rig.stack.health().borrow().permanent(), Some(PermanentCause::BadCredentials));
    rig.stack.replace(rig.base.clone());
    assert_eq!(store.get_range(&key("a"), 0..9).await.unwrap(), body(9, 1));
    assert!(rig.stack.health().borrow().is_up());
}
