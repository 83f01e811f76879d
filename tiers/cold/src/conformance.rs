//! The contract of [`ColdStore`] as one body of checks, run over every implementation, and the fixtures that tests share.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::*;
use bytes::Bytes;
use dfs_model::{Clock, Entropy, Monotonic, Timestamp};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use rand::{RngCore, SeedableRng, rngs::SmallRng};
use std::sync::Arc;
use std::time::Duration;

/// Random bytes from a seed.
pub(crate) struct SeededEntropy(Mutex<SmallRng>);

impl SeededEntropy {
    pub(crate) fn shared(seed: u64) -> Arc<dyn Entropy> {
        Arc::new(SeededEntropy(Mutex::new(SmallRng::seed_from_u64(seed))))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

/// The runtime's clock, which stands still in a paused test but for the timers that are waited for.
pub(crate) struct RuntimeClock(tokio::time::Instant);

impl RuntimeClock {
    pub(crate) fn shared() -> Arc<dyn Clock> {
        Arc::new(RuntimeClock(tokio::time::Instant::now()))
    }
}

impl Clock for RuntimeClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_700_000_000, 0).plus(self.0.elapsed())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(0).plus(self.0.elapsed())
    }
}

pub(crate) fn body(len: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; len];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// Everything that the trait promises, below a prefix of its own in the store.
pub(crate) async fn conformance(store: &dyn ColdStore, root: &str) {
    let key = |name: &str| Key::new(format!("{root}/{name}")).unwrap();
    put_and_read(store, &key).await;
    owner(store, &key("share/owner")).await;
    listing(store, root, &key).await;
    deleting(store, &key).await;
    assert!(!store.describe().location.is_empty());
}

async fn put_and_read(store: &dyn ColdStore, key: &(dyn Fn(&str) -> Key + Sync)) {
    let data = body(300_000, 1);
    let parts = vec![data.slice(..100), Bytes::new(), data.slice(100..250_000), data.slice(250_000..)];
    let one = key("packs/aa/one");
    assert_eq!(store.put_if_absent(&one, PutBody::new(parts)).await.unwrap(), PutOutcome::Stored);
    let again = store.put_if_absent(&one, body(10, 2).into()).await.unwrap();
    assert_eq!(again, PutOutcome::Exists, "a second put must not replace");
    assert_eq!(store.get_range(&one, 0..300_000).await.unwrap(), data);
    for range in [0..1, 99..101, 250_000..300_000, 299_999..300_000, 7..7] {
        let want = data.slice(range.start as usize..range.end as usize);
        assert_eq!(store.get_range(&one, range).await.unwrap(), want);
    }
    let ranges = [3..7, 7..9, 100..101, 250_000..299_999];
    let want = ranges.clone().map(|range| data.slice(range.start as usize..range.end as usize));
    assert_eq!(store.get_ranges(&one, &ranges).await.unwrap(), want);
    let error = store.get_ranges(&one, &[0..1, 299_999..300_001]).await.unwrap_err();
    assert_eq!(error.cause(), Some(PermanentCause::OutOfRange), "{error}");
    for range in [0..300_001, 299_999..300_001, 300_000..300_001, 400_000..400_010] {
        let error = store.get_range(&one, range.clone()).await.unwrap_err();
        assert_eq!(error.cause(), Some(PermanentCause::OutOfRange), "{range:?}: {error}");
        assert!(error.key.contains("packs/aa/one"), "{error}");
    }
    let info = store.head(&one).await.unwrap();
    assert_eq!(info.len, 300_000);
    assert!(info.modified > Timestamp::new(1_600_000_000, 0) && !info.version.0.is_empty());

    let absent = key("packs/aa/absent");
    assert!(store.get_range(&absent, 0..1).await.unwrap_err().is_not_found());
    assert!(store.head(&absent).await.unwrap_err().is_not_found());
    assert!(store.get_owner(&absent).await.unwrap_err().is_not_found());

    let empty = key("packs/aa/empty");
    assert_eq!(store.put_if_absent(&empty, PutBody::default()).await.unwrap(), PutOutcome::Stored);
    assert_eq!(store.head(&empty).await.unwrap().len, 0);
}

