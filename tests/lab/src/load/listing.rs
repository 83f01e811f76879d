//! The listing of one folder, however large: READDIR, each call from where the one before ended.

use std::io;

use super::Counted;
use crate::nfs::calls::{self, Handle};
use crate::nfs::client::{Scenario, Step};
use crate::nfs::nfs;
use crate::nfs::xdr::{Reader, Writer};

/// Bytes of one reply.
const REPLY_BYTES: u32 = 64 << 10;

/// Where the listing stands.
pub struct Listing {
    folder: Handle,
    cookie: u64,
    verifier: u64,
    busy: bool,
    end: bool,
    done: (u64, u64),
}

impl Listing {
    pub fn new(folder: Handle) -> Listing {
        Listing { folder, cookie: 0, verifier: 0, busy: false, end: false, done: (0, 0) }
    }

    fn take(&mut self, mut results: Reader<'_>) -> io::Result<()> {
        calls::status(&mut results)?;
        calls::post_attributes(&mut results)?;
        self.verifier = results.u64()?;
        let before = self.done.0;
        while results.u32()? == 1 {
            let (_inode, name) = (results.u64()?, results.opaque()?);
            let own = name == b"." || name == b"..";
            self.done = (self.done.0 + u64::from(!own), self.done.1 + name.len() as u64);
            self.cookie = results.u64()?;
        }
        self.end = results.u32()? == 1;
        if !self.end && self.done.0 == before {
            return Err(io::Error::other("a page without an entry before the end"));
        }
        Ok(())
    }
}

impl Scenario for Listing {
    fn step(&mut self, _: usize, results: Option<Reader<'_>>, arguments: &mut Writer) -> io::Result<Step> {
        match results {
            Some(results) => self.take(results)?,
            // One call at a time, whatever the depth: the next one needs the cookie of the last.
            None if self.busy => return Ok(Step::Done),
            None => self.busy = true,
        }
        if self.end {
            return Ok(Step::Done);
        }
        arguments.opaque(&self.folder).u64(self.cookie).u64(self.verifier).u32(REPLY_BYTES);
        Ok(Step::Call(nfs(16)))
    }
}

impl Counted for Listing {
    fn done(&self) -> (u64, u64) {
        self.done
    }
}
