//! A control plane with canned answers, and the real `dfsctl` run against it.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

pub const PASSWORD: &str = "a long password";

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Method and path.
    pub line: String,
    /// What came after the question mark.
    pub query: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub token: Option<String>,
    pub body: Value,
    pub bytes: Vec<u8>,
}

/// What is answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl From<(u16, Value)> for Answer {
    fn from((status, body): (u16, Value)) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Answer { status, headers: Vec::new(), body }
    }
}

type Answers = Arc<dyn Fn(&Sent) -> Answer + Send + Sync>;

/// A control plane with canned answers.
pub struct Stub {
    pub address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    home: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Stub {
    pub fn new<A: Into<Answer>>(answers: impl Fn(&Sent) -> A + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = sent.clone();
        let answers: Answers = Arc::new(move |sent| answers(sent).into());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answers) = (kept.clone(), answers.clone());
                std::thread::spawn(move || serve(stream, &answers, &kept));
            }
        });
        Stub { address, sent, home: tempfile::tempdir().unwrap() }
    }

    /// The same, with the administrator logged in.
    pub fn logged_in<A: Into<Answer>>(answers: impl Fn(&Sent) -> A + Send + Sync + 'static) -> Stub {
        let stub = Stub::new(answers);
        let said = stub.run(&["login", "--password-stdin"], &format!("{PASSWORD}\n"));
        assert_eq!(said.code, 0, "{said:?}");
        stub
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder of this stub's user.
    pub fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// The file of contexts.
    pub fn contexts(&self) -> PathBuf {
        self.home.path().join("ctl/contexts.json")
    }

    /// The program, for this stub and its user.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dfsctl"));
        command.args(args).env("DFSCTL_SERVER", self.url());
        command.env("DFSCTL_HOME", self.home.path().join("ctl"));
        for name in [
            "DFSCTL_TOKEN",
            "DFSCTL_SECRET_KEY",
            "DFSCTL_CONTEXT",
            "DFSCTL_CA",
            "VISUAL",
            "EDITOR",
            "NO_COLOR",
        ] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str], stdin: &str) -> Said {
        finish(self.command(args), stdin)
    }

    /// Runs a line of words that must work, and returns what it printed.
    pub fn good(&self, line: &str) -> String {
        let said = self.run(&line.split(' ').collect::<Vec<_>>(), "");
        assert_eq!(said.code, 0, "{line}: {said:?}");
        said.out
    }

    pub fn sent(&self, line: &str) -> Vec<Sent> {
        self.sent.lock().unwrap().iter().filter(|sent| sent.line == line).cloned().collect()
    }

    /// The body that was sent last with this method and path.
    pub fn last(&self, line: &str) -> Value {
        self.sent(line).last().unwrap_or_else(|| panic!("nothing was sent: {line}")).body.clone()
    }

    pub fn all_sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

/// Runs a program to its end.
pub fn finish(mut command: Command, stdin: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input ends first; that is its answer.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn serve(stream: TcpStream, answers: &Answers, kept: &Mutex<Vec<Sent>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).unwrap();
        let asked = first.rsplit_once(" HTTP").unwrap().0;
        // As a router does: the query is no part of the resource's name.
        let (line, query) = asked.split_once('?').unwrap_or((asked, ""));
        let token = headers.get("authorization").map(|word| word.trim_start_matches("Bearer ").to_owned());
        let (line, query) = (line.replacen("/api/v1", "", 1), query.to_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let sent = Sent { line, query, headers, token, body, bytes };
        kept.lock().unwrap().push(sent.clone());
        let answer = answers(&sent);
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        head += "x-request-id: req-7\r\n";
        answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let whole = [head.as_bytes(), b"\r\n", &answer.body].concat();
        if reader.get_mut().write_all(&whole).is_err() {
            return;
        }
    }
}

pub fn problem(status: u16, kind: &str, detail: &str) -> (u16, Value) {
    (status, json!({"status": status, "type": kind, "detail": detail, "request_id": "req-7"}))
}

pub fn tokens(access: &str, must_change: bool) -> Value {
    json!({"access_token": access, "refresh_token": "refresh-1", "expires_in": 900, "must_change_password": must_change})
}
