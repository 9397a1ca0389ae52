//! Mutual TLS between Penstock's own processes: who shows a certificate of their authority speaks with them, nobody else does,
//! and both sides say why.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::ErrorCode;
use tokio::time::timeout;

use super::processes::{Process, try_ask};
use super::tools::{run, until, values};
use crate::support::broker::penstock;
use crate::support::client::{Client, batch};

/// Signs certificates, and keeps all in files.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    file: PathBuf,
}

/// Flags that name a certificate, its key and an authority.
type Flags = [String; 6];

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        Self { issuer, file }
    }

    /// A certificate of this authority for somebody at 127.0.0.1, who trusts those of `trusted`.
    fn flags(&self, name: &str, trusted: &Self) -> Flags {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let params = rcgen::CertificateParams::new(names).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let [certificate, secret] = ["crt", "key"].map(|kind| {
            let file = self.file.with_file_name(format!("{name}.{kind}"));
            file.to_str().unwrap().to_owned()
        });
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        let authority = trusted.file.to_str().unwrap();
        [
            "--peer-tls-cert",
            &certificate,
            "--peer-tls-key",
            &secret,
            "--peer-tls-ca",
            authority,
        ]
        .map(str::to_owned)
    }
}

async fn start(command: &str, log: PathBuf, more: &[&str], tls: Option<&Flags>) -> Process {
    let tls = tls.into_iter().flatten().map(String::as_str);
    let all: Vec<&str> = more.iter().copied().chain(tls).collect();
    Process::start_logging(command, "info", Some(log), &all).await
}

#[tokio::test]
async fn only_those_with_a_certificate_of_the_authority_speak_with_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("bucket")).unwrap();
    let store = format!("redb://{}", at("m.redb").display());
    let bucket = format!("file://{}", at("bucket").display());
    let (ours, theirs) = (
        Authority::new(folder.path(), "ours"),
        Authority::new(folder.path(), "theirs"),
    );
    let server = ours.flags("server", &ours);
    let metadata = start(
        "metadata",
        at("metadata.log"),
        &["--store", &store],
        Some(&server),
    )
    .await;
    let address = metadata.listen.to_string();
    let agent = ["--bucket", &bucket, "--metadata", &address];
    let good = start(
        "agent",
        at("good.log"),
        &agent,
        Some(&ours.flags("good", &ours)),
    )
    .await;
    good.until_ready("200").await;
    let mut client = Client::connect(good.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let placed = client.produce("t", 0, batch(&["secret"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    // One whom the server does not trust, one who does not trust the server, and one who does not know of TLS.
    let strangers = [
        (
            "stranger",
            Some(theirs.flags("stranger", &ours)),
            "does not trust this process's certificate",
        ),
        (
            "wary",
            Some(ours.flags("wary", &theirs)),
            "invalid peer certificate",
        ),
        ("plain", None, "wants TLS"),
    ];
    for (name, tls, why) in &strangers {
        let log = at(&format!("{name}.log"));
        let stranger = start("agent", log.clone(), &agent, tls.as_ref()).await;
        until("both say so", async || {
            let [said, heard] = [log.clone(), at("metadata.log")]
                .map(|log| std::fs::read_to_string(log).unwrap_or_default());
            said.contains(why) && heard.contains("closed a peer's connection")
        })
        .await;
        // A client finds nobody who answers: connections wait in the backlog until there is a sequencer.
        let metadata_request = protocol::messages::MetadataRequest::default();
        let asking = try_ask(stranger.listen, 9, &metadata_request);
        let answered = timeout(Duration::from_secs(2), asking).await;
        assert!(!matches!(answered, Ok(Some(_))), "{name}");
        let said = stranger.page("/health/ready").await.unwrap_or_default();
        assert!(said.starts_with("HTTP/1.1 503"), "{name}: {said}");
        let heard = at("metadata.log");
        let closed = std::fs::read_to_string(&heard).unwrap();
        let closed = closed
            .lines()
            .filter(|line| line.contains("closed a peer's"));
        let closed: Vec<&str> = closed.collect();
        // It came back several times a second, and was told of once; the one before it may have ended in another way.
        assert!((1..=2).contains(&closed.len()), "{name}: {closed:?}");
        let speaks_none = closed.iter().any(|line| line.contains("speaks no TLS"));
        assert_eq!(*name == "plain", speaks_none, "{closed:?}");
        // Each is told of on its own.
        std::fs::write(&heard, "").unwrap();
    }
    // Nothing of it disturbed those who may.
    assert_eq!(values(&mut client, "t", 0).await, ["secret"]);
    good.terminate().await;
    metadata.terminate().await;
}

#[tokio::test]
async fn files_that_are_no_certificates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let flags = ours.flags("us", &ours);
    let metadata = ["metadata", "--store", "memory:", "--listen", "127.0.0.1:0"];
    for (index, flag) in [(1, "peer-tls-cert"), (3, "-key"), (5, "-ca")] {
        let mut wrong = flags.clone();
        wrong[index] = folder.path().join("nowhere").to_str().unwrap().to_owned();
        let ran = run(penstock(metadata).args(&wrong)).await;
        ran.refused(&["cannot read", "nowhere"]);
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "no certificate").unwrap();
        wrong[index] = empty.to_str().unwrap().to_owned();
        let ran = run(penstock(metadata).args(&wrong)).await;
        ran.refused(&["--peer-tls-cert", flag]);
    }
}
