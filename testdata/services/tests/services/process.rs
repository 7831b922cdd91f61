use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{LEDGER, SHOP, Scratch, Service};

const SOON: Duration = Duration::from_secs(10);

/// The only line that the program says before it gives up.
fn complaint(program: &str, env: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    for name in ["PORT", "AUDIT", "PAYMENTS_URL", "LEDGER"] {
        command.env_remove(name);
    }
    let output = command.envs(env.iter().copied()).output().expect("the service starts");
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(error.lines().count(), 1, "{error}");
    error.trim_end().to_owned()
}

#[test]
fn a_missing_or_unusable_setting_ends_the_service_with_one_line_that_names_it() {
    assert_eq!(complaint(SHOP, &[]), "shop: PORT must be a port number, it is not set");
    assert_eq!(complaint(SHOP, &[("PORT", "http")]), r#"shop: PORT must be a port number, got "http""#);
    assert_eq!(
        complaint(SHOP, &[("PORT", "0"), ("PAYMENTS_URL", "payments:80")]),
        r#"shop: PAYMENTS_URL must be a URL that begins with http://, got "payments:80""#
    );
    assert_eq!(
        complaint(SHOP, &[("PORT", "0"), ("PAYMENTS_URL", "http://127.0.0.1:1"), ("LEDGER", "ledger")]),
        r#"shop: LEDGER must be host:port, got "ledger""#
    );
    assert_eq!(complaint(LEDGER, &[("PORT", "0")]), "ledger: AUDIT must be the path of a file, it is not set");
}

#[test]
fn a_port_that_somebody_listens_on_ends_the_service_with_one_line() {
    let audit = Scratch::new("taken");
    let ledger = Service::start(LEDGER, &[("AUDIT", audit.path())]);
    let port = ledger.address.rsplit_once(':').expect("host:port").1;
    let error = complaint(LEDGER, &[("PORT", port), ("AUDIT", audit.path())]);
    assert!(error.starts_with(&format!("ledger: cannot listen on 127.0.0.1:{port}: ")), "{error}");
}

#[test]
fn sigterm_ends_both_services_at_once() {
    let audit = Scratch::new("sigterm");
    let shop = [("PAYMENTS_URL", "http://127.0.0.1:1"), ("LEDGER", "127.0.0.1:1")];
    for mut service in [Service::start(LEDGER, &[("AUDIT", audit.path())]), Service::start(SHOP, &shop)] {
        let asked = Instant::now();
        let kill = Command::new("sh").args(["-c", &format!("kill -TERM {}", service.child.id())]).status();
        assert!(kill.is_ok_and(|status| status.success()));
        service.child.wait().expect("it is ours");
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
}
