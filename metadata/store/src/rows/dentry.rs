//! A name's two rows: by name (a look-up is one get) and by cookie (a listing is one range scan).
//!
//! v1: version · kind (u8) · flags (bit 0 delete-pending) · inode, born (u64) · then in the row by name: cookie (u64); in
//! the row by cookie: length (u8) and bytes of the name · tail, the same in both.

use super::inode::kind;
use crate::Dentry;
use crate::wire::{BadRow, Reader, Writer};
use bytes::Bytes;
use dfs_model::{Change, Cookie, InodeId, Name};

const VERSION: u8 = 1;
const DELETE_PENDING: u8 = 1;

/// A dentry with what a newer program stored behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DentryRow {
    /// The dentry.
    pub dentry: Dentry,
    /// A newer program's fields.
    pub tail: Bytes,
}

impl DentryRow {
    fn start(&self) -> Writer {
        let mut out = Writer::versioned(VERSION, 40 + self.dentry.name.as_bytes().len());
        let flags = if self.dentry.delete_pending { DELETE_PENDING } else { 0 };
        out.u8(self.dentry.kind as u8).u8(flags).u64(self.dentry.inode.0).u64(self.dentry.born.0);
        out
    }

    /// Value of the row by name.
    pub fn encode_by_name(&self) -> Bytes {
        let mut out = self.start();
        out.u64(self.dentry.cookie.0).raw(&self.tail);
        out.finish()
    }

    /// Value of the row by cookie.
    pub fn encode_by_cookie(&self) -> Bytes {
        let name = self.dentry.name.as_bytes();
        let mut out = self.start();
        out.u8(name.len() as u8).raw(name).raw(&self.tail);
        out.finish()
    }

    /// Reads the row by name. *Errors:* [`BadRow`].
    pub fn decode_by_name(dir: InodeId, name: Name, bytes: &[u8]) -> Result<DentryRow, BadRow> {
        let (mut r, kind, delete_pending, inode, born) = Self::open(bytes)?;
        let cookie = Cookie(r.u64()?);
        Ok(DentryRow {
            dentry: Dentry { dir, name, inode, kind, cookie, born, delete_pending },
            tail: r.tail(),
        })
    }

    /// Reads the row by cookie. *Errors:* [`BadRow`].
    pub fn decode_by_cookie(dir: InodeId, cookie: Cookie, bytes: &[u8]) -> Result<DentryRow, BadRow> {
        let (mut r, kind, delete_pending, inode, born) = Self::open(bytes)?;
        let len = usize::from(r.u8()?);
        let name = Name::new(Bytes::copy_from_slice(r.take(len)?)).map_err(|_| BadRow::Field("name"))?;
        Ok(DentryRow {
            dentry: Dentry { dir, name, inode, kind, cookie, born, delete_pending },
            tail: r.tail(),
        })
    }

    fn open(bytes: &[u8]) -> Result<(Reader<'_>, dfs_model::InodeKind, bool, InodeId, Change), BadRow> {
        let mut r = Reader::versioned(bytes, VERSION)?;
        let kind = kind(r.u8()?)?;
        let delete_pending = match r.u8()? {
            0 => false,
            DELETE_PENDING => true,
            _ => return Err(BadRow::Field("flags")),
        };
        let (inode, born) = (InodeId(r.u64()?), Change(r.u64()?));
        Ok((r, kind, delete_pending, inode, born))
    }
}
