//! A token that ends while its agent is in the mesh.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshproof_proto::identity::{Capability, Grant, Key, Role, Token, UnixSeconds};
use meshproof_proto::limits::CLOCK_SKEW;

use crate::town::Town;

/// Enough to join and to be linked on a busy machine.
const LIFE: Duration = Duration::from_secs(20);

/// `mesh invite` makes none that are good for seconds.
fn brief_token(town: &Town, who: &str) -> String {
    let key = std::fs::read_to_string(town.path().join("mesh-root/root.key")).expect("the root key");
    let key = key.lines().find(|line| !line.starts_with('#')).expect("a line");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let mut token = Token::issue(&Key::from_secret_text(key).expect("a key"), [7; 32], |token| Grant {
        mesh: "dev".parse().expect("a name"),
        names: who.to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds((now + LIFE - CLOCK_SKEW).as_secs()),
        token,
    });
    token.signaling = vec![town.url()];
    let file = format!("{who}.token");
    std::fs::write(town.path().join(&file), token.to_text()).expect("a new file");
    file
}

#[test]
fn an_agent_whose_token_ends_is_out_of_the_mesh_and_both_ends_say_what_to_do() {
    let town = Town::new();
    let mut shop = town.agent("shop", &town.invite("shop", "agent"));
    let mut ledger = town.agent("ledger", &brief_token(&town, "ledger"));
    let eyes = town.console("eyes");
    // a bench links the two agents
    town.done(&["bench", "--mesh", &eyes, "--between", "shop", "ledger", "--seconds", "1"]);

    let line = shop.says(" s ago by this clock");
    assert!(line.contains("the link is lost") && line.contains("`meshproof mesh invite`"), "{line}");
    let line = ledger.says("this peer is no longer welcome");
    assert!(line.contains("`meshproof mesh invite`"), "{line}");
    assert_eq!(town.agents(&eyes), ["shop"]);

    let (code, said) = town.refused(&["agent", "--token-file", "ledger.token", "--name", "ledger"]);
    assert!(code == 5 && said.contains("`meshproof mesh invite`"), "{code}: {said}");
}
