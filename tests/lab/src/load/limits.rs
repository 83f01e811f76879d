//! What the machine can do without the gateway: an echo in this process, and {pwrite, fdatasync} on a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::Figures;
use crate::nfs::client::Records;

/// The file that the disk limit writes over, large enough that no device remembers it all.
const FILE_BYTES: usize = 64 << 20;

/// Starts an echo that answers every call with an accepted reply of `size` bytes of results. Returns its address.
pub async fn echo(size: usize) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, size));
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream, size: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut records, mut out) = (Records::default(), Vec::new());
    let results = vec![0u8; size.next_multiple_of(4)];
    let mark = (0x8000_0000 | (24 + results.len()) as u32).to_be_bytes();
    loop {
        records.fill(&mut stream).await?;
        out.clear();
        while let Some(call) = records.next()? {
            out.extend_from_slice(&mark);
            out.extend_from_slice(call.first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?);
            out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            if results.len() > 64 << 10 {
                // large results go out as they lie, without a copy
                stream.write_all(&out).await?;
                stream.write_all(&results).await?;
                out.clear();
            } else {
                out.extend_from_slice(&results);
            }
        }
        stream.write_all(&out).await?;
    }
}

/// Writes `size` bytes and syncs, over and over, on one pre-zeroed file.
pub fn disk(folder: &Path, size: usize, time: Duration) -> io::Result<Figures> {
    let path = folder.join("limit-of-the-disk");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    let data: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
    let (mut figures, began, mut offset) = (Figures::default(), Instant::now(), 0);
    while began.elapsed() < time {
        let start = Instant::now();
        file.write_all_at(&data, offset)?;
        file.sync_data()?;
        figures.latencies.push(start.elapsed().as_nanos() as u64);
        figures.operations += 1;
        figures.bytes += size as u64;
        offset = (offset + size as u64) % (FILE_BYTES - size) as u64;
    }
    std::fs::remove_file(path)?;
    Ok(figures)
}
