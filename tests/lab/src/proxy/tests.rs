//! The proxy in front of a small server of known answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::accept;
use super::faults::Control;
use super::wire::{Body, Framing, Source};

const BODY: &[u8] = b"0123456789abcdefghij";

/// Answers every request with BODY, alternately with a length and in chunks; echoes the length of what was put.
async fn server(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut source = Source::new(&stream);
            let mut turn = 0;
            while let Ok(Some(head)) = source.head().await {
                let (mut body, mut length) = (Body::new(head.framing(Framing::Length(0))), 0);
                while let Ok(Some(piece)) = body.next(&mut source).await {
                    length += piece.len();
                }
                turn += 1;
                let put = head.first[0] == "PUT";
                let text = if put { length.to_string() } else { String::from_utf8(BODY.to_vec()).unwrap() };
                let answer = if turn % 2 == 1 || !head.first[1].contains("chunked") {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
                } else {
                    let (one, two) = text.split_at(text.len() / 2);
                    let (a, b) = (one.len(), two.len());
                    format!(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{a:x}\r\n{one}\r\n{b:x}\r\n{two}\r\n0\r\n\r\n"
                    )
                };
                super::wire::Shared(&stream).write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

async fn start(raw: bool) -> (Arc<Control>, String) {
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = behind.local_addr().unwrap().to_string();
    tokio::spawn(server(behind));
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap().to_string();
    let control = Arc::new(Control::new(7));
    tokio::spawn(accept(front, to, raw, control.clone()));
    (control, address)
}

/// Sends a request and returns the status and the body's bytes as they stand on the wire.
async fn ask(
    stream: &TcpStream,
    source: &mut Source<'_>,
    request: &str,
) -> std::io::Result<(String, Vec<u8>)> {
    super::wire::Shared(stream).write_all(request.as_bytes()).await?;
    let head = source.head().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let (mut body, mut bytes) = (Body::new(head.framing(Framing::ToEnd)), Vec::new());
    while let Some(piece) = body.next(source).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok((head.first[1].clone(), bytes))
}

const GET: &str = "GET /x HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn http_without_faults_is_transparent() {
    let (control, address) = start(false).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let mut source = Source::new(&stream);
    assert_eq!(ask(&stream, &mut source, GET).await.unwrap(), ("200".into(), BODY.to_vec()));
    let put = "PUT /y HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(ask(&stream, &mut source, put).await.unwrap(), ("200".into(), b"5".to_vec()));
    for _ in 0..2 {
        ask(&stream, &mut source, "GET /chunked HTTP/1.1\r\n\r\n").await.unwrap();
    }
    let stats = control.obey("stats");
    assert!(stats.contains("gets=3 puts=1") && stats.contains("put_bytes=5"), "{stats}");
}

#[tokio::test]
async fn fail_answers_in_place_and_the_connection_goes_on() {
    let (control, address) = start(false).await;
    assert_eq!(control.obey("fail 100 503 SlowDown"), "ok");
    let stream = TcpStream::connect(address).await.unwrap();
    let mut source = Source::new(&stream);
    let put = "PUT /y HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    let (status, body) = ask(&stream, &mut source, put).await.unwrap();
    assert_eq!(status, "503");
    assert!(String::from_utf8(body).unwrap().contains("<Code>SlowDown</Code>"));
    control.obey("clear");
    assert_eq!(ask(&stream, &mut source, GET).await.unwrap().1, BODY);
    assert!(control.obey("stats").contains("refused=1"));
    assert_eq!(control.obey("fail 100 403 AccessDenied PUT"), "ok");
    assert_eq!(ask(&stream, &mut source, GET).await.unwrap().0, "200", "only puts are refused");
    assert_eq!(ask(&stream, &mut source, put).await.unwrap().0, "403");
}

#[tokio::test]
async fn corrupt_changes_one_byte_and_partial_ends_half_way() {
    let (control, address) = start(false).await;
    control.obey("corrupt 100");
    let stream = TcpStream::connect(&address).await.unwrap();
    let (_, body) = ask(&stream, &mut Source::new(&stream), GET).await.unwrap();
    assert_eq!(body.iter().zip(BODY).filter(|(one, two)| one != two).count(), 1);
    control.obey("clear");
    control.obey("partial 100");
    let stream = TcpStream::connect(&address).await.unwrap();
    let error = ask(&stream, &mut Source::new(&stream), GET).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(control.obey("stats").contains("damaged=2"));
}

#[tokio::test]
async fn cut_holds_everything_until_mended() {
    let (control, address) = start(true).await;
    let stream = TcpStream::connect(&address).await.unwrap();
    let mut source = Source::new(&stream);
    assert_eq!(ask(&stream, &mut source, GET).await.unwrap().1, BODY);
    control.obey("cut");
    let held = tokio::time::timeout(Duration::from_millis(150), ask(&stream, &mut source, GET)).await;
    assert!(held.is_err());
    control.obey("mend");
    assert_eq!(source.head().await.unwrap().unwrap().first[1], "200");
}

#[tokio::test]
async fn reset_ends_a_waiting_connection_with_a_reset() {
    let (control, address) = start(true).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    ask(&stream, &mut Source::new(&stream), GET).await.unwrap();
    control.obey("reset");
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn latency_delays_raw_bytes_both_ways() {
    let (control, address) = start(true).await;
    control.obey("latency 60");
    let stream = TcpStream::connect(&address).await.unwrap();
    let began = Instant::now();
    ask(&stream, &mut Source::new(&stream), GET).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(120), "{:?}", began.elapsed());
}

#[test]
fn obey_of_nonsense_changes_nothing() {
    let control = Control::new(1);
    for line in
        ["", "fail", "fail 101 500 X", "fail 9 500 X GET PUT", "latency soon", "corrupt -1", "cut now"]
    {
        assert!(control.obey(line).starts_with("error"), "{line}");
    }
    assert_eq!(control.faults(), super::faults::Faults::default());
}
