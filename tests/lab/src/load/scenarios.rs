//! The loads, each a small state machine for every slot.

use std::io;

use super::listing::Listing;
use super::{Counted, LoadArgs, Work, mounted};
use crate::nfs::calls::{self, Handle, UNSTABLE};
use crate::nfs::client::{Scenario, Step};
use crate::nfs::nfs;
use crate::nfs::xdr::{Reader, Writer};

/// Files in one folder of the `files` load.
const FILES_IN_FOLDER: u64 = 1000;

/// Prepares one connection's scenario: mounts, and makes the files it works on.
pub async fn prepare(args: &LoadArgs, connection: usize) -> io::Result<Box<dyn Counted>> {
    if args.work == Work::LimitEcho {
        return Ok(Box::new(Simple {
            handle: vec![0; 32],
            kind: args.work,
            size: args.size,
            end: 1,
            next: 0,
            left: u64::MAX,
            done: (0, 0),
        }));
    }
    let (mut client, root) = mounted(args, connection).await?;
    let data = noise(args.size as usize, connection as u64);
    let scenario: Box<dyn Counted> = match args.work {
        Work::Getattr | Work::Read => {
            let handle = client.lookup(&root, args.file.as_bytes()).await?;
            let results = client
                .call(nfs(1), |writer| {
                    writer.opaque(&handle);
                })
                .await?;
            let mut reader = Reader(&results);
            calls::status(&mut reader)?;
            let end = calls::attributes(&mut reader)?.size.max(1);
            let next = end / args.connections as u64 * connection as u64 / u64::from(args.size)
                * u64::from(args.size);
            let left = if args.count == 0 { u64::MAX } else { args.count / args.connections as u64 };
            Box::new(Simple { handle, kind: args.work, size: args.size, end, next, left, done: (0, 0) })
        }
        Work::Write => {
            let name = format!("{}-{connection}", args.file);
            let handle = client.create(&root, name.as_bytes(), 0o644).await?;
            let end = args.count / args.connections as u64;
            Box::new(Stream { handle, data, end, next: 0, open: 0, committed: false, done: (0, 0) })
        }
        Work::Durable => {
            let mut slots = Vec::new();
            for slot in 0..args.depth {
                let name = format!("durable-{connection}-{slot}");
                slots.push((client.create(&root, name.as_bytes(), 0o644).await?, 0));
            }
            Box::new(Durable { slots, data, writing: vec![false; args.depth], done: (0, 0) })
        }
        Work::Create | Work::Name | Work::Files | Work::Lookup => {
            let mut folders = Vec::new();
            let many = args.count.div_ceil(args.connections as u64 * FILES_IN_FOLDER).max(1);
            for number in 0..many {
                let name = format!("{}-folder-{connection}-{number}", args.file);
                folders.push(client.make_folder(&root, name.as_bytes(), 0o755).await?);
            }
            let endless = matches!(args.work, Work::Create | Work::Name);
            let end = if endless { u64::MAX } else { args.count / args.connections as u64 };
            let state = vec![New::Idle; args.depth];
            let left = match args.sample {
                0 => end,
                sample => (sample / args.connections as u64).min(end),
            };
            Box::new(Files { folders, data, work: args.work, end, left, next: 0, state, done: (0, 0) })
        }
        Work::List => Box::new(Listing::new(client.lookup(&root, args.file.as_bytes()).await?)),
        Work::LimitEcho | Work::LimitGet | Work::LimitDisk => return Err(io::Error::other("not a load")),
    };
    Ok(scenario)
}

/// Bytes that do not compress, the same for the same seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    use rand::{RngCore, SeedableRng};
    let mut bytes = vec![0; length];
    rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// The same call over and over: GETATTR, READ in order, or whatever the echo is sent.
struct Simple {
    handle: Handle,
    kind: Work,
    size: u32,
    end: u64,
    next: u64,
    /// Bytes still to be asked for.
    left: u64,
    done: (u64, u64),
}

impl Scenario for Simple {
    fn step(&mut self, _: usize, results: Option<Reader<'_>>, arguments: &mut Writer) -> io::Result<Step> {
        if let Some(mut results) = results {
            self.done.0 += 1;
            self.done.1 += match self.kind {
                Work::Read => {
                    let (data, end) = calls::read_reply(&mut results)?;
                    if data.len() < self.size as usize && !end {
                        return Err(io::Error::other(format!(
                            "a read of {} bytes before the end",
                            data.len()
                        )));
                    }
                    data.len() as u64
                }
                Work::Getattr => calls::status(&mut results).map(|()| 0)?,
                _ => u64::from(self.size),
            };
        }
        if self.kind == Work::Read {
            if self.left == 0 {
                return Ok(Step::Done);
            }
            self.left = self.left.saturating_sub(u64::from(self.size));
            calls::read(arguments, &self.handle, self.next, self.size);
            self.next = if self.next + u64::from(self.size) >= self.end {
                0
            } else {
                self.next + u64::from(self.size)
            };
            return Ok(Step::Call(nfs(6)));
        }
        arguments.opaque(&self.handle);
        Ok(Step::Call(nfs(1)))
    }
}

impl Counted for Simple {
    fn done(&self) -> (u64, u64) {
        self.done
    }
}

/// WRITE in order, then one COMMIT.
struct Stream {
    handle: Handle,
    data: Vec<u8>,
    end: u64,
    next: u64,
    open: usize,
    committed: bool,
    done: (u64, u64),
}

