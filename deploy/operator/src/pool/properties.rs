//! What holds for every pool, whatever happens to its zones and its operators.

use proptest::prelude::*;

use super::Action;
use super::tests::{World, pool};
use crate::kinds::{Failback, MeshPool, Zone, ZoneRole};
use crate::objects::ACTIVATE;

/// What happens in one moment.
#[derive(Clone, Debug)]
enum Happens {
    /// So many seconds pass; kubelets and reporters act in each.
    Pass(u8),
    /// The operator makes a plan and carries it out.
    Operate,
    /// It dies after so many steps of it, and another one starts.
    Die(u8),
    /// Another operator thinks itself the leader and carries out what it planned earlier, from what it saw then.
    Late,
    Cut(u8),
    Lose(u8),
    BringBack(u8),
    Hold(u8),
    Release(u8),
    Ask(u8),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1_u8..20).prop_map(Happens::Pass),
        8 => Just(Happens::Operate),
        2 => (0_u8..6).prop_map(Happens::Die),
        2 => Just(Happens::Late),
        1 => (0_u8..3).prop_map(Happens::Cut),
        2 => (0_u8..3).prop_map(Happens::Lose),
        3 => (0_u8..3).prop_map(Happens::BringBack),
        1 => (0_u8..3).prop_map(Happens::Hold),
        2 => (0_u8..3).prop_map(Happens::Release),
        1 => (0_u8..3).prop_map(Happens::Ask),
    ]
}

fn pools() -> impl Strategy<Value = MeshPool> {
    let sizes = (1_i32..4, 0_i32..3, 0_i32..3, prop::option::of(1_i32..5), prop::option::of(0_i32..3));
    (sizes, any::<bool>()).prop_map(|((active, b, c, takeover, warm), is_automatic)| {
        let mut zones = vec![
            Zone::new("a", ZoneRole::Active, active),
            Zone::new("b", ZoneRole::Standby, b),
            Zone::new("c", ZoneRole::Standby, c),
        ];
        zones[0].warm_replicas = warm;
        zones[1].takeover_replicas = takeover;
        let mut pool = pool(zones);
        pool.spec.mesh.zone_token_secret_ref = Some(pool.spec.mesh.token_secret_ref.clone());
        pool.spec.failover.failback = if is_automatic { Failback::Automatic } else { Failback::Manual };
        pool
    })
}

fn name(zone: u8) -> &'static str {
    ["a", "b", "c"][usize::from(zone) % 3]
}

struct Story {
    world: World,
    late: Option<super::Plan>,
}

impl Story {
    fn go_on(&mut self, happens: &Happens) {
        let world = &mut self.world;
        match happens {
            Happens::Pass(seconds) => {
                for _ in 0..*seconds {
                    world.now += std::time::Duration::from_secs(1);
                    world.live();
                }
            }
            Happens::Operate => {
                let plan = world.plan();
                world.carry_out(&plan, usize::MAX);
                self.late = Some(plan);
            }
            Happens::Die(steps) => {
                let plan = world.plan();
                world.carry_out(&plan, usize::from(*steps));
                world.restart_operator();
            }
            Happens::Late => {
                if let Some(plan) = self.late.take() {
                    world.carry_out(&plan, usize::MAX);
                }
            }
            Happens::Cut(zone) => world.cut(name(*zone)),
            Happens::Lose(zone) => world.lose(name(*zone)),
            Happens::BringBack(zone) => world.bring_back(name(*zone)),
            Happens::Hold(zone) => world.hold(name(*zone)),
            Happens::Release(zone) => world.release(name(*zone)),
            Happens::Ask(zone) => world.annotate(ACTIVATE, name(*zone)),
        }
    }

    /// Some zone has agents, from the moment on at which all were made.
    fn check(&self) {
        let sizes = ["a", "b", "c"].map(|zone| self.world.replicas(zone));
        let are_all_there = ["a", "b", "c"].iter().all(|zone| self.world.has_slice(zone));
        assert!(!are_all_there || sizes.iter().any(|size| *size > 0), "every zone has no agents");
    }
}

/// Without the objects.
fn brief(actions: &[Action]) -> Vec<String> {
    let brief = |action: &Action| match action {
        Action::Apply(object) => format!("apply {}", object.key),
        other => format!("{other:?}"),
    };
    actions.iter().map(brief).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// [`World::activate`] fails the test when an epoch comes twice.
    #[test]
    fn no_epoch_has_two_zones_and_never_are_all_zones_empty(pool in pools(), story in prop::collection::vec(happens(), 1..60)) {
        let mut told = Story { world: World::new(pool), late: None };
        for happens in &story {
            told.go_on(happens);
            told.check();
        }
        let numbers: Vec<i64> = told.world.epochs.keys().copied().collect();
        let in_a_row: Vec<i64> = (1..).take(numbers.len()).collect();
        prop_assert_eq!(numbers, in_a_row, "epochs grow by one");
    }

    /// One decision may follow from another, such as what a person asked for from a take-over, but they come to an end.
    #[test]
    fn plans_that_were_carried_out_leave_nothing_to_do(pool in pools(), story in prop::collection::vec(happens(), 1..60)) {
        let mut told = Story { world: World::new(pool), late: None };
        for happens in &story {
            told.go_on(happens);
        }
        let mut done: Vec<Vec<Action>> = Vec::new();
        loop {
            let plan = told.world.plan();
            let is_done = told.world.carry_out(&plan, usize::MAX);
            if plan.actions.is_empty() {
                break;
            }
            prop_assert!(is_done && done.len() < 3 && !done.contains(&plan.actions), "{:?}", brief(&plan.actions));
            done.push(plan.actions);
        }
        let again = told.world.plan();
        prop_assert!(again.actions.is_empty(), "{:?}", brief(&again.actions));
        prop_assert_eq!(&told.world.status, &again.status);
    }

    #[test]
    fn when_zones_are_well_again_the_pool_comes_to_rest_with_a_complete_one(pool in pools(), story in prop::collection::vec(happens(), 1..60)) {
        let mut told = Story { world: World::new(pool), late: None };
        for happens in &story {
            told.go_on(happens);
        }
        for zone in ["a", "b", "c"] {
            told.world.bring_back(zone);
            told.world.release(zone);
        }
        told.world.rest(std::time::Duration::from_secs(300));
        let (active, _) = told.world.active();
        prop_assert!(told.world.actions().is_empty());
        prop_assert_eq!(told.world.replicas(&active), told.world.ready_of(&active));
        prop_assert!(told.world.status.conditions.iter().any(|is| is.type_ == "Ready" && is.status == "True"));
    }
}
