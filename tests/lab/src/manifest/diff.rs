//! What differs between two manifests, in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::FIELDS;

/// The differences of two manifests, sorted by path.
pub struct Report {
    /// One line each.
    pub lines: Vec<String>,
    /// How many paths both have.
    pub common: usize,
}

impl Report {
    /// Tells whether nothing differs and something was compared at all: two empty manifests do not agree.
    pub fn agrees(&self) -> bool {
        self.lines.is_empty() && self.common > 0
    }

    /// Returns the report for a reader, at most `show` differences of it.
    pub fn text(&self, show: usize) -> String {
        let mut text = String::new();
        for line in self.lines.iter().take(show) {
            let _ = writeln!(text, "{line}");
        }
        if self.lines.len() > show {
            let _ = writeln!(text, "... and {} more", self.lines.len() - show);
        }
        let _ = writeln!(text, "{} names in both, {} differences", self.common, self.lines.len());
        text
    }
}

fn parse(text: &str) -> BTreeMap<&str, Vec<&str>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut fields = line.split('\t');
            (fields.next().unwrap_or(""), fields.collect())
        })
        .collect()
}

/// Compares two manifests field by field, leaving out the fields named in `ignore`.
pub fn compare(wanted: &str, found: &str, ignore: &[String]) -> Report {
    let (wanted, found) = (parse(wanted), parse(found));
    let (mut lines, mut common) = (Vec::new(), 0);
    for (path, fields) in &wanted {
        let Some(other) = found.get(path) else {
            lines.push(format!("missing  {path}"));
            continue;
        };
        common += 1;
        let columns = fields.len().max(other.len()).max(FIELDS.len());
        for column in 0..columns {
            let name = FIELDS.get(column).copied().unwrap_or("surplus field");
            let (one, two) = (fields.get(column).unwrap_or(&""), other.get(column).unwrap_or(&""));
            if one != two && !ignore.iter().any(|left_out| left_out == name) {
                lines.push(format!("{name:8} {path}: wanted {one}, found {two}"));
            }
        }
    }
    lines.extend(
        found.keys().filter(|path| !wanted.contains_key(*path)).map(|path| format!("extra    {path}")),
    );
    Report { lines, common }
}