impl Scenario for Stream {
    fn step(&mut self, _: usize, results: Option<Reader<'_>>, arguments: &mut Writer) -> io::Result<Step> {
        if let Some(mut results) = results {
            self.open -= 1;
            if self.committed {
                calls::commit_reply(&mut results)?;
                return Ok(Step::Done);
            }
            let (count, _, _) = calls::write_reply(&mut results)?;
            if count as usize != self.data.len() {
                return Err(io::Error::other(format!("wrote {count} of {} bytes", self.data.len())));
            }
            self.done = (self.done.0 + 1, self.done.1 + u64::from(count));
        }
        if self.next < self.end {
            // each piece differs, so that nothing can be kept once for all
            let number = (self.next / self.data.len() as u64).to_le_bytes();
            if let Some(head) = self.data.first_chunk_mut::<8>() {
                *head = number;
            }
            calls::write(arguments, &self.handle, self.next, UNSTABLE, &self.data);
            self.next += self.data.len() as u64;
            self.open += 1;
            return Ok(Step::Call(nfs(7)));
        }
        if self.open > 0 {
            return Ok(Step::Done);
        }
        self.committed = true;
        self.open = 1;
        calls::commit(arguments, &self.handle);
        Ok(Step::Call(nfs(21)))
    }
}

impl Counted for Stream {
    fn done(&self) -> (u64, u64) {
        self.done
    }
}

/// WRITE and COMMIT in turn, each slot in a file of its own.
struct Durable {
    slots: Vec<(Handle, u64)>,
    data: Vec<u8>,
    writing: Vec<bool>,
    done: (u64, u64),
}

impl Scenario for Durable {
    fn step(&mut self, slot: usize, results: Option<Reader<'_>>, arguments: &mut Writer) -> io::Result<Step> {
        let (handle, offset) = &mut self.slots[slot];
        if let Some(mut results) = results {
            if self.writing[slot] {
                calls::write_reply(&mut results)?;
                self.writing[slot] = false;
                calls::commit(arguments, handle);
                return Ok(Step::Call(nfs(21)));
            }
            calls::commit_reply(&mut results)?;
            self.done = (self.done.0 + 1, self.done.1 + self.data.len() as u64);
        }
        self.writing[slot] = true;
        calls::write(arguments, handle, *offset, UNSTABLE, &self.data);
        *offset = (*offset + self.data.len() as u64) % (1 << 20);
        Ok(Step::Call(nfs(7)))
    }
}

impl Counted for Durable {
    fn done(&self) -> (u64, u64) {
        self.done
    }
}

#[derive(Clone, PartialEq)]
enum New {
    Idle,
    Creating,
    Writing(Handle),
    Committing,
    LookingUp,
}

/// New files, or look-ups of the ones made before.
struct Files {
    folders: Vec<Handle>,
    data: Vec<u8>,
    work: Work,
    end: u64,
    /// Files still to be begun.
    left: u64,
    next: u64,
    state: Vec<New>,
    done: (u64, u64),
}

impl Files {
    /// Counts a finished file, and writes the call that begins the next.
    fn begin(&mut self, slot: usize, arguments: &mut Writer) -> Step {
        if self.left == 0 {
            return Step::Done;
        }
        self.left -= 1;
        // the creates go in order, the look-ups by a stride that shares no factor with their number
        let number = if self.work == Work::Lookup { stride(self.next, self.end) } else { self.next };
        self.next += 1;
        let folder = &self.folders[(number / FILES_IN_FOLDER) as usize % self.folders.len()];
        let name = match self.work {
            Work::Create | Work::Name => format!("new-{}-{number}", std::process::id()),
            _ => format!("file-{number:08}"),
        };
        if self.work == Work::Lookup {
            self.state[slot] = New::LookingUp;
            calls::at(arguments, folder, name.as_bytes());
            return Step::Call(nfs(3));
        }
        self.state[slot] = New::Creating;
        calls::create(arguments, folder, name.as_bytes(), 0o644);
        Step::Call(nfs(8))
    }
}

/// A permutation of `0..count`.
fn stride(number: u64, count: u64) -> u64 {
    const PRIME: u64 = 1_000_003;
    if count.is_multiple_of(PRIME) { number } else { (number % count).wrapping_mul(PRIME) % count }
}

impl Scenario for Files {
    fn step(&mut self, slot: usize, results: Option<Reader<'_>>, arguments: &mut Writer) -> io::Result<Step> {
        let Some(mut results) = results else { return Ok(self.begin(slot, arguments)) };
        match std::mem::replace(&mut self.state[slot], New::Idle) {
            New::Creating => {
                let handle = calls::made_reply(&mut results)?
                    .ok_or_else(|| io::Error::other("CREATE told no handle"))?;
                if self.work != Work::Name {
                    calls::write(arguments, &handle, 0, UNSTABLE, &self.data);
                    self.state[slot] = New::Writing(handle);
                    return Ok(Step::Call(nfs(7)));
                }
            }
            New::Writing(handle) => {
                calls::write_reply(&mut results)?;
                if self.work == Work::Create {
                    self.state[slot] = New::Committing;
                    calls::commit(arguments, &handle);
                    return Ok(Step::Call(nfs(21)));
                }
            }
            New::Committing => {
                calls::commit_reply(&mut results)?;
            }
            New::LookingUp => {
                calls::lookup_reply(&mut results)?;
            }
            New::Idle => {}
        }
        self.done = (self.done.0 + 1, self.done.1 + self.data.len() as u64);
        Ok(self.begin(slot, arguments))
    }
}

impl Counted for Files {
    fn done(&self) -> (u64, u64) {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::stride;

    #[test]
    fn stride_visits_every_number_once() {
        let mut seen: Vec<u64> = (0..10_000).map(|number| stride(number, 10_000)).collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..10_000));
    }
}
