//! The same records as datagrams, for a port mapper that listens on UDP.
//!
//! A datagram may go unanswered by right. So each damaged one is followed by a good NULL call: once that is answered, what
//! came before it has been taken or dropped.

use std::io;
use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::net::UdpSocket;

use super::grammar::Targets;
use super::mutate::{self, Framing};
use super::{Tally, classify};
use crate::nfs::Procedure;
use crate::nfs::xdr::record;

/// The transaction id of the good calls; the dice of the damaged ones are told not to roll it.
const FENCE: u32 = 0xfefe_fefe;
/// How long one answer may take: datagrams on loopback are not late.
const PATIENCE: Duration = Duration::from_millis(500);
/// A fence may be dropped where the socket's buffer is full; it is sent again so often.
const FENCES: usize = 10;

/// Sends `wanted` damaged datagrams for a procedure. *Errors:* the port mapper answers good calls no more.
pub async fn attack(
    address: &str,
    procedure: Procedure,
    wanted: u64,
    targets: &Targets,
    dice: &mut ChaCha8Rng,
) -> io::Result<Tally> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(address).await?;
    let mut fence = Vec::new();
    record(&mut fence, FENCE, Procedure { number: 0, ..procedure }, 0, |_| {});
    let mut tally = Tally::default();
    let mut answer = vec![0; 65_536];
    while tally.sent < wanted {
        let mut bytes = Vec::new();
        let framing =
            mutate::record(&mut bytes, dice.random::<u32>() & 0x7fff_ffff, procedure, targets, dice);
        tally.sent += 1;
        tally.reached += u64::from(framing == Framing::Whole);
        // a datagram has no mark
        let _ = socket.send(bytes.get(4..).unwrap_or(&bytes)).await;
        if !passed(&socket, &fence[4..], &mut answer, &mut tally).await? {
            tally.closed += 1;
        }
    }
    Ok(tally)
}

/// Sends the fence until it is answered. Returns whether the datagram before it was answered too.
async fn passed(socket: &UdpSocket, fence: &[u8], answer: &mut [u8], tally: &mut Tally) -> io::Result<bool> {
    let mut answered = false;
    for _ in 0..FENCES {
        socket.send(fence).await?;
        while let Ok(got) = tokio::time::timeout(PATIENCE, socket.recv(answer)).await {
            let bytes = &answer[..got?];
            if bytes.starts_with(&FENCE.to_be_bytes()) {
                return Ok(answered);
            }
            classify(bytes, tally);
            answered = true;
        }
    }
    Err(io::Error::other("the port mapper answers good calls no more"))
}
