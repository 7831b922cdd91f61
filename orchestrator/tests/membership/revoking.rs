//! What is revoked ends, everywhere, and stays so.

use std::time::{Duration, Instant};

use crate::process::Process;
use crate::town::Town;

/// What the design promises.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn a_revoked_tokens_sessions_end_within_five_seconds_and_a_restart_does_not_bring_them_back() {
    let mut town = Town::new();
    let (shop_token, ledger_token) = (town.invite("shop", "agent"), town.invite("ledger", "agent"));
    let mut shop = town.agent("shop", &shop_token);
    let mut ledger = town.agent("ledger", &ledger_token);
    let eyes = town.console("eyes");
    assert_eq!(town.agents(&eyes), ["ledger", "shop"]);
    // a bench links the two agents
    town.done(&["bench", "--mesh", &eyes, "--between", "shop", "ledger", "--seconds", "1"]);

    let began = Instant::now();
    let mut revoking = Process::start(town.command(&["mesh", "revoke", "ledger"]));
    let line = shop.says("was revoked (list 1)");
    let ended = began.elapsed();
    assert!(line.contains("the link is lost") && ended < ENDED_WITHIN, "{ended:?}: {line}");
    println!("the session ended {ended:?} after `mesh revoke` was called");
    revoking.says("told signaling");
    revoking.says("told shop");
    assert!(ledger.says("signaling will not have us").contains("meshproof mesh invite"));
    assert_eq!(town.agents(&eyes), ["shop"]);
    assert!(town.done(&["mesh", "tokens"]).lines().any(|line| line.contains("ledger") && line.ends_with("revoked")));
    ledger.kill();

    // a signaling server that starts anew knows nothing, until an agent that was told brings it
    shop.kill();
    assert!(town.state("shop").join("news.json").exists());
    let former = town.signaling.take().expect("it runs");
    former.kill();
    let line = town.signaling_line();
    town.start_signaling(&line);
    let _shop = town.agent("shop", &shop_token);
    assert_eq!(town.agents(&eyes), ["shop"]);
    let mut ledger = town.begun("ledger", &ledger_token);
    ledger.says("was revoked (list 1)");
}

#[test]
fn a_list_that_reaches_nobody_is_kept_and_told_later() {
    let mut town = Town::new();
    let token = town.invite("shop", "agent");
    town.signaling.take().expect("it runs").kill();
    let (code, said) = town.refused(&["mesh", "revoke", "shop"]);
    assert!(
        code == 5
            && said.contains("list 1 of mesh dev: 1 revoked")
            && said.contains("cannot reach signaling")
            && said.contains("; start it, or name another"),
        "{said}"
    );
    assert!(said.contains("do not make it again, `meshproof mesh publish` tells it"), "{said}");
    let line = town.signaling_line();
    town.start_signaling(&line);
    town.done(&["mesh", "publish"]);
    let mut shop = town.begun("shop", &token);
    shop.says("was revoked (list 1)");
}
