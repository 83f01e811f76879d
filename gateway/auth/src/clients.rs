//! Which machines may use a share: addresses, networks, exact host names, and groups of these by name.
//!
//! An IPv4 address that arrives mapped into IPv6 is compared as IPv4. A host name rule matches nothing by itself: the
//! composition root resolves names and gives their addresses to [`ClientList::with_hosts`]; nothing here asks a
//! resolver, so a request never waits for one. Likewise a netgroup matches what [`ClientList::with_netgroups`] was told.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One rule. *Text form:* `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`, `build7.example.org`, `@group`,
/// `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClientRule {
    /// Everybody.
    Any,
    /// One address.
    Address(IpAddr),
    /// A network: its address and the number of leading bits that count.
    Network(IpAddr, u8),
    /// A host name, compared exactly, in lower case.
    Host(String),
    /// The members of a netgroup, whatever they are at the time.
    Netgroup(String),
}

/// The text is not a client rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not an address, a network like 192.0.2.0/24, a host name, a netgroup like @group or '*': {why}"
)]
pub struct BadClientRule {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for ClientRule {
    type Err = BadClientRule;

    fn from_str(text: &str) -> Result<ClientRule, BadClientRule> {
        let bad = |why| BadClientRule { text: text.to_owned(), why };
        if text == "*" {
            return Ok(ClientRule::Any);
        }
        if let Some(group) = text.strip_prefix('@') {
            let rule = is_group_name(group).then(|| ClientRule::Netgroup(group.to_owned()));
            return rule.ok_or_else(|| bad("not the name of a netgroup"));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(ClientRule::Address(address.to_canonical()));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr =
                address.parse().map_err(|_| bad("the part before '/' is not an address"))?;
            let bits: u8 = bits.parse().map_err(|_| bad("the part after '/' is not a number of bits"))?;
            let (most, zero_host) = match address {
                IpAddr::V4(v4) => (32, u32::from(v4) & !mask4(bits) == 0),
                IpAddr::V6(v6) => (128, u128::from(v6) & !mask6(bits) == 0),
            };
            if bits > most {
                return Err(bad("too many bits"));
            }
            if !zero_host {
                return Err(bad("the address has bits beyond the network part"));
            }
            return Ok(ClientRule::Network(address, bits));
        }
        let label = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            !part.is_empty() && part.len() <= 63 && plain && !part.starts_with('-') && !part.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(bad("not a host name"));
        }
        if text.split('.').next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return Err(bad("looks like an address but is none"));
        }
        Ok(ClientRule::Host(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for ClientRule {
    type Error = BadClientRule;

    fn try_from(text: String) -> Result<ClientRule, BadClientRule> {
        text.parse()
    }
}

impl From<ClientRule> for String {
    fn from(rule: ClientRule) -> String {
        rule.to_string()
    }
}

impl fmt::Display for ClientRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientRule::Any => f.write_str("*"),
            ClientRule::Address(address) => write!(f, "{address}"),
            ClientRule::Network(address, bits) => write!(f, "{address}/{bits}"),
            ClientRule::Host(name) => f.write_str(name),
            ClientRule::Netgroup(name) => write!(f, "@{name}"),
        }
    }
}

/// Whether a netgroup may have this name: 1 to 64 letters, digits, `-`, `_` or `.`, the first a letter or digit.
fn is_group_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= 64
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

fn mask4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(u32::from(bits))).unwrap_or(0)
}

fn mask6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(u32::from(bits))).unwrap_or(0)
}

/// The rules of a share, the members of its netgroups, and what its host names resolve to. Empty: nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientList {
    rules: Vec<ClientRule>,
    groups: HashMap<String, Vec<ClientRule>>,
    hosts: HashMap<String, Vec<IpAddr>>,
}

impl ClientList {
    /// A list whose netgroups are empty and whose host names resolve to nothing yet.
    #[must_use]
    pub fn new(rules: Vec<ClientRule>) -> ClientList {
        ClientList { rules, groups: HashMap::new(), hosts: HashMap::new() }
    }

    /// The list with the members of its netgroups. A netgroup among a group's members matches nothing.
    #[must_use]
    pub fn with_netgroups(
        mut self,
        groups: impl IntoIterator<Item = (String, Vec<ClientRule>)>,
    ) -> ClientList {
        self.groups = groups.into_iter().collect();
        self
    }

