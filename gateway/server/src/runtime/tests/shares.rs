//! Shares in and out of service, and deleted, while clients write.

use super::*;
use std::sync::atomic::AtomicBool;

/// Writes files until told to stop, as a client does that asks again and connects again; answers those acknowledged.
async fn writer(at: SocketAddr, share: &'static str, number: u32, stop: Arc<AtomicBool>) -> Vec<String> {
    let (mut acknowledged, mut nth) = (Vec::new(), 0);
    'connect: while !stop.load(Ordering::Relaxed) {
        let Ok(mut pipe) = Pipe::connect_as(at, 0, 0, (number << 28) | (nth << 8)).await else { continue };
        let root = loop {
            match pipe.mount(&format!("/{share}")).await {
                Ok(root) => break root,
                Err(ClientError::Mount(_)) if !stop.load(Ordering::Relaxed) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(_) => continue 'connect,
            }
        };
        while !stop.load(Ordering::Relaxed) {
            let name = format!("{number}-{nth}");
            match write(&mut pipe, &root, &name, name.as_bytes()).await {
                Ok(Some(())) => {
                    acknowledged.push(name);
                    nth += 1;
                }
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => continue 'connect,
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn share_disabled_under_writers_keeps_all_that_was_acknowledged_and_leaves_others_alone() {
    let bed = Bed::open().await;
    bed.gateway.create_share(&share("other")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let start = |share, number| tokio::spawn(writer(bed.at(), share, number, stop.clone()));
    let writers = [start("s", 1), start("s", 2), start("other", 3), start("other", 4)];
    let used = |share: &'static str| {
        let gateway = bed.gateway.clone();
        move || gateway.clients_of(Some(share)).len() >= 2
    };
    until(used("s")).await;
    until(used("other")).await;
    for _ in 0..3 {
        would_cut(bed.gateway.disable_share(&share("s"), false).await, "127.0.0.1:");
        bed.gateway.disable_share(&share("s"), true).await.unwrap();
        let (mut pipe, root) = bed.mounted(0, "other").await;
        write(&mut pipe, &root, "beside", b"at work").await.unwrap().unwrap();
        let facts = bed.gateway.share_facts("s").await;
        assert!(facts.state.starts_with("disabled"), "{}", facts.state);
        assert_eq!(bed.gateway.failures(), 0, "disabled is no failure");
        tokio::time::sleep(Duration::from_millis(30)).await;
        bed.gateway.enable_share(&share("s")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for (writer, share) in writers.into_iter().zip(["s", "s", "other", "other"]) {
        let acknowledged = writer.await.unwrap();
        assert!(!acknowledged.is_empty());
        let (mut pipe, root) = bed.mounted(0, share).await;
        for name in &acknowledged {
            assert_eq!(read(&mut pipe, &root, name).await, name.as_bytes(), "{name} of {share}");
        }
    }
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_of_a_disabled_share_is_told_to_ask_again_and_goes_on_when_it_is_back() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(0, "s").await;
    bed.gateway.disable_share(&share("s"), true).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Jukebox);
    assert!(matches!(bed.user(0).await.mount("/s").await, Err(ClientError::Mount(_))));
    let refused = Backend::open_share(bed.gateway.as_ref(), "s").await.unwrap_err();
    assert!(refused.detail.contains("dfsctl share enable s"), "{refused}");
    let commented = ShareConfig { comment: "while it is off".to_owned(), enabled: false, ..share("s") };
    bed.gateway.change_share(&commented).await.unwrap();
    bed.gateway.disable_share(&share("s"), false).await.unwrap();
    bed.gateway.enable_share(&commented).await.unwrap();
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Ok);
    let facts = bed.gateway.share_facts("s").await;
    assert!(facts.config.is_some_and(|config| config.enabled && config.comment == "while it is off"));
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn share_with_clients_is_deleted_by_force_only() {
    let bed = Bed::open().await;
    let (mut pipe, root) = bed.mounted(0, "s").await;
    assert_eq!(make(&mut pipe, &root, "a").await.unwrap(), Status::Ok);
    let ours = pipe.local_addr().unwrap().to_string();
    would_cut(bed.gateway.delete_share("s", false).await, &ours);
    assert_eq!(make(&mut pipe, &root, "b").await.unwrap(), Status::Ok);
    drop(pipe);
    until(|| bed.gateway.nfs.peers().is_empty()).await;
    would_cut(bed.gateway.delete_share("s", false).await, "127.0.0.1 (has share s mounted)");
    bed.gateway.delete_share("s", true).await.unwrap();
    let mut pipe = bed.user(0).await;
    assert_eq!(make(&mut pipe, &root, "c").await.unwrap(), Status::Stale);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cold_store_is_checked_and_one_without_credentials_has_none_to_change() {
    let bed = Bed::open().await;
    let check = bed.gateway.check_cold_store("packs").await.unwrap();
    assert!(check.usable, "{check:?}");
    assert_eq!(bed.gateway.check_cold_store("none").await.unwrap_err().status, 404);
    let path = bed.temp.path().join("cold").display().to_string();
    let same = ColdStoreConfig { name: "packs".to_owned(), backend: ColdBackend::Dir { path } };
    assert_eq!(bed.gateway.change_cold_store(&same).await.unwrap_err().status, 409);
    std::fs::remove_dir_all(bed.temp.path().join("cold")).unwrap();
    assert!(!bed.gateway.check_cold_store("packs").await.unwrap().usable);
    bed.end().await;
}
