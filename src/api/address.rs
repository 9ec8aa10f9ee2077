//! Which address a request came from: the peer's, unless the peer is a proxy that is trusted to name another.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::gate::Gate;
use super::problem::Problem;
use crate::config::Networks;

/// Each proxy adds the address of its caller at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request came from.
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<Gate> for ClientAddress {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, Problem> {
        // `door` puts it there. Requests that come without a connection share one address.
        let peer = parts.extensions.get().copied().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        Ok(Self(client(peer, &parts.headers, &gate.app().config().limits.trusted_proxies)))
    }
}

/// The right-most hop that is no trusted proxy: that client may have written what stands further left. A hop that
/// cannot be read was not written by a trusted proxy.
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
        assert_eq!(seen("::ffff:10.0.0.1", &["1.1.1.1"], "10.0.0.0/8"), "1.1.1.1");
    }

    #[test]
    fn behind_a_trusted_proxy_the_last_hop_that_is_none_counts() {
        let cases: [(&[&str], &str); 10] = [
            (&[], "10.0.0.1"),
            (&["1.1.1.1"], "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            (&["6.6.6.6", "1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["6.6.6.6, unknown"], "10.0.0.1"),
            (&["6.6.6.6,"], "10.0.0.1"),
            (&["1.1.1.1:80"], "1.1.1.1"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["[::2]"], "::2"),
        ];
        for (lines, address) in cases {
            assert_eq!(seen("10.0.0.1", lines, "10.0.0.0/8"), address, "{lines:?}");
        }
    }
}
