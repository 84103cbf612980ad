//! Addresses by network: hosts of one network are one source, so that a new host beside the old ones, or
//! another address of the same gateway, is nothing new.

use std::net::IpAddr;

/// The network of an address: /24 for IPv4, /48 for IPv6. What is no address stands for itself.
#[must_use]
pub fn network_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
        Err(_) => address.chars().take(64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_network_are_one_source() {
        for (address, network) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("203.0.113.200", "203.0.113.0/24"),
            ("203.0.114.7", "203.0.114.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("2001:db8:1:ffff::3", "2001:db8:1::/48"),
            ("", ""),
        ] {
            assert_eq!(network_of(address), network);
        }
    }
}
