//! Doors for the fuzzer alone: arguments of each program, without a gateway behind them.

use crate::portmap::PortmapTable;
use crate::work::Work;
use bytes::{Bytes, BytesMut};
use dfs_rpc::Reader;
use std::net::{IpAddr, Ipv4Addr};

/// Decodes the arguments of an NFSv3 procedure, bounds its reply and refuses it.
pub fn call(procedure: u32, arguments: Bytes) {
    if let Ok(Some(work)) = Work::decode(procedure, &mut Reader::new(arguments)) {
        assert!(work.reply_bytes() <= (1 << 20) + 4096, "an unbounded reply");
        assert!(work.handle().0.len() <= 64, "a handle beyond its cap");
        work.refuse(crate::status::of(&dfs_model::FsError::StaleHandle), &mut BytesMut::new());
    }
}

/// Answers a record for the port mapper.
pub fn portmap(table: &PortmapTable, record: Bytes) {
    table.answer_record(IpAddr::V4(Ipv4Addr::LOCALHOST), record);
}
