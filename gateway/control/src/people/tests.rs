//! Rules about people, tested on snapshots.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::testing::{grant as grant_row, group, hashed, session, user as user_row};
use dfs_api::{ChangeGroup, CreateGroup, IdentityMapping, PermissionLevel, ShareConfig};
use dfs_auth::identity::Level;

/// People at an office: two administrators, users and groups, two shares.
struct Office(Snapshot);

impl Office {
    fn new() -> Office {
        let mut office = Office(Snapshot::default());
        let staff = UserRow { uid: Some(1001), groups: vec!["staff".into()], ..user_row("ann", Role::User) };
        office.apply(
            Change::default()
                .put(&user_row("root", Role::Admin))
                .put(&user_row("boss", Role::Admin))
                .put(&group("staff", Some(100)))
                .put(&group("board", Some(200)))
                .put(&staff)
                .put(&ShareConfig::named("docs", "meta", "cold"))
                .put(&ShareConfig::named("docs-old", "meta", "cold")),
        );
        office
    }

    fn apply(&mut self, change: Change) {
        change.apply(&mut self.0);
    }

    fn create(&mut self, request: &CreateUser) -> Result<UserRow, Problem> {
        let (change, row) = create_user(&self.0, request, hashed(&request.name), 5)?;
        self.apply(change);
        Ok(row)
    }

    fn change(&mut self, name: &str, request: ChangeUser) -> Result<UserRow, Problem> {
        let (change, row) = change_user(&self.0, name, &request)?;
        self.apply(change);
        Ok(row)
    }

    fn may(&self, share: &str, user: &str) -> (PermissionLevel, String) {
        let found = effective(&self.0, share, user).unwrap();
        (found.level, found.because)
    }
}

fn request(name: &str) -> CreateUser {
    CreateUser {
        name: name.to_owned(),
        password: "not looked at".to_owned(),
        full_name: String::new(),
        email: String::new(),
        role: Role::User,
        enabled: true,
        must_change_password: true,
        uid: None,
        gid: None,
        groups: Vec::new(),
    }
}

fn refused<T: std::fmt::Debug>(done: Result<T, Problem>) -> (u16, String, Option<String>) {
    let problem = done.unwrap_err();
    (problem.status, problem.kind, problem.field)
}

fn field(status: u16, kind: &str, field: &str) -> (u16, String, Option<String>) {
    (status, kind.to_owned(), Some(field.to_owned()))
}

#[test]
fn user_is_made_as_asked_and_once() {
    let mut office = Office::new();
    let groups = vec!["staff".to_owned(), "board".to_owned(), "staff".to_owned()];
    let row = office.create(&CreateUser { uid: Some(7), groups, ..request("eve") }).unwrap();
    assert_eq!(
        (row.groups.as_slice(), row.created_at, row.token_version),
        (["board".into(), "staff".into()].as_slice(), 5, 1)
    );
    assert_eq!(row.nt_hash.as_deref(), Some("nt of eve"));
    assert_eq!(shown_user(&row).name, "eve");
    let shown = serde_json::to_string(&shown_user(&row)).unwrap();
    assert!(!shown.contains("hash of") && !shown.contains("nt of"), "{shown}");
    assert_eq!(refused(office.create(&request("eve"))), field(409, "conflict", "name"));
    for name in ["", "a/b", "(local)", "-x", "me"] {
        assert_eq!(refused(office.create(&request(name))), field(400, "invalid", "name"), "{name}");
    }
}

#[test]
fn wrong_fields_of_a_user_are_named() {
    let mut office = Office::new();
    let cases = [
        (CreateUser { uid: Some(1001), ..request("x") }, field(409, "conflict", "uid")),
        (CreateUser { uid: Some(u32::MAX), ..request("x") }, field(400, "invalid", "uid")),
        (CreateUser { gid: Some(u32::MAX), ..request("x") }, field(400, "invalid", "gid")),
        (CreateUser { groups: vec!["nobody".into()], ..request("x") }, field(400, "invalid", "groups")),
        (CreateUser { full_name: "a\nb".into(), ..request("x") }, field(400, "invalid", "full_name")),
        (CreateUser { email: "x".repeat(1025), ..request("x") }, field(400, "invalid", "email")),
    ];
    for (request, expected) in cases {
        assert_eq!(refused(office.create(&request)), expected);
    }
    let taken = ChangeUser { uid: Some(Some(1001)), ..ChangeUser::default() };
    assert_eq!(refused(office.change("root", taken.clone())), field(409, "conflict", "uid"));
    office.change("ann", taken).unwrap();
    assert_eq!(refused(office.change("nobody", ChangeUser::default())).0, 404);
}

