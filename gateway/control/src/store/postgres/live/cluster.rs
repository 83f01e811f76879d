//! A PostgreSQL server of one test: a copy of the template, on a port of its own, ended with the test.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time for a server to take queries.
const START_WITHIN: Duration = Duration::from_secs(60);

pub struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    process: Option<Child>,
    settings: Vec<String>,
    pub port: u16,
}

fn from_group(name: &str) -> PathBuf {
    let path = std::env::var(name);
    PathBuf::from(path.unwrap_or_else(|_| panic!("{name} is not set: run `tests/run control`")))
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

impl Cluster {
    pub fn start(settings: &[&str]) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let template = from_group("DFS_TESTS_POSTGRES_TEMPLATE");
        run(Command::new("cp").arg("-a").arg(template).arg(folder.path().join("data")));
        run(Command::new("chown").args(["postgres", "--"]).arg(folder.path()));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bin = from_group("DFS_TESTS_POSTGRES_BIN");
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        let mut cluster = Cluster { folder, bin, process: None, settings, port };
        cluster.go();
        cluster
    }

    /// Starts the server and waits until it takes queries; again while processes of a killed one still end.
    pub fn go(&mut self) {
        let end = Instant::now() + START_WITHIN;
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
        let mut options = std::fs::OpenOptions::new();
        let log = options.create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--"]);
        command.arg(self.bin.join("postgres")).arg("-D").arg(self.folder.path().join("data"));
        command.args(["-p", &self.port.to_string()]);
        let fixed = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "max_connections=40",
        ];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let errors = log.try_clone().unwrap();
        command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap()
    }

    fn is_ready(&self) -> bool {
        if TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            return false;
        }
        let port = self.port.to_string();
        let mut ask = Command::new(self.bin.join("pg_isready"));
        let ready = ask.args(["-q", "-U", "postgres", "-h", "127.0.0.1", "-p", &port]).status();
        ready.is_ok_and(|status| status.success())
    }

    /// Everything in it, as SQL.
    pub fn dump(&self) -> Vec<u8> {
        let port = self.port.to_string();
        let mut dump = Command::new(self.bin.join("pg_dump"));
        run(dump.args(["-U", "postgres", "-h", "127.0.0.1", "-p", &port, "postgres"]))
    }

    /// The server dies without a word, as at a power cut, with every process of it.
    pub fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let children = format!("/proc/{0}/task/{0}/children", process.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        process.kill().unwrap();
        for child in children.split_whitespace() {
            // Gone already is fine.
            let _ = Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status();
        }
        process.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}
