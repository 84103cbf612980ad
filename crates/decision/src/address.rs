//! Networks from which a credential may be used. An address is compared as a number, so each has one meaning; an IPv4
//! address inside of IPv6 counts as the IPv4 address that it is.

use crate::invalid::Invalid;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// A network (`10.0.0.0/8`, `2001:db8::/32`) or one address. Parsed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "10.0.0.0/8")]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether the address lies inside.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl TryFrom<String> for AddressRange {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::try_from(text.as_str())
    }
}

impl TryFrom<&str> for AddressRange {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                Invalid::value("is no network; write 10.0.0.0/8, 2001:db8::/32, or one address".to_owned())
            })?,
        };
        if matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
            return Err(Invalid::value(
                "is an IPv4 network written as IPv6, which would match nothing; write it as IPv4".to_owned(),
            ));
        }
        let whole = network.trunc();
        if whole != network {
            return Err(Invalid::value(format!(
                "has bits behind its length; write {whole}, or the one address without a length"
            )));
        }
        Ok(Self(network))
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return write!(formatter, "{}", self.0.addr());
        }
        write!(formatter, "{}", self.0)
    }
}

/// From where a credential may be used, and from where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressLimit {
    /// The networks.
    pub allowed: Vec<AddressRange>,
    /// The caller's address, if it is known.
    pub presented: Option<String>,
}

impl AddressLimit {
    /// Whether the caller's address lies in one of the networks. One that is not known lies in none.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let presented = self.presented.as_deref().and_then(|text| text.parse().ok());
        presented.is_some_and(|address| self.allowed.iter().any(|range| range.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(allowed: &[&str], presented: Option<&str>) -> bool {
        AddressLimit {
            allowed: allowed.iter().map(|text| (*text).try_into().unwrap()).collect(),
            presented: presented.map(str::to_owned),
        }
        .is_kept()
    }

    #[test]
    fn an_address_inside_of_one_network_is_enough_and_an_unknown_one_never_is() {
        for (allowed, presented, kept) in [
            (&["10.0.0.0/8"][..], Some("10.255.1.2"), true),
            (&["10.0.0.0/8"], Some("11.0.0.0"), false),
            (&["192.0.2.1", "10.0.0.0/8"], Some("192.0.2.1"), true),
            (&["192.0.2.1"], Some("192.0.2.2"), false),
            (&["10.0.0.0/8"], Some("::ffff:10.1.2.3"), true),
            (&["2001:db8::/32"], Some("2001:db8:1::5"), true),
            (&["2001:db8::/32"], Some("2001:db9::5"), false),
            (&["0.0.0.0/0"], Some("2001:db9::5"), false),
            (&["0.0.0.0/0", "::/0"], None, false),
            (&["0.0.0.0/0"], Some("somewhere"), false),
            (&[], Some("10.0.0.1"), false),
        ] {
            assert_eq!(limit(allowed, presented), kept, "{presented:?} in {allowed:?}");
        }
    }

    #[test]
    fn a_network_that_could_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            " 10.0.0.0/8",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0",
            "010.0.0.1",
            "host",
            "::ffff:10.0.0.0/104",
            "2001:db8::1/32",
            "10.0.0.0/-1",
        ] {
            let parsed = AddressRange::try_from(text);
            assert!(parsed.is_err(), "{text:?}: {parsed:?}");
        }
        for text in [
            "10.0.0.0/8",
            "192.0.2.1",
            "2001:db8::/32",
            "2001:db8::1",
            "0.0.0.0/0",
        ] {
            assert_eq!(AddressRange::try_from(text).unwrap().to_string(), text);
        }
    }
}
