//! What is written, for whom, and what is refused.

use std::fs::Permissions;

use meshproof_proto::identity::Token;

use super::super::Wish;
use super::*;

fn made() -> (tempfile::TempDir, RootFolder) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let signaling = vec!["ws://127.0.0.1:9/mesh".to_owned()];
    let folder = RootFolder::make(&place.path().join("root"), name("dev"), signaling).expect("nothing is in the way");
    (place, folder)
}

fn name(text: &str) -> Name {
    text.parse().expect("a good name")
}

fn wish(names: &str, role: Role) -> Wish {
    Wish { names: names.to_owned(), role, capabilities: None, days: 30 }
}

fn holds(token: &Token, trust: &Trust) -> Result<(), meshproof_proto::identity::TrustError> {
    let chain = token.claim(&name("shop"), Key::from_seed([9; 32]).public());
    trust.check(&chain, super::super::invite::now()).map(drop)
}

#[test]
fn keys_are_for_their_owner_alone_and_one_that_others_can_read_is_refused() {
    let (place, folder) = made();
    let root = place.path().join("root");
    for (file, mode) in [(root.clone(), 0o700), (root.join("root.key"), 0o600), (root.join("mesh.json"), 0o600)] {
        assert_eq!(std::fs::metadata(&file).expect("made").permissions().mode() & 0o777, mode, "{file:?}");
    }
    assert_eq!(RootFolder::open(&root).expect("ours").mesh(), folder.mesh());
    assert!(matches!(RootFolder::make(&root, name("dev"), Vec::new()), Err(MembershipError::HasKey(_))));
    for mode in [0o640, 0o604, 0o660, 0o777] {
        std::fs::set_permissions(root.join("root.key"), Permissions::from_mode(mode)).expect("ours");
        let error = RootFolder::open(&root).expect_err("others can read it").to_string();
        assert!(error.contains(&format!("mode {mode:03o}")) && error.contains("chmod 600"), "{error}");
    }
    let error = RootFolder::open(place.path()).expect_err("no key").to_string();
    assert!(error.contains("meshproof mesh new NAME"), "{error}");
}

#[test]
fn a_token_says_what_it_allows_and_is_remembered_without_its_secret() {
    let (place, mut folder) = made();
    let token = folder.invite(wish("shop", Role::Agent)).expect("a good wish");
    let grant = token.granted().expect("its own");
    assert!(!grant.capabilities.contains(&meshproof_proto::identity::Capability::Netem), "by name only");
    assert_eq!(token.signaling, folder.signaling());
    assert_eq!(holds(&token, &Trust::new(name("dev"), folder.mesh().1)), Ok(()));
    let remembered = std::fs::read_to_string(place.path().join("root/mesh.json")).expect("ours");
    assert!(remembered.contains(&token.key.public().to_string()));
    let secret = token.key.to_secret_text();
    assert!(
        !remembered.contains(secret.trim_start_matches("mpr1-"))
            && !remembered.contains("mpt1-")
            && !remembered.contains("mpt2-")
    );
    for names in ["", "sh op", "-shop", "shop?"] {
        assert!(matches!(folder.invite(wish(names, Role::Agent)), Err(MembershipError::Pattern(_))), "{names}");
    }
    let long = Wish { days: 10_000, ..wish("shop", Role::Agent) };
    assert!(matches!(folder.invite(long), Err(MembershipError::TooLong { .. })));
}

#[test]
fn tokens_survive_a_rotation_until_they_or_the_former_root_are_revoked() {
    let (place, mut folder) = made();
    let (_, first) = folder.mesh();
    let old = folder.invite(wish("shop", Role::Agent)).expect("a good wish");
    let mut running = Trust::new(name("dev"), first);
    let former = folder.rotate().expect("the first");
    assert_eq!(std::fs::metadata(&former).expect("kept").permissions().mode() & 0o777, 0o600);
    let mut folder = RootFolder::open(&place.path().join("root")).expect("ours");
    assert_ne!(folder.mesh().1, first);
    let new = folder.invite(wish("shop", Role::Agent)).expect("a good wish");
    assert!(holds(&new, &running).is_err(), "not told yet");
    running.learn(folder.news()).expect("cross-signed");
    assert_eq!((holds(&new, &running), holds(&old, &running)), (Ok(()), Ok(())));

    let now = super::super::invite::now();
    assert_eq!(folder.revoke(&[new.key.public()], now).expect("short"), 1);
    running.learn(folder.news()).expect("signed");
    assert!(holds(&new, &running).is_err() && holds(&old, &running).is_ok());
    assert_eq!(folder.former_roots(), [first]);
    assert_eq!(folder.revoke(&folder.former_roots(), now).expect("short"), 2);
    running.learn(folder.news()).expect("signed");
    assert!(holds(&new, &running).is_err() && holds(&old, &running).is_err());
    // what ended by itself makes room
    let later = UnixSeconds(now.0 + 40 * 24 * 60 * 60);
    folder.revoke(&[], later).expect("short");
    assert_eq!(folder.revoked().expect("ours").expect("a list").keys, [first].into());
}

#[test]
fn a_rotation_that_was_interrupted_is_finished_or_forgotten_and_no_key_is_lost() {
    let (place, mut folder) = made();
    let root = place.path().join("root");
    let before = std::fs::read(root.join("root.key")).expect("ours");
    let (_, first) = folder.mesh();
    folder.rotate().expect("the first");
    let (_, second) = folder.mesh();
    // as after a crash just before the last step
    std::fs::rename(root.join("root.key"), root.join("next.key")).expect("ours");
    std::fs::write(root.join("root.key"), &before).expect("ours");
    std::fs::set_permissions(root.join("root.key"), Permissions::from_mode(0o600)).expect("ours");
    assert_eq!(RootFolder::open(&root).expect("ours").mesh().1, second);
    assert!(!root.join("next.key").exists());
    // and as after one before the succession was written: the key that nobody heard of is of no use
    write_new(&root.join("next.key"), &Key::from_seed([5; 32]).to_secret_text()).expect("ours");
    assert_eq!(RootFolder::open(&root).expect("ours").mesh().1, second);
    assert_ne!(first, second);
}
