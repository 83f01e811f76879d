//! `dfsctl settings …`.

use crate::completion;
use crate::connection::path;
use crate::failure::Failure;
use crate::output::{PAIRS, pairs, word};
use crate::session::Session;
use clap::{Args, Subcommand};
use dfs_api::{SetSetting, Setting};
use serde_json::Value;

/// Settings of the gateway: those that change while it runs, and those of its configuration file.
#[derive(Subcommand)]
pub(crate) enum SettingsCommand {
    /// Lists them, with where each value comes from.
    List,
    /// Shows one.
    #[command(visible_alias = "show")]
    Get(Key),
    /// Sets one that is live; it acts at once.
    Set {
        #[command(flatten)]
        key: Key,
        /// The value: a text, a number, true or false.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Takes back what was set: the configuration file, or the default, counts again.
    #[command(visible_aliases = ["unset", "delete"])]
    Reset(Key),
}

/// A setting.
#[derive(Args)]
pub(crate) struct Key {
    /// Its key, for instance logging.level.
    #[arg(add = completion::settings())]
    key: String,
}

impl Key {
    fn path(&self) -> String {
        path(&["settings", &self.key])
    }
}

impl SettingsCommand {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let connection = session.connect()?;
        match self {
            SettingsCommand::List => {
                let settings = connection.list::<Setting>("/settings").await?;
                let header = ["key", "value", "from", "live", "what it does"];
                session.output.show(&settings, &header, settings.iter().map(row).collect())
            }
            SettingsCommand::Get(key) => {
                let setting = connection.get::<Setting>(&key.path()).await?;
                session.output.show(&setting, &PAIRS, details(&setting))
            }
            SettingsCommand::Set { key, value } => {
                let request = SetSetting { value: parsed(&value) };
                let now = connection.put::<_, Setting>(&key.path(), &request).await?;
                session.output.done(&now, &format!("{} is {} from now on", now.key, word(&now.value)))
            }
            SettingsCommand::Reset(key) => {
                connection.delete(&key.path()).await?;
                let now = connection.get::<Setting>(&key.path()).await?;
                session.output.done(&now, &format!("{} is {} again", now.key, word(&now.value)))
            }
        }
    }
}

/// A number or a boolean where it reads as one, else a text.
fn parsed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

fn row(setting: &Setting) -> Vec<String> {
    let live = if setting.live { "yes" } else { "no" };
    vec![
        setting.key.clone(),
        word(&setting.value),
        word(&setting.source),
        live.to_owned(),
        setting.description.clone(),
    ]
}

fn details(setting: &Setting) -> Vec<Vec<String>> {
    pairs([
        ("key", setting.key.clone()),
        ("value", word(&setting.value)),
        ("default", word(&setting.default)),
        ("from", word(&setting.source)),
        (
            "live",
            if setting.live { "yes".to_owned() } else { "no: set it in the configuration file".to_owned() },
        ),
        ("what it does", setting.description.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn value_is_a_number_or_boolean_only_where_it_reads_as_one() {
        for (text, wanted) in [
            ("5", json!(5)),
            ("true", json!(true)),
            ("debug", json!("debug")),
            ("", json!("")),
            ("[1]", json!("[1]")),
            ("null", json!("null")),
        ] {
            assert_eq!(parsed(text), wanted, "{text}");
        }
    }
}
