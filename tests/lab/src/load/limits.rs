//! What the machine can do without the gateway: an echo in this process, {pwrite, fdatasync} on a file, and GETs of an
//! object store.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Figures;
use crate::nfs::client::Records;

/// The file that the disk limit writes over, large enough that no device remembers it all.
const FILE_BYTES: usize = 64 << 20;

/// Starts an echo that answers every call with an accepted reply of `size` bytes of results. Returns its address.
///
/// It runs on threads of its own: a server in its client's event loop answers without waking any thread, which says
/// nothing about what a server can do.
pub async fn echo(size: usize) -> io::Result<String> {
    let (sender, address) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            // nobody to tell: the load has ended
            let _ = sender.send(listener.local_addr()?.to_string());
            loop {
                tokio::spawn(answer(listener.accept().await?.0, size));
            }
        })
    });
    address.await.map_err(io::Error::other)
}

async fn answer(mut stream: TcpStream, size: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut records, mut out) = (Records::default(), Vec::new());
    let mut whole = vec![0u8; 28 + size.next_multiple_of(4)];
    let mark = (0x8000_0000 | (whole.len() - 4) as u32).to_be_bytes();
    whole[..4].copy_from_slice(&mark);
    whole[11] = 1;
    loop {
        records.fill(&mut stream).await?;
        out.clear();
        while let Some(call) = records.next()? {
            whole[4..8].copy_from_slice(call.first_chunk::<4>().ok_or(io::ErrorKind::InvalidData)?);
            if whole.len() > 64 << 10 {
                // large replies go out as they lie, without a copy
                stream.write_all(&whole).await?;
            } else {
                out.extend_from_slice(&whole);
            }
        }
        stream.write_all(&out).await?;
    }
}

/// Sends the request in `folder/request-N` over and over on connection N, for the time given; reads each answer to its
/// end and throws it away. *Errors:* also of an answer other than 200, or without a length.
pub async fn get(server: &str, folder: &Path, connections: usize, time: Duration) -> io::Result<Figures> {
    let until = Instant::now() + time;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..connections {
        let request = std::fs::read(folder.join(format!("request-{number}")))?;
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        running.spawn(async move {
            let (mut figures, mut buffer) = (Figures::default(), Vec::with_capacity(1 << 20));
            while Instant::now() < until {
                let start = Instant::now();
                stream.write_all(&request).await?;
                figures.bytes += answered(&mut stream, &mut buffer).await?;
                figures.operations += 1;
                figures.latencies.push(start.elapsed().as_nanos() as u64);
            }
            Ok::<_, io::Error>(figures)
        });
    }
    let mut all = Figures::default();
    while let Some(one) = running.join_next().await {
        all.add(one.map_err(io::Error::other)??);
    }
    Ok(all)
}

/// Reads one answer to its end; returns the bytes of its body.
async fn answered(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<u64> {
    buffer.clear();
    let head = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<u64>().ok());
    let Some(length) = length.filter(|_| text.starts_with("http/1.1 200")) else {
        return Err(io::Error::other(format!(
            "the store answered {}",
            text.lines().next().unwrap_or_default()
        )));
    };
    let mut left = length.saturating_sub((buffer.len() - head) as u64);
    while left > 0 {
        buffer.clear();
        let got = stream.take(left).read_buf(buffer).await? as u64;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= got;
    }
    Ok(length)
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
