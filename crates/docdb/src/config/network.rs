//! A block of IP addresses, as `10.0.0.0/8` or `fd00::/8`; an address alone is a block of one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A block of IP addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// Its first address.
    first: IpAddr,
    /// How many bits of its addresses are the same.
    bits: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address that came over IPv6 is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                same(first.to_bits().into(), address.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                same(first.to_bits(), address.to_bits(), 128, self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whether the first `bits` of two addresses of `width` bits are the same.
fn same(a: u128, b: u128, width: u8, bits: u8) -> bool {
    let behind = u32::from(width.saturating_sub(bits));
    // Nothing is left of an address behind its width.
    (a ^ b).checked_shr(behind).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| "it is no IP address")?;
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) && bits.len() <= 3 => {
                bits.parse().ok().filter(|bits| *bits <= width).ok_or("it has too many bits")?
            }
            Some(_) => return Err("its bits are no number"),
        };
        let network = Self { first, bits };
        // Whoever writes 10.1.2.3/8 may mean one address or sixteen million.
        let is_first = match first {
            IpAddr::V4(address) => {
                u128::from(address.to_bits()).trailing_zeros() >= u32::from(32 - bits)
            }
            IpAddr::V6(address) => address.to_bits().trailing_zeros() >= u32::from(128 - bits),
        };
        let is_mapped = matches!(first, IpAddr::V6(address) if is_mapped(address));
        if !is_first {
            return Err("it has bits behind its length");
        }
        if is_mapped {
            return Err("it is an IPv4 address in the clothes of IPv6; write the IPv4 address");
        }
        Ok(network)
    }
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_addresses_and_no_others() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7/32", "192.168.1.6", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fe80::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1", "::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "::/129",
            "a/8",
            "::ffff:10.0.0.0/104",
            "0.0.0.0/-1",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
