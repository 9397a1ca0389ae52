//! Ports of this process, taken before anything else is done and opened once it can serve: one that another process has is
//! refused before anything is written, and nobody is kept waiting by a process that is about to refuse its bucket.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::config::{Listen, Misuse};

/// Connections that may wait to be accepted; the system cuts that to its own bound.
const BACKLOG: u32 = 4096;

/// A port at which nobody is heard yet: who connects is refused.
#[derive(Debug)]
pub(super) struct Port {
    socket: TcpSocket,
    /// The flag that named it, without its dashes.
    flag: &'static str,
}

impl Port {
    /// # Errors
    /// Where another process listens there, or this machine has no such address; with a sentence for the operator. One that
    /// has taken the port as well and not opened it yet is found out when both do.
    pub(super) fn take(address: SocketAddr, flag: &'static str) -> anyhow::Result<Self> {
        let take = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Connections of a process that ended here a moment ago do not keep the port from the next.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok::<_, Error>(socket)
        };
        let socket = take().map_err(|error| not_bound(address, flag, error))?;
        Ok(Self { socket, flag })
    }

    /// With the port that was free where none was given.
    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// From now on who connects waits to be accepted.
    ///
    /// # Errors
    /// Where another process was faster, with a sentence for the operator.
    pub(super) fn open(self) -> anyhow::Result<TcpListener> {
        let address = self.address()?;
        let opened = self.socket.listen(BACKLOG);
        opened.map_err(|error| not_bound(address, self.flag, error))
    }
}

/// Two that are taken and not opened yet do not notice each other: this looks at the addresses before anything is written.
///
/// # Errors
/// Where two flags of this process, without their dashes, give the same, with a sentence for the operator.
pub(super) fn check_apart(given: &[(SocketAddr, &'static str)]) -> anyhow::Result<()> {
    let pairs = given.iter().enumerate();
    for ((one, flag), (other, also)) in
        pairs.flat_map(|(index, each)| given[..index].iter().map(move |before| (each, before)))
    {
        let port = one.port();
        let both = port != 0 && port == other.port();
        if both && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip())) {
            return Err(Misuse::say(format!(
                "{other} of --{also} and {one} of --{flag} are the same port: choose another one for --{flag}"
            )));
        }
    }
    Ok(())
}

/// Whether who listens on the first listens on the second: all addresses of IPv6 are those of IPv4 too.
fn covers(all: IpAddr, one: IpAddr) -> bool {
    all == one || (all.is_unspecified() && (all.is_ipv6() || one.is_ipv4()))
}

/// The clients' ports, with the addresses that were free where none was given.
pub(super) fn take_all(wanted: &[Listen]) -> anyhow::Result<(Vec<Listen>, Vec<Port>)> {
    let (mut listen, mut ports) = (wanted.to_vec(), Vec::new());
    for each in &mut listen {
        let port = Port::take(each.address, "listen")?;
        each.address = port.address()?;
        ports.push(port);
    }
    Ok((listen, ports))
}

/// Why an address cannot be listened on, and what to do.
fn not_bound(address: SocketAddr, flag: &str, error: Error) -> anyhow::Error {
    let choose = format!("choose another address with --{flag}");
    let why = match error.kind() {
        ErrorKind::AddrInUse => format!("is another process there? Stop it, or {choose}"),
        ErrorKind::AddrNotAvailable => {
            let all = match address.ip() {
                IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let all = SocketAddr::new(all, address.port());
            format!("this machine has no such address: {choose}, {all} for all that it has")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 are for privileged processes: {choose}")
        }
        _ => choose,
    };
    anyhow::Error::new(error).context(format!("cannot listen on {address}; {why}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let clash = |one: &str, other: &str| {
            let given = [
                (one.parse().unwrap(), "listen"),
                (other.parse().unwrap(), "http"),
            ];
            check_apart(&given).map_err(|error| error.to_string())
        };
        for (one, other) in [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("0.0.0.0:9092", "127.0.0.1:9092"),
            ("127.0.0.1:9092", "[::]:9092"),
            ("[::1]:9092", "[::]:9092"),
        ] {
            let refused = clash(one, other).unwrap_err();
            for part in [one, other, "--listen", "--http"] {
                assert!(refused.contains(part), "{refused}");
            }
        }
        for (one, other) in [
            ("127.0.0.1:9092", "127.0.0.1:9093"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:9092", "127.0.0.2:9092"),
            ("0.0.0.0:9092", "[::1]:9092"),
        ] {
            assert_eq!(clash(one, other), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_port_is_this_process_s_from_the_start_and_hears_nobody_before_it_is_opened() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let port = Port::take(any, "listen").unwrap();
        let address = port.address().unwrap();
        assert_ne!(address.port(), 0);
        assert!(TcpStream::connect(address).await.is_err());
        let listener = port.open().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert!(client.is_ok() && accepted.is_ok());
        let refused = Port::take(address, "http").unwrap_err().to_string();
        for part in [&address.to_string(), "--http"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
