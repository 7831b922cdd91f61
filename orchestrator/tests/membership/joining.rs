//! Tokens, and joining with them.

use std::os::unix::fs::PermissionsExt as _;

use crate::town::Town;

#[test]
fn a_person_joins_a_mesh_by_hand_in_two_commands_and_an_agent_in_one() {
    let town = Town::new();
    let shop = town.invite("shop", "agent");
    let _shop = town.agent("shop", &shop);
    let me = town.invite("console-*", "operator-console");

    let joined = town.ask(&["mesh", "join", &me]);
    let said = String::from_utf8_lossy(&joined.stderr).into_owned();
    assert!(joined.status.success() && said.contains("as an operator console; others there: 1"), "{said}");
    assert_eq!(joined.stdout, b"meshproof who --mesh mesh.toml\n", "the second command");
    assert_eq!(town.agents("mesh.toml"), ["shop"]);

    for file in ["mesh.toml", &me, "mesh-root/root.key"] {
        let about = std::fs::metadata(town.path().join(file)).expect("it was written");
        assert_eq!(about.permissions().mode() & 0o777, 0o600, "{file}");
    }
    let (code, said) = town.refused(&["mesh", "join", &me]);
    assert!(code == 2 && said.contains("mesh.toml is there already"), "{said}");
    // what is wrong with the token comes first
    let (code, said) = town.refused(&["mesh", "join", "nowhere.token"]);
    assert!(code == 2 && said.contains("cannot read nowhere.token") && !said.contains("mesh.toml"), "{said}");
}

#[test]
fn a_mesh_that_was_made_without_a_url_is_told_one_later_and_keeps_it() {
    let (town, line) = Town::without_url();
    let (code, said) = town.refused(&["mesh", "publish"]);
    assert!(code == 2 && said.contains("mesh-root names no signaling server; say where one is"), "{said}");
    let me = town.invite("console-*", "operator-console");
    let (code, said) = town.refused(&["mesh", "join", &me]);
    assert!(code == 2 && said.contains("the token names no signaling server"), "{said}");
    let (code, said) = town.refused(&["mesh", "publish", "--signaling", "127.0.0.1:7447"]);
    assert!(code == 2 && said.contains("ws://HOST:PORT/mesh"), "{said}");

    let mut town = town;
    let at = format!("{line} --listen 127.0.0.1:{}", town.port());
    town.start_signaling(&at);
    town.done(&["mesh", "publish", "--signaling", &town.url()]);
    town.done(&["mesh", "publish"]);
    town.console("later");
    // those that were made before do not know it
    town.done(&["mesh", "join", &me, "--signaling", &town.url()]);
}

