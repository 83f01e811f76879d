//! The codec against bytes written by hand, and the driver against a server of a few lines.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::client::{Records, Scenario, Step, drive};
use super::xdr::{Reader, Writer, record, reply};
use super::{Procedure, nfs};

#[test]
fn record_of_a_null_call_is_as_the_rfc_says() {
    let mut out = Vec::new();
    record(&mut out, 7, nfs(0), 5, |_| {});
    let mark = 0x8000_0000 | (out.len() as u32 - 4);
    let head: Vec<u8> =
        [mark, 7, 0, 2, 100_003, 3, 0, 1, 32].iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(out[..36], head[..]);
    let mut credential = Reader(&out[36..]);
    assert_eq!(credential.u32().unwrap(), 1);
    assert_eq!(credential.opaque().unwrap(), b"laboratory");
    assert_eq!((credential.u32().unwrap(), credential.u32().unwrap()), (5, 5));
}

#[test]
fn reader_of_a_short_record_answers_an_error() {
    let mut writer = Writer::default();
    writer.opaque(b"12345");
    assert_eq!(writer.0.len(), 12);
    for length in 0..12 {
        assert!(Reader(&writer.0[..length]).opaque().is_err(), "{length}");
    }
    assert_eq!(Reader(&writer.0).opaque().unwrap(), b"12345");
}

#[test]
fn reply_that_was_denied_is_an_error() {
    let denied: Vec<u8> = [9u32, 1, 1, 1, 1].iter().flat_map(|word| word.to_be_bytes()).collect();
    assert!(reply(&denied).is_err());
}

/// Counts to ten in each slot, with the procedure as the number.
struct Counting(Vec<u32>);

impl Scenario for Counting {
    fn step(
        &mut self,
        slot: usize,
        results: Option<Reader<'_>>,
        arguments: &mut Writer,
    ) -> std::io::Result<Step> {
        if let Some(mut results) = results {
            assert_eq!(results.u32()?, self.0[slot]);
            self.0[slot] += 1;
        }
        arguments.u32(self.0[slot]);
        Ok(if self.0[slot] == 10 { Step::Done } else { Step::Call(Procedure { number: 1, ..nfs(0) }) })
    }
}

#[tokio::test]
async fn drive_of_four_slots_makes_every_call_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut records, mut served) = (Records::default(), 0);
        while records.fill(&mut stream).await.is_ok() {
            let mut out = Vec::new();
            while let Some(call) = records.next().unwrap() {
                let (xid, number) = (&call[..4], &call[call.len() - 4..]);
                let mut writer = Writer::default();
                writer.u32(0x8000_0000 | 28).fixed(xid).u32(1).u32(0).u32(0).u32(0).u32(0).fixed(number);
                out.extend_from_slice(&writer.0);
                served += 1;
            }
            stream.write_all(&out).await.unwrap();
        }
        served
    });
    let mut scenario = Counting(vec![0; 4]);
    let until = Instant::now() + Duration::from_secs(60);
    let latencies = drive(&mut stream, 4, &mut scenario, until).await.unwrap();
    drop(stream);
    assert_eq!((latencies.len(), server.await.unwrap()), (40, 40));
    assert_eq!(scenario.0, [10; 4]);
}