#[test]
fn last_enabled_administrator_stays_one() {
    let disabled = || ChangeUser { enabled: Some(false), ..ChangeUser::default() };
    let demoted = || ChangeUser { role: Some(Role::Operator), ..ChangeUser::default() };
    let mut office = Office::new();
    office.change("boss", disabled()).unwrap();
    let last = (409, "last-admin".to_owned(), None);
    assert_eq!(refused(office.change("root", disabled())), last);
    assert_eq!(refused(office.change("root", demoted())), last);
    assert_eq!(refused(delete_user(&office.0, "root").map(drop)), last);
    // A disabled administrator is none to count on, and may go.
    delete_user(&office.0, "boss").unwrap();
    let back = ChangeUser { enabled: Some(true), ..ChangeUser::default() };
    office.change("boss", back).unwrap();
    office.change("root", demoted()).unwrap();
    assert_eq!(refused(delete_user(&office.0, "boss").map(drop)), last);
}

#[test]
fn deleted_user_leaves_nothing_behind() {
    let mut office = Office::new();
    office.apply(
        Change::default()
            .put(&session("ann", "s1"))
            .put(&session("ann2", "s2"))
            .put(&grant_row("docs", GrantKind::User, "ann", PermissionLevel::Read))
            .put(&grant_row("docs", GrantKind::Group, "ann", PermissionLevel::Read))
            .put(&grant_row("docs", GrantKind::User, "boss", PermissionLevel::Read)),
    );
    let mapping = IdentityMapping { principal: "uid:5".to_owned(), user: "ann".to_owned() };
    let change = add_mapping(&office.0, &mapping).unwrap();
    office.apply(change);
    let change = delete_user(&office.0, "ann").unwrap();
    office.apply(change);
    assert!(!office.0.has::<UserRow>("ann") && office.0.count::<IdmapRow>() == 0);
    assert!(
        office.0.has::<crate::rows::SessionRow>("ann2/s2")
            && !office.0.has::<crate::rows::SessionRow>("ann/s1")
    );
    let left: Vec<String> = office.0.rows::<GrantRow>().map(|grant| grant.name.clone()).collect();
    assert_eq!(left, ["ann", "boss"], "only those of the user himself go");
}

#[test]
fn group_has_members_grants_and_an_end() {
    let mut office = Office::new();
    let make = |name: &str, gid, members: &[&str]| CreateGroup {
        name: name.to_owned(),
        gid,
        description: String::new(),
        members: members.iter().map(|name| (*name).to_owned()).collect(),
    };
    let taken = create_group(&office.0, &make("x", Some(100), &[]), 1).map(drop);
    assert_eq!(refused(taken), field(409, "conflict", "gid"));
    assert_eq!(
        refused(create_group(&office.0, &make("staff", None, &[]), 1).map(drop)),
        field(409, "conflict", "name")
    );
    let unknown = create_group(&office.0, &make("x", None, &["nobody"]), 1).map(drop);
    assert_eq!(refused(unknown), field(400, "invalid", "members"));
    let (change, made) =
        create_group(&office.0, &make("lab", Some(300), &["boss", "ann", "ann"]), 1).unwrap();
    assert_eq!(made.members, ["ann", "boss"]);
    office.apply(change);
    let lab = |office: &Office| shown_group(&office.0, office.0.get::<GroupRow>("lab").unwrap());
    assert_eq!(lab(&office), made);
    assert_eq!(office.0.get::<UserRow>("ann").unwrap().groups, ["lab", "staff"]);

    let change = add_member(&office.0, "lab", "root").unwrap();
    office.apply(change);
    assert!(add_member(&office.0, "lab", "root").unwrap().is_empty());
    assert_eq!(refused(add_member(&office.0, "lab", "nobody").map(drop)), field(400, "invalid", "user"));
    assert_eq!(refused(add_member(&office.0, "nothing", "root").map(drop)).0, 404);
    let change = remove_member(&office.0, "lab", "boss").unwrap();
    office.apply(change);
    assert_eq!(refused(remove_member(&office.0, "lab", "boss").map(drop)).0, 404);
    assert_eq!(lab(&office).members, ["ann", "root"]);
    assert_eq!(members_by_group(&office.0)["lab"], ["ann", "root"]);

    let none = ChangeGroup { gid: Some(None), ..ChangeGroup::default() };
    let (change, changed) = change_group(&office.0, "lab", &none).unwrap();
    assert_eq!((changed.gid, changed.members.len()), (None, 2));
    office.apply(change);
    office.apply(
        Change::default()
            .put(&grant_row("docs", GrantKind::Group, "lab", PermissionLevel::Admin))
            .put(&grant_row("docs", GrantKind::User, "lab", PermissionLevel::Read)),
    );
    let change = delete_group(&office.0, "lab").unwrap();
    office.apply(change);
    assert_eq!(office.0.get::<UserRow>("ann").unwrap().groups, ["staff"]);
    assert_eq!(grants_of(&office.0, "docs").unwrap().len(), 1);
    assert_eq!(refused(delete_group(&office.0, "lab").map(drop)).0, 404);
}

