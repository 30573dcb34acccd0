//! A TLS terminator in front of the embedded store.

use std::{path::PathBuf, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

/// Terminates TLS with its own certificate, and forwards the plain bytes.
pub struct Terminator {
    pub endpoint: String,
    folder: TempDir,
    server: JoinHandle<()>,
}

impl Terminator {
    pub async fn start(upstream: &str) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(cert.der().to_vec())], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                tokio::spawn(async move {
                    let _ = connection.set_nodelay(true);
                    if let (Ok(mut client), Ok(mut store)) =
                        (acceptor.accept(connection).await, TcpStream::connect(upstream).await)
                    {
                        let _ = store.set_nodelay(true);
                        // Ends when either side closes.
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut store).await;
                    }
                });
            }
        });
        Self { endpoint, folder, server }
    }

    /// The file with the certificate for clients to trust.
    pub fn roots(&self) -> PathBuf {
        self.folder.path().join("roots.pem")
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
