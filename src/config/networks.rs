//! Networks by their prefixes, as a list or as one text with commas.

use std::net::IpAddr;

use ipnet::IpNet;
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
        let parse = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let networks = networks.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(|text| {
            parse(text).map_err(|_| {
                D::Error::custom(format!("{text:?} is no network; write 10.0.0.0/8 or 10.1.2.3"))
            })
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_from_a_list_or_a_text() {
        let read = |json: &str| serde_json::from_str::<Networks>(json);
        for written in [r#"["10.0.0.0/8", "::1"]"#, r#""10.0.0.0/8, ::1""#] {
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
