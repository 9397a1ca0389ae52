//! Real sockets: a frame of any size allowed, peers that are not what they should be, and mutual TLS.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::message::FRAME_BYTES_MAX;
use super::super::{Budget, Pem, Wire, accept, dial};
use super::*;

/// Accepts on a free port; the address, and the links.
async fn listen(wire: Wire) -> (String, mpsc::Receiver<Link>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (links, accepted) = mpsc::channel(16);
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (wire, links) = (wire.clone(), links.clone());
            spawn(async move {
                let _ = accept(&wire, socket, links, &Budget::default()).await;
            });
        }
    });
    (address, accepted)
}

async fn frame(link: &mut Link) -> Option<Bytes> {
    timeout(PATIENCE, link.receiver.recv())
        .await
        .expect("in time")
}

async fn exchange(wire: &Wire, address: &str, accepted: &mut mpsc::Receiver<Link>) {
    let mut agent = dial(wire, address).await.unwrap();
    let mut server = accepted.recv().await.unwrap();
    for size in [0, 1, 70_000, FRAME_BYTES_MAX] {
        let sent = Bytes::from(vec![7; size]);
        agent.sender.send(sent.clone()).await.unwrap();
        assert!(frame(&mut server).await.unwrap() == sent);
        server.sender.send(sent.clone()).await.unwrap();
        assert!(frame(&mut agent).await.unwrap() == sent);
    }
    // Many small ones keep their order.
    for number in 0..1000_u32 {
        agent
            .sender
            .send(number.to_be_bytes().to_vec().into())
            .await
            .unwrap();
        let got = frame(&mut server).await.unwrap();
        assert_eq!(got, Bytes::from(number.to_be_bytes().to_vec()));
    }
    drop(agent);
    assert_eq!(frame(&mut server).await, None, "an end is seen");
    let mut agent = dial(wire, address).await.unwrap();
    drop(accepted.recv().await.unwrap());
    assert_eq!(frame(&mut agent).await, None, "from either side");
}

/// As a port for Kafka clients, to which the first bytes of HTTP/2 are the length of a request that is far too large.
#[tokio::test]
async fn what_is_no_metadata_process_is_called_so_in_a_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4]).await;
        }
    });
    let error = dial(&Wire::Plain, &address).await.unwrap_err().to_string();
    assert!(error.contains("is no metadata process"), "{error}");
    assert!(!error.contains(['{', '[', '"']), "{error}");
}

/// As where the process is killed after its system took the connection.
#[tokio::test]
async fn one_that_breaks_off_is_first_of_all_thought_to_have_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(socket);
        }
    });
    let error = dial(&Wire::Plain, &address).await.unwrap_err().to_string();
    let (stopped, guess) = (error.find("it stopped just then"), error.find("wants TLS"));
    assert!(stopped.is_some() && stopped < guess, "{error}");
}

#[tokio::test]
async fn frames_travel_in_order_both_ways() {
    let (address, mut accepted) = listen(Wire::Plain).await;
    exchange(&Wire::Plain, &address, &mut accepted).await;
}

#[tokio::test]
async fn a_frame_past_the_bound_ends_the_link() {
    let (address, mut accepted) = listen(Wire::Plain).await;
    let agent = dial(&Wire::Plain, &address).await.unwrap();
    let mut server = accepted.recv().await.unwrap();
    let _ = agent
        .sender
        .send(Bytes::from(vec![7; FRAME_BYTES_MAX + 1]))
        .await;
    assert_eq!(frame(&mut server).await, None);
}

/// Such as who looks whether the port is open.
#[tokio::test]
async fn who_comes_and_says_nothing_is_no_trouble() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(TcpStream::connect(&address).await.unwrap());
    let (socket, _) = listener.accept().await.unwrap();
    let (links, _) = mpsc::channel(1);
    accept(&Wire::Plain, socket, links, &Budget::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_somebody_strange() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let refused = dial(&Wire::Plain, &address).await.unwrap_err();
    assert_eq!(refused, DialError::Refused);
    let (address, mut accepted) = listen(Wire::Plain).await;
    let mut socket = TcpStream::connect(&address).await.unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut said))
        .await
        .expect("it is closed");
    assert!(accepted.try_recv().is_err());
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    fn wire(&self) -> Wire {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let params = rcgen::CertificateParams::new(names).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Wire::tls(Pem {
            certificate: signed.pem().as_bytes(),
            key: key.serialize_pem().as_bytes(),
            authority: self.certificate.pem().as_bytes(),
        })
        .unwrap()
    }
}

