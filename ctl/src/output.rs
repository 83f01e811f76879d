//! Tables for people, JSON and YAML for programs.

use crate::cli::Failure;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// Prints.
pub(crate) struct Output {
    pub format: Format,
}

impl Output {
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
                    table.add_row(row);
                }
                println!("{}", table.trim_fmt());
                Ok(())
            }
            Format::Json => self.print_json(value),
            Format::Yaml => {
                let text =
                    serde_saphyr::to_string(value).map_err(|error| Failure::new(1, error.to_string()))?;
                print!("{text}");
                Ok(())
            }
        }
    }

    fn print_json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(1, error.to_string()))?;
        println!("{text}");
        Ok(())
    }

    /// Says that something was done and shows its numbers below; programs get the value.
    pub fn done_with<T: Serialize>(
        &self,
        value: &T,
        sentence: &str,
        header: &[&str],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        if self.format == Format::Table {
            println!("{sentence}");
        }
        self.show(value, header, rows)
    }

    /// Says that something was done; programs get the value.
    pub fn done<T: Serialize>(&self, value: &T, sentence: &str) -> Result<(), Failure> {
        if self.format == Format::Table {
            println!("{sentence}");
            return Ok(());
        }
        self.show(value, &[], Vec::new())
    }
}