async fn owner(store: &dyn ColdStore, key: &Key) {
    let put =
        |text: &'static str, expected| store.put_owner(key, Bytes::from_static(text.as_bytes()), expected);
    let conflict = |result: ColdResult<ObjectVersion>| match result {
        Err(error) => assert_eq!(error.kind, ColdErrorKind::Conflict, "{error}"),
        Ok(version) => panic!("no conflict, {version:?}"),
    };
    let never = ObjectVersion("\"00000000000000000000000000000000\"".to_owned());
    conflict(put("early", Some(&never)).await);
    let first = put("first", None).await.unwrap();
    conflict(put("other", None).await);
    assert_eq!(store.get_owner(key).await.unwrap(), (Bytes::from_static(b"first"), first.clone()));
    let second = put("second owner", Some(&first)).await.unwrap();
    assert_ne!(first, second);
    conflict(put("stale", Some(&first)).await);
    assert_eq!(store.get_owner(key).await.unwrap(), (Bytes::from_static(b"second owner"), second.clone()));
    assert_eq!(store.head(key).await.unwrap().version, second, "head and owner calls speak of one version");
}

async fn listing(store: &dyn ColdStore, root: &str, key: &(dyn Fn(&str) -> Key + Sync)) {
    // Names around the '/' in byte order, and more than a page in one folder.
    let mut names: Vec<String> =
        ["l/a", "l/a-b", "l/a.b/c", "l/a0", "l/aa/x", "lz/1"].map(str::to_owned).to_vec();
    names.extend((0..LIST_PAGE_MAX + 5).map(|i| format!("l/many/{i:05}")));
    let keys: Vec<Key> = names.iter().map(|name| key(name)).collect();
    let puts = keys.iter().map(|key| store.put_if_absent(key, Bytes::from_static(b"x").into()));
    let outcomes: Vec<_> = stream::iter(puts).buffer_unordered(16).collect().await;
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap() == PutOutcome::Stored));
    let folder = KeyPrefix::folder(&format!("{root}/l")).unwrap();
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list_page(&folder, after.as_ref()).await.unwrap();
        assert!(page.objects.len() <= LIST_PAGE_MAX);
        listed.extend(page.objects);
        pages += 1;
        assert!(pages < 10, "the listing does not end");
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut want: Vec<Key> =
        names.iter().filter(|name| name.starts_with("l/")).map(|name| key(name)).collect();
    want.sort();
    assert_eq!(listed.iter().map(|object| object.key.clone()).collect::<Vec<_>>(), want);
    assert!(pages >= 2 && listed.iter().all(|object| object.info.len == 1));
    let nothing =
        store.list_page(&KeyPrefix::folder(&format!("{root}/nothing")).unwrap(), None).await.unwrap();
    assert_eq!(nothing, ListPage { objects: vec![], next: None });
    let outcomes = store.delete_batch(&want).await.unwrap();
    assert!(outcomes.len() == want.len() && outcomes.iter().all(|o| matches!(o, DeleteOutcome::Gone)));
    assert!(store.list_page(&folder, None).await.unwrap().objects.is_empty());
}

async fn deleting(store: &dyn ColdStore, key: &(dyn Fn(&str) -> Key + Sync)) {
    let (one, absent) = (key("packs/aa/one"), key("packs/aa/never"));
    let outcomes = store.delete_batch(&[absent.clone(), one.clone(), one.clone()]).await.unwrap();
    assert!(outcomes.len() == 3 && outcomes.iter().all(|o| matches!(o, DeleteOutcome::Gone)), "{outcomes:?}");
    assert!(store.head(&one).await.unwrap_err().is_not_found());
    assert!(store.get_range(&one, 0..1).await.unwrap_err().is_not_found());
    assert!(store.delete_batch(&[]).await.unwrap().is_empty());
}

