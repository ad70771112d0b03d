//! Networks as people write them: addresses, prefixes, and one name for all private ones.

use std::net::IpAddr;

use ipnet::IpNet;

use super::ConfigError;

/// Some networks; often none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// As Caddy calls them.
const PRIVATE_NAME: &str = "private_ranges";
const PRIVATE: [&str; 6] =
    ["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "::1/128"];

impl Networks {
    /// From `"10.0.0.0/8"`, `"192.168.1.7"`, `"fd00::/8"` and `"private_ranges"`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let mut networks = Vec::new();
        for text in texts {
            match text {
                PRIVATE_NAME => networks.extend(PRIVATE.iter().filter_map(|it| one(it))),
                text => {
                    networks.push(one(text).ok_or_else(|| ConfigError::Network(text.to_owned()))?);
                }
            }
        }
        Ok(Self(networks))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An IPv4 address that came over an IPv6 socket counts as what it is.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

fn one(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_prefixes_and_private_ranges_are_networks() {
        let networks = Networks::parse(["192.168.1.7", "10.0.0.0/8", "fd00::/8"]).unwrap();
        let contains = |ip: &str| networks.contains(ip.parse().unwrap());
        assert!(contains("192.168.1.7") && contains("10.255.0.1") && contains("fd12::1"));
        assert!(contains("::ffff:10.0.0.1"), "IPv4 within IPv6");
        assert!(!contains("192.168.1.8") && !contains("2001:db8::1"));
        let private = Networks::parse(["private_ranges"]).unwrap();
        assert!(private.contains("172.31.255.255".parse().unwrap()));
        assert!(!private.contains("172.32.0.0".parse().unwrap()));
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "lan", "10.0.0"] {
            assert!(Networks::parse([bad]).is_err(), "{bad:?} was taken");
        }
    }
}
