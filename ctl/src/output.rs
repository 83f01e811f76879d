//! Tables for people, JSON and YAML for programs.
//!
//! A reader that goes away (`dfsctl user list | head`) ends the program quietly, as other programs do.

use crate::failure::{Failure, OTHER, one_line};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};

/// Form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// The API's JSON as it is.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Prints.
pub(crate) struct Output {
    /// Form.
    pub format: Format,
    /// Whether headings stand out.
    pub color: bool,
}

impl Output {
    /// An output to standard output. Colors are used on a terminal that can show them, unless somebody said no.
    pub fn new(format: Format, no_color: bool) -> Output {
        let wanted = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let capable = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let color = !no_color && wanted("NO_COLOR") && capable && std::io::stdout().is_terminal();
        Output { format, color }
    }

    /// Whether the reader is a person.
    pub fn for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints a value: as a table by `rows` (first the header), or whole as JSON or YAML.
    pub fn show<T: Serialize>(
        &self,
        value: &T,
        header: &[&str],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => {
                let mut table = Table::new();
                table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
                table.set_header(header.iter().map(|name| name.to_uppercase()));
                for row in rows {
                    table.add_row(row.iter().map(|text| one_line(text)));
                }
                self.line(&self.with_bold_header(table.trim_fmt()))
            }
            Format::Json => {
                let text = serde_json::to_string_pretty(value);
                self.line(&text.map_err(|error| Failure::new(OTHER, error.to_string()))?)
            }
            Format::Yaml => self.text(&yaml(value)?),
        }
    }

    fn with_bold_header(&self, table: String) -> String {
        match table.split_once('\n') {
            _ if !self.color => table,
            Some((header, rows)) => format!("\u{1b}[1m{header}\u{1b}[0m\n{rows}"),
            None => format!("\u{1b}[1m{table}\u{1b}[0m"),
        }
    }

    /// Prints a line.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }

    /// Prints text as it is.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::io("cannot print", &error)),
        }
    }

    /// Says that something was done and shows its numbers below; programs get the value.
    pub fn done_with<T: Serialize>(
        &self,
        value: &T,
        sentence: &str,
        header: &[&str],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        if self.for_people() {
            self.line(&one_line(sentence))?;
        }
        self.show(value, header, rows)
    }

    /// Says that something was done; programs get the value.
    pub fn done<T: Serialize>(&self, value: &T, sentence: &str) -> Result<(), Failure> {
        if self.for_people() {
            return self.line(&one_line(sentence));
        }
        self.show(value, &[], Vec::new())
    }
}

/// A value as YAML.
pub(crate) fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|error| Failure::new(OTHER, error.to_string()))
}

/// A word of the API as it is spelled there, for instance of an enum.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Null) | Err(_) => "-".to_owned(),
        Ok(other) => other.to_string(),
    }
}

/// Something that may be missing.
pub(crate) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

/// The text, or `-` where there is none.
pub(crate) fn text_or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Pairs as the rows of a table of two columns.
pub(crate) fn pairs<const N: usize>(pairs: [(&str, String); N]) -> Vec<Vec<String>> {
    pairs.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

/// Header of a table of [`pairs`].
pub(crate) const PAIRS: [&str; 2] = ["setting", "value"];