/// What the probe says of a store that keeps its contract, and that it cleans up.
async fn probe_finds_nothing(store: &dyn ColdStore, root: &str, seed: u64) {
    let space = KeySpace::new(root).unwrap();
    let report = probe(store, &space, &*SeededEntropy::shared(seed)).await;
    assert!(report.is_good(), "{}", report.text());
    assert!(report.store_time.is_some());
    let left = store.list_page(&KeyPrefix::folder(&format!("{root}/probe")).unwrap(), None).await.unwrap();
    assert!(left.objects.is_empty());
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let store = MemoryCold::new(RuntimeClock::shared());
    conformance(&store, "t").await;
    probe_finds_nothing(&store, "p", 1).await;
}

#[tokio::test]
async fn dir_keeps_the_contract() {
    let temp = tempfile::tempdir().unwrap();
    let store = DirCold::open(temp.path(), false, SeededEntropy::shared(1)).await.unwrap();
    conformance(&store, "t").await;
    probe_finds_nothing(&store, "p", 1).await;
}

#[tokio::test]
async fn all_layers_without_faults_keep_the_contract() {
    let base = Arc::new(MemoryCold::new(RuntimeClock::shared()));
    let config = ColdConfig { fault: Some(FaultHandle::new(1)), ..ColdConfig::named("layers") };
    let stack = ColdStack::build(base, config, RuntimeClock::shared(), SeededEntropy::shared(1));
    conformance(&*stack.store(), "t").await;
    probe_finds_nothing(&*stack.store(), "p", 1).await;
    assert_eq!((stack.counters().retries(), stack.counters().in_flight()), (0, 0));
}

/// A link with faults may slow the contract down, never break it (but for puts, which may turn unknown).
#[tokio::test(start_paused = true)]
async fn all_layers_with_faults_on_reads_keep_the_contract() {
    let mut partial = 0;
    for seed in 0..5 {
        println!("seed {seed}");
        let base = Arc::new(MemoryCold::new(RuntimeClock::shared()));
        let faults = FaultHandle::new(seed);
        faults.change(|plan| {
            plan.throttle_rate = 0.1;
            plan.partial_rate = 0.2;
            plan.latency = (Duration::from_millis(5), Duration::from_millis(50));
        });
        let mut config = ColdConfig { fault: Some(faults.clone()), ..ColdConfig::named("faults") };
        config.retry.attempts_max = 30;
        let stack = ColdStack::build(base, config, RuntimeClock::shared(), SeededEntropy::shared(seed));
        conformance(&*stack.store(), "t").await;
        assert!(faults.counts().throttled > 10, "{:?}", faults.counts());
        partial += faults.counts().partial;
    }
    assert!(partial > 0);
}

/// The bucket that the environment names: DFS_TEST_S3_ENDPOINT, _BUCKET, _KEY, _SECRET.
async fn s3_from_environment(change: impl FnOnce(&mut S3Config)) -> Option<S3Cold> {
    let from = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let endpoint = std::env::var("DFS_TEST_S3_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    let Some(endpoint) = endpoint else {
        println!("skipped: DFS_TEST_S3_ENDPOINT is not set");
        return None;
    };
    let mut config = S3Config::bucket(from("DFS_TEST_S3_BUCKET", "dfs-test"));
    config.endpoint = Some(endpoint);
    config.multipart_above = 5 << 20;
    config.credentials = Some(S3Credentials {
        access_key_id: from("DFS_TEST_S3_KEY", "dfs"),
        secret_access_key: from("DFS_TEST_S3_SECRET", "dfs-secret"),
        session_token: None,
    });
    change(&mut config);
    Some(S3Cold::open(config).await.unwrap())
}

/// A prefix that no other run has used.
fn fresh_root() -> String {
    let mut bytes = [0u8; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut bytes))
        .unwrap();
    format!("t{:016x}", u64::from_le_bytes(bytes))
}

#[tokio::test]
async fn s3_keeps_the_contract() {
    for sign_payload in [true, false] {
        let Some(store) = s3_from_environment(|config| config.sign_payload = Some(sign_payload)).await else {
            return;
        };
        let root = fresh_root();
        conformance(&store, &root).await;
        probe_finds_nothing(&store, &root, 1).await;
    }
}

