//! The tree of commands: whole, and explained everywhere.
#![allow(clippy::unwrap_used)]

use super::Cli;
use clap::{Command, CommandFactory};

/// Every command, built, with its words.
fn all() -> Vec<(String, Command)> {
    fn collect(command: &Command, words: &str, found: &mut Vec<(String, Command)>) {
        let words = format!("{words} {}", command.get_name()).trim().to_owned();
        found.push((words.clone(), command.clone()));
        command.get_subcommands().for_each(|below| collect(below, &words, found));
    }
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut found = Vec::new();
    collect(&command, "", &mut found);
    found
}

#[test]
fn tree_is_one_that_the_parser_accepts() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_argument_and_value_has_help() {
    let mut silent = Vec::new();
    for (words, command) in all() {
        if command.get_about().is_none() {
            silent.push(words.clone());
        }
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            if argument.get_help().is_none() {
                silent.push(format!("{words}: {}", argument.get_id()));
            }
            // true and false say what they are.
            let values = argument.get_possible_values();
            let odd = values.iter().filter(|value| !["true", "false"].contains(&value.get_name()));
            let odd = odd.filter(|value| value.get_help().is_none());
            silent.extend(odd.map(|value| format!("{words}: {} {}", argument.get_id(), value.get_name())));
        }
    }
    assert!(silent.is_empty(), "without help: {silent:#?}");
}

#[test]
fn no_secret_is_an_argument_but_where_scripts_of_other_gateways_need_it() {
    let mut found = Vec::new();
    for (words, command) in all() {
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            let secret = ["password", "secret", "passphrase"].iter().any(|word| id.contains(word));
            let takes = argument.get_action().takes_values();
            // The one that is there warns when it is used; a token has to come from somewhere.
            if secret && takes && id != "password" {
                found.push(format!("{words}: {id}"));
            }
        }
    }
    assert!(found.is_empty(), "secrets in arguments: {found:?}");
}

#[test]
fn every_command_of_the_reference_is_there_in_both_spellings() {
    for line in [
        "login",
        "logout",
        "switch-user",
        "context list",
        "context use",
        "context current",
        "context rename",
        "context delete",
        "user create",
        "user list",
        "user get",
        "user edit",
        "user update",
        "user delete",
        "user password",
        "user change-password",
        "group create",
        "group list",
        "group get",
        "group edit",
        "group delete",
        "group add-user",
        "group remove-user",
        "share create",
        "share list",
        "share show",
        "share edit",
        "share update",
        "share enable",
        "share disable",
        "share delete",
        "share mount",
        "share unmount",
        "share list-mounts",
        "share permission list",
        "share permission grant",
        "share permission revoke",
        "store metadata add",
        "store metadata list",
        "store metadata edit",
        "store metadata remove",
        "store metadata health",
        "store cold add",
        "store cold list",
        "store cold edit",
        "store cold remove",
        "store cold health",
        "store payload add",
        "store payload remove",
        "adapter list",
        "adapter add",
        "adapter enable",
        "adapter disable",
        "adapter update",
        "adapter edit",
        "adapter remove",
        "adapter settings nfs show",
        "adapter settings nfs update",
        "adapter settings nfs reset",
        "client list",
        "client evict",
        "client disconnect",
        "netgroup create",
        "netgroup list",
        "netgroup show",
        "netgroup delete",
        "netgroup add-member",
        "netgroup remove-member",
        "idmap list",
        "idmap add",
        "idmap remove",
        "settings list",
        "settings get",
        "settings set",
        "quota list",
        "quota set",
        "quota remove",
        "snapshot create",
        "snapshot list",
        "snapshot show",
        "snapshot delete",
        "snapshot restore",
        "trash list",
        "trash restore",
        "trash empty",
        "recycle list",
        "audit list",
        "audit export",
        "tier status",
        "tier flush",
        "status",
        "completion",
        "version",
        "man",
        "backup controlplane",
        "restore controlplane",
        "job list",
        "job show",
    ] {
        let root = Cli::command();
        let mut at = &root;
        for word in line.split(' ') {
            let below = at.find_subcommand(word);
            assert!(below.is_some(), "'{line}' is not there: no '{word}'");
            at = below.unwrap();
        }
        assert!(!at.has_subcommands(), "'{line}' is no command of its own");
    }
}
