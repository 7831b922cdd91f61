//! What is accepted of epochs, and from whom.

use super::*;
use crate::identity::Grant;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn token(root: &Key, role: Role, seed: u8) -> Token {
    Token::issue(root, [seed; 32], |token| Grant {
        mesh: name("dev"),
        names: "*".to_owned(),
        role,
        capabilities: [].into(),
        not_after: UnixSeconds(1_000),
        token,
    })
}

fn root() -> Key {
    Key::from_seed([1; 32])
}

fn trust() -> Trust {
    Trust::new(name("dev"), root().public())
}

fn epoch(number: u64, zone: &str) -> Epoch {
    Epoch { mesh: name("dev"), pool: name("shop"), number, zone: name(zone) }
}

fn said(number: u64, zone: &str) -> EpochNotice {
    EpochNotice::sign(&token(&root(), Role::ZoneOperator, 2), &name("operator"), &epoch(number, zone))
}

const NOW: UnixSeconds = UnixSeconds(900);

#[test]
fn a_higher_epoch_is_learned_and_a_lower_one_refused() {
    let mut epochs = Epochs::default();
    assert_eq!(epochs.learn(&said(1, "a"), &trust(), NOW), Ok(true));
    assert_eq!(epochs.learn(&said(1, "a"), &trust(), NOW), Ok(false), "nothing new");
    assert_eq!(epochs.learn(&said(3, "b"), &trust(), NOW), Ok(true));
    let lower = EpochError::Lower { pool: name("shop"), known: 3, offered: 2 };
    assert_eq!(epochs.learn(&said(2, "a"), &trust(), NOW), Err(lower));
    assert_eq!(epochs.of(&name("shop")), Some(&epoch(3, "b")));
    assert_eq!(epochs.notices().collect::<Vec<_>>(), [&said(3, "b")]);
}

#[test]
fn one_epoch_has_one_zone() {
    let mut epochs = Epochs::default();
    epochs.learn(&said(2, "a"), &trust(), NOW).expect("the first");
    let refused = epochs.learn(&said(2, "b"), &trust(), NOW).expect_err("another zone");
    assert_eq!(refused.to_string(), "epoch 2 of pool `shop` is that of zone `a` already, not of `b`");
}

#[test]
fn each_pool_has_epochs_of_its_own() {
    let mut epochs = Epochs::default();
    epochs.learn(&said(7, "a"), &trust(), NOW).expect("one pool");
    let other = Epoch { pool: name("ledger"), ..epoch(1, "b") };
    let other = EpochNotice::sign(&token(&root(), Role::ZoneOperator, 2), &name("operator"), &other);
    assert_eq!(epochs.learn(&other, &trust(), NOW), Ok(true));
}

#[test]
fn only_a_zone_operator_of_this_mesh_is_believed_and_only_what_it_signed() {
    let learn = |notice: &EpochNotice| Epochs::default().learn(notice, &trust(), NOW);
    for role in [Role::Agent, Role::Orchestrator, Role::OperatorConsole, Role::Observer] {
        let notice = EpochNotice::sign(&token(&root(), role, 2), &name("x"), &epoch(9, "b"));
        assert_eq!(learn(&notice), Err(EpochError::OtherRole(role)));
    }
    let stranger = token(&Key::from_seed([9; 32]), Role::ZoneOperator, 2);
    let notice = EpochNotice::sign(&stranger, &name("x"), &epoch(9, "b"));
    assert_eq!(learn(&notice), Err(TrustError::BadSignature("grant").into()));
    let other_mesh = Epoch { mesh: name("prod"), ..epoch(9, "b") };
    let notice = EpochNotice::sign(&token(&root(), Role::ZoneOperator, 2), &name("x"), &other_mesh);
    assert!(matches!(learn(&notice), Err(EpochError::Trust(TrustError::OtherMesh { .. }))));
    let mut forged = said(1, "a");
    forged.epoch.text = forged.epoch.text.replace("\"number\":1", "\"number\":9");
    assert_eq!(learn(&forged), Err(TrustError::BadSignature("epoch").into()));
    let late = UnixSeconds(1_000 + limits::CLOCK_SKEW.as_secs() + 1);
    let late = Epochs::default().learn(&said(1, "a"), &trust(), late);
    assert!(matches!(late, Err(EpochError::Trust(TrustError::Expired { .. }))), "{late:?}");
}

#[test]
fn more_pools_than_there_is_room_for_are_refused() {
    let (mut epochs, token) = (Epochs::default(), token(&root(), Role::ZoneOperator, 2));
    let pool = |number: usize| Epoch { pool: name(&format!("p{number}")), ..epoch(1, "a") };
    let mut learn = |number| {
        let notice = EpochNotice::sign(&token, &name("operator"), &pool(number));
        epochs.learn(&notice, &trust(), NOW)
    };
    for number in 0..limits::POOLS {
        assert_eq!(learn(number), Ok(true));
    }
    assert_eq!(learn(limits::POOLS), Err(EpochError::TooMany));
}

#[test]
fn an_agent_of_another_zone_of_its_pool_does_not_count_and_one_without_a_pool_or_an_epoch_does() {
    let mut epochs = Epochs::default();
    epochs.learn(&said(2, "b"), &trust(), NOW).expect("the first");
    let against = |labels: &str| epochs.against(&labels.parse().expect("labels")).map(ToString::to_string);
    let told = "zone b is the active one of pool shop since epoch 2".to_owned();
    assert_eq!(against("pool=shop,zone=a"), Some(told));
    for counts in ["pool=shop,zone=b", "pool=bank,zone=a", "zone=a", "pool=shop", ""] {
        assert_eq!(against(counts), None, "{counts}");
    }
}
