use super::*;

fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

fn token(root: &Key, pattern: &str) -> Token {
    Token::issue(root, [2; 32], |token| Grant {
        mesh: name("dev"),
        names: pattern.to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(1_000),
        token,
    })
}

#[test]
fn a_chain_is_checked_offline_against_the_root() {
    let root = Key::from_seed([1; 32]);
    let token = Token::from_text(&token(&root, "shop*").to_text()).expect("its own text");
    let instance = Key::from_seed([3; 32]).public();
    let chain = token.claim(&name("shop-1"), instance);
    let identity = chain.verify(&root.public(), &name("dev"), UnixSeconds(900)).expect("all in order");
    assert_eq!((identity.peer, identity.role), (instance, Role::Agent));

    let other_root = Key::from_seed([9; 32]).public();
    assert_eq!(chain.verify(&other_root, &name("dev"), UnixSeconds(900)), Err(TrustError::BadSignature(GRANT)));
    assert!(matches!(chain.verify(&root.public(), &name("prod"), UnixSeconds(900)), Err(TrustError::OtherMesh { .. })));
    let short = token.key.public().short();
    let ended = chain.verify(&root.public(), &name("dev"), UnixSeconds(1_121));
    assert_eq!(ended, Err(TrustError::Expired { token: short, ago_s: 121 }));
    assert!(chain.verify(&root.public(), &name("dev"), UnixSeconds(1_120)).is_ok(), "clocks differ");
    let stranger = token.claim(&name("ledger"), instance);
    assert!(matches!(
        stranger.verify(&root.public(), &name("dev"), UnixSeconds(900)),
        Err(TrustError::NameNotGranted { .. })
    ));
}

#[test]
fn a_token_is_read_alone_in_comments_and_in_an_environment_file_and_keeps_what_it_says() {
    let root = Key::from_seed([1; 32]);
    let mut token = token(&root, "shop*");
    assert!(token.to_text().starts_with("mpt1-"));
    token.signaling = vec!["wss://mesh.example/mesh".to_owned()];
    let text = token.to_text();
    assert!(text.starts_with("mpt2-"));
    for file in [
        text.clone(),
        format!("# of mesh dev\n\n{text}\n"),
        format!("A=b\nMESHPROOF_TOKEN={text}\n"),
        format!("export MESHPROOF_TOKEN=\"{text}\"\n"),
    ] {
        let back = Token::from_text(&file).expect("a token");
        assert_eq!((back.to_text(), &back.signaling), (text.clone(), &token.signaling), "{file}");
    }
    for file in ["", "# nothing", "mpt9-aa", &format!("{text}\n{text}"), &text[..40]] {
        assert_eq!(Token::from_text(file).map(|_| ()), Err(TrustError::Unreadable("token")), "{file}");
    }
}

#[test]
fn a_changed_claim_breaks_the_chain() {
    let root = Key::from_seed([1; 32]);
    let mut chain = token(&root, "*").claim(&name("shop"), Key::from_seed([3; 32]).public());
    chain.claim.text = chain.claim.text.replace("shop", "shep");
    assert_eq!(chain.verify(&root.public(), &name("dev"), UnixSeconds(900)), Err(TrustError::BadSignature(CLAIM)));
}
