//! Buckets that refuse: a responder in place of the store gives S3's own words, and the gateway must pass the cause on.

use crate::bed::{Bed, http};
use dfs_api::{Client, ClientError, ColdBackend, ColdStoreConfig, Problem, S3Config};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

const SECRET: &str = "planted-secret-0123456789abcdef";

/// Answers every request as S3 does when nothing works; HEAD has no body, so only the status tells.
fn refuser(head: u16, other: u16, code: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer(stream, head, other, code));
        }
    });
    address
}

fn answer(stream: TcpStream, head: u16, other: u16, code: &str) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let is_head = first.starts_with("HEAD");
        let status = if is_head { head } else { other };
        let xml =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>refused</Message></Error>");
        let xml = if is_head { String::new() } else { xml };
        let text = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{xml}",
            xml.len()
        );
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn bucket(at: SocketAddr) -> ColdStoreConfig {
    let s3 = S3Config {
        bucket: "our-bucket".to_owned(),
        prefix: String::new(),
        endpoint: Some(format!("http://{at}")),
        region: Some("us-east-1".to_owned()),
        path_style: Some(true),
        access_key: Some("AKIDEXAMPLE".to_owned()),
        secret_key: Some(SECRET.to_owned()),
    };
    ColdStoreConfig { name: "bucket".to_owned(), backend: ColdBackend::S3(s3) }
}

fn add(bed: &Bed, client: &Client, config: &ColdStoreConfig) -> Problem {
    match bed.block(client.post::<_, ColdStoreConfig>("/cold-stores", config)) {
        Err(ClientError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bucket_that_refuses_is_refused_with_its_cause_and_no_secret_is_told() {
    let bed = Bed::made();
    bed.configure("logging: {level: trace}\njournal: {size: 64MiB}");
    let doors = bed.start();
    let client = bed.admin(&doors);
    let cases = [
        (refuser(403, 403, "SignatureDoesNotMatch"), &["our-bucket", "redentials"][..]),
        (refuser(403, 403, "InvalidAccessKeyId"), &["our-bucket", "redentials"]),
        (refuser(403, 403, "AccessDenied"), &["our-bucket", "denied"]),
        (refuser(404, 404, "NoSuchBucket"), &["our-bucket", "bucket"]),
    ];
    for (at, words) in cases {
        let problem = add(&bed, &client, &bucket(at));
        assert_eq!((problem.status, problem.kind.as_str()), (422, "unusable"), "{problem:?}");
        for word in words.iter().chain(&["cold store 'bucket' cannot be used"]) {
            assert!(problem.detail.contains(word), "'{word}' is not in: {problem:?}");
        }
        assert!(!problem.detail.contains(SECRET) && !format!("{:?}", bucket(at)).contains(SECRET));
    }
    let token = bed.block(bed.anonymous(&doors).login("admin", crate::bed::PASSWORD)).unwrap().access_token;
    assert_eq!(http(doors.control, "GET", "/api/v1/cold-stores", Some(&token), "").1, "[]");
    bed.dfs(&["stop"]).works();
    for (path, bytes) in bed.snapshot(&bed.data()) {
        for (what, secret) in
            [("the secret key", SECRET), ("the password", crate::bed::PASSWORD), ("a token", &token)]
        {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{what} is in {}", path.display());
        }
    }
}

#[test]
fn endpoint_where_nobody_listens_is_refused_soon() {
    let bed = Bed::made();
    let doors = bed.start();
    let client = bed.admin(&doors);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let problem = add(&bed, &client, &bucket(nobody));
    assert_eq!(problem.status, 422);
    assert!(
        problem.detail.contains(&nobody.port().to_string()) || problem.detail.contains("our-bucket"),
        "{problem:?}"
    );
}

#[test]
fn secret_that_is_kept_is_never_told_back() {
    let config = bucket(SocketAddr::from(([127, 0, 0, 1], 1)));
    let shown = serde_json::to_string(&config.redacted()).unwrap();
    assert!(!shown.contains(SECRET) && shown.contains("AKIDEXAMPLE"), "{shown}");
    let kept: ColdStoreConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(kept, config);
}