#[test]
fn permission_is_the_users_own_else_the_strongest_of_his_groups_else_the_shares() {
    let mut office = Office::new();
    let set = |office: &mut Office, kind, name: &str, level| {
        let change = grant(&office.0, "docs", kind, name, level).unwrap();
        office.apply(change);
    };
    let both = ChangeUser { groups: Some(vec!["staff".into(), "board".into()]), ..ChangeUser::default() };
    office.change("ann", both).unwrap();
    assert_eq!(office.may("docs", "ann"), (PermissionLevel::ReadWrite, "the default of the share".into()));
    set(&mut office, GrantKind::Group, "staff", PermissionLevel::None);
    assert_eq!(office.may("docs", "ann").0, PermissionLevel::None);
    set(&mut office, GrantKind::Group, "board", PermissionLevel::Read);
    assert_eq!(office.may("docs", "ann"), (PermissionLevel::Read, "granted to the group 'board'".into()));
    set(&mut office, GrantKind::User, "ann", PermissionLevel::None);
    assert_eq!(office.may("docs", "ann"), (PermissionLevel::None, "granted to the user himself".into()));
    set(&mut office, GrantKind::User, "ann", PermissionLevel::Admin);
    // Another share whose name begins alike is another share.
    assert_eq!(office.may("docs-old", "ann").0, PermissionLevel::ReadWrite);
    assert!(grants_of(&office.0, "docs-old").unwrap().is_empty());
    let off = ChangeUser { enabled: Some(false), ..ChangeUser::default() };
    office.change("ann", off).unwrap();
    assert_eq!(office.may("docs", "ann"), (PermissionLevel::None, "the user is disabled".into()));
    assert_eq!(
        refused(grant(&office.0, "docs", GrantKind::User, "staff", PermissionLevel::Read).map(drop)).0,
        404
    );
    assert_eq!(
        refused(grant(&office.0, "nothing", GrantKind::User, "ann", PermissionLevel::Read).map(drop)).0,
        404
    );
    let change = revoke(&office.0, "docs", GrantKind::User, "ann").unwrap();
    office.apply(change);
    assert_eq!(refused(revoke(&office.0, "docs", GrantKind::User, "ann").map(drop)).0, 404);
    let change = delete_share(&office.0, "docs").unwrap();
    office.apply(change);
    assert_eq!((office.0.count::<GrantRow>(), office.0.count::<ShareConfig>()), (0, 1));
}

#[test]
fn principal_is_mapped_to_a_user_who_can_stand_for_it() {
    let mut office = Office::new();
    let map = |office: &mut Office, principal: &str, user: &str| -> Result<(), Problem> {
        let mapping = IdentityMapping { principal: principal.to_owned(), user: user.to_owned() };
        let change = add_mapping(&office.0, &mapping)?;
        office.apply(change);
        Ok(())
    };
    map(&mut office, "uid:7", "ann").unwrap();
    map(&mut office, "ann/host@EXAMPLE.ORG", "root").unwrap();
    let wrong = [
        "uid:",
        "uid:-1",
        "uid:007",
        "uid:4294967295",
        "uid:4294967296",
        "ann",
        "@R",
        "a@",
        "a b@R",
        "a@b@c",
        "a@\n",
    ];
    for principal in wrong {
        assert_eq!(
            refused(map(&mut office, principal, "ann")),
            field(400, "invalid", "principal"),
            "{principal}"
        );
    }
    assert_eq!(refused(map(&mut office, "uid:7", "ann")), field(409, "conflict", "principal"));
    assert_eq!(refused(map(&mut office, "uid:1001", "ann")), field(409, "conflict", "principal"));
    assert_eq!(refused(map(&mut office, "uid:8", "root")), field(400, "invalid", "user"));
    assert_eq!(refused(map(&mut office, "uid:8", "nobody")), field(400, "invalid", "user"));
    // The mapped id is nobody's own.
    let stolen = ChangeUser { uid: Some(Some(7)), ..ChangeUser::default() };
    assert_eq!(refused(office.change("root", stolen)), field(409, "conflict", "uid"));
    let table = identities(&office.0);
    assert_eq!((table.stands_for(7), table.stands_for(8)), (1001, 8));
    let change = remove_mapping(&office.0, "uid:7").unwrap();
    office.apply(change);
    assert_eq!(refused(remove_mapping(&office.0, "uid:7").map(drop)).0, 404);
}

