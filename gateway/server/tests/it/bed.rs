//! A gateway under test: a folder, a configuration, the commands, and a client of each door.
//!
//! Ports are chosen by the kernel and read from the `ready` file. A bed that goes kills the gateway that it started.

use dfs_api::{
    Client, ColdBackend, ColdStoreConfig, MetadataKind, MetadataStoreConfig, ShareConfig, ShareStatus, Squash,
};
use dfs_nfs::client::Pipe;
use dfs_nfs::wire::{
    CommitArgs, CreateArgs, CreateHow, Data, DirOp, FileName, Handle, ReadArgs, ReadDirArgs, SetAttributes,
    Stable, Status, Verifier, WriteArgs, nfs3,
};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const PASSWORD: &str = "a long password of the tests";
const SMALL: &str = "nfs: {listen: 127.0.0.1:0}
control: {listen: 127.0.0.1:0, requests_per_second: 1000000}
metrics: {listen: 127.0.0.1:0}
memory: {budget: 256MiB}
warm: {size: 0}
disk: {min_free: 1MiB}
metadata: {reserve: 1MiB}
shutdown_timeout: 10s
";
/// Data stays in the journal unless a test flushes it.
const JOURNAL: &str = "journal: {size: 64MiB}\nflush: {after: 1h}\n";
static XIDS: AtomicU32 = AtomicU32::new(1);

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Asserts a refusal: its exit code, one line of words, each of these in it.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) {
        let last = self.err.trim_end().lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "'{word}' is not in: {last}\nall: {self:?}");
        }
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
    }

    #[track_caller]
    pub fn works(self) -> Said {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

pub struct Bed {
    temp: tempfile::TempDir,
    pub runtime: tokio::runtime::Runtime,
}

/// Where a started gateway is.
#[derive(Clone, Debug)]
pub struct Doors {
    pub pid: i32,
    pub nfs: SocketAddr,
    pub control: SocketAddr,
    pub metrics: SocketAddr,
}

impl Bed {
    /// A folder; nothing in it.
    pub fn empty() -> Bed {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Bed { temp: tempfile::tempdir().unwrap(), runtime }
    }

    /// After `dfs init`, with small sizes.
    pub fn made() -> Bed {
        let bed = Bed::empty();
        bed.init(PASSWORD).works();
        bed.configure(JOURNAL);
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.yaml")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().join("dfs.log")).unwrap_or_default()
    }

    /// Writes the configuration: small sizes, ports of the kernel's choice, and these lines.
    pub fn configure(&self, more: &str) {
        let kept: String = SMALL
            .lines()
            .filter(|line| !more.lines().any(|other| other.split(':').next() == line.split(':').next()))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(self.config(), format!("data_dir: {:?}\n{kept}{more}\n", self.data())).unwrap();
    }

    pub fn init(&self, password: &str) -> Said {
        let data = self.data();
        let args = ["init", "--data-dir", data.to_str().unwrap(), "--admin-password-stdin"];
        self.run(
            Command::new(env!("CARGO_BIN_EXE_dfs")).arg("--config").arg(self.config()).args(args),
            password,
        )
    }

    /// Runs `dfs` on this configuration.
    pub fn dfs(&self, args: &[&str]) -> Said {
        self.run(Command::new(env!("CARGO_BIN_EXE_dfs")).arg("--config").arg(self.config()).args(args), "")
    }

    pub fn run(&self, command: &mut Command, stdin: &str) -> Said {
        command.env_remove("DFS_CONFIG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input ends first; that is its answer.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `dfs start`, in the background.
    #[track_caller]
    pub fn start(&self) -> Doors {
        self.dfs(&["start"]).works();
        self.doors().unwrap()
    }

    /// What the `ready` file says.
    pub fn doors(&self) -> Option<Doors> {
        let text = std::fs::read_to_string(self.data().join("ready")).ok()?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let address = |name: &str| value(name)?.parse().ok();
        Some(Doors {
            pid: value("pid")?.parse().ok()?,
            nfs: address("nfs")?,
            control: address("control")?,
            metrics: address("metrics").unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 1))),
        })
    }

    /// kill -9, and waits for the death.
    pub fn kill(&self) {
        let Some(doors) = self.doors() else { return };
        let Ok(lock) = std::fs::File::open(self.data().join("lock")) else { return };
        if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
            return;
        }
        kill_process(Pid::from_raw(doors.pid).unwrap(), Signal::KILL).unwrap();
        flock(&lock, FlockOperation::LockShared).unwrap();
    }

    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A client without a login.
    pub fn anonymous(&self, doors: &Doors) -> Client {
        Client::new(&format!("http://{}", doors.control), None)
    }

    /// A client of the administrator.
    #[track_caller]
    pub fn admin(&self, doors: &Doors) -> Client {
        let tokens = self.block(self.anonymous(doors).login("admin", PASSWORD)).unwrap();
        assert!(!tokens.must_change_password);
        Client::new(&format!("http://{}", doors.control), Some(tokens.access_token))
    }

    /// An embedded store, a directory as cold store and a share `s` on them, for loopback.
    #[track_caller]
    pub fn share(&self, client: &Client) -> ShareStatus {
        self.stores(client);
        self.block(client.post("/shares", &share_config("s"))).unwrap()
    }

    #[track_caller]
    pub fn stores(&self, client: &Client) {
        let names = MetadataStoreConfig { name: "names".to_owned(), kind: MetadataKind::Embedded };
        let _: MetadataStoreConfig = self.block(client.post("/metadata-stores", &names)).unwrap();
        let cold = ColdStoreConfig { name: "packs".to_owned(), backend: self.cold_dir() };
        let _: ColdStoreConfig = self.block(client.post("/cold-stores", &cold)).unwrap();
    }

    pub fn cold_dir(&self) -> ColdBackend {
        ColdBackend::Dir { path: self.path("cold").display().to_string() }
    }

    /// Every file below a folder with its bytes, sorted by name.
    pub fn snapshot(&self, folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let kind = path.symlink_metadata().unwrap().file_type();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    found.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    /// Flushes everything and waits until it is placed.
    #[track_caller]
    pub fn flush(&self, client: &Client) {
        self.block(async {
            let mut job: dfs_api::Job =
                client.post("/tier/flush", &dfs_api::FlushRequest::default()).await.unwrap();
            while job.state == "running" {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                job = client.get(&format!("/jobs/{}", job.id)).await.unwrap();
            }
            assert_eq!(job.state, "done", "{job:?}");
        });
    }

    /// A connection of the superuser and the root of share `s`.
    #[track_caller]
    pub fn mounted(&self, doors: &Doors) -> Mounted<'_> {
        let first_xid = (std::process::id() << 20) ^ (XIDS.fetch_add(1, Ordering::Relaxed) << 12);
        let (pipe, root) = self.block(async {
            let mut pipe = Pipe::connect_as(doors.nfs, 0, 0, first_xid).await.unwrap();
            let root = pipe.mount("/s").await.unwrap();
            (pipe, root)
        });
        Mounted { bed: self, pipe, root }
    }
}

