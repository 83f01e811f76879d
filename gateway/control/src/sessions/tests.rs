//! Sessions and tokens, tested on snapshots with a clock that is moved by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::people;
use crate::testing::{HandClock, TestEntropy, hashed, session, user};
use crate::tokens::{TOKEN_KEY_BYTES, local_token, rotated_token_key};
use dfs_api::{ChangeUser, Role};

const HOURS: u32 = 7 * 24;

/// A gateway's sessions without a gateway.
struct Desk {
    snapshot: Snapshot,
    keys: TokenKeys,
    key_file: Vec<u8>,
    clock: HandClock,
}

impl Desk {
    fn new() -> Desk {
        let clock = HandClock::new();
        let key_file = vec![7; TOKEN_KEY_BYTES];
        let keys = TokenKeys::new(&key_file, Arc::new(clock.clone()), Arc::new(TestEntropy));
        let mut desk = Desk { snapshot: Snapshot::default(), keys, key_file, clock };
        desk.apply(Change::default().put(&user("ann", Role::Admin)).put(&user("bob", Role::Admin)));
        desk
    }

    fn apply(&mut self, change: Change) {
        change.apply(&mut self.snapshot);
    }

    fn login(&mut self, name: &str) -> Tokens {
        let user = self.snapshot.get::<UserRow>(name).unwrap().clone();
        let (change, tokens) = begin(&self.keys, &self.snapshot, &user, "192.0.2.1", HOURS).unwrap();
        self.apply(change);
        tokens
    }

    /// The next tokens, or why there are none.
    fn refresh(&mut self, token: &str) -> Result<Tokens, &'static str> {
        match refresh(&self.keys, &self.snapshot, token, HOURS).unwrap() {
            Refreshed::Next(change, tokens) => {
                self.apply(change);
                Ok(tokens)
            }
            Refreshed::Again(tokens) => Ok(tokens),
            Refreshed::Reused(change, session) => {
                assert_eq!(session.user, "ann");
                self.apply(change);
                Err("reused")
            }
            Refreshed::Invalid => Err("invalid"),
        }
    }

    fn is_good(&self, tokens: &Tokens) -> bool {
        authenticate(&self.keys, &self.snapshot, &tokens.access_token).is_some()
    }
}

#[test]
fn access_token_says_who_calls_until_it_expires() {
    let mut desk = Desk::new();
    let tokens = desk.login("ann");
    let claims = authenticate(&desk.keys, &desk.snapshot, &tokens.access_token).unwrap();
    assert_eq!((claims.sub.as_str(), claims.role, claims.must_change), ("ann", Role::Admin, false));
    assert_eq!(tokens.expires_in, 900);
    desk.clock.advance(899);
    assert!(desk.is_good(&tokens));
    desk.clock.advance(1);
    assert!(!desk.is_good(&tokens));
    // Neither is the other.
    assert_eq!(desk.refresh(&tokens.access_token).map(drop), Err("invalid"));
    let swapped = Tokens { access_token: tokens.refresh_token.clone(), ..tokens.clone() };
    assert!(!desk.is_good(&swapped));
}

