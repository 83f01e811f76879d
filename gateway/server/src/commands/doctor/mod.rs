//! `dfs doctor`: looks at everything that a gateway rests on, a line each, and says what to fix.
//!
//! Facts are gathered by doors to the machine and judged by pure functions, so that each finding is tested both ways. Nothing
//! is changed: what is written for a measurement is in a file of its own that goes again.

mod clock;
mod configured;
mod der;
mod disk;
mod limits;
mod mounts;
mod stores;
mod sync;

use super::{Common, Failure, Form, print, print_as};
use clap::Args;
use serde::Serialize;
use std::path::Path;

/// Looks for what is wrong or will be.
#[derive(Args)]
pub(super) struct Doctor {
    /// How it is shown.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
    /// Do not write the few hundred KiB that tell how the disk syncs.
    #[arg(long)]
    no_measure: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Warn,
    /// A gateway cannot work, or would break its promises.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What, in one or two words.
    pub check: String,
    /// How it is.
    #[serde(rename = "result")]
    pub verdict: Verdict,
    /// What was seen, with figures.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn ok(check: &str, message: impl Into<String>) -> Check {
        Check { check: check.to_owned(), verdict: Verdict::Ok, message: message.into(), fix: None }
    }

    fn warn(check: &str, message: impl Into<String>, fix: impl Into<String>) -> Check {
        let fix = Some(fix.into());
        Check { check: check.to_owned(), verdict: Verdict::Warn, message: message.into(), fix }
    }

    fn fail(check: &str, message: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { verdict: Verdict::Fail, ..Check::warn(check, message, fix) }
    }
}

impl Doctor {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let checks = self.look(common);
        match self.output {
            Form::Table => print(&table(&checks)),
            form => print_as(form, &checks)?,
        }
        let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
        if failed > 0 {
            return Err(Failure::new(1, format!("{failed} of {} checks failed", checks.len())));
        }
        Ok(())
    }

    fn look(&self, common: &Common) -> Vec<Check> {
        let mut checks = Vec::new();
        let (loaded, data_dir) = match common.loaded() {
            Ok(loaded) => {
                let data_dir = loaded.config.data_dir.clone();
                checks.extend(configured::configuration(&loaded));
                (loaded, data_dir)
            }
            Err(failure) => {
                checks.push(Check::fail(
                    "configuration",
                    failure.message,
                    "`dfs config validate` checks it again",
                ));
                checks.extend(clock::look(None));
                return checks;
            }
        };
        if let Some(data_dir) = data_dir.filter(|data_dir| data_dir.is_dir()) {
            checks.push(configured::gateway(&data_dir));
            checks.extend(disk::look(&loaded.config, &data_dir));
            checks.push(mounts::look(&data_dir));
            if !self.no_measure {
                checks.push(sync::look(&data_dir));
            }
            checks.extend(clock::look(Some(&data_dir)));
            checks.extend(stores::look(&loaded, &data_dir));
        } else {
            checks.extend(clock::look(None));
        }
        checks.extend(limits::look(&loaded.config));
        checks.extend(configured::certificates(&loaded.config));
        checks
    }
}

fn table(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let word = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&format!("{word:<4}  {:<14}  {}\n", check.check, check.message));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("{:22}→ {fix}\n", ""));
        }
    }
    text
}

/// A path, for messages.
fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}
