//! TLS as `tls_config` says it.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};

use crate::config::{Credential, TlsConfig, TlsVersion};

/// The files that are read for it.
pub(super) fn files(config: &TlsConfig) -> Vec<PathBuf> {
    let identity = config.identity.iter().flat_map(|(cert, key)| [cert, key]);
    let all = config.ca.iter().chain(identity);
    all.filter_map(|it| match it {
        Credential::File(path) => Some(path.clone()),
        Credential::Inline(_) => None,
    })
    .collect()
}

/// Reads the files.
pub(super) fn client_config(config: &TlsConfig, has_http2: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<_> = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)]
        .into_iter()
        .filter(|(it, _)| {
            *it >= config.min_version && config.max_version.is_none_or(|max| *it <= max)
        })
        .map(|(_, version)| version)
        .collect();
    let verifier = verifier(config, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut client = match &config.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_slice(&pem(key)?)
                .map_err(|error| format!("key of the client: {error}"))?;
            builder
                .with_client_auth_cert(certificates(cert)?, key)
                .map_err(|error| error.to_string())?
        }
    };
    client.alpn_protocols = if has_http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    Ok(client)
}

fn verifier(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if config.insecure_skip_verify {
        return Ok(Arc::new(skep_trust::Anyone::new(Arc::clone(provider))));
    }
    let roots = match &config.ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            roots
        }
        None => skep_trust::system_roots().roots,
    };
    if roots.is_empty() {
        return Err("no authority to trust; set tls_config.ca_file".to_owned());
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())?;
    match &config.server_name {
        None => Ok(inner),
        Some(name) => {
            let name = ServerName::try_from(name.clone())
                .map_err(|error| format!("server_name {name:?}: {error}"))?;
            Ok(Arc::new(Named { inner, name }))
        }
    }
}

fn certificates(from: &Credential) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem(from)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("certificate: {error}"))?;
    if certificates.is_empty() {
        Err("no certificate in PEM form".to_owned())
    } else {
        Ok(certificates)
    }
}

fn pem(from: &Credential) -> Result<Vec<u8>, String> {
    match from {
        Credential::Inline(text) => Ok(text.0.clone().into_bytes()),
        Credential::File(path) => std::fs::read(path)
            .map_err(|error| format!("unable to read file {}: {error}", path.display())),
    }
}

/// Wants another name than the address.
#[derive(Debug)]
struct Named {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
