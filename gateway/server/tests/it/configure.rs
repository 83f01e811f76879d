//! The configuration: where settings come from, what is told of them, how they are checked and changed.

use crate::bed::{Bed, Said};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn with(bed: &Bed, variables: &[(&str, &str)], args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dfs"));
    command.arg("--config").arg(bed.config()).args(args);
    for (name, value) in variables {
        command.env(name, value);
    }
    bed.run(&mut command, "")
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.works().out).unwrap()
}

#[test]
fn settings_of_command_line_environment_and_file_take_effect_in_that_order() {
    let bed = Bed::made();
    bed.configure("journal: {size: 64MiB}\nflush: {after: 7m}");
    let size = |variables: &[(&str, &str)], more: &[&str]| {
        let shown = json(with(&bed, variables, &[&["config", "show", "-o", "json"][..], more].concat()));
        (shown["journal"]["size"].clone(), shown["sources"]["journal.size"].clone())
    };
    let variable = [("DFS_JOURNAL__SIZE", "80MiB")];
    assert_eq!(size(&[], &[]), ("64MiB".into(), "file, line 10".into()));
    assert_eq!(size(&variable, &[]), ("80MiB".into(), "environment, DFS_JOURNAL__SIZE".into()));
    assert_eq!(size(&variable, &["--set", "journal.size=96MiB"]), ("96MiB".into(), "command line".into()));
    let shown = json(with(&bed, &[], &["config", "show", "-o", "json"]));
    assert_eq!(shown["sources"]["flush.after"], "file, line 11");
    assert_eq!(
        (&shown["pack"]["size"], &shown["sources"]["pack.size"]),
        (&"16MiB".into(), &"default".into())
    );
    assert_eq!(shown["data_dir"], bed.data().display().to_string());
    let defaults = json(with(&bed, &variable, &["config", "show", "--defaults", "-o", "json"]));
    assert_eq!(defaults["nfs"]["listen"], "0.0.0.0:12049");
}

#[test]
fn gateway_started_with_a_variable_and_an_assignment_runs_by_them() {
    let bed = Bed::made();
    let spare = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = spare.local_addr().unwrap().port();
    drop(spare);
    let (listen, log) = (format!("127.0.0.1:{port}"), bed.path("other.log"));
    let set = format!("logging.file={}", log.display());
    with(&bed, &[("DFS_CONTROL__LISTEN", &listen)], &["start", "--set", &set]).works();
    assert_eq!(bed.doors().unwrap().control.port(), port);
    assert!(std::fs::read_to_string(&log).unwrap().contains("the gateway serves"));
    let said = with(&bed, &[], &["logs", "--set", &set, "-n", "3"]).works();
    assert!(!said.out.is_empty() && said.out.lines().count() <= 3, "{said:?}");
}

#[test]
fn variable_that_is_unknown_or_wrong_refuses_every_command() {
    let bed = Bed::made();
    for (name, value, words) in [
        ("DFS_JOURNAL__SISE", "1GiB", &["DFS_JOURNAL__SISE", "DFS_JOURNAL__SIZE"][..]),
        ("DFS_JURNAL__SIZE", "1GiB", &["DFS_JURNAL__SIZE", "DFS_JOURNAL__SIZE"]),
        ("DFS_JOURNAL__SIZE", "big", &["DFS_JOURNAL__SIZE", "'big'", "10GiB"]),
        ("DFS_NFS__LISTEN", "everywhere", &["DFS_NFS__LISTEN", "everywhere"]),
    ] {
        for args in [&["start"][..], &["status"], &["config", "show"], &["config", "validate"]] {
            with(&bed, &[(name, value)], args).refuses(2, words);
        }
    }
    // What container systems set by themselves is none of ours.
    with(&bed, &[("DFS_PORT_8080_TCP_ADDR", "10.0.0.1"), ("DFS_SERVICE_HOST", "x")], &["config", "show"])
        .works();
    with(&bed, &[], &["config", "show", "--set", "journal.sise=1"])
        .refuses(2, &["journal.sise", "'journal.size'"]);
}

