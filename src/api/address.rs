//! Which address a request came from: the peer's, unless the peer is a proxy that is trusted to name another.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::gate::Gate;
use super::problem::Problem;
use crate::config::Networks;

/// Each proxy adds whom it was called by at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Where a request came from.
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<Gate> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        // Whoever cannot be told apart shares one address.
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
        Ok(Self(client(peer, &parts.headers, &gate.app().config().limits.trusted_proxies)))
    }
}

/// The right-most hop that is no trusted proxy: what stands further left was said by whoever that is. A hop that
/// cannot be read was not said by a proxy that is to be trusted further.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let mut hops = lines.iter().flat_map(|line| line.split(',')).rev();
    let mut client = peer.to_canonical();
    while trusted.contains(client) {
        match hops.next().and_then(address) {
            Some(hop) => client = hop.to_canonical(),
            None => break,
        }
    }
    client
}

/// An address as proxies write it: alone, with a port, in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let alone = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    alone.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, lines: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted = serde_json::from_value(serde_json::json!(trusted)).unwrap();
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(seen("192.0.2.9", &["1.1.1.1"], ""), "192.0.2.9");
        assert_eq!(seen("192.0.2.9", &["1.1.1.1"], "10.0.0.0/8"), "192.0.2.9");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1"], "10.0.0.0/8"), "1.1.1.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["1.1.1.1"], "10.0.0.0/8"), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &[], "10.0.0.0/8"), "10.0.0.1");
    }

    #[test]
    fn what_a_client_put_in_front_is_not() {
        let trusted = "10.0.0.0/8";
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 1.1.1.1"], trusted), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"], trusted), "1.1.1.1");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"], trusted), "10.0.0.3");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, unknown"], trusted), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["6.6.6.6,"], trusted), "10.0.0.1");
    }

    #[test]
    fn ports_and_brackets_make_no_difference() {
        for (hop, address) in
            [("1.1.1.1:80", "1.1.1.1"), ("[2001:db8::1]:80", "2001:db8::1"), ("[::2]", "::2")]
        {
            assert_eq!(seen("10.0.0.1", &[hop], "10.0.0.1"), address);
        }
    }
}
