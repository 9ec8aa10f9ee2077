//! Networks by their prefixes, as a list or as one text with commas.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Networks such as `10.0.0.0/8`; an address alone is a network of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether one of them holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// A network of IPv4 that is written as one of IPv6 (`::ffff:10.0.0.0/104`) is one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(_), IpAddr::V4(address)) if network.prefix_len() >= MAPPED_BITS => {
            Ipv4Net::new(address, network.prefix_len() - MAPPED_BITS).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        let written = Written::deserialize(deserializer)
            .map_err(|_| D::Error::custom("write a list of networks: [\"10.0.0.0/8\", \"::1\"]"))?;
        let networks: Vec<String> = match written {
            Written::Text(text) => text.split(',').map(str::to_owned).collect(),
            Written::List(list) => list,
        };
        let parse = |text: &str| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map(canonical).map_err(|_| {
                D::Error::custom(format!("{text:?} is not a network; write 10.0.0.0/8 or 10.1.2.3"))
            })
        };
        networks
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_from_a_list_or_a_text() {
        let read = |json: &str| serde_json::from_str::<Networks>(json);
        for written in [r#"["10.0.0.0/8", "::1"]"#, r#""10.0.0.0/8, ::1""#, r#""::ffff:10.0.0.0/104,::1""#] {
            let networks = read(written).unwrap();
            for (address, is_in) in [
                ("10.255.0.1", true),
                ("11.0.0.1", false),
                ("::1", true),
                ("::ffff:10.0.0.1", true),
                ("::2", false),
            ] {
                assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
            }
        }
        assert_eq!(read("\"\"").unwrap(), Networks::default());
        for wrong in [r#""10.0.0.0/33""#, r#"["localhost"]"#, "5"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