#[test]
fn validate_names_key_line_and_the_nearest_known_word() {
    let bed = Bed::made();
    let said = bed.dfs(&["config", "validate"]).works();
    assert!(said.out.contains("is valid"), "{said:?}");
    bed.configure("journal:\n  sise: 1GiB");
    bed.dfs(&["config", "validate"]).refuses(2, &["sise", "line 11", "'size'"]);
    bed.configure("control:\n  listen: 0.0.0.0:8080");
    let said = bed.dfs(&["config", "validate"]);
    assert!(said.out.contains("control.listen (file, line 10)"), "{said:?}");
    said.refuses(2, &["would refuse a start"]);
    let report: Value = serde_json::from_str(&bed.dfs(&["config", "validate", "-o", "json"]).out).unwrap();
    assert_eq!((&report["valid"], &report["findings"][0]["key"]), (&false.into(), &"control.listen".into()));
}

#[test]
fn validate_holds_values_against_the_machine() {
    let bed = Bed::made();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let found = |text: &str| {
        bed.configure(text);
        let said = bed.dfs(&["config", "validate"]);
        assert_eq!(said.code, 2, "{said:?}");
        said.out
    };
    let text = found(&format!("nfs: {{listen: '127.0.0.1:{port}'}}"));
    assert!(text.contains("nfs.listen") && text.contains("in use by another program"), "{text}");
    assert!(found("warm: {dir: /no/such/place}").contains("warm.dir"));
    assert!(
        found("control: {listen: 127.0.0.1:0, tls: {cert: /no/cert, key: /no/key}}")
            .contains("control.tls.key")
    );
    let database = "metadata: {postgres: {url: 'postgres://u@h/d', password_file: /no/file}}";
    assert!(found(database).contains("metadata.postgres.password_file"));
    // The ports of our own gateway are no finding.
    let (nfs, control) = {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let both = (free(), free());
        (both.0.local_addr().unwrap(), both.1.local_addr().unwrap())
    };
    bed.configure(&format!(
        "nfs: {{listen: '{nfs}'}}\ncontrol: {{listen: '{control}'}}\njournal: {{size: 64MiB}}"
    ));
    bed.start();
    bed.dfs(&["config", "validate"]).works();
}

#[test]
fn schema_accepts_the_sample_and_knows_every_key_of_it() {
    let bed = Bed::empty();
    let schema = json(bed.dfs(&["config", "schema"]));
    let sample = include_str!("../../../../deploy/config.sample.yaml");
    // The sample as it is, and with every key that it only speaks of.
    let spoken = |line: &str| {
        let body = line.trim_start();
        let (indent, key) = (line.len() - body.len(), body.strip_prefix("# ").unwrap_or(body));
        let is_key = key.trim_start().split(':').next().is_some_and(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        match body.starts_with("# ") && indent > 0 && is_key {
            true => format!("{}{key}", " ".repeat(indent)),
            // A section that is empty until its first key is spoken of.
            false => line.replace(": {}", ":"),
        }
    };
    let full: String = sample.lines().map(|line| format!("{}\n", spoken(line))).collect();
    let mut seen = Vec::new();
    for text in [sample, &full] {
        // A word in YAML 1.2, which editors that use schemas read; YAML 1.1 had it for a flag.
        let value: Value = serde_saphyr::from_str(&text.replace("tls: on ", "tls: 'on' ")).unwrap();
        seen.clear();
        accepted(&schema, &value, "", &mut seen);
        std::fs::write(bed.config(), text).unwrap();
        with(&bed, &[], &["config", "show"]).works();
    }
    let mut known = Vec::new();
    leaves(&schema, "", &mut known);
    let missing: Vec<_> = known.iter().filter(|key| !seen.contains(key)).collect();
    assert!(missing.is_empty(), "deploy/config.sample.yaml says nothing of {missing:?}");
    let bad: Value = serde_saphyr::from_str("journal: {sise: 1}").unwrap();
    assert!(std::panic::catch_unwind(|| accepted(&schema, &bad, "", &mut Vec::new())).is_err());
}

/// Holds a value against the part of JSON Schema that the configuration uses.
fn accepted(schema: &Value, value: &Value, at: &str, seen: &mut Vec<String>) {
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().find(|choice| choice.get("properties").is_some() == value.is_object());
        return accepted(fits.unwrap_or_else(|| panic!("{at}: nothing fits {value}")), value, at, seen);
    }
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{at} takes unknown keys");
        for (key, inner) in value.as_object().into_iter().flatten() {
            let known = properties.get(key).unwrap_or_else(|| panic!("{at}.{key} is not in the schema"));
            accepted(known, inner, format!("{at}.{key}").trim_start_matches('.'), seen);
        }
        return;
    }
    let kind = match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        other => panic!("{at}: {other}"),
    };
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let words = schema["oneOf"].as_array().map(|all| all.iter().any(|one| one["const"] == *value));
    let listed = schema["enum"].as_array().map(|all| all.contains(value));
    assert!(
        types.contains(&kind.into()) || words == Some(true) || listed == Some(true),
        "{at}: {value} of {schema}"
    );
    seen.push(at.to_owned());
}

