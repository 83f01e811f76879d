//! Following HTTP/1.1 on one connection: request by request, so that each can be refused or damaged by itself.
//!
//! The request's body and the answer move at the same time, for servers that answer early and for `Expect`. A connection
//! on which the answer came before the request's end is closed after it: its framing is lost.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::faults::{Control, Faults, Refusal};
use super::wire::{Body, Framing, Head, Shared, Source, pace};

/// What is done to the body of an answer.
#[derive(Clone, Copy, PartialEq)]
enum Damage {
    None,
    Flip,
    HalfWay,
}

/// Follows the requests of a connection until either side closes it.
pub async fn follow(client: &TcpStream, server: &TcpStream, control: &Control) -> io::Result<()> {
    let (mut requests, mut answers) = (Source::new(client), Source::new(server));
    let (mut to_client, mut to_server) = (Shared(client), Shared(server));
    let mut gate = control.gate();
    while let Some(request) = requests.head().await? {
        gate.open().await;
        let faults = control.faults();
        tokio::time::sleep(faults.latency).await;
        control.count(|counters| counters.requests[method(&request)] += 1);
        let body = Body::new(request.framing(Framing::Length(0)));
        if let Some(refusal) = &faults.fail
            && refusal.method.as_ref().is_none_or(|method| request.first.first() == Some(method))
            && control.roll(refusal.percent)
        {
            control.count(|counters| counters.refused += 1);
            if !refuse(&request, body, &mut requests, &mut to_client, refusal).await? {
                return Ok(());
            }
            continue;
        }
        let whole = {
            let upload = upload(&request, body, &mut requests, &mut to_server, control);
            let download = download(&request, &faults, &mut answers, &mut to_client, control);
            tokio::pin!(upload, download);
            tokio::select! {
                sent = &mut upload => {
                    sent?;
                    download.await?
                }
                kept = &mut download => {
                    kept?;
                    false
                }
            }
        };
        if !whole {
            return Ok(());
        }
    }
    Ok(())
}

fn method(request: &Head) -> usize {
    match request.first.first().map(String::as_str) {
        Some("GET") => 0,
        Some("PUT") => 1,
        _ => 2,
    }
}

/// Answers a request in the server's place. Returns whether the connection can go on.
async fn refuse(
    request: &Head,
    mut body: Body,
    requests: &mut Source<'_>,
    to_client: &mut Shared<'_>,
    refusal: &Refusal,
) -> io::Result<bool> {
    // a client that waits for 100-continue sends no body after a refusal
    let waits = request.field("expect").is_some();
    if !waits {
        while body.next(requests).await?.is_some() {}
    }
    let (status, code) = (refusal.status, &refusal.code);
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told to fail</Message></Error>");
    let text = if request.first.first().is_some_and(|method| method == "HEAD") { "" } else { &text };
    let last = if waits { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n{last}\r\n{text}",
        text.len()
    );
    to_client.write_all(head.as_bytes()).await?;
    Ok(!waits)
}

async fn upload(
    request: &Head,
    mut body: Body,
    requests: &mut Source<'_>,
    to_server: &mut Shared<'_>,
    control: &Control,
) -> io::Result<()> {
    let mut gate = control.gate();
    send(to_server, &request.bytes, control, 0).await?;
    while let Some(piece) = body.next(requests).await? {
        gate.open().await;
        pace(control.faults().rate_bytes, piece.len()).await;
        send(to_server, &piece, control, 0).await?;
        if method(request) == 1 {
            control.count(|counters| counters.body_bytes[1] += piece.len() as u64);
        }
    }
    Ok(())
}

async fn send(to: &mut Shared<'_>, bytes: &[u8], control: &Control, direction: usize) -> io::Result<()> {
    to.write_all(bytes).await?;
    control.count(|counters| counters.moved_bytes[direction] += bytes.len() as u64);
    Ok(())
}

/// Hands an answer on. Returns whether the connection can go on.
async fn download(
    request: &Head,
    faults: &Faults,
    answers: &mut Source<'_>,
    to_client: &mut Shared<'_>,
    control: &Control,
) -> io::Result<bool> {
    let mut gate = control.gate();
    let (head, status) = loop {
        let Some(head) = answers.head().await? else { return Ok(false) };
        gate.open().await;
        send(to_client, &head.bytes, control, 1).await?;
        let status = head.first.get(1).and_then(|word| word.parse::<u16>().ok()).unwrap_or(0);
        if status >= 200 {
            break (head, status);
        }
    };
    let bodyless =
        status == 204 || status == 304 || request.first.first().is_some_and(|method| method == "HEAD");
    let framing = if bodyless { Framing::Length(0) } else { head.framing(Framing::ToEnd) };
    let is_data = method(request) == 0 && (status == 200 || status == 206);
    let damage = damage(faults, framing, is_data, control);
    let (mut body, mut done) = (Body::new(framing), 0u64);
    while let Some(piece) = body.next(answers).await? {
        gate.open().await;
        pace(control.faults().rate_bytes, piece.len()).await;
        let (piece, stop) = hurt(piece, damage, framing, done);
        done += piece.len() as u64;
        send(to_client, &piece, control, 1).await?;
        if is_data {
            control.count(|counters| counters.body_bytes[0] += piece.len() as u64);
        }
        if stop {
            return Ok(false);
        }
    }
    Ok(framing != Framing::ToEnd
        && head.field("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")))
}

/// Chooses what to do to an answer's body: only data whose length is known, and long enough to have a half.
fn damage(faults: &Faults, framing: Framing, is_data: bool, control: &Control) -> Damage {
    let damage = match framing {
        Framing::Length(length) if is_data && length >= 2 => {
            if control.roll(faults.corrupt_percent) {
                Damage::Flip
            } else if control.roll(faults.partial_percent) {
                Damage::HalfWay
            } else {
                Damage::None
            }
        }
        _ => Damage::None,
    };
    if damage != Damage::None {
        control.count(|counters| counters.damaged += 1);
    }
    damage
}

/// Applies the damage at the body's middle byte. Returns what is sent, and whether the connection ends there.
fn hurt(piece: Bytes, damage: Damage, framing: Framing, done: u64) -> (Bytes, bool) {
    let Framing::Length(length) = framing else { return (piece, false) };
    let Some(at) = (length / 2).checked_sub(done).and_then(|at| usize::try_from(at).ok()) else {
        return (piece, false);
    };
    if at >= piece.len() {
        return (piece, false);
    }
    match damage {
        Damage::None => (piece, false),
        Damage::HalfWay => (piece.slice(..at), true),
        Damage::Flip => {
            let mut changed = BytesMut::from(&piece[..]);
            changed[at] ^= 0x10;
            (changed.freeze(), false)
        }
    }
}
