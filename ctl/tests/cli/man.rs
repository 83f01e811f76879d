//! Manual pages.

use crate::gateway::good;
use crate::stub::Stub;
use std::process::Command;

#[test]
fn there_is_a_page_for_every_command_and_each_is_formatted_without_a_complaint() {
    let stub = Stub::new(good);
    let folder = stub.home().join("man1");
    let said = stub.run(&["-o", "json", "man", "--dir", folder.to_str().unwrap()], "");
    assert_eq!(said.code, 0, "{said:?}");
    let pages: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(said.json(), pages.len());
    assert!(pages.len() > 100, "{} pages", pages.len());
    for name in [
        "dfsctl.1",
        "dfsctl-user-create.1",
        "dfsctl-share-permission-grant.1",
        "dfsctl-adapter-settings-nfs-update.1",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let first = std::fs::read_to_string(folder.join("dfsctl.1")).unwrap();
    for words in
        ["EXIT STATUS", "wrong user name or password", "ENVIRONMENT", "DFSCTL", "FILES", "contexts.json"]
    {
        assert!(first.contains(words), "{words}");
    }
    // Where there is a formatter, it must have nothing to say.
    if let Ok(formatted) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).args(&pages).output() {
        let complaints = String::from_utf8_lossy(&formatted.stderr).into_owned();
        assert!(formatted.status.success() && complaints.is_empty(), "{complaints}");
    }
}