fn leaves(schema: &Value, at: &str, found: &mut Vec<String>) {
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        leaves(choice, at, found);
    }
    match schema["properties"].as_object() {
        Some(properties) => {
            for (key, inner) in properties {
                leaves(inner, format!("{at}.{key}").trim_start_matches('.'), found);
            }
        }
        None if schema["type"] != "null" && schema.get("anyOf").is_none() => found.push(at.to_owned()),
        None => {}
    }
}

#[test]
fn show_prints_a_file_that_can_be_used_and_no_password() {
    let bed = Bed::made();
    let shown = bed.dfs(&["config", "show"]).works().out;
    std::fs::write(bed.config(), &shown).unwrap();
    bed.start();
    bed.dfs(&["stop"]).works();
    bed.configure("metadata: {postgres: {url: 'postgres://u:planted@h/d'}}");
    for args in
        [&["config", "show"][..], &["config", "show", "-o", "json"], &["config", "validate"], &["start"]]
    {
        let said = bed.dfs(args);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(!format!("{said:?}").contains("planted"), "{said:?}");
        assert!(format!("{said:?}").contains("password_file"), "{said:?}");
    }
}

#[test]
fn config_init_does_not_overwrite_and_with_force_keeps_the_data_folder() {
    let bed = Bed::made();
    let before = std::fs::read(bed.config()).unwrap();
    bed.dfs(&["config", "init"]).refuses(2, &["exists", "--force"]);
    assert_eq!(std::fs::read(bed.config()).unwrap(), before);
    let told = json(bed.dfs(&["config", "init", "--force", "-o", "json"]));
    assert_eq!(told["data_dir"], bed.data().display().to_string());
    assert!(std::fs::read_to_string(bed.config()).unwrap().contains(bed.data().to_str().unwrap()));
}

#[test]
fn edit_takes_only_what_is_right() {
    let bed = Bed::made();
    std::fs::set_permissions(bed.config(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = std::fs::read(bed.config()).unwrap();
    let edit = |script: &str| {
        let editor = bed.path("editor.sh");
        std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        with(&bed, &[("EDITOR", editor.to_str().unwrap()), ("VISUAL", "")], &["config", "edit"])
    };
    assert!(edit("true").works().out.contains("nothing was changed"));
    let said = edit("echo 'journal: {sise: 1}' > \"$1\"");
    said.refuses(2, &["stays as it was", ".edit-"]);
    assert!(said.err.contains("did you mean 'size'"), "{said:?}");
    assert_eq!(std::fs::read(bed.config()).unwrap(), before);
    edit("exit 3").refuses(1, &["nothing was changed"]);
    let meanwhile = format!("echo '# mine' >> \"$1\"; echo '# theirs' >> {:?}", bed.config());
    edit(&meanwhile).refuses(2, &["changed by somebody else"]);
    let now = std::fs::read_to_string(bed.config()).unwrap();
    assert!(now.contains("# theirs") && !now.contains("# mine"));
    edit("echo '# mine' >> \"$1\"").works();
    assert_eq!(std::fs::read_to_string(bed.config()).unwrap(), format!("{now}# mine\n"));
    assert_eq!(std::fs::metadata(bed.config()).unwrap().permissions().mode() & 0o777, 0o640);
}
