//! Mutual TLS 1.3 between agents and the metadata's processes: one authority of the operator's own signs all of them, and
//! nobody else is spoken to.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::grpc::{Tls, Wire};

/// What a process shows and whom it trusts, as PEM.
#[derive(Clone, Copy, Debug)]
pub struct Pem<'a> {
    /// Its certificate, and those between it and the authority.
    pub certificate: &'a [u8],
    pub key: &'a [u8],
    /// Certificates of the authority.
    pub authority: &'a [u8],
}

impl Wire {
    /// Speaks mutual TLS.
    ///
    /// # Errors
    /// With what is wrong with the files, for the operator.
    pub fn tls(pem: Pem<'_>) -> Result<Self, String> {
        let chain = certificates(pem.certificate, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(pem.key)
            .map_err(|error| format!("the key is not one in PEM: {error}"))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(pem.authority, "authority")? {
            let added = roots.add(authority);
            added.map_err(|error| format!("the authority cannot be used: {error}"))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let refused = |error: &dyn std::fmt::Display| format!("TLS cannot be set up: {error}");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| refused(&error))?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| refused(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| refused(&error))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| refused(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| refused(&error))?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let connector = TlsConnector::from(Arc::new(client));
        Ok(Self::Tls(Tls::new(acceptor, connector)))
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| format!("the {what} is not PEM: {error}"))?;
    match read.is_empty() {
        true => Err(format!("the {what} file holds no certificate")),
        false => Ok(read),
    }
}