#[tokio::test]
async fn with_tls_only_those_of_one_authority_speak() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (address, mut accepted) = listen(ours.wire()).await;
    exchange(&ours.wire(), &address, &mut accepted).await;
    for stranger in [theirs.wire(), Wire::Plain] {
        let refused = timeout(PATIENCE, dial(&stranger, &address)).await;
        assert!(refused.expect("in time").is_err());
    }
    assert!(accepted.try_recv().is_err());
    // Nor is a server spoken to that another authority signed, or none.
    for wire in [theirs.wire(), Wire::Plain] {
        let (address, mut accepted) = listen(wire).await;
        let refused = timeout(PATIENCE, dial(&ours.wire(), &address)).await;
        assert!(refused.expect("in time").is_err());
        assert!(accepted.try_recv().is_err());
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused_with_a_reason() {
    let nonsense = Pem {
        certificate: b"nonsense",
        key: b"nonsense",
        authority: b"nonsense",
    };
    let reason = Wire::tls(nonsense).unwrap_err();
    assert!(reason.contains("certificate"), "{reason}");
}

/// Sixteen megabytes from each of whoever reaches the port would be a lot, before any of them said who it is.
#[tokio::test]
async fn a_long_greeting_is_refused_before_it_is_here() {
    let (address, mut accepted) = listen(Wire::Plain).await;
    let agent = dial(&Wire::Plain, &address).await.unwrap();
    let mut server = accepted.recv().await.unwrap();
    let _ = agent.sender.send(Bytes::from(vec![7; 100_000])).await;
    assert_eq!(frame(&mut server).await, None);
}

#[tokio::test]
async fn a_link_that_takes_more_than_its_share_is_cut_and_others_are_not() {
    let budget = Budget::of(1024 * 1024);
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (links, mut accepted) = mpsc::channel(1);
        let budget = budget.clone();
        let served =
            spawn(async move { super::super::grpc::serve(server, None, links, &budget).await });
        let agent = super::super::grpc::begin(client).await.unwrap();
        ends.push((agent, accepted.recv().await.unwrap(), served));
    }
    for (agent, server, _) in &mut ends {
        let hello = Bytes::from_static(b"hello");
        agent.sender.send(hello.clone()).await.unwrap();
        assert_eq!(frame(server).await, Some(hello));
    }
    let (agent, server, served) = &mut ends[0];
    let large = Bytes::from(vec![7; 2 * 1024 * 1024]);
    agent.sender.send(large).await.unwrap();
    assert_eq!(frame(server).await, None);
    let reason = served.await.unwrap().unwrap_err();
    assert!(reason.contains("share"), "{reason}");
    let (agent, server, _) = &mut ends[1];
    let small = Bytes::from(vec![7; 200_000]);
    agent.sender.send(small.clone()).await.unwrap();
    assert_eq!(frame(server).await, Some(small));
}

/// What a peer may send while nobody listens is little, and counted.
#[tokio::test]
async fn a_peer_that_is_not_listened_to_fills_a_small_window_that_is_counted() {
    let budget = Budget::of(1024 * 1024);
    let (client, server) = tokio::io::duplex(16 * 1024);
    let (links, mut accepted) = mpsc::channel(1);
    let counted = budget.clone();
    let _served =
        spawn(async move { super::super::grpc::serve(server, None, links, &counted).await });
    let agent = super::super::grpc::begin(client).await.unwrap();
    let server = accepted.recv().await.unwrap();
    let piece = Bytes::from(vec![7; 32 * 1024]);
    let mut sent = 0;
    while let Ok(Ok(())) =
        timeout(Duration::from_millis(500), agent.sender.send(piece.clone())).await
    {
        sent += piece.len();
        assert!(sent < 4 * 1024 * 1024, "{sent}");
    }
    // Also what lies in the peer's own buffers.
    assert!(sent < 2 * 1024 * 1024, "{sent}");
    let part = server.part.as_ref().unwrap();
    assert!(!part.is_over());
    part.add(700 * 1024);
    assert!(part.is_over(), "the window and the frames that wait");
}
