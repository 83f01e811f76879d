//! The stream of records: cut into pieces anywhere, it gives the same records; each is read as a call and as a reply.
#![no_main]

use dfs_rpc::{AuthSys, Assembler, CallHeader, ReplyHeader};
use libfuzzer_sys::fuzz_target;

fn records(data: &[u8], piece: usize) -> (Vec<bytes::Bytes>, bool) {
    let (mut assembler, mut found) = (Assembler::new(1 << 16), Vec::new());
    for part in data.chunks(piece) {
        assembler.push(part);
        loop {
            match assembler.next_record() {
                Ok(Some(record)) => found.push(record),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, data)) = data.split_first() else { return };
    let (whole, pieces) = (records(data, data.len().max(1)), records(data, usize::from(*piece).max(1)));
    assert_eq!(whole, pieces, "other records where the stream is cut otherwise");
    for record in whole.0.into_iter().chain([bytes::Bytes::copy_from_slice(data)]) {
        let _ = ReplyHeader::decode(record.clone());
        if let Ok((header, rest)) = CallHeader::decode(record.clone()) {
            assert!(rest.rest().len() <= record.len());
            let _ = AuthSys::from_body(header.credential.body);
        }
    }
});
