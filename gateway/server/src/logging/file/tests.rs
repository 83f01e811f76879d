//! Rotation by size and age, a disk that refuses, many writers at once.

use super::*;
use dfs_model::Timestamp;
use std::sync::atomic::AtomicU64;

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_800_000_000 + (self.0.load(Ordering::Relaxed) / 1_000_000_000) as i64, 0)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::Relaxed))
    }
}

struct Bed {
    folder: tempfile::TempDir,
    clock: Arc<TestClock>,
}

impl Bed {
    fn new() -> Bed {
        Bed { folder: tempfile::tempdir().unwrap(), clock: Arc::new(TestClock(AtomicU64::new(1))) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn open(&self, bytes: u64, age: u64, keep: usize) -> Arc<LogFile> {
        let limits = Limits { bytes, age: Duration::from_secs(age), keep };
        LogFile::open(&self.path(), limits, false, self.clock.clone()).unwrap()
    }

    fn text(&self, number: usize) -> Option<String> {
        let path = if number == 0 { self.path() } else { aside(&self.path(), number) };
        std::fs::read_to_string(path).ok()
    }

    fn pass(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

#[test]
fn file_that_is_full_is_put_aside_and_the_last_ones_are_kept() {
    let bed = Bed::new();
    let log = bed.open(20, 0, 2);
    for number in 0..8 {
        log.put(format!("line {number}..\n").as_bytes());
    }
    assert_eq!(bed.text(0).unwrap(), "line 6..\nline 7..\n");
    assert_eq!(bed.text(1).unwrap(), "line 4..\nline 5..\n");
    assert_eq!(bed.text(2).unwrap(), "line 2..\nline 3..\n");
    assert_eq!(bed.text(3), None);
    let log = bed.open(20, 0, 0);
    log.put(b"alone\n");
    assert_eq!((bed.text(0).unwrap().as_str(), bed.text(1).unwrap().len()), ("alone\n", 18));
}

#[test]
fn file_that_is_old_is_put_aside_with_the_next_line() {
    let bed = Bed::new();
    let log = bed.open(0, 3600, 3);
    log.put(b"one\n");
    bed.pass(3599);
    log.put(b"two\n");
    assert_eq!(bed.text(1), None);
    bed.pass(1);
    log.put(b"three\n");
    assert_eq!((bed.text(0).unwrap().as_str(), bed.text(1).unwrap().as_str()), ("three\n", "one\ntwo\n"));
}

#[test]
fn file_reopened_after_it_was_moved_is_made_anew() {
    let bed = Bed::new();
    let log = bed.open(10, 0, 3);
    log.put(b"one\n");
    std::fs::rename(bed.path(), bed.folder.path().join("moved")).unwrap();
    log.put(b"two\n");
    assert!(bed.text(0).is_none(), "nobody asked for a new file");
    log.reopen();
    log.put(b"three\n");
    assert_eq!(bed.text(0).unwrap(), "three\n");
    // A file of another process in its place is not renamed by ours.
    std::fs::rename(bed.path(), bed.folder.path().join("moved-2")).unwrap();
    std::fs::write(bed.path(), "theirs\n").unwrap();
    log.put(b"four and more\n");
    assert_eq!((bed.text(0).unwrap().as_str(), bed.text(1)), ("theirs\nfour and more\n", None));
}

#[test]
fn lines_that_a_full_disk_refuses_are_counted_and_told_when_there_is_room() {
    let bed = Bed::new();
    std::os::unix::fs::symlink("/dev/full", bed.path()).unwrap();
    let log = bed.open(1 << 20, 0, 3);
    for _ in 0..5 {
        log.put(b"lost\n");
    }
    assert_eq!(log.dropped(), 5);
    std::fs::remove_file(bed.path()).unwrap();
    log.reopen();
    log.put(b"kept\n");
    let text = bed.text(0).unwrap();
    assert!(text.contains("WARN 5 lines of this log were lost") && text.ends_with("kept\n"), "{text}");
    log.put(b"more\n");
    assert_eq!(bed.text(0).unwrap(), format!("{text}more\n"), "it is told once");
}

#[test]
fn line_that_was_cut_short_does_not_run_into_the_next() {
    let bed = Bed::new();
    let log = bed.open(0, 0, 0);
    log.put(b"half");
    log.open.lock().torn = true;
    log.put(b"whole\n");
    assert_eq!(bed.text(0).unwrap(), "half\nwhole\n");
}

#[test]
fn folder_that_cannot_be_renamed_in_lets_the_file_grow() {
    let bed = Bed::new();
    // A folder in the place of the file that is to be put aside: the rename is refused whoever asks.
    std::fs::create_dir_all(aside(&bed.path(), 1).join("x")).unwrap();
    let log = bed.open(10, 0, 1);
    for _ in 0..4 {
        log.put(b"0123456\n");
    }
    let text = bed.text(0).unwrap();
    assert_eq!(text.matches("0123456\n").count(), 4);
    assert_eq!(text.matches("could not be put aside").count(), 1, "told once a minute: {text}");
    assert_eq!(log.dropped(), 0);
}

#[test]
fn lines_of_many_threads_are_all_there_and_whole() {
    let bed = Bed::new();
    let log = bed.open(10_000, 0, 500);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..2000 {
                    log.put(format!("thread {thread} line {number}\n").as_bytes());
                }
            });
        }
    });
    let all: String = (0..500).rev().filter_map(|number| bed.text(number)).collect();
    assert_eq!((all.lines().count(), log.dropped()), (8000, 0));
    for thread in 0..4 {
        let start = format!("thread {thread} line ");
        let numbers = all.lines().filter_map(|line| line.strip_prefix(&start)?.parse::<u32>().ok());
        assert!(numbers.eq(0..2000), "lines of thread {thread} are out of order or torn");
    }
}

#[test]
fn callers_do_not_wait_for_a_disk_that_hangs() {
    let bed = Bed::new();
    let log = bed.open(0, 0, 0);
    let hanging = log.open.lock();
    let line = vec![b'x'; 1 << 20];
    for _ in 0..6 {
        log.put(&line);
    }
    assert_eq!(log.dropped(), 2, "the queue holds four of them");
    drop(hanging);
    log.put(b"\n");
    assert!(bed.text(0).unwrap().contains("2 lines of this log were lost"));
}