#[test]
fn a_secret_that_others_can_read_is_used_and_told_with_what_to_do() {
    let town = Town::new();
    let me = town.invite("console-*", "operator-console");
    let loose = |file: &str| {
        let path = town.path().join(file);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("ours");
    };
    let said = |arguments: &[&str]| {
        let output = town.ask(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    loose(&me);
    let told = said(&["mesh", "join", &me]);
    assert!(told.contains(&format!("{me} holds a secret and can be read by others (mode 644); `chmod 600")), "{told}");
    assert!(!said(&["who", "--mesh", "mesh.toml"]).contains("chmod"));
    loose("mesh.toml");
    let told = said(&["who", "--mesh", "mesh.toml"]);
    assert!(told.contains("mesh.toml holds a secret and can be read by others (mode 644)"), "{told}");
}

#[test]
fn a_token_comes_from_stdin_or_an_environment_file_and_never_from_an_argument() {
    let town = Town::new();
    let token = town.done(&["mesh", "invite", "eyes", "--role", "observer"]);
    assert_eq!(token.lines().count(), 1, "the token alone: {token}");
    std::fs::write(town.path().join("me.env"), format!("A=b\nMESHPROOF_TOKEN={token}")).expect("a new file");
    let joined = town.stdin(&["mesh", "join", "--out", "one.toml"], "me.env");
    assert_eq!(joined.status.code(), Some(0), "{joined:?}");
    town.done(&["mesh", "join", "me.env", "--out", "two.toml"]);
    let (code, said) = town.refused(&["mesh", "join", token.trim()]);
    assert!(code == 2 && said.contains("stands in no argument") && !said.contains(token.trim()), "{said}");
}

#[test]
fn every_refusal_says_what_to_do() {
    let town = Town::new();
    let agent = town.invite("shop", "agent");
    let orphan = town.invite("console-*", "observer");
    let several = town.invite("shop-*", "agent");
    let root = town.path().join("mesh-root/root.key");
    let tokens = town.done(&["mesh", "tokens"]);
    let (lost, secure) = (town.url().replace("/mesh", "/meshes"), town.url().replace("ws:", "wss:"));
    for (arguments, code, why) in [
        (&["mesh", "new", "dev"][..], 2, "name another folder with --root DIR"),
        (&["mesh", "new", "dev mesh", "--root", "r"], 2, "letters, digits"),
        (&["mesh", "new", "dev", "--root", "r", "--signaling", "127.0.0.1:7447"], 2, "ws://HOST:PORT/mesh"),
        (&["mesh", "new", "dev", "--root", "r", "--signaling", "http://host/mesh"], 2, "ws://HOST:PORT/mesh"),
        (&["mesh", "new", "dev", "--root", "r", "--signaling", "ws://host:7447"], 2, "ws://HOST:PORT/mesh"),
        (&["mesh", "invite", "shop", "--root", "nowhere"], 2, "make one with `meshproof mesh new NAME`"),
        (&["mesh", "invite", "sh op"], 2, "is no pattern of names"),
        (&["mesh", "invite", "shop", "--role", "boss"], 2, "is no role; there are agent, orchestrator"),
        (&["mesh", "invite", "shop", "--allow", "all"], 2, "is no capability; there are exec, http"),
        (&["mesh", "invite", "shop", "--days", "9999"], 2, "730 at most"),
        (&["mesh", "invite", "shop", "--days", "0"], 2, "for a day at least"),
        (&["mesh", "revoke", "nobody"], 2, "`meshproof mesh tokens` lists them"),
        (&["mesh", "revoke"], 2, "TOKEN"),
        (&["mesh", "join", &agent, "--out", "a.toml"], 2, "`meshproof agent --token-file FILE`"),
        (&["mesh", "join", "mesh-root/mesh.json", "--out", "a.toml"], 2, "holds no token"),
        (&["mesh", "join", &orphan, "--out", "a.toml", "--signaling", "ws://127.0.0.1:1/mesh"], 5, "start it, or"),
        (&["mesh", "join", &orphan, "--out", "a.toml", "--signaling", &lost], 5, "is the path of the URL right?"),
        (
            &["mesh", "join", &orphan, "--out", "a.toml", "--signaling", &secure],
            5,
            "is it a server for wss, or one for ws?",
        ),
        (&["agent", "--token-file", "mesh-root/mesh.json"], 5, "one is made by `meshproof mesh invite`"),
        (&["agent", "--token-file", &orphan], 5, "`meshproof mesh invite NAME` makes an agent's"),
        (&["agent", "--token-file", &several], 5, "say this agent's with --name NAME"),
        (&["mesh", "invite", "shop", "--out", &agent], 2, "name another file with --out FILE"),
    ] {
        let (exit, said) = town.refused(arguments);
        assert!(exit == code && said.contains(why), "{arguments:?} exited with {exit} and said: {said}");
    }
    assert_eq!(town.done(&["mesh", "tokens"]), tokens, "what was refused made no token");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let (code, said) = town.refused(&["mesh", "invite", "shop"]);
    assert!(code == 2 && said.contains("(mode 644); `chmod 600"), "{said}");
}

#[test]
fn a_token_of_another_root_is_refused_by_signaling_with_the_reason() {
    let (town, other) = (Town::new(), Town::new());
    let token = other.path().join(other.invite("console-*", "observer"));
    let token = token.to_str().expect("a plain path");
    let (code, said) = town.refused(&["mesh", "join", token, "--signaling", &town.url()]);
    assert!(
        code == 5 && said.contains("will not have this token") && said.contains("use a token of the root key"),
        "{said}"
    );
    assert!(!town.path().join("mesh.toml").exists(), "nothing is written");
}
