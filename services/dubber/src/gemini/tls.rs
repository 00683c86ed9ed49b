//! TLS as the system trusts it: roots from its store, or from `SSL_CERT_FILE` and `SSL_CERT_DIR`.
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use service_kit::Env;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No certificate of an authority was found, so no server could be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this system has no certificate of an authority that could be read{0}; install ca-certificates, or name a PEM \
     file in SSL_CERT_FILE"
)]
pub struct NoRoots(String);

/// Trust of the system, with ring as the one provider of cryptography.
pub fn system(env: &Env) -> Result<Arc<ClientConfig>, NoRoots> {
    let (file, directory) = (env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR"));
    let found = if file.is_some() || directory.is_some() {
        rustls_native_certs::load_certs_from_paths(file.map(Path::new), directory.map(Path::new))
    } else {
        rustls_native_certs::load_native_certs()
    };
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let cause = found.errors.first();
        return Err(NoRoots(
            cause.map(|error| format!(" ({error})")).unwrap_or_default(),
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NoRoots(format!(" ({error})")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A server that also speaks HTTP/2 must not choose it: a WebSocket begins in HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A TLS session with `host` over `stream`; what failed, in words.
pub async fn open<S>(config: &Arc<ClientConfig>, host: &str, stream: S) -> Result<TlsStream<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is no name of a host"))?;
    TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
        .map_err(|error| format!("TLS with {host} failed: {error}"))
}