#[test]
fn token_that_was_changed_or_signed_by_others_is_refused() {
    let mut desk = Desk::new();
    let tokens = desk.login("ann");
    let parts: Vec<&str> = tokens.access_token.split('.').collect();
    let other = desk.login("bob");
    let other: Vec<&str> = other.access_token.split('.').collect();
    let none = "eyJhbGciOiJub25lIn0";
    for forged in [
        format!("{}.{}.{}", parts[0], other[1], parts[2]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        parts[..2].join("."),
        String::new(),
        "a.b.c".to_owned(),
    ] {
        assert!(authenticate(&desk.keys, &desk.snapshot, &forged).is_none(), "{forged}");
    }
    let foreign = TokenKeys::new(&[8; TOKEN_KEY_BYTES], Arc::new(desk.clock.clone()), Arc::new(TestEntropy));
    assert!(authenticate(&foreign, &desk.snapshot, &tokens.access_token).is_none());
}

#[test]
fn refresh_token_rotates_and_an_old_one_ends_the_family() {
    let mut desk = Desk::new();
    let first = desk.login("ann");
    let elsewhere = desk.login("ann");
    desk.clock.advance(1000);
    let second = desk.refresh(&first.refresh_token).unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert!(desk.is_good(&second) && !desk.is_good(&first));
    desk.clock.advance(31);
    assert_eq!(desk.refresh(&first.refresh_token).map(drop), Err("reused"));
    // Whoever has the newest tokens of the family is out too; the other session goes on.
    assert!(!desk.is_good(&second));
    assert_eq!(desk.refresh(&second.refresh_token).map(drop), Err("invalid"));
    desk.refresh(&elsewhere.refresh_token).unwrap();
}

#[test]
fn refresh_whose_answer_was_lost_gets_the_same_successor() {
    let mut desk = Desk::new();
    let first = desk.login("ann");
    desk.clock.advance(500);
    let second = desk.refresh(&first.refresh_token).unwrap();
    desk.clock.advance(30);
    let again = desk.refresh(&first.refresh_token).unwrap();
    assert_eq!(again.refresh_token, second.refresh_token);
    assert!(desk.is_good(&again));
    // Once the successor was used, the first one is nobody's retry.
    desk.refresh(&again.refresh_token).unwrap();
    assert_eq!(desk.refresh(&first.refresh_token).map(drop), Err("reused"));
    // A clock that steps back makes no retry of a theft.
    let mut desk = Desk::new();
    let first = desk.login("ann");
    desk.refresh(&first.refresh_token).unwrap();
    desk.clock.advance(-100);
    assert_eq!(desk.refresh(&first.refresh_token).map(drop), Err("reused"));
}

#[test]
fn session_ends_when_it_was_idle_for_its_hours() {
    let mut desk = Desk::new();
    let hour = 3600;
    let mut tokens = desk.login("ann");
    for _ in 0..3 {
        desk.clock.advance(i64::from(HOURS) * hour - 1);
        tokens = desk.refresh(&tokens.refresh_token).unwrap();
    }
    desk.clock.advance(i64::from(HOURS) * hour);
    assert_eq!(desk.refresh(&tokens.refresh_token).map(drop), Err("invalid"));
    assert_eq!(desk.snapshot.count::<SessionRow>(), 1);
    let cleared = clear(&desk.snapshot, desk.keys.now(), 0);
    desk.apply(cleared);
    assert_eq!(desk.snapshot.count::<SessionRow>(), 0);
}

#[test]
fn tokens_are_void_at_once_when_their_user_is_no_more_what_they_say() {
    /// Makes tokens void.
    type Void = fn(&Snapshot) -> Change;
    let voids: [(&str, Void); 6] = [
        ("role", |there| {
            let change = ChangeUser { role: Some(Role::Operator), ..ChangeUser::default() };
            people::change_user(there, "ann", &change).unwrap().0
        }),
        ("disabled", |there| {
            let change = ChangeUser { enabled: Some(false), ..ChangeUser::default() };
            people::change_user(there, "ann", &change).unwrap().0
        }),
        ("password", |there| people::set_password(there, "ann", hashed("new"), true).unwrap().0),
        ("deleted", |there| people::delete_user(there, "ann").unwrap()),
        ("logged out everywhere", |there| end_all(there, "ann")),
        ("version alone", |there| {
            let row = there.get::<UserRow>("ann").unwrap().as_ref().clone();
            Change::default().put(&UserRow { token_version: row.token_version + 1, ..row })
        }),
    ];
    for (what, change) in voids {
        let mut desk = Desk::new();
        let (ann, bob) = (desk.login("ann"), desk.login("bob"));
        assert!(desk.is_good(&ann) && desk.is_good(&bob));
        let change = change(&desk.snapshot);
        desk.apply(change);
        assert!(!desk.is_good(&ann), "{what}");
        assert!(desk.refresh(&ann.refresh_token).is_err(), "{what}");
        assert!(desk.is_good(&bob), "{what}");
    }
    // A change that says nothing about what he may do here voids nothing.
    let mut desk = Desk::new();
    let ann = desk.login("ann");
    let harmless =
        ChangeUser { full_name: Some("Ann".to_owned()), uid: Some(Some(5)), ..ChangeUser::default() };
    let (change, _) = people::change_user(&desk.snapshot, "ann", &harmless).unwrap();
    desk.apply(change);
    assert!(desk.is_good(&ann));
}

#[test]
fn logout_ends_one_session_of_a_user() {
    let mut desk = Desk::new();
    let (one, other) = (desk.login("ann"), desk.login("ann"));
    let claims = authenticate(&desk.keys, &desk.snapshot, &one.access_token).unwrap();
    desk.apply(end(&claims));
    assert!(!desk.is_good(&one) && desk.is_good(&other));
    assert_eq!(desk.refresh(&one.refresh_token).map(drop), Err("invalid"));
}

#[test]
fn sessions_of_a_user_are_bounded_and_the_oldest_ends() {
    let mut desk = Desk::new();
    let bob = desk.login("bob");
    let mut all = Vec::new();
    for _ in 0..SESSIONS_PER_USER_MAX + 3 {
        desk.clock.advance(1);
        all.push(desk.login("ann"));
    }
    let good: Vec<bool> = all.iter().map(|tokens| desk.is_good(tokens)).collect();
    assert_eq!(good.iter().filter(|good| **good).count(), SESSIONS_PER_USER_MAX);
    assert!(good[..3].iter().all(|good| !good) && good[3..].iter().all(|good| *good));
    assert!(desk.is_good(&bob));
}

#[test]
fn sessions_in_all_are_bounded() {
    let mut desk = Desk::new();
    for nth in 0..SESSIONS_MAX {
        let row = SessionRow { refreshed_at: nth as i64, ..session("eve", &format!("{nth:06}")) };
        desk.snapshot.put(Arc::new(row));
    }
    let tokens = desk.login("ann");
    assert!(desk.is_good(&tokens));
    assert_eq!(desk.snapshot.count::<SessionRow>(), SESSIONS_MAX);
    assert!(!desk.snapshot.has::<SessionRow>("eve/000000"));
}

#[test]
fn rotated_key_keeps_everybody_logged_in_and_the_second_rotation_forgets_the_first_key() {
    let mut desk = Desk::new();
    let ann = desk.login("ann");
    desk.key_file = rotated_token_key(&desk.key_file, &TestEntropy);
    desk.keys.reload(&desk.key_file);
    assert!(desk.is_good(&ann));
    let second = desk.refresh(&ann.refresh_token).unwrap();
    // A lost answer is made again under the key that signed it.
    assert_eq!(desk.refresh(&ann.refresh_token).unwrap().refresh_token, second.refresh_token);
    desk.key_file = rotated_token_key(&desk.key_file, &TestEntropy);
    assert_eq!(desk.key_file.len(), 2 * TOKEN_KEY_BYTES);
    desk.keys.reload(&desk.key_file);
    assert!(!desk.is_good(&ann) && desk.is_good(&second));
    assert_eq!(desk.refresh(&ann.refresh_token).map(drop), Err("invalid"));
    desk.refresh(&second.refresh_token).unwrap();
}

#[test]
fn command_on_the_machine_is_an_administrator_for_a_minute() {
    let desk = Desk::new();
    let clock: Arc<HandClock> = Arc::new(desk.clock.clone());
    let token = local_token(&desk.key_file, clock.clone(), Arc::new(TestEntropy)).unwrap();
    let claims = authenticate(&desk.keys, &desk.snapshot, &token).unwrap();
    assert_eq!((claims.sub.as_str(), claims.role, claims.must_change), (LOCAL_USER, Role::Admin, false));
    let foreign = local_token(&[9; TOKEN_KEY_BYTES], clock, Arc::new(TestEntropy)).unwrap();
    assert!(authenticate(&desk.keys, &desk.snapshot, &foreign).is_none());
    desk.clock.advance(60);
    assert!(authenticate(&desk.keys, &desk.snapshot, &token).is_none());
    assert!(crate::routes::check_name(LOCAL_USER).is_err(), "a user could be named so");
}
