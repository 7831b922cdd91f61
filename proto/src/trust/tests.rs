//! Lines of root keys, lists, and what a thief of an old key can say.

use super::*;
use crate::identity::{Capability, Grant, Role, Token};

fn mesh() -> Name {
    "dev".parse().expect("a name")
}

fn key(seed: u8) -> Key {
    Key::from_seed([seed; 32])
}

fn token(root: &Key, seed: u8) -> Token {
    Token::issue(root, [seed; 32], |token| Grant {
        mesh: mesh(),
        names: "*".to_owned(),
        role: Role::Agent,
        capabilities: Capability::ALL.into(),
        not_after: UnixSeconds(1_000),
        token,
    })
}

fn chain(token: &Token) -> Chain {
    token.claim(&"shop".parse().expect("a name"), key(99).public())
}

fn list(root: &Key, number: u64, keys: &[PeerId]) -> RootNews {
    let list = Revoked { mesh: mesh(), root: root.public(), number, keys: keys.iter().copied().collect() };
    RootNews { successions: Vec::new(), revoked: Some(list.seal(root)) }
}

fn successions(keys: &[&Key]) -> RootNews {
    let pairs = keys.windows(2).map(|pair| CrossSigned::succession(&mesh(), pair[0], pair[1]));
    RootNews { successions: pairs.collect(), revoked: None }
}

const NOW: UnixSeconds = UnixSeconds(900);

#[test]
fn whoever_trusts_one_root_key_comes_to_trust_the_line_from_either_end() {
    let keys = [key(1), key(2), key(3)];
    let news = successions(&[&keys[0], &keys[1], &keys[2]]);
    for (begins, first) in keys.iter().enumerate() {
        let mut trust = Trust::new(mesh(), first.public());
        for (other, root) in keys.iter().enumerate() {
            assert_eq!(trust.check(&chain(&token(root, 7)), NOW).is_ok(), other == begins, "{begins} {other}");
        }
        assert_eq!(trust.learn(&news), Ok(true));
        assert_eq!(trust.learn(&news), Ok(false), "nothing new");
        assert_eq!((trust.newest(), trust.news()), (keys[2].public(), news.clone()));
        for root in &keys {
            assert_eq!(trust.check(&chain(&token(root, 7)), NOW).expect("in the line").issued.root, root.public());
        }
        assert!(trust.check(&chain(&token(&key(9), 7)), NOW).is_err(), "a stranger's");
    }
}

#[test]
fn a_succession_needs_both_signatures_the_mesh_and_a_place_in_the_line() {
    let (old, new, thief) = (key(1), key(2), key(3));
    let good = CrossSigned::succession(&mesh(), &old, &new);
    let learn = |successions| {
        let mut trust = Trust::new(mesh(), old.public());
        trust.learn(&RootNews { successions, revoked: None })
    };
    let mut unsigned = good.clone();
    unsigned.by_old = new.sign(SUCCESSION, unsigned.text.as_bytes());
    assert_eq!(learn(vec![unsigned]), Err(TrustError::BadSignature(SUCCESSION)));
    let mut unsigned = good.clone();
    unsigned.by_new = old.sign(SUCCESSION, unsigned.text.as_bytes());
    assert_eq!(learn(vec![unsigned]), Err(TrustError::BadSignature(SUCCESSION)));
    let other = "prod".parse().expect("a name");
    assert!(matches!(learn(vec![CrossSigned::succession(&other, &old, &new)]), Err(TrustError::OtherMesh { .. })));
    assert_eq!(learn(vec![CrossSigned::succession(&mesh(), &thief, &new)]), Err(TrustError::OtherLine));
    let fork = CrossSigned::succession(&mesh(), &old, &thief);
    assert_eq!(learn(vec![good.clone(), fork]), Err(TrustError::OtherLine), "the first that is known stays");
    let back = CrossSigned::succession(&mesh(), &new, &old);
    assert_eq!(learn(vec![good, back]), Err(TrustError::OtherLine), "no circles");
    let many: Vec<Key> = (1..=u8::try_from(limits::ROOTS).expect("few") + 1).map(key).collect();
    let too_long = successions(&many.iter().collect::<Vec<_>>());
    assert!(matches!(learn(too_long.successions), Err(TrustError::TooManyRoots(_))));
}

#[test]
fn the_highest_list_wins_whatever_comes_later_and_names_tokens_and_roots() {
    let root = key(1);
    let (shop, ledger) = (token(&root, 7), token(&root, 8));
    let mut trust = Trust::new(mesh(), root.public());
    assert_eq!(trust.learn(&list(&root, 3, &[shop.key.public()])), Ok(true));
    assert_eq!(trust.check(&chain(&shop), NOW), Err(TrustError::Revoked { token: shop.key.public().short(), list: 3 }));
    assert!(trust.check(&chain(&ledger), NOW).is_ok());
    for number in [0, 2, 3] {
        assert_eq!(trust.learn(&list(&root, number, &[])), Ok(false), "list {number} is not newer");
    }
    assert!(trust.check(&chain(&shop), NOW).is_err(), "still revoked");
    assert_eq!(trust.learn(&list(&root, 4, &[ledger.key.public()])), Ok(true));
    assert!(trust.check(&chain(&shop), NOW).is_ok(), "a list says all that is revoked");
    let forged = RootNews { revoked: list(&key(9), 9, &[]).revoked, ..RootNews::default() };
    assert_eq!(trust.learn(&forged), Err(TrustError::OtherLine));
    let mut changed = list(&root, 9, &[shop.key.public()]);
    changed.revoked.as_mut().expect("a list").text = changed.revoked.as_ref().expect("a list").text.replace("9", "8");
    assert!(trust.learn(&changed).is_err());
    assert_eq!(trust.list(), Some(4));
}

#[test]
fn a_stolen_root_key_is_worthless_after_a_rotation_and_a_list_that_names_it() {
    let (stolen, new) = (key(1), key(2));
    let mut trust = Trust::new(mesh(), stolen.public());
    let mut news = successions(&[&stolen, &new]);
    news.revoked = list(&new, 1, &[stolen.public()]).revoked;
    assert_eq!(trust.learn(&news), Ok(true));
    let minted = chain(&token(&stolen, 7));
    assert!(matches!(trust.check(&minted, NOW), Err(TrustError::RootRevoked { list: 1, .. })));
    assert!(trust.check(&chain(&token(&new, 7)), NOW).is_ok());
    assert_eq!(trust.learn(&list(&stolen, u64::MAX, &[])), Ok(false), "a list of an older key does not count");
    assert_eq!(trust.learn(&successions(&[&stolen, &key(3)])), Err(TrustError::OtherLine));
    assert!(trust.check(&minted, NOW).is_err());
}

#[test]
fn a_list_that_is_too_long_is_refused() {
    let root = key(1);
    let keys: Vec<PeerId> = (0..=limits::REVOKED_KEYS as u64)
        .map(|number| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            PeerId(bytes)
        })
        .collect();
    let mut trust = Trust::new(mesh(), root.public());
    assert!(matches!(trust.learn(&list(&root, 1, &keys)), Err(TrustError::TooManyRevoked(_))));
    let most = list(&root, 1, &keys[1..]);
    assert_eq!(trust.learn(&most), Ok(true));
    let bytes = crate::codec::Codec::Bincode.encode(&most).expect("it fits");
    assert!(bytes.len() < limits::MESSAGE_BYTES / 2, "{} bytes leave room for a message", bytes.len());
}
