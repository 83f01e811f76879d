//! `dfs config`: the configuration file made, shown, checked, edited, described.

use super::files::replace;
use super::{Common, Failure, Form, cannot, config_edit, print, print_as};
use crate::config::{
    Config, Finding, Loaded, Wrong, as_json, as_yaml, check_machine, check_text, effective,
    process_environment, schema,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Makes, shows, checks and changes the configuration.
#[derive(Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Writes a configuration file; `dfs init` makes the data folder and the keys too.
    Init(ConfigInit),
    /// Shows every setting as it takes effect, with where it comes from; secrets as ***.
    Show(Show),
    /// Checks the file, the environment and --set, and their values against this machine.
    Validate(Validate),
    /// Opens the file in $VISUAL or $EDITOR and takes the change only when it is right.
    Edit(config_edit::Edit),
    /// Prints the JSON Schema of the file.
    Schema(Schema),
}

#[derive(Args)]
struct ConfigInit {
    /// Folder of all local state [default: that of the file that is overwritten, else /var/lib/dfs].
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
    /// How it is told.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

#[derive(Args)]
struct Show {
    /// How it is shown; `table` is YAML that can be used as a file.
    #[arg(short, long, value_enum, default_value = "yaml", value_name = "FORM")]
    output: Form,
    /// The defaults on this machine, whatever is set.
    #[arg(long)]
    defaults: bool,
}

#[derive(Args)]
struct Schema {
    /// How it is shown; `table` is JSON.
    #[arg(short, long, value_enum, default_value = "json", value_name = "FORM")]
    output: Form,
}

#[derive(Args)]
struct Validate {
    /// How findings are shown.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

impl ConfigCommand {
    pub(super) fn run(&self, common: &Common) -> Result<(), Failure> {
        match &self.what {
            What::Init(command) => command.run(common),
            What::Show(command) => command.run(common),
            What::Validate(command) => command.run(common),
            What::Edit(command) => command.run(common),
            What::Schema(command) => print_as(command.output, &schema()),
        }
    }
}

impl ConfigInit {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let path = &common.config;
        let before = std::fs::read_to_string(path).ok();
        let kept = before.and_then(|text| check_text(path, &text, &[], &[]).ok()?.0.config.data_dir);
        let data_dir = self.data_dir.clone().or(kept).unwrap_or_else(|| PathBuf::from("/var/lib/dfs"));
        write_config(path, &data_dir, self.force)?;
        match self.output {
            Form::Table => {
                print(&format!("configuration {}\ndata folder   {}\n", path.display(), data_dir.display()));
            }
            form => print_as(form, &serde_json::json!({ "config": path, "data_dir": data_dir }))?,
        }
        Ok(())
    }
}

/// Writes a new configuration file, aside first. *Errors:* exit code 2 when it is there and not to be overwritten.
pub(super) fn write_config(path: &Path, data_dir: &Path, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        return Err(Failure::new(
            2,
            format!("{} exists; --force overwrites it (the data folder is never touched)", path.display()),
        ));
    }
    let quoted = serde_json::to_string(&data_dir.display().to_string())
        .map_err(|error| Failure::new(2, error.to_string()))?;
    let text = format!(
        "# Configuration of the gateway. Every key is optional but data_dir; `dfs config show` and\n# deploy/config.sample.yaml tell them all, `dfs config validate` checks what is written here.\ndata_dir: {quoted}\n"
    );
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|error| cannot("make the folder", parent, &error))?;
    replace(path, text.as_bytes(), 0o644, true)
}

impl Show {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let (loaded, wrong) = if self.defaults {
            let data_dir = read(common).ok().and_then(|(loaded, _)| loaded.config.data_dir);
            (Loaded { config: Config { data_dir, ..Config::default() }, ..Loaded::default() }, Vec::new())
        } else {
            read(common)?
        };
        let shown = effective(&loaded);
        match self.output {
            Form::Json => print_as(Form::Json, &as_json(&shown))?,
            Form::Table | Form::Yaml => print(&as_yaml(&shown)),
        }
        match wrong.first() {
            None => Ok(()),
            Some(first) => Err(Failure::new(2, first.to_string())),
        }
    }
}

/// The configuration with everything that is wrong in itself. *Errors:* exit code 2: it cannot be read.
fn read(common: &Common) -> Result<(Loaded, Vec<Wrong>), Failure> {
    if !common.config.exists() {
        // The one sentence for it.
        common.loaded()?;
    }
    let text = std::fs::read_to_string(&common.config).map_err(|error| {
        Failure::new(2, format!("cannot read the configuration {}: {error}", common.config.display()))
    })?;
    check_text(&common.config, &text, &process_environment(), &common.set)
        .map_err(|error| Failure::new(2, error.to_string()))
}

/// What `validate` tells.
#[derive(Serialize)]
struct Report {
    valid: bool,
    findings: Vec<Finding>,
}

impl Validate {
    fn run(&self, common: &Common) -> Result<(), Failure> {
        let (loaded, wrong) = match read(common) {
            Ok(read) => read,
            Err(failure) => {
                if self.output != Form::Table {
                    let text = failure.message.clone();
                    let finding =
                        Finding { key: String::new(), message: text, fatal: true, source: String::new() };
                    print_as(self.output, &Report { valid: false, findings: vec![finding] })?;
                }
                return Err(failure);
            }
        };
        let findings = findings(&loaded, wrong);
        let fatal = findings.iter().filter(|finding| finding.fatal).count();
        match self.output {
            Form::Table => print(&findings.iter().map(line).collect::<String>()),
            form => print_as(form, &Report { valid: fatal == 0, findings })?,
        }
        if fatal > 0 {
            let text = format!("{}: {fatal} settings would refuse a start", common.config.display());
            return Err(Failure::new(2, text));
        }
        if self.output == Form::Table {
            print(&format!("{} is valid\n", common.config.display()));
        }
        Ok(())
    }
}

/// Everything that is wrong, in itself and against the machine.
pub(super) fn findings(loaded: &Loaded, wrong: Vec<Wrong>) -> Vec<Finding> {
    let ours = loaded.config.data_dir.as_deref().and_then(crate::ready::ready);
    let own = wrong.into_iter().map(|wrong| {
        let source = match wrong.source {
            crate::config::Source::Default => String::new(),
            source => source.to_string(),
        };
        Finding { key: wrong.key, message: wrong.message, fatal: true, source }
    });
    let mut all: Vec<Finding> = own.collect();
    for finding in check_machine(loaded, ours.as_ref()) {
        // What is wrong in itself is told once.
        if !all.iter().any(|told| told.key == finding.key) {
            all.push(finding);
        }
    }
    all
}

/// A finding as a line for people.
pub(super) fn line(finding: &Finding) -> String {
    let word = if finding.fatal { "wrong" } else { "note " };
    let place = if finding.source.is_empty() { String::new() } else { format!(" ({})", finding.source) };
    format!("{word}  {}{place}: {}\n", finding.key, finding.message)
}
