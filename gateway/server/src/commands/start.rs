//! `dfs start`: runs the gateway, or starts it in the background and waits until it serves.

use super::{Common, Failure, pause};
use crate::ready::{ready, running_pid};
use crate::runtime::Folder;
use clap::Args;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a start in the background may take before the command says so and leaves it alone.
const START_WAIT: Duration = Duration::from_secs(120);

/// Starts the gateway.
#[derive(Args)]
pub(super) struct Start {
    /// Stay in the foreground and log to standard error, or to --log-file.
    #[arg(long)]
    foreground: bool,
    /// Log file of a start in the background [default: logging.file, else dfs.log in the data folder].
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// Also write the process id here; removed at an orderly end.
    #[arg(long, value_name = "PATH")]
    pid_file: Option<PathBuf>,
}

impl Start {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let (config, data_dir) = common.configured()?;
        if self.foreground {
            // Before the log file, which may be in the folder: what is wrong with the folder is told as such.
            let folder = Folder::lock(&data_dir)?;
            crate::logging::start(&config.logging, self.log_file.as_deref())
                .map_err(|why| Failure::new(2, why))?;
            return crate::serve::run(config, &data_dir, &folder, self.pid_file.as_deref());
        }
        if let Some(pid) = running_pid(&data_dir) {
            return Err(Failure::new(
                4,
                format!(
                    "a gateway runs on {} already (pid {pid}); stop it with `dfs stop`",
                    data_dir.display()
                ),
            ));
        }
        let log = self.log_file.clone().or(config.logging.file);
        self.in_background(common, &data_dir, &log.unwrap_or_else(|| data_dir.join(crate::logging::FILE)))
    }

    fn in_background(&self, common: &Common, data_dir: &Path, log: &Path) -> Result<(), Failure> {
        let exe = std::env::current_exe()
            .map_err(|error| Failure::new(1, format!("cannot find this program: {error}")))?;
        // What the gateway says before it logs comes through a pipe: a full disk must not swallow it.
        let failed = |error: std::io::Error| Failure::new(1, format!("cannot start: {error}"));
        let (said, stderr) = std::io::pipe().map_err(failed)?;
        let mut command = Command::new(exe);
        command.arg("--config").arg(&common.config).args(["start", "--foreground", "--log-file"]).arg(log);
        for set in &common.set {
            command.arg("--set").arg(set);
        }
        if let Some(pid_file) = &self.pid_file {
            command.arg("--pid-file").arg(pid_file);
        }
        // A process group of its own: a signal to the terminal's group does not reach the gateway.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        // With the command goes this process's own end for writing, so that reading comes to an end.
        drop(command);
        let said = std::thread::spawn(move || std::io::read_to_string(said).unwrap_or_default());
        wait_until_ready(&mut child, data_dir, said, log)
    }
}

/// Waits until the started gateway serves or has ended. *Errors:* its own words and exit code.
fn wait_until_ready(
    child: &mut Child,
    data_dir: &Path,
    said: JoinHandle<String>,
    log: &Path,
) -> Result<(), Failure> {
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while waited < START_WAIT {
        if let Ok(Some(status)) = child.try_wait() {
            let said = said.join().unwrap_or_default();
            let said = said.trim().trim_start_matches("dfs: ");
            let why = if said.is_empty() {
                format!("it ended with {status}; see {}", log.display())
            } else {
                said.to_owned()
            };
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).max(1);
            return Err(Failure::new(code, why));
        }
        if let Some(ready) = ready(data_dir).filter(|ready| ready.pid == child.id()) {
            println!("the gateway runs (pid {}), log {}", child.id(), log.display());
            if ready.shares_failed > 0 {
                println!(
                    "{} of its shares could not be opened: `dfsctl share list` says why",
                    ready.shares_failed
                );
            }
            return Ok(());
        }
        pause(step);
        waited += step;
    }
    Err(Failure::new(
        1,
        format!("the gateway (pid {}) is still starting; look at {}", child.id(), log.display()),
    ))
}