/// Sends one HTTP request as it stands and returns status and body; for what a well-behaved client never sends.
pub fn http(to: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\n{token}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses by the header may close before it has read the body.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log\n{}", self.log());
        }
        self.kill();
    }
}

/// A share of the local class on the bed's stores, for loopback.
pub fn share_config(name: &str) -> ShareConfig {
    ShareConfig {
        compression: dfs_api::Compression::None,
        block_size: 65_536,
        clients: vec!["127.0.0.1".to_owned()],
        squash: Squash::None,
        capacity: 1 << 40,
        ..ShareConfig::named(name, "names", "packs")
    }
}

pub struct Mounted<'a> {
    bed: &'a Bed,
    pipe: Pipe,
    root: Handle,
}

impl Mounted<'_> {
    /// Makes a file with these bytes and commits it.
    #[track_caller]
    pub fn write(&mut self, name: &str, bytes: &[u8]) {
        let place = DirOp { dir: self.root.clone(), name: FileName::from(name) };
        let how = CreateHow::Unchecked(SetAttributes { mode: Some(0o644), ..SetAttributes::default() });
        let (pipe, bed) = (&mut self.pipe, self.bed);
        bed.block(async {
            let made = pipe.call::<nfs3::Create>(&CreateArgs { place, how }).await.unwrap().ok().unwrap();
            let file = made.object.unwrap();
            for (chunk, offset) in bytes.chunks(1 << 18).zip((0..).step_by(1 << 18)) {
                let (stable, data) = (Stable::Unstable, Data::from(chunk));
                let args = WriteArgs { file: file.clone(), offset, count: chunk.len() as u32, stable, data };
                pipe.call::<nfs3::Write>(&args).await.unwrap().ok().unwrap();
            }
            let args = CommitArgs { file, offset: 0, count: 0 };
            pipe.call::<nfs3::Commit>(&args).await.unwrap().ok().unwrap();
        });
    }

    /// Removes a file.
    #[track_caller]
    pub fn remove(&mut self, name: &str) {
        let place = DirOp { dir: self.root.clone(), name: FileName::from(name) };
        let (pipe, bed) = (&mut self.pipe, self.bed);
        bed.block(async { pipe.call::<nfs3::Remove>(&place).await.unwrap().ok().unwrap() });
    }

    /// The names in the root, without `.` and `..`, as one reply lists them.
    #[track_caller]
    pub fn names(&mut self) -> Vec<String> {
        let args =
            ReadDirArgs { dir: self.root.clone(), cookie: 0, verifier: Verifier::default(), count: 1 << 16 };
        let (pipe, bed) = (&mut self.pipe, self.bed);
        let page = bed.block(async { pipe.call::<nfs3::ReadDir>(&args).await.unwrap().ok().unwrap() });
        assert!(page.eof, "more than one reply holds");
        let names = page.entries.0.iter().map(|entry| String::from_utf8_lossy(&entry.name.0).into_owned());
        names.filter(|name| name != "." && name != "..").collect()
    }

    /// The bytes of a file. *Errors:* the status of the first call that is refused.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, Status> {
        self.read_at(&[name])
    }

    /// The bytes of a file below directories. *Errors:* as [`Mounted::read`].
    pub fn read_at(&mut self, path: &[&str]) -> Result<Vec<u8>, Status> {
        let mut file = self.root.clone();
        let (pipe, bed) = (&mut self.pipe, self.bed);
        bed.block(async {
            for name in path {
                let place = DirOp { dir: file, name: FileName::from(*name) };
                file = pipe.call::<nfs3::Lookup>(&place).await.unwrap().ok()?.object;
            }
            let mut bytes = Vec::new();
            loop {
                let args = ReadArgs { file: file.clone(), offset: bytes.len() as u64, count: 1 << 18 };
                let read = pipe.call::<nfs3::Read>(&args).await.unwrap().ok()?;
                assert!(read.eof || !read.data.0.is_empty(), "a read of nothing before the end");
                bytes.extend_from_slice(&read.data.0);
                if read.eof {
                    return Ok(bytes);
                }
            }
        })
    }
}

/// Bytes that do not compress and say where they come from.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
