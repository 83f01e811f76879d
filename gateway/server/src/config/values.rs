//! Sizes and durations as the configuration file writes them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// Bytes, written as a number or with a unit (`10GiB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A time span with a unit (`30s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(bytes) => Ok(Size(bytes)),
            NumberOrText::Text(text) => dfs_api::units::parse_size(&text).map(Size).map_err(D::Error::custom),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// In the largest unit that keeps it whole, so that what is shown can be written into the file.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [&str; 6] = ["", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let fits = |unit: &usize| self.0 != 0 && self.0.is_multiple_of(1 << (10 * unit));
        let unit = (0..UNITS.len()).rev().find(fits).unwrap_or(0);
        write!(f, "{}{}", self.0 >> (10 * unit), UNITS[unit])
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": "^ *[0-9]+ *([bB]|[kKmMgGtTpP]([iI]?[bB])?)? *$",
            "examples": ["512MiB", "10GiB"]
        })
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        dfs_api::units::parse_duration(&text).map(Duration).map_err(D::Error::custom)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// In the largest unit that keeps it whole.
impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(u128, &str); 5] =
            [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let millis = self.0.as_millis();
        let fits = |(step, _): &&(u128, &str)| millis != 0 && millis.is_multiple_of(*step);
        let (step, unit) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
        write!(f, "{}{unit}", millis / step)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^ *[0-9]+ *([mM][sS]|[sSmMhHdD]) *$",
            "examples": ["100ms", "30s", "24h"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration as Span;

    #[test]
    fn shown_values_are_read_back_as_they_were() {
        for bytes in [0, 1, 1000, 1024, 3 << 20, (1 << 30) + 1, 5 << 40, u64::MAX] {
            assert_eq!(dfs_api::units::parse_size(&Size(bytes).to_string()), Ok(bytes));
        }
        for millis in [0, 1, 999, 1000, 90_000, 3_600_000, 7 * 86_400_000] {
            let shown = Duration(Span::from_millis(millis)).to_string();
            assert_eq!(dfs_api::units::parse_duration(&shown), Ok(Span::from_millis(millis)), "{shown}");
        }
        assert_eq!(Size(64 << 20).to_string(), "64MiB");
        assert_eq!(Duration(Span::from_secs(7 * 86_400)).to_string(), "7d");
    }
}
