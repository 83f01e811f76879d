//! `dfs man`: the manual pages, made from the same text as `--help`.

use super::{Cli, Failure, Form, cannot, print, print_as};
use clap::{Args, CommandFactory};
use std::path::PathBuf;

/// Writes a page for each command.
#[derive(Args)]
pub(super) struct Man {
    /// Folder of the pages, made when it is not there.
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    /// How it is told.
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Form,
}

/// What the first page says below its options, as roff.
const SECTIONS: &str = "\
.SH EXIT STATUS
0 done; 1 anything else; 2 usage or configuration; 3 no gateway runs; 4 another gateway runs on the folder, or a port is in use;
5 the data folder cannot be used (missing, not writable, full); 6 data is damaged or of a newer format.
.SH ENVIRONMENT
.TP
\\fBDFS_CONFIG\\fR
Configuration file, where \\-\\-config is not given.
.TP
\\fBDFS_SECTION__KEY\\fR
A setting, before that of the file: DFS_JOURNAL__SIZE, DFS_METADATA__POSTGRES__URL, DFS_DATA_DIR.
.TP
\\fBVISUAL\\fR, \\fBEDITOR\\fR
Editor of dfs config edit.
.SH FILES
.TP
\\fI/etc/dfs/config.yaml\\fR
Configuration.
.TP
\\fI/var/lib/dfs\\fR
Data folder: control.redb, token.key and secrets.key, the journal, metadata\\-NAME, warm, dfs.log.
.SH SEE ALSO
\\fBdfsctl\\fR(1)
";

impl Man {
    pub(super) fn run(&self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.dir).map_err(|error| cannot("make the folder", &self.dir, &error))?;
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let count = self.write(&root, "dfs", true)?;
        match self.output {
            Form::Table => print(&format!("{count} pages in {}\n", self.dir.display())),
            form => print_as(form, &serde_json::json!({ "dir": self.dir, "pages": count }))?,
        }
        Ok(())
    }

    /// Writes the page of a command and those below; answers how many.
    fn write(&self, command: &clap::Command, name: &str, root: bool) -> Result<usize, Failure> {
        let path = self.dir.join(format!("{name}.1"));
        let failed = |error: std::io::Error| cannot("write", &path, &error);
        let man = clap_mangen::Man::new(command.clone())
            .title(name.to_owned())
            .date("")
            .source(format!("dfs {}", super::VERSION));
        let mut page = Vec::new();
        man.render(&mut page).map_err(failed)?;
        if root {
            page.extend_from_slice(SECTIONS.as_bytes());
        }
        std::fs::write(&path, page).map_err(failed)?;
        let mut count = 1;
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            count += self.write(inner, &format!("{name}-{}", inner.get_name()), false)?;
        }
        Ok(count)
    }
}
