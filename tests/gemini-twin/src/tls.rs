//! A certificate of its own for `wss`, and the authority that a client has to trust for it.

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// File of the authority, in the folder that the user names.
pub const CA_FILE: &str = "ca.pem";

/// An acceptor for this address, and the file to trust.
///
/// # Errors
/// No certificate could be made, or the file not written.
pub fn acceptor(folder: &Path, address: SocketAddr) -> anyhow::Result<(TlsAcceptor, PathBuf)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "gemini-twin authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let names = ["localhost", "127.0.0.1", "::1", "gemini-twin"].map(str::to_owned);
    let own =
        Some(address.ip().to_string()).filter(|ip| !names.contains(ip) && !address.ip().is_unspecified());
    let mut server = CertificateParams::new(names.into_iter().chain(own).collect::<Vec<_>>())?;
    server.distinguished_name.push(DnType::CommonName, "gemini-twin");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &authority)?;

    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(CA_FILE);
    std::fs::write(&file, authority.pem()).with_context(|| format!("cannot write {}", file.display()))?;

    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), file))
}