    /// The list with the addresses of its host names.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> ClientList {
        let lower = |(name, addresses): (String, Vec<IpAddr>)| {
            (name.to_ascii_lowercase(), addresses.iter().map(IpAddr::to_canonical).collect())
        };
        self.hosts = hosts.into_iter().map(lower).collect();
        self
    }

    /// The rules as given.
    #[must_use]
    pub fn rules(&self) -> &[ClientRule] {
        &self.rules
    }

    /// Host names that need to be resolved.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.machines().filter_map(|rule| match rule {
            ClientRule::Host(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Netgroups that the rules name.
    pub fn netgroups(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match rule {
            ClientRule::Netgroup(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The rules, with the members of netgroups in their place.
    fn machines(&self) -> impl Iterator<Item = &ClientRule> {
        let members = self.netgroups().filter_map(|name| self.groups.get(name)).flatten();
        self.rules.iter().chain(members)
    }

    /// Whether a client at this address may use the share.
    #[must_use]
    pub fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.machines().any(|rule| match rule {
            ClientRule::Any => true,
            ClientRule::Address(address) => *address == client,
            ClientRule::Network(network, bits) => in_network(*network, *bits, client),
            ClientRule::Host(name) => self.hosts.get(name).is_some_and(|known| known.contains(&client)),
            ClientRule::Netgroup(_) => false,
        })
    }
}

fn in_network(network: IpAddr, bits: u8, client: IpAddr) -> bool {
    let same4 = |a: Ipv4Addr, b: Ipv4Addr| (u32::from(a) ^ u32::from(b)) & mask4(bits) == 0;
    let same6 = |a: Ipv6Addr, b: Ipv6Addr| (u128::from(a) ^ u128::from(b)) & mask6(bits) == 0;
    match (network, client) {
        (IpAddr::V4(network), IpAddr::V4(client)) => same4(network, client),
        (IpAddr::V6(network), IpAddr::V6(client)) => same6(network, client),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(rules: &[&str]) -> ClientList {
        ClientList::new(rules.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn empty_list_allows_nobody() {
        assert!(!list(&[]).allows(ip("127.0.0.1")));
    }

    #[test]
    fn rules_match_what_they_say_and_nothing_else() {
        let some = list(&["192.0.2.0/24", "10.1.2.3", "2001:db8::/32", "0.0.0.0/32"]);
        for yes in ["192.0.2.255", "10.1.2.3", "2001:db8:ffff::1", "::ffff:192.0.2.9", "0.0.0.0"] {
            assert!(some.allows(ip(yes)), "{yes}");
        }
        for no in ["192.0.3.0", "10.1.2.4", "2001:db9::1", "::1", "127.0.0.1"] {
            assert!(!some.allows(ip(no)), "{no}");
        }
        assert!(list(&["0.0.0.0/0"]).allows(ip("8.8.8.8")));
        assert!(!list(&["0.0.0.0/0"]).allows(ip("::1")));
        assert!(list(&["*"]).allows(ip("::1")));
    }

    #[test]
    fn host_rule_matches_only_addresses_it_was_given() {
        let named = list(&["Build7.example.org"]);
        assert!(!named.allows(ip("192.0.2.1")));
        assert_eq!(named.host_names().collect::<Vec<_>>(), ["build7.example.org"]);
        let named = named.with_hosts([("BUILD7.example.org".to_owned(), vec![ip("192.0.2.1")])]);
        assert!(named.allows(ip("192.0.2.1")));
        assert!(!named.allows(ip("192.0.2.2")));
    }

    #[test]
    fn netgroup_matches_its_members_as_they_are_told_and_no_group_in_a_group() {
        let grouped = list(&["@build", "10.0.0.1"]);
        assert!(!grouped.allows(ip("192.0.2.7")) && grouped.allows(ip("10.0.0.1")));
        assert_eq!(grouped.netgroups().collect::<Vec<_>>(), ["build"]);
        let members = |rules: &[&str]| list(rules).rules().to_vec();
        let grouped = grouped.with_netgroups([
            ("build".to_owned(), members(&["192.0.2.0/28", "ci.example.org", "@other"])),
            ("other".to_owned(), members(&["*"])),
        ]);
        assert_eq!(grouped.host_names().collect::<Vec<_>>(), ["ci.example.org"]);
        let grouped = grouped.with_hosts([("ci.example.org".to_owned(), vec![ip("198.51.100.9")])]);
        for yes in ["192.0.2.7", "198.51.100.9", "10.0.0.1"] {
            assert!(grouped.allows(ip(yes)), "{yes}");
        }
        assert!(!grouped.allows(ip("203.0.113.1")), "through a group in a group");
        let without = grouped.with_netgroups([]);
        assert!(!without.allows(ip("192.0.2.7")));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_reason() {
        for text in [
            "",
            "192.0.2.0/33",
            "192.0.2.1/24",
            "a..b",
            "-x",
            "300.1.1.1",
            "fe80::/x",
            "a b",
            "1.2.3",
            "@",
            "@-x",
            "@a/b",
        ] {
            assert!(text.parse::<ClientRule>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn network_agrees_with_bit_by_bit_comparison(network: u32, client: u32, bits in 0u8..=32) {
            let same = (0..bits).all(|n| (network >> (31 - n)) & 1 == (client >> (31 - n)) & 1);
            prop_assert_eq!(in_network(IpAddr::V4(network.into()), bits, IpAddr::V4(client.into())), same);
        }

        #[test]
        fn rule_text_round_trips(address: u32, bits in 0u8..=32) {
            let network = IpAddr::V4((address & mask4(bits)).into());
            let rule = ClientRule::Network(network, bits);
            prop_assert_eq!(rule.to_string().parse::<ClientRule>().unwrap(), rule);
        }
    }
}
