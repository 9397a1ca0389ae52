//! How much of a reply the system takes before its client does. It would take four megabytes for each that reads nothing,
//! copies them all, and lets a reply pass for taken that nobody ever will.

use tokio::net::TcpStream;

/// Of what was written to a socket, about so much may wait in the system to be sent. What is on its way does not count, so
/// that it slows nobody down, however far away he is.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 512 * 1024;

/// To be called once for each socket. Where it cannot be set, the system takes more and nothing else is wrong.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bound_unsent(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

/// Other systems have no such option, or another one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bound_unsent(_: &TcpStream) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn little_is_taken_for_a_client_that_reads_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut socket, _) = accepted.unwrap();
        bound_unsent(&socket);
        let piece = vec![0; 64 * 1024];
        let mut taken = 0;
        let patience = Duration::from_millis(500);
        while let Ok(written) = timeout(patience, socket.write(&piece)).await {
            taken += written.unwrap();
            assert!(taken < 1 << 20, "it takes all there is");
        }
        drop(client.unwrap());
    }
}