#[test]
fn table_of_the_data_path_agrees_with_what_the_control_plane_tells() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut draw = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below) as usize
    };
    let levels =
        [PermissionLevel::None, PermissionLevel::Read, PermissionLevel::ReadWrite, PermissionLevel::Admin];
    let mut snapshot = Snapshot::default();
    for (nth, default_permission) in levels.into_iter().enumerate() {
        let share = ShareConfig { default_permission, ..ShareConfig::named(&format!("s{nth}"), "m", "c") };
        Change::default().put(&share).apply(&mut snapshot);
        let gid = (nth != 3).then_some(100 + nth as u32);
        Change::default().put(&group(&format!("g{nth}"), gid)).apply(&mut snapshot);
    }
    for nth in 0..40_u32 {
        let groups = (0..4).filter(|_| draw(2) == 0).map(|group| format!("g{group}")).collect();
        let row = UserRow {
            uid: (nth % 8 != 0).then_some(nth),
            enabled: draw(8) != 0,
            groups,
            ..user_row(&format!("u{nth}"), Role::User)
        };
        Change::default().put(&row).apply(&mut snapshot);
    }
    for _ in 0..80 {
        let share = format!("s{}", draw(4));
        let (kind, name) = match draw(3) {
            0 => (GrantKind::Group, format!("g{}", draw(4))),
            _ => (GrantKind::User, format!("u{}", draw(40))),
        };
        Change::default().put(&grant_row(&share, kind, &name, levels[draw(4)])).apply(&mut snapshot);
    }
    let table = identities(&snapshot);
    assert_eq!(table.len(), 35);
    let same = |level: Level| levels[level as usize];
    for user in snapshot.rows::<UserRow>() {
        let Some(uid) = user.uid else { continue };
        let gids: Vec<u32> =
            user.groups.iter().filter_map(|name| snapshot.get::<GroupRow>(name)?.gid).collect();
        assert_eq!(table.user(uid).unwrap().groups.as_ref(), gids);
        for share in snapshot.rows::<ShareConfig>() {
            let told = effective(&snapshot, &share.name, &user.name).unwrap();
            let default = [Level::None, Level::Read, Level::ReadWrite, Level::Admin]
                .into_iter()
                .find(|level| same(*level) == share.default_permission);
            let found = table.resolve(&share.name, default.unwrap(), uid);
            assert_eq!(same(found.level), told.level, "{} in {}: {}", user.name, share.name, told.because);
        }
    }
}

#[test]
fn only_what_the_data_path_looks_at_makes_people_differ() {
    let mut before = Snapshot::default();
    let ann = UserRow { uid: Some(1), ..user_row("ann", Role::Admin) };
    let read = grant_row("docs", GrantKind::User, "ann", PermissionLevel::Read);
    Change::default().put(&ann).put(&group("staff", Some(1))).put(&read).apply(&mut before);
    let after = |change: Change| {
        let mut after = before.clone();
        change.apply(&mut after);
        same_people(&before, &after) && same_people(&after, &before)
    };
    let login = UserRow { last_login_at: Some(9), full_name: "Ann".into(), ..ann.clone() };
    assert!(after(Change::default().put(&login).put(&session("ann", "s"))));
    for change in [
        Change::default().put(&UserRow { uid: None, ..ann.clone() }),
        Change::default().put(&UserRow { gid: Some(1), ..ann.clone() }),
        Change::default().put(&UserRow { enabled: false, ..ann.clone() }),
        Change::default().put(&UserRow { groups: vec!["staff".into()], ..ann.clone() }),
        Change::default().remove::<UserRow>("ann").put(&UserRow { name: "bob".into(), ..ann.clone() }),
        Change::default().put(&user_row("bob", Role::User)),
        Change::default().put(&group("staff", Some(2))),
        Change::default().put(&group("other", None)),
        Change::default().put(&grant_row("docs", GrantKind::User, "ann", PermissionLevel::Admin)),
        Change::default().remove::<GrantRow>("docs/user/ann"),
        Change::default().put(&IdmapRow { principal: "uid:5".into(), user: "ann".into() }),
    ] {
        let shown = format!("{change:?}");
        assert!(!after(change), "{shown}");
    }
}
