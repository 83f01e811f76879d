//! Arguments and results of the calls that the laboratory makes.

use std::io;

use super::xdr::{Reader, Writer};

/// A file handle.
pub type Handle = Vec<u8>;

/// How stable a WRITE has to be.
pub const UNSTABLE: u32 = 0;

/// A status other than NFS3_OK, as an error that tells it.
fn refused(status: u32) -> io::Error {
    io::Error::other(format!("NFS3ERR {status}"))
}

/// Reads a status; anything but NFS3_OK is an error.
pub fn status(reader: &mut Reader<'_>) -> io::Result<()> {
    match reader.u32()? {
        0 => Ok(()),
        other => Err(refused(other)),
    }
}

/// What is used of fattr3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attributes {
    /// ftype3: 1 regular, 2 directory, 5 symbolic link.
    pub kind: u32,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
}

/// Reads fattr3.
pub fn attributes(reader: &mut Reader<'_>) -> io::Result<Attributes> {
    let (kind, mode) = (reader.u32()?, reader.u32()?);
    reader.skip(12)?;
    let size = reader.u64()?;
    reader.skip(56)?;
    Ok(Attributes { kind, mode, size })
}

/// Reads post_op_attr.
pub fn post_attributes(reader: &mut Reader<'_>) -> io::Result<Option<Attributes>> {
    if reader.u32()? == 0 { Ok(None) } else { attributes(reader).map(Some) }
}

/// Reads wcc_data.
pub fn wcc(reader: &mut Reader<'_>) -> io::Result<()> {
    if reader.u32()? != 0 {
        reader.skip(24)?;
    }
    post_attributes(reader).map(|_| ())
}

/// Writes sattr3 with a mode, or a size, or nothing.
pub fn set_attributes(writer: &mut Writer, mode: Option<u32>, size: Option<u64>) {
    match mode {
        Some(mode) => writer.u32(1).u32(mode),
        None => writer.u32(0),
    };
    writer.u32(0).u32(0);
    match size {
        Some(size) => writer.u32(1).u64(size),
        None => writer.u32(0),
    };
    writer.u32(0).u32(0);
}

/// Writes diropargs3.
pub fn at(writer: &mut Writer, folder: &[u8], name: &[u8]) {
    writer.opaque(folder).opaque(name);
}

/// Arguments of READ.
pub fn read(writer: &mut Writer, file: &[u8], offset: u64, count: u32) {
    writer.opaque(file).u64(offset).u32(count);
}

/// Results of READ: the bytes and whether they reach the end.
pub fn read_reply<'a>(reader: &mut Reader<'a>) -> io::Result<(&'a [u8], bool)> {
    status(reader)?;
    post_attributes(reader)?;
    reader.u32()?;
    let end = reader.u32()? != 0;
    Ok((reader.opaque()?, end))
}

/// Arguments of WRITE.
pub fn write(writer: &mut Writer, file: &[u8], offset: u64, stable: u32, data: &[u8]) {
    writer.opaque(file).u64(offset).u32(data.len() as u32).u32(stable).opaque(data);
}

/// Results of WRITE: how many bytes, how stable, and the write verifier.
pub fn write_reply(reader: &mut Reader<'_>) -> io::Result<(u32, u32, u64)> {
    status(reader)?;
    wcc(reader)?;
    Ok((reader.u32()?, reader.u32()?, reader.u64()?))
}

/// Arguments of COMMIT of a whole file.
pub fn commit(writer: &mut Writer, file: &[u8]) {
    writer.opaque(file).u64(0).u32(0);
}

/// Results of COMMIT: the write verifier.
pub fn commit_reply(reader: &mut Reader<'_>) -> io::Result<u64> {
    status(reader)?;
    wcc(reader)?;
    reader.u64()
}

/// Arguments of CREATE, unchecked, with a mode.
pub fn create(writer: &mut Writer, folder: &[u8], name: &[u8], mode: u32) {
    at(writer, folder, name);
    writer.u32(0);
    set_attributes(writer, Some(mode), None);
}

/// Arguments of MKDIR.
pub fn make_folder(writer: &mut Writer, folder: &[u8], name: &[u8], mode: u32) {
    at(writer, folder, name);
    set_attributes(writer, Some(mode), None);
}

/// Arguments of SYMLINK.
pub fn make_link(writer: &mut Writer, folder: &[u8], name: &[u8], target: &[u8]) {
    at(writer, folder, name);
    set_attributes(writer, None, None);
    writer.opaque(target);
}

/// Results of CREATE, MKDIR and SYMLINK: the handle, where the server tells it.
pub fn made_reply(reader: &mut Reader<'_>) -> io::Result<Option<Handle>> {
    status(reader)?;
    Ok(if reader.u32()? == 0 { None } else { Some(reader.opaque()?.to_vec()) })
}

/// Results of LOOKUP: the handle.
pub fn lookup_reply(reader: &mut Reader<'_>) -> io::Result<Handle> {
    status(reader)?;
    Ok(reader.opaque()?.to_vec())
}
