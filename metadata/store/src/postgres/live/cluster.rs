//! A PostgreSQL server of one test: a copy of the template, on a port of its own, ended with the test.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    process: Option<Child>,
    mounted: bool,
    settings: Vec<String>,
    pub port: u16,
}

fn from_group(name: &str) -> PathBuf {
    PathBuf::from(
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `tests/run metadata`")),
    )
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Cluster {
    pub fn start() -> Cluster {
        Cluster::start_with(&[], None)
    }

    /// `room`: bytes of a file system of its own, so that it can be filled.
    pub fn start_with(settings: &[&str], room: Option<u64>) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let mounted = room.is_some();
        if let Some(room) = room {
            run(Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={room}"), "tmpfs"])
                .arg(folder.path()));
        }
        run(Command::new("cp")
            .arg("-a")
            .arg(from_group("DFS_TESTS_POSTGRES_TEMPLATE"))
            .arg(folder.path().join("data")));
        run(Command::new("chown").args(["postgres", "--"]).arg(folder.path()));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bin = from_group("DFS_TESTS_POSTGRES_BIN");
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        let mut cluster = Cluster { folder, bin, process: None, mounted, settings, port };
        cluster.go();
        cluster
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server and waits until it takes queries; again while processes of a killed one still end.
    pub fn go(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        self.process = Some(self.spawn());
        while !self.is_ready() {
            let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "the server does not start:\n{text}");
            std::thread::sleep(Duration::from_millis(50));
            if self.process.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.process = Some(self.spawn());
            }
        }
    }

    fn spawn(&self) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--"])
            .arg(self.bin.join("postgres"));
        command.arg("-D").arg(self.data()).args([
            "-p",
            &self.port.to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
        ]);
        command.args([
            "-c",
            "unix_socket_directories=",
            "-c",
            "shared_buffers=32MB",
            "-c",
            "max_connections=60",
        ]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let errors = log.try_clone().unwrap();
        command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap()
    }

    /// A server whose log could not be written ends itself; a service manager would start it again.
    pub fn go_if_dead(&mut self) {
        if self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some()) {
            self.process = None;
            self.go();
        }
    }

    fn is_ready(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        let port = self.port.to_string();
        let ready = Command::new(self.bin.join("pg_isready"))
            .args(["-q", "-U", "postgres", "-h", "127.0.0.1", "-p", &port])
            .status();
        ready.is_ok_and(|status| status.success())
    }

    /// The server dies without a word, as at a power cut, with every process of it.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.id())).unwrap_or_default();
        process.kill().unwrap();
        for child in children.split_whitespace() {
            // Gone already is fine.
            let _ = Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status();
        }
        process.wait().unwrap();
    }

    /// Stops it as an administrator does: clients are thrown out, transactions undone.
    pub fn stop(&mut self) {
        self.signal("INT");
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
    }

    /// Sends a signal to the server's main process.
    pub fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        run(Command::new("kill").args([&format!("-{name}"), &id]));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        }
    }
}
