//! Addresses that are listened on.

use std::net::{Ipv4Addr, SocketAddr};

/// What to write instead of something that is none.
const FORM: &str = "write an IP address and a port, as in 127.0.0.1:9092 or [::1]:9092, or 0.0.0.0:9092 for all addresses of this \
                    machine";

/// Reads one. Names are not looked up: one may stand for several addresses, and for others at the next start. `localhost` is
/// the same everywhere.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    match port.parse::<u16>() {
        Ok(port) if host == "localhost" => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Ok(_) if is_name(host) => Err(format!(
            "{host} is a name, and of names only localhost is known here: {FORM}"
        )),
        _ => Err(format!("not an address to listen on: {FORM}")),
    }
}

/// Reads the one of `penstock dev`, of which people write as of an agent's.
pub(super) fn sole_address(text: &str) -> Result<SocketAddr, String> {
    match text.contains("://") || text.contains(',') {
        true => Err(
            "dev has one listener without a name, as in 127.0.0.1:9092; penstock agent takes several"
                .to_owned(),
        ),
        false => address(text),
    }
}

fn is_name(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    host.contains(|c: char| c.is_ascii_alphabetic()) && host.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_so_is_localhost() {
        for (text, read) in [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("[::1]:0", "[::1]:0"),
            ("0.0.0.0:65535", "0.0.0.0:65535"),
            ("localhost:9092", "127.0.0.1:9092"),
        ] {
            let read: SocketAddr = read.parse().unwrap();
            assert_eq!(address(text), Ok(read), "{text}");
        }
    }

    #[test]
    fn a_sole_address_has_no_name_and_none_beside_it() {
        let one: SocketAddr = "127.0.0.1:9092".parse().unwrap();
        assert_eq!(sole_address("localhost:9092"), Ok(one));
        for text in [
            "PLAINTEXT://127.0.0.1:9092",
            "127.0.0.1:9092,127.0.0.1:9093",
            "in://127.0.0.1:9092,out://127.0.0.1:9093",
        ] {
            let said = sole_address(text).unwrap_err();
            assert!(
                said.contains("one listener without a name"),
                "{text}: {said}"
            );
            assert!(said.contains("penstock agent takes several"), "{said}");
        }
        let said = sole_address("nonsense").unwrap_err();
        assert!(said.starts_with("not an address"), "{said}");
    }

    #[test]
    fn of_anything_else_it_is_said_what_to_write() {
        for text in [
            "",
            "nonsense",
            "9644",
            ":9092",
            "*:9092",
            "127.0.0.1",
            "localhost",
            "localhost:",
            "localhost:65536",
            "127.0.0.300:9092",
            "::1:9092",
            "http://localhost:9644",
        ] {
            let said = address(text).unwrap_err();
            assert!(said.starts_with("not an address"), "{text}: {said}");
            assert!(said.contains("as in 127.0.0.1:9092"), "{said}");
        }
        let said = address("broker.test:9092").unwrap_err();
        assert!(said.starts_with("broker.test is a name"), "{said}");
        assert!(said.contains("as in 127.0.0.1:9092"), "{said}");
    }
}
