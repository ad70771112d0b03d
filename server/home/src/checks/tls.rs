//! Whom a check trusts.

use std::sync::Arc;

use rustls::{ClientConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::config::{Trust, read};

pub(super) fn client_config(trust: &Trust, file_bytes_max: u64) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut roots = skep_trust::system_roots().roots;
    match trust {
        Trust::System => {}
        Trust::Anything => {
            let verifier = Arc::new(skep_trust::Anyone::new(provider));
            return Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth());
        }
        Trust::Also(file) => {
            let pem = read(file, file_bytes_max).map_err(|fault| fault.to_string())?;
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            if roots.len() == before {
                return Err(format!("{} has no certificate in PEM form", file.display()));
            }
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