#[tokio::test]
async fn s3_upload_in_parts_is_whole_and_create_only() {
    for sign_payload in [true, false] {
        let Some(store) = s3_from_environment(|config| config.sign_payload = Some(sign_payload)).await else {
            return;
        };
        let key = Key::new(format!("{}/big", fresh_root())).unwrap();
        let data = body(20_000_001, 3);
        let parts = (0..41).map(|i| data.slice(i * 487_805..((i + 1) * 487_805).min(data.len())));
        let put = PutBody::new(parts.collect());
        assert_eq!(put.len(), 20_000_001);
        assert_eq!(store.put_if_absent(&key, put.clone()).await.unwrap(), PutOutcome::Stored);
        assert_eq!(store.put_if_absent(&key, put).await.unwrap(), PutOutcome::Exists);
        assert_eq!(store.get_range(&key, 0..20_000_001).await.unwrap(), data);
        assert_eq!(
            store.get_range(&key, 8_388_600..8_388_700).await.unwrap(),
            data.slice(8_388_600..8_388_700)
        );
        store.delete_batch(&[key]).await.unwrap();
    }
}

#[tokio::test]
async fn s3_racing_puts_store_exactly_one() {
    let Some(store) = s3_from_environment(|_| {}).await else { return };
    let (store, root) = (Arc::new(store), fresh_root());
    for round in 0..5u64 {
        let key = Key::new(format!("{root}/race{round}")).unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let (store, key) = (Arc::clone(&store), key.clone());
                tokio::spawn(async move { store.put_if_absent(&key, body(5000, i).into()).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (i, task) in tasks.into_iter().enumerate() {
            if let Ok(PutOutcome::Stored) = task.await.unwrap() {
                winners.push(i as u64);
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(store.get_range(&key, 0..5000).await.unwrap(), body(5000, winners[0]));
        store.delete_batch(&[key]).await.unwrap();
    }
}

#[tokio::test]
async fn s3_operator_mistakes_are_named() {
    let space = KeySpace::new("mistakes").unwrap();
    let cause = |report: ProbeReport| {
        let finding = report.findings.into_iter().next().expect("a finding");
        println!(
            "{}: {}",
            finding.problem,
            finding.error.as_ref().map(ToString::to_string).unwrap_or_default()
        );
        finding.error.and_then(|error| error.cause())
    };
    let entropy = SeededEntropy::shared(1);
    let bucket = format!("dfs-no-{}", fresh_root());
    let Some(store) = s3_from_environment(|config| config.bucket = bucket).await else { return };
    assert_eq!(cause(probe(&store, &space, &*entropy).await), Some(PermanentCause::BucketMissing));
    let key = Key::new("mistakes/x").unwrap();
    assert_eq!(store.head(&key).await.unwrap_err().cause(), Some(PermanentCause::BucketMissing));
    assert_eq!(store.get_range(&key, 0..1).await.unwrap_err().cause(), Some(PermanentCause::BucketMissing));
    let wrong = |id: bool| {
        s3_from_environment(move |config| {
            let pair = config.credentials.as_mut().unwrap();
            if id { &mut pair.access_key_id } else { &mut pair.secret_access_key }.push('x');
        })
    };
    for id in [true, false] {
        let store = wrong(id).await.unwrap();
        assert_eq!(cause(probe(&store, &space, &*entropy).await), Some(PermanentCause::BadCredentials));
    }
}

#[tokio::test]
async fn s3_without_a_listener_is_a_certain_retry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut config = S3Config::bucket("b");
    config.endpoint = Some(format!("http://127.0.0.1:{port}"));
    config.credentials =
        Some(S3Credentials { access_key_id: "a".into(), secret_access_key: "b".into(), session_token: None });
    let store = S3Cold::open(config.clone()).await.unwrap();
    let error = store.put_if_absent(&Key::new("k").unwrap(), body(10, 1).into()).await.unwrap_err();
    assert_eq!((error.kind, error.in_doubt), (ColdErrorKind::Retry, false), "{error}");
    config.endpoint = Some("ftp://there".into());
    assert_eq!(S3Cold::open(config).await.err().unwrap().cause(), Some(PermanentCause::WrongEndpoint));
}
