//! A proxy between store and server that counts round trips and can lose an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Default)]
pub struct Seen {
    /// Round trips: `Sync` and `Query` messages after the start-up.
    pub trips: AtomicU64,
    /// The next answer after the next round trip is swallowed and its connection cut.
    pub lose: AtomicBool,
    /// Answers lost so.
    pub lost: AtomicU64,
}

pub struct Proxy {
    pub port: u16,
    pub seen: Arc<Seen>,
    cut: watch::Sender<u64>,
    pub delay: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (cut, _) = watch::channel(0);
        let (seen, delay) = (Arc::new(Seen::default()), Arc::new(AtomicU64::new(0)));
        let proxy = Proxy { port: own, seen: Arc::clone(&seen), cut: cut.clone(), delay: Arc::clone(&delay) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&seen), cut.subscribe(), Arc::clone(&delay)));
            }
        });
        proxy
    }

    /// Ends every connection now.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Round trips since the last call.
    pub fn trips(&self) -> u64 {
        self.seen.trips.swap(0, Ordering::SeqCst)
    }

    pub fn lose_next_answer(&self) {
        self.seen.lose.store(true, Ordering::SeqCst);
    }

    pub fn lost(&self) -> u64 {
        self.seen.lost.load(Ordering::SeqCst)
    }
}

async fn carry(
    client: TcpStream,
    server: TcpStream,
    seen: Arc<Seen>,
    mut cut: watch::Receiver<u64>,
    delay: Arc<AtomicU64>,
) {
    cut.mark_unchanged();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let doomed = Arc::new(AtomicBool::new(false));
    let (doom, told) = (Arc::clone(&doomed), Arc::clone(&seen));
    let up = async move {
        let (mut buffer, mut frames, mut started) = (vec![0; 1 << 16], Vec::new(), false);
        loop {
            let read = from_client.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            frames.extend_from_slice(&buffer[..read]);
            if count(&mut frames, &mut started, &told) > 0 && told.lose.swap(false, Ordering::SeqCst) {
                doom.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let down = async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            if doomed.load(Ordering::SeqCst) {
                // The server has answered, so whatever was asked has happened.
                seen.lost.fetch_add(1, Ordering::SeqCst);
                return;
            }
            let wait = delay.load(Ordering::Relaxed);
            if wait > 0 {
                tokio::time::sleep(Duration::from_micros(wait)).await;
            }
            if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = cut.changed() => {}
    }
}

/// Takes whole messages off the front and counts the round trips among them. The start message has no type byte.
fn count(frames: &mut Vec<u8>, started: &mut bool, seen: &Seen) -> u64 {
    let mut trips = 0;
    loop {
        let head = usize::from(*started);
        let Some(bytes) = frames.get(head..head + 4) else { break };
        let len = u32::from_be_bytes(bytes.try_into().unwrap()) as usize + head;
        if frames.len() < len {
            break;
        }
        if *started && matches!(frames[0], b'S' | b'Q') {
            trips += 1;
        }
        *started = true;
        frames.drain(..len);
    }
    seen.trips.fetch_add(trips, Ordering::SeqCst);
    trips
}
