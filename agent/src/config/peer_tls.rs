//! The files with which Penstock's own processes speak TLS among themselves.

use std::path::PathBuf;

use clap::Args;

use super::Misuse;

/// Mutual TLS between Penstock's own processes: all three or none.
#[derive(Args, Debug)]
pub struct PeerTlsFiles {
    /// Certificate of this process for its peers, PEM [default: peers speak without TLS]
    #[arg(long, value_name = "FILE")]
    pub peer_tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    pub peer_tls_key: Option<PathBuf>,
    /// The authority that signed the certificates of all peers, PEM
    #[arg(long, value_name = "FILE")]
    pub peer_tls_ca: Option<PathBuf>,
}

/// The files of [`PeerTlsFiles`], all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authority: PathBuf,
}

impl PeerTlsFiles {
    /// # Errors
    /// When only some are named.
    pub fn files(self) -> anyhow::Result<Option<PeerTls>> {
        match (self.peer_tls_cert, self.peer_tls_key, self.peer_tls_ca) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), Some(authority)) => Ok(Some(PeerTls {
                certificate,
                key,
                authority,
            })),
            _ => Err(Misuse::say(
                "give --peer-tls-cert, --peer-tls-key and --peer-tls-ca together, or none of them",
            )),
        }
    }
}
