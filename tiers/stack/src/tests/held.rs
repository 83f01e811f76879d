//! Rot in the journal under a partly overwritten record: held and told of, never uploaded, and nothing else waits.

use super::*;
use dfs_log::Disk;

/// A file with a record that another one covers in part, and one byte of the part still shown flipped.
async fn with_rot(bench: &Bench) -> InodeId {
    let inode = bench.create("rotten").await;
    bench.write(inode, 0, &[9; 3000]).await;
    bench.write(inode, 1000, &[7; 100]).await;
    let names = bench.disk.list().unwrap();
    let hit = names.iter().filter(|name| bench.disk.rot(name, 4096 + 40 + 60 + 500, 0x40)).count();
    assert!(hit > 0);
    inode
}

fn asked_only() -> Plan {
    Plan { settings: |s| s.background = false, ..Plan::default() }
}

#[tokio::test(start_paused = true)]
async fn rotten_record_holds_its_file_with_a_loud_reason_and_nothing_else() {
    let bench = Bench::new(asked_only()).await;
    let rotten = with_rot(&bench).await;
    let mut good = Vec::new();
    for n in 0..40u64 {
        let inode = bench.create(&format!("good{n}")).await;
        bench.write(inode, 0, &noise(n, 5000)).await;
        good.push(inode);
    }
    for _ in 0..2 {
        let error = bench.stack.flush(FlushScope::All).await.unwrap_err();
        let text = error.to_string();
        for word in ["/rotten", "log segment", "at byte 4096", "remove it"] {
            assert!(text.contains(word), "'{word}' is not in: {text}");
        }
        assert_eq!(bench.row(rotten).await.size, 0, "damaged bytes were placed");
    }
    for (n, inode) in good.iter().enumerate() {
        assert_eq!(bench.row(*inode).await.size, 5000, "good{n} waits for another file");
    }
    let status = bench.stack.status();
    assert_eq!((status.held.len(), status.stopped), (1, None));
    // The file goes on taking writes, and later flushes of others end.
    bench.write(rotten, 5000, &[1; 10]).await;
    let late = bench.create("late").await;
    bench.write(late, 0, &[3; 100]).await;
    assert!(bench.stack.flush(FlushScope::Inode(late)).await.is_ok());
    assert_eq!(bench.row(late).await.size, 100);
}

#[tokio::test(start_paused = true)]
async fn file_that_is_written_anew_or_removed_is_not_held_any_more() {
    let bench = Bench::new(asked_only()).await;
    let rotten = with_rot(&bench).await;
    assert!(bench.stack.flush(FlushScope::Inode(rotten)).await.is_err());
    bench.write(rotten, 0, &[5; 3000]).await;
    bench.flush().await;
    assert_eq!(bench.row(rotten).await.size, 3000);
    assert_eq!(bench.read(rotten, 0, 4000).await, [5; 3000]);
    assert!(bench.stack.status().held.is_empty());

    let bench = Bench::new(asked_only()).await;
    let rotten = with_rot(&bench).await;
    assert!(bench.stack.flush(FlushScope::All).await.is_err());
    bench.remove("rotten").await;
    bench.journal.gone(rotten);
    bench.stack.note_removed(rotten);
    bench.flush().await;
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
}

#[tokio::test(start_paused = true)]
async fn cuts_behind_a_damaged_one_wait_with_it_and_are_placed_once_it_heals() {
    let bench =
        Bench::new(Plan { settings: |s| s.flush_after = Duration::from_secs(1), ..Plan::default() }).await;
    let rotten = with_rot(&bench).await;
    for round in 0..20u64 {
        bench.write(rotten, 4000 + round * 10, &[round as u8; 10]).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(bench.row(rotten).await.size, 0, "a cut was placed out of order");
    assert_eq!(bench.stack.status().held.len(), 1);
    for name in bench.disk.list().unwrap() {
        bench.disk.rot(&name, 4096 + 40 + 60 + 500, 0x40);
    }
    // By itself, within its minute.
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert!(bench.stack.status().held.is_empty(), "{:?}", bench.stack.status().held);
    assert_eq!(bench.row(rotten).await.size, 4200);
    assert_eq!(bench.journal.stats().dirty_inodes, 0);
}
