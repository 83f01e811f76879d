//! The `Host` header, as a guard against DNS rebinding: a page in a browser on this machine must not talk to the gateway
//! under a name of its own that it lets point to the loopback address.

use super::peer::Peer;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use dfs_api::Problem;

/// Names under which a gateway on loopback is asked.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Refuses requests from loopback that ask for another host (421). On a network the name is the administrator's choice.
pub(crate) fn check(peer: Peer, headers: &HeaderMap) -> Result<(), Problem> {
    if !peer.ip().is_some_and(|ip| ip.is_loopback()) {
        return Ok(());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return Err(Problem::new(400, "invalid-host", "one Host header is needed"));
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let mut known = LOOPBACK.iter();
    if known.any(|known| known.eq_ignore_ascii_case(name)) || is_loopback(name) {
        return Ok(());
    }
    let why = "on this machine the gateway is asked as localhost, 127.0.0.1 or [::1]";
    Err(Problem::new(421, "wrong-host", why))
}

/// Another address of the loopback network; no name can be one.
fn is_loopback(name: &str) -> bool {
    name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn loopback_is_asked_by_its_own_names_only() {
        let from = |ip: &str| Peer::Network(SocketAddr::new(ip.parse().unwrap(), 999));
        let asked = |peer, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            check(peer, &headers).map_err(|problem| problem.status)
        };
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "127.0.0.7:80"] {
            assert_eq!(asked(from("127.0.0.1"), host), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "localhost.evil.example", "", "127.0.0.1.evil.example"]
        {
            assert_eq!(asked(from("127.0.0.1"), host), Err(421), "{host}");
            assert_eq!(asked(from("::ffff:127.0.0.1"), host), Err(421), "{host}");
            assert_eq!(asked(from("192.0.2.1"), host), Ok(()));
        }
        assert_eq!(check(from("::1"), &HeaderMap::new()).unwrap_err().status, 400);
        assert_eq!(check(Peer::Local, &HeaderMap::new()), Ok(()));
    }
}
