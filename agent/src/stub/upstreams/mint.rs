//! A certificate for each host that a service asks for, made when it is asked for first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use meshproof_proto::order::Identity;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::action::tls::certificates;
use crate::stub::tls::HTTP1;

/// Hosts whose certificates are kept: a service talks to a handful; making one again costs a tenth of a millisecond.
const HOSTS_KEPT: usize = 1024;

pub(super) struct Mint {
    issuer: Issuer<'static, KeyPair>,
    /// The issuer's own certificate and those above it, which clients do not have.
    chain: Vec<CertificateDer<'static>>,
    made: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl Mint {
    pub fn of(authority: &Identity, subject: &str) -> Result<Self, String> {
        let key = KeyPair::from_pem(&authority.key.text)
            .map_err(|error| format!("{} cannot be used: {error}", authority.key.name))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(subject);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let chain = certificates(&authority.cert)?;
        Ok(Self { issuer: Issuer::new(params, key), chain, made: Mutex::default() })
    }

    /// What shows a certificate for that host.
    pub fn config(&self, host: &str) -> Result<Arc<ServerConfig>, String> {
        // Every entry is complete, so a holder that panicked left a good map.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = self.make(host).map_err(|why| format!("no certificate for {host} can be made: {why}"))?;
        if made.len() >= HOSTS_KEPT {
            made.clear();
        }
        made.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn make(&self, host: &str) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let mut params = CertificateParams::new([host.to_owned()]).map_err(|error| error.to_string())?;
        params.distinguished_name = named(host);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&key, &self.issuer).map_err(|error| error.to_string())?;
        let chain = [signed.der().clone()].into_iter().chain(self.chain.iter().cloned()).collect();
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
        let own = CertifiedKey::from_der(chain, key, &provider).map_err(|error| error.to_string())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Ok(Arc::new(config))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

/// Without the key.
impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint").finish_non_exhaustive()
    }
}
