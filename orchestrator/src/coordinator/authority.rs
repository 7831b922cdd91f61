//! The certificate authority of one run: made when the run begins, gone with it, so nothing that it signed is worth stealing.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proto::id::RunId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Makes the authority, an identity for each name and an authority of its own for each stub that is a proxy, all as PEM:
/// `tls.ca`, `tls.NAME.cert`, `tls.NAME.key`, `tls.upstreams.STUB.cert`, `tls.upstreams.STUB.key`.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn texts(
    run: &RunId,
    names: &BTreeSet<String>,
    proxies: &[(&str, &str)],
) -> Result<BTreeMap<String, String>, rcgen::Error> {
    let key = KeyPair::generate()?;
    // Below it are those of stubs that stand for other hosts, and below those nothing that signs.
    let params = signing(&format!("meshproof run {run}"), 1)?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let mut texts = BTreeMap::from([("tls.ca".to_owned(), authority)]);
    for name in names {
        let key = KeyPair::generate()?;
        // Services are reached through listeners on loopback, and by clients that know them by their name.
        let hosts = [name.as_str(), "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = named(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        texts.insert(format!("tls.{name}.cert"), params.signed_by(&key, &issuer)?.pem());
        texts.insert(format!("tls.{name}.key"), key.serialize_pem());
    }
    for (stub, subject) in proxies {
        let key = KeyPair::generate()?;
        let params = signing(subject, 0)?;
        texts.insert(format!("tls.upstreams.{stub}.cert"), params.signed_by(&key, &issuer)?.pem());
        texts.insert(format!("tls.upstreams.{stub}.key"), key.serialize_pem());
    }
    Ok(texts)
}

/// What a certificate has that signs others, so many of them below each other.
fn signing(name: &str, below: u8) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}
