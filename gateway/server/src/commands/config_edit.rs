//! `dfs config edit`: a copy in an editor; the file is replaced only by what is right.
//!
//! *A crash* leaves the file as it was; the copy stays beside it and is named.

use super::config_command::{findings, line};
use super::files::replace;
use super::{Common, Failure, Form, cannot, print, print_as};
use crate::config::{check_text, process_environment};
use clap::Args;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Opens the file in an editor.
#[derive(Args)]
pub(super) struct Edit {
    /// How the outcome is told.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

impl Edit {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        let changed = edited(common, self.output)?;
        match (self.output, changed) {
            (Form::Table, true) => {
                print(&format!(
                    "{} was changed; it takes effect with the next start\n",
                    common.config.display()
                ));
            }
            (Form::Table, false) => print("nothing was changed\n"),
            (form, changed) => {
                print_as(form, &serde_json::json!({ "config": common.config, "changed": changed }))?;
            }
        }
        Ok(())
    }
}

/// Whether the file was changed.
fn edited(common: &Common, form: Form) -> Result<bool, Failure> {
    let path = &common.config;
    let before = std::fs::read(path).map_err(|error| {
        Failure::new(
            2,
            format!("cannot read the configuration {}: {error}; `dfs config init` makes one", path.display()),
        )
    })?;
    let mode = std::fs::metadata(path).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    let copy = copy_of(path, &before)?;
    loop {
        edit(&copy)?;
        let after = std::fs::read(&copy).map_err(|error| cannot("read", &copy, &error))?;
        if after == before {
            let _ = std::fs::remove_file(&copy);
            return Ok(false);
        }
        match accept(common, &after) {
            Ok(notes) => {
                // Somebody else's change must not vanish under this one.
                if std::fs::read(path).ok().as_ref() != Some(&before) {
                    let text = format!(
                        "{} was changed by somebody else meanwhile; yours is in {}",
                        path.display(),
                        copy.display()
                    );
                    return Err(Failure::new(2, text));
                }
                replace(path, &after, mode, true)?;
                let _ = std::fs::remove_file(&copy);
                if form == Form::Table {
                    print(&notes);
                }
                return Ok(true);
            }
            Err(why) => {
                eprint!("{why}");
                if !asked_again()? {
                    let text = format!("{} stays as it was; yours is in {}", path.display(), copy.display());
                    return Err(Failure::new(2, text));
                }
            }
        }
    }
}

/// A copy that only its owner may read, in a folder where it can be found again.
fn copy_of(path: &Path, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".edit-{}.yaml", std::process::id()));
    let copy = PathBuf::from(name);
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| cannot("write", &copy, &error))?;
    Ok(copy)
}

fn edit(copy: &Path) -> Result<(), Failure> {
    let mut named = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
    let editor = named.find(|editor| !editor.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
    // The variable may hold words: `code --wait`.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(copy).status();
    let status = status.map_err(|error| Failure::new(1, format!("cannot run {editor}: {error}")))?;
    if !status.success() {
        let _ = std::fs::remove_file(copy);
        return Err(Failure::new(1, format!("{editor} ended with {status}; nothing was changed")));
    }
    Ok(())
}

/// Notes on what is accepted. *Errors:* what is wrong, a line each.
fn accept(common: &Common, text: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("not UTF-8: {error}\n"))?;
    let (loaded, wrong) = check_text(&common.config, text, &process_environment(), &common.set)
        .map_err(|error| format!("{error}\n"))?;
    let found = findings(&loaded, wrong);
    let lines: String = found.iter().map(line).collect();
    if found.iter().any(|finding| finding.fatal) { Err(lines) } else { Ok(lines) }
}

/// Whether the person wants to go on editing; without a terminal there is nobody to ask.
fn asked_again() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("edit again? [Y/n] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let read = read.map_err(|error| Failure::new(1, format!("cannot read the answer: {error}")))?;
    Ok(read > 0 && !answer.trim().to_ascii_lowercase().starts_with('n'))
}
