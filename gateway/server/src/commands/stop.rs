//! `dfs stop`: asks the gateway to end, and waits.

use super::{Common, Failure, pause};
use crate::ready::{is_locked, running_pid};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;

/// Stops the gateway.
#[derive(Args)]
pub(super) struct Stop {
    /// Kill it if it does not end by itself in time. Requests under way are cut; what was acknowledged is in the journal and is
    /// served again after the next start.
    #[arg(long)]
    force: bool,
    /// Seconds to wait [default: twice shutdown_timeout, and 10].
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl Stop {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let (config, data_dir) = common.configured()?;
        let within = config.shutdown_timeout.map_or(crate::serve::SHUTDOWN_WITHIN, |limit| limit.0);
        // Requests end first, then shares and stores close: each may take that long.
        let timeout = self.timeout.unwrap_or(within.as_secs().saturating_mul(2).saturating_add(10));
        let Some(pid) = running_pid(&data_dir) else {
            return Err(Failure::new(3, format!("no gateway runs on {}", data_dir.display())));
        };
        let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let target = target.ok_or_else(|| Failure::new(1, format!("{pid} is not a process id")))?;
        send(target, Signal::TERM)?;
        if ended(&data_dir, Duration::from_secs(timeout)) {
            println!("the gateway (pid {pid}) has stopped");
            return Ok(());
        }
        if !self.force {
            return Err(Failure::new(
                1,
                format!(
                    "the gateway (pid {pid}) has not ended after {timeout} s; `dfs logs` may say why, --force kills it (what was acknowledged is in the journal)"
                ),
            ));
        }
        send(target, Signal::KILL)?;
        if ended(&data_dir, Duration::from_secs(10)) {
            println!(
                "the gateway (pid {pid}) was killed: requests under way were cut; what was acknowledged is in the journal and is read at the next start"
            );
            return Ok(());
        }
        Err(Failure::new(1, format!("the gateway (pid {pid}) does not die")))
    }
}

fn send(pid: Pid, signal: Signal) -> Result<(), Failure> {
    kill_process(pid, signal).map_err(|error| Failure::new(1, format!("cannot signal the gateway: {error}")))
}

/// Whether the data folder's lock was given up in time.
fn ended(data_dir: &Path, limit: Duration) -> bool {
    let step = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    while waited < limit {
        if !is_locked(data_dir) {
            return true;
        }
        pause(step);
        waited += step;
    }
    false
}
