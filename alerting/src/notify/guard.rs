//! Where a message may go: the address that is connected to is checked, not the name.
//!
//! A webhook URL must not become a way into the operator's own network (the cloud's metadata service, a database on
//! loopback). The name is resolved once, every address is checked, and the connection is made to a checked one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A network, `10.0.0.0/8` or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    net: IpAddr,
    prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let bad = || format!("'{text}' is not a network such as 10.0.0.0/8");
        let (net, prefix) = match text.split_once('/') {
            Some((net, prefix)) => (net, Some(prefix.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let net: IpAddr = net.parse().map_err(|_| bad())?;
        let bits = if net.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits { Err(bad()) } else { Ok(Cidr { net, prefix }) }
    }
}

impl Cidr {
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.net, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(net) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{ip} is {class}; allow it with allow_private if that is meant")]
pub struct Refused {
    pub ip: IpAddr,
    pub class: &'static str,
}

/// Whether a message may be sent to this address.
pub fn check(ip: IpAddr, allow: &[Cidr]) -> Result<(), Refused> {
    // An IPv4 address in IPv6 clothes is judged as what it is.
    let real = match ip {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    let class = match real {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    };
    match class {
        None => Ok(()),
        Some(_) if allow.iter().any(|cidr| cidr.contains(ip) || cidr.contains(real)) => Ok(()),
        Some(class) => Err(Refused { ip, class }),
    }
}

/// The address inside `::ffff:a.b.c.d`, `::a.b.c.d`, `64:ff9b::a.b.c.d` (NAT64) and 2002:: (6to4).
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let low = Ipv4Addr::from(((u32::from(s[6])) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0xffff, _, _] => Some(low),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low),
        [0x2002, a, b, ..] => Some(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b))),
        _ => None,
    }
}

fn class_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    Some(match (a, b, c) {
        (0, ..) => "of this host",
        (127, ..) => "loopback",
        (10, ..) | (192, 168, _) => "private",
        (172, 16..=31, _) => "private",
        (169, 254, _) => "link-local",
        (100, 64..=127, _) => "behind a carrier's NAT",
        (192, 0, 0) => "reserved",
        (198, 18..=19, _) => "for benchmarks",
        (224..=239, ..) => "multicast",
        (240..=255, ..) => "reserved",
        _ => return None,
    })
}

fn class_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if ip.is_loopback() {
        return Some("loopback");
    }
    if ip.is_unspecified() {
        return Some("of this host");
    }
    match ip.segments()[0] {
        0xfe80..=0xfebf => Some("link-local"),
        0xfec0..=0xfeff => Some("site-local"),
        0xfc00..=0xfdff => Some("private"),
        0xff00..=0xffff => Some("multicast"),
        _ => None,
    }
}

/// Resolves names to allowed addresses only.
#[derive(Debug, Clone)]
pub struct GuardedResolver {
    pub allow: Vec<Cidr>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allowed(found, &allow)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Marks a refusal inside an error chain, so that it is not taken for a network that is down.
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
pub struct RefusedName(pub Refused);

fn allowed(found: impl Iterator<Item = SocketAddr>, allow: &[Cidr]) -> Result<Vec<SocketAddr>, RefusedName> {
    let mut good = Vec::new();
    let mut refused = None;
    for address in found {
        match check(address.ip(), allow) {
            Ok(()) => good.push(address),
            Err(reason) => refused = Some(reason),
        }
    }
    match refused {
        Some(reason) if good.is_empty() => Err(RefusedName(reason)),
        _ => Ok(good),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.net, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_let_through() {
        for (ip, class) in [
            ("93.184.216.34", None),
            ("2606:2800:220:1::1", None),
            ("127.0.0.1", Some("loopback")),
            ("127.8.9.1", Some("loopback")),
            ("0.0.0.0", Some("of this host")),
            ("10.1.2.3", Some("private")),
            ("172.16.0.1", Some("private")),
            ("172.32.0.1", None),
            ("192.168.1.1", Some("private")),
            ("169.254.169.254", Some("link-local")),
            ("100.64.0.1", Some("behind a carrier's NAT")),
            ("100.128.0.1", None),
            ("198.18.0.1", Some("for benchmarks")),
            ("224.0.0.1", Some("multicast")),
            ("255.255.255.255", Some("reserved")),
            ("::1", Some("loopback")),
            ("::", Some("of this host")),
            ("fe80::1", Some("link-local")),
            ("fd00::1", Some("private")),
            ("ff02::1", Some("multicast")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("::7f00:1", Some("loopback")),
            ("64:ff9b::a00:1", Some("private")),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:5db8:d822::", None),
        ] {
            let ip: IpAddr = ip.parse().expect(ip);
            assert_eq!(check(ip, &[]).err().map(|refused| refused.class), class, "{ip}");
        }
    }

    #[test]
    fn private_networks_can_be_allowed() {
        let allow = ["10.0.0.0/8".parse().expect("a network"), "127.0.0.1".parse().expect("an address")];
        assert!(check("10.200.0.1".parse().expect("ip"), &allow).is_ok());
        assert!(check("::ffff:10.0.0.1".parse().expect("ip"), &allow).is_ok());
        assert!(check("127.0.0.1".parse().expect("ip"), &allow).is_ok());
        assert!(check("127.0.0.2".parse().expect("ip"), &allow).is_err());
        assert!("10.0.0.0/33".parse::<Cidr>().is_err() && "x/8".parse::<Cidr>().is_err());
        assert!("0.0.0.0/0".parse::<Cidr>().expect("all").contains("1.2.3.4".parse().expect("ip")));
    }

    #[test]
    fn a_name_with_one_bad_address_is_used_by_its_good_one() {
        let address = |ip: &str| SocketAddr::new(ip.parse().expect(ip), 443);
        let mixed = [address("10.0.0.1"), address("93.184.216.34")];
        assert_eq!(allowed(mixed.into_iter(), &[]).expect("one is good"), [address("93.184.216.34")]);
        assert!(allowed([address("169.254.169.254")].into_iter(), &[]).is_err());
    }
}
