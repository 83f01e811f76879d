//! Raw forwarding: bytes in order, late and paced as told.
//!
//! A reader stamps each chunk with the moment it may leave, a bounded queue holds it, a writer waits for the stamp: so
//! latency does not lower the throughput until the queue (4 MiB) is full.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::faults::Control;
use super::wire::{Shared, pace};

/// One chunk of forwarding.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks under way in one direction.
const QUEUE_CHUNKS: usize = 64;

/// Forwards both ways until both ends have closed.
pub async fn both_ways(client: &TcpStream, server: &TcpStream, control: &Control) -> io::Result<()> {
    let (client, server) = (Shared(client), Shared(server));
    let (mut client_one, mut client_two) = (client, client);
    let (mut server_one, mut server_two) = (server, server);
    tokio::try_join!(
        one_way(&mut client_one, &mut server_one, control, 0),
        one_way(&mut server_two, &mut client_two, control, 1)
    )?;
    Ok(())
}

async fn one_way(
    from: &mut Shared<'_>,
    to: &mut Shared<'_>,
    control: &Control,
    direction: usize,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Bytes)>(QUEUE_CHUNKS);
    let read = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let got = from.read(&mut chunk).await?;
            if got == 0 {
                return Ok::<(), io::Error>(());
            }
            chunk.truncate(got);
            let due = Instant::now() + control.faults().latency;
            if sender.send((due, chunk.into())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        let mut gate = control.gate();
        while let Some((due, chunk)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            gate.open().await;
            pace(control.faults().rate_bytes, chunk.len()).await;
            to.write_all(&chunk).await?;
            control.count(|counters| counters.moved_bytes[direction] += chunk.len() as u64);
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}
