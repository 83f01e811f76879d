//! The bytes of one file: pages of 4 KiB that were written; everything else is zeros.

use std::collections::BTreeMap;

const PAGE: u64 = 4096;

#[derive(Default)]
pub(super) struct FileBytes {
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl FileBytes {
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        for (at, byte) in (offset..).zip(data) {
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[(at % PAGE) as usize] = *byte;
        }
    }

    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        (offset..)
            .take(len)
            .map(|at| self.pages.get(&(at / PAGE)).map_or(0, |page| page[(at % PAGE) as usize]))
            .collect()
    }

    /// Drops every byte from `size` on.
    pub fn truncate(&mut self, size: u64) {
        let first_whole = size.div_ceil(PAGE);
        self.pages.retain(|index, _| *index < first_whole);
        if let Some(page) = self.pages.get_mut(&(size / PAGE)) {
            page[(size % PAGE) as usize..].fill(0);
        }
    }

    /// Bytes held, as far as the model counts them.
    pub fn held(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }
}
