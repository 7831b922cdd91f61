//! Signaling over TLS: a root authority, one below it, and the server's certificate, all real.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::town::Town;

/// The authority's certificate, and the chain and key of a server of that name, as PEM.
struct Issued {
    authority: String,
    chain: String,
    key: String,
}

fn key() -> KeyPair {
    KeyPair::generate().expect("random bytes")
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn issue(server: &str, until: i32) -> Issued {
    let root = CertifiedIssuer::self_signed(authority("root"), key()).expect("good parameters");
    let middle = CertifiedIssuer::signed_by(authority("middle"), key(), &root).expect("good parameters");
    let mut params = CertificateParams::new(vec![server.to_owned()]).expect("a good name");
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let server = key();
    let certificate = params.signed_by(&server, &middle).expect("good parameters");
    let chain = format!("{}{}", certificate.pem(), middle.pem());
    Issued { authority: root.pem(), chain, key: server.serialize_pem() }
}

/// A mesh whose server shows that.
fn town(issued: &Issued) -> Town {
    let (mut town, line) = Town::without_signaling("wss");
    for (file, text) in [("ca.pem", &issued.authority), ("CERT.pem", &issued.chain), ("KEY.pem", &issued.key)] {
        std::fs::write(town.path().join(file), text).expect("a new file");
    }
    town.start_signaling(&line);
    town
}

#[test]
fn a_mesh_forms_over_wss_with_a_real_chain() {
    let town = town(&issue("127.0.0.1", 2100));
    let (shop, me) = (town.invite("shop", "agent"), town.invite("console-*", "operator-console"));
    let mut agent = town.command(&["agent", "--token-file", &shop, "--ca", "ca.pem"]);
    agent.env("MESHPROOF_LOG", "info,webrtc=error,rtc=error,tarpc=off");
    let mut agent = crate::process::Process::start(agent);
    assert!(agent.says("signaling is there").contains("wss://"));
    town.done(&["mesh", "join", &me, "--ca", "ca.pem"]);
    assert_eq!(town.agents("mesh.toml"), ["shop"], "the mesh file knows the authority");
}

#[test]
fn a_server_that_cannot_show_who_it_is_is_refused_with_what_to_do() {
    let other = issue("127.0.0.1", 2100).authority;
    for (issued, ca, why) in [
        (issue("127.0.0.1", 2100), None, "is signed by nobody who is trusted here"),
        (issue("127.0.0.1", 2100), Some(&other), "give its authority's certificate with --ca FILE"),
        (issue("mesh.example", 2100), None, "use a name that is in it"),
        (issue("127.0.0.1", 2020), None, "renew it, or compare the clocks"),
    ] {
        let town = town(&issued);
        let me = town.invite("eyes", "observer");
        // another authority's where one is named, none for the first, and the right one otherwise
        std::fs::write(town.path().join("given.pem"), ca.unwrap_or(&issued.authority)).expect("a new file");
        let mut arguments = vec!["mesh", "join", &me];
        if why != "is signed by nobody who is trusted here" {
            arguments.extend(["--ca", "given.pem"]);
        }
        let (code, said) = town.refused(&arguments);
        assert!(code == 5 && said.contains(why), "{why}: {said}");
    }
}

#[test]
fn files_and_urls_that_are_of_no_use_are_told() {
    let town = town(&issue("127.0.0.1", 2100));
    let me = town.invite("eyes", "observer");
    std::fs::write(town.path().join("other.pem"), issue("127.0.0.1", 2100).key).expect("a new file");
    let plain = town.url().replace("wss", "ws");
    let web = town.url().replace("wss", "https");
    let root = "dev=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (arguments, why) in [
        (
            &["signaling", "--mesh", root, "--tls-cert", "CERT.pem", "--tls-key", "other.pem"][..],
            "give both of one server",
        ),
        (
            &["signaling", "--mesh", root, "--tls-cert", "nowhere", "--tls-key", "KEY.pem"],
            "cannot read the certificate nowhere",
        ),
        (&["signaling", "--mesh", root, "--tls-cert", "CERT.pem"], "--tls-key"),
        (&["mesh", "join", &me, "--ca", "nowhere"], "PEM text with `BEGIN CERTIFICATE` was expected"),
        (&["mesh", "join", &me, "--ca", "KEY.pem"], "holds no certificate"),
        (&["mesh", "join", &me, "--signaling", &plain], "is it a server for wss, or another one's port?"),
        (&["mesh", "join", &me, "--signaling", &web], "URL was expected, as in `ws://HOST:PORT/mesh`"),
    ] {
        let (code, said) = town.refused(arguments);
        assert!(code != 0 && said.contains(why), "{arguments:?} exited with {code} and said: {said}");
    }
}
