//! Manual pages, from the same source as `--help`.

use crate::failure::{EXIT_CODES, Failure};
use clap::Command;
use clap_mangen::Man;
use std::io::Write;
use std::path::Path;

/// What the first page tells besides its options.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("DFSCTL_SERVER", "the gateway's control plane, as --server"),
    ("DFSCTL_TOKEN", "an access token, as --token"),
    ("DFSCTL_CONTEXT", "the remembered gateway that is meant, as --context"),
    ("DFSCTL_CA", "a file of certificates to trust, as --ca"),
    ("DFSCTL_HOME", "the folder for logins, in place of the one below FILES"),
    ("DFSCTL_SECRET_KEY", "the secret key of a bucket, where it is not read from standard input"),
    ("VISUAL, EDITOR", "the editor of the commands that edit; vi without them"),
    ("NO_COLOR", "when set, nothing stands out by color"),
];

/// Files of the program.
const FILES: [(&str, &str); 2] = [
    (
        "$XDG_CONFIG_HOME/dfsctl/contexts.json",
        "remembered gateways and logins, mode 0600; ~/.config stands for the variable",
    ),
    ("$XDG_CONFIG_HOME/dfsctl/contexts.lock", "held by the program that changes them"),
];

/// Writes a page for every command below a folder and tells how many.
pub(crate) fn write(command: Command, folder: &Path) -> Result<usize, Failure> {
    let failed = |error: std::io::Error| Failure::io(folder.display(), &error);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, folder, true).map_err(failed)
}

fn pages(command: &Command, folder: &Path, first: bool) -> std::io::Result<usize> {
    let man = Man::new(command.clone())
        .manual("Gateway Manual")
        .source(format!("dfsctl {}", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render(&mut text)?;
    if first {
        section(
            &mut text,
            "EXIT STATUS",
            EXIT_CODES.iter().map(|(code, meaning)| (code.to_string(), *meaning)),
        )?;
        section(
            &mut text,
            "ENVIRONMENT",
            ENVIRONMENT.iter().map(|(name, meaning)| ((*name).to_owned(), *meaning)),
        )?;
        section(&mut text, "FILES", FILES.iter().map(|(name, meaning)| ((*name).to_owned(), *meaning)))?;
    }
    std::fs::write(folder.join(man.get_filename()), text)?;
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        count += pages(below, folder, false)?;
    }
    Ok(count)
}

fn section<'a>(
    text: &mut Vec<u8>,
    title: &str,
    entries: impl Iterator<Item = (String, &'a str)>,
) -> std::io::Result<()> {
    let escaped = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    writeln!(text, ".SH \"{title}\"")?;
    for (name, meaning) in entries {
        // A leading dot or quote would be an order to the formatter.
        writeln!(text, ".TP\n\\fB\\&{}\\fR\n\\&{}", escaped(&name), escaped(meaning))?;
    }
    Ok(())
}
