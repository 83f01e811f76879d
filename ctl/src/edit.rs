//! Changing a resource in the caller's editor: its changeable fields as YAML, checked, shown as a difference, applied.
//!
//! The text lies in a file of mode 0600. It goes when the change is made or nothing was changed, and stays, with a word where, when it
//! could not be used: nobody types it twice.

use crate::ask;
use crate::failure::{Failure, OTHER};
use crate::output::{Output, yaml};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Fields by name.
pub(crate) type Fields = Map<String, Value>;

/// Picks the fields that can be changed out of a resource; one that it does not have is `null`.
pub(crate) fn fields(resource: &Value, names: &[&str]) -> Fields {
    let value = |name: &str| resource.get(name).cloned().unwrap_or_default();
    names.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

/// Lets the caller edit the fields and gives those that he changed to `apply`. `None` where he changed nothing.
///
/// *Errors:* the editor fails; the text is no YAML or has an unknown field; what `apply` says. The text is kept and named then.
pub(crate) async fn edit<R>(
    output: &Output,
    what: &str,
    current: &Fields,
    apply: impl AsyncFnOnce(Fields) -> Result<R, Failure>,
) -> Result<Option<R>, Failure> {
    let editor = editor()?;
    let path = write(what, current)?;
    let changed = loop {
        open(&editor, &path)?;
        match read(&path, current) {
            Ok(changed) => break changed,
            Err(why) if std::io::stdin().is_terminal() => {
                eprintln!("dfsctl: {why}");
                ask::confirm(false, "needs another look").map_err(|_| kept(Failure::usage(why), &path))?;
            }
            Err(why) => return Err(kept(Failure::usage(why), &path)),
        }
    };
    if changed.is_empty() {
        remove(&path);
        return Ok(None);
    }
    if output.for_people() {
        for (name, value) in &changed {
            output.line(&format!("{name}: {} -> {value}", current.get(name).unwrap_or(&Value::Null)))?;
        }
    }
    let done = apply(changed).await.map_err(|failure| kept(failure, &path))?;
    remove(&path);
    Ok(Some(done))
}

fn kept(failure: Failure, path: &Path) -> Failure {
    let message = format!("{}; your text is kept in {}", failure.message, path.display());
    Failure { message, ..failure }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn write(what: &str, current: &Fields) -> Result<PathBuf, Failure> {
    let head = format!(
        "# {what}: change what you like, save and leave. A line that you remove stays as it is; null takes a value away.\n"
    );
    let text = head + &yaml(current)?;
    let folder = std::env::temp_dir();
    for attempt in 0..100 {
        let path = folder.join(format!("dfsctl-{}-{attempt}.yaml", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(|error| Failure::io(path.display(), &error))?;
                return Ok(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::io(path.display(), &error)),
        }
    }
    Err(Failure::new(OTHER, format!("{} is full of files of this program", folder.display())))
}

/// `$VISUAL`, else `$EDITOR`, else vi where there is a terminal; each may have arguments of its own.
fn editor() -> Result<String, Failure> {
    let named = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let usual = || std::io::stdin().is_terminal().then(|| "vi".to_owned());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).or_else(usual);
    editor.ok_or_else(|| {
        Failure::usage("nothing to change: give an option (--help lists them), or edit on a terminal")
    })
}

fn open(editor: &str, path: &Path) -> Result<(), Failure> {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("{editor} \"$1\""), "dfsctl"]).arg(path);
    let status = shell.status().map_err(|error| Failure::io(format!("the editor '{editor}'"), &error))?;
    if status.success() {
        return Ok(());
    }
    remove(path);
    Err(Failure::new(OTHER, format!("the editor '{editor}' ended with {status}; nothing was changed")))
}

/// The fields whose values are others now.
fn read(path: &Path, current: &Fields) -> Result<Fields, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    changed(&text, current)
}

fn changed(text: &str, current: &Fields) -> Result<Fields, String> {
    let edited: Value = serde_saphyr::from_str(text)
        .map_err(|error| format!("this is no YAML: {error}").replace('\n', " "))?;
    let edited = match edited {
        Value::Object(edited) => edited,
        Value::Null => Fields::new(),
        _ => return Err("this is no list of fields with their values".to_owned()),
    };
    if let Some(odd) = edited.keys().find(|name| !current.contains_key(*name)) {
        let known: Vec<&str> = current.keys().map(String::as_str).collect();
        return Err(format!("there is no field '{odd}' to change; there is {}", known.join(", ")));
    }
    Ok(edited.into_iter().filter(|(name, value)| current.get(name) != Some(value)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user() -> Fields {
        fields(
            &json!({"name": "bo", "email": "", "uid": 7, "groups": ["a"]}),
            &["email", "uid", "gid", "groups"],
        )
    }

    #[test]
    fn only_what_differs_is_sent() {
        let text = "email: bo@example.org\nuid: null\ngroups:\n  - a\n";
        assert_eq!(
            Value::Object(changed(text, &user()).unwrap()),
            json!({"email": "bo@example.org", "uid": null})
        );
        assert!(changed(&yaml(&user()).unwrap(), &user()).unwrap().is_empty());
        assert!(changed("# all removed\n", &user()).unwrap().is_empty());
    }

    #[test]
    fn text_that_cannot_be_used_says_why() {
        for (text, word) in
            [("mail: x\n", "email, gid, groups, uid"), ("- a\n", "no list of fields"), ("a: [", "no YAML")]
        {
            let why = changed(text, &user()).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
