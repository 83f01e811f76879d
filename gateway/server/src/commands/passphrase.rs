//! Passphrases: from a file or standard input, never from the command line, where everybody on the machine could read them.

use super::{Failure, cannot};
use clap::Args;
use std::io::Read;
use std::path::PathBuf;

/// Longest text that is read: more than any passphrase.
const READ_MAX: u64 = 64 << 10;

/// Where the passphrase comes from.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct Source {
    /// File whose first line is the passphrase.
    #[arg(long, value_name = "PATH")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase from the first line of standard input.
    #[arg(long)]
    passphrase_stdin: bool,
}

impl Source {
    /// The passphrase. *Errors:* exit code 2.
    pub(super) fn read(&self) -> Result<String, Failure> {
        let mut text = String::new();
        match (&self.passphrase_file, self.passphrase_stdin) {
            (Some(path), _) => {
                let file = std::fs::File::open(path);
                let read = file.and_then(|file| file.take(READ_MAX).read_to_string(&mut text));
                read.map_err(|error| Failure { code: 2, ..cannot("read the passphrase in", path, &error) })?;
            }
            (None, true) => {
                let read = std::io::stdin().take(READ_MAX).read_to_string(&mut text);
                read.map_err(|error| Failure::new(2, format!("cannot read the passphrase: {error}")))?;
            }
            (None, false) => {
                let text = "a passphrase is needed: give --passphrase-stdin or --passphrase-file PATH";
                return Err(Failure::new(2, text));
            }
        }
        let first = text.lines().next().unwrap_or_default();
        if first.is_empty() {
            return Err(Failure::new(2, "the passphrase is empty"));
        }
        Ok(first.to_owned())
    }
}
