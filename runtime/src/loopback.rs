//! Which hosts are this machine itself.

use std::net::IpAddr;

/// Whether a host, as it stands in a URL, is a loopback name or address. Nothing is resolved. A proxy must not be asked
/// for these: its loopback is another machine's.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

/// Whether an address is this machine itself, also when it is an IPv4 address in the clothes of IPv6.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_this_machine() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]", "::1", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["", "localhost.example", "10.0.0.1", "[::2]", "127.0.0.1.example", "[localhost]"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
