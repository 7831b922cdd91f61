//! A new root key, under running agents.

use crate::town::Town;

#[test]
fn a_rotation_needs_no_restart_and_former_root_keys_end_when_they_are_revoked() {
    let mut town = Town::new();
    let token = town.invite("shop", "agent");
    let mut shop = town.agent("shop", &token);
    let before = town.console("before");
    let first = town.signaling_line();
    let rotated = town.done(&["mesh", "rotate"]);
    assert!(rotated.starts_with("meshproof signaling ") && rotated.trim() != first.trim());
    shop.says("the root said more");

    // tokens of both root keys work, at the signaling server that was started with the former one
    let after = town.console("after");
    for file in [&before, &after] {
        assert_eq!(town.agents(file), ["shop"], "{file}");
    }
    // and at one that was started with the new one
    town.signaling.take().expect("it runs").kill();
    town.start_signaling(rotated.trim());
    // what joins the two root keys comes with it
    shop.says("signaling is there");
    let new = town.invite("ledger", "agent");
    let _ledger = town.agent("ledger", &new);
    for file in [&before, &after] {
        assert_eq!(town.agents(file), ["ledger", "shop"], "{file}");
    }

    let output = town.ask(&["mesh", "revoke", "--former-roots"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the tokens of before-*, shop are over"), "{output:?}");
    let tokens = town.done(&["mesh", "tokens"]);
    let is_over = |name: &str| {
        let line = tokens.lines().find(|line| line.contains(&format!(" {name} "))).expect("it was made here");
        line.ends_with("revoked")
    };
    assert_eq!(["before-*", "shop", "after-*", "ledger"].map(is_over), [true, true, false, false], "{tokens}");
    let refused = shop.says("signaling will not have us");
    assert!(refused.contains("root key ") && refused.contains("was revoked (list 1)"), "{refused}");
    assert_eq!(town.agents(&after), ["ledger"]);
    let (code, said) = town.refused(&["who", "--mesh", &before]);
    assert!(code == 5 && said.contains("root key ") && said.contains("ask for a new token"), "{said}");
}
