//! What reads well and could not work: refused before it runs, with the reason.

use super::*;

#[test]
fn a_fault_on_traffic_that_no_plan_sends_through_the_mesh_is_refused() {
    // The one step that crosses goes, and what the shop is given goes past the mesh.
    let past =
        SMALL.replace("services.ledger.tcp }}", "services.ledger.tcp.direct }}").replace("at: ledger", "at: shop");
    for traffic in ["shop -> ledger", "shop <-> ledger", "ledger -> shop"] {
        let named = past.replace("shop -> ledger", traffic);
        let message = format!("nothing in this plan sends {traffic} through the mesh");
        assert_eq!(problems(&named), [format!("MP0408 [{traffic}] {message}")]);
        let crossing = SMALL.replace("shop -> ledger", traffic);
        assert_eq!(problems(&crossing), Vec::<String>::new(), "answers go the other way");
    }
    let inline = past.replace("  cut: { traffic: shop -> ledger, loss: 100% }\n", "");
    let inline = inline.replace("fault: slow", "fault: { traffic: shop <-> ledger, latency: 1s }");
    assert_eq!(
        problems(&inline),
        ["MP0408 [shop <-> ledger] nothing in this plan sends shop <-> ledger through the mesh"]
    );
    let and_more = past.replace("needs: [ledger]", "needs: [leger]");
    assert_eq!(problems(&and_more), ["MP0301 [leger] there is no service `leger`"], "it may hide the path");
}

#[test]
fn a_proof_that_nothing_could_pass_is_refused() {
    const SLOW: &str = "{ stub: bank, latency: \"${{ params.limit }}\", jitter: 10ms, bandwidth: 1mbit }";
    for (fault, refused) in [
        ("{ traffic: shop -> ledger, bandwidth: 1mbit }", Some("`prove` of a bandwidth without a latency")),
        ("{ stub: bank, loss: 100% }", Some("`prove` of the loss of a stub")),
        ("{ traffic: shop -> ledger, loss: 100% }", None),
        ("{ traffic: shop -> ledger, bandwidth: 1mbit, latency: 1s }", None),
        ("{ stub: bank, latency: 0ms, jitter: 10ms }", None),
    ] {
        let expected = refused.map(|what| format!("MP0110 [10%] {what} is not supported by this version yet"));
        assert_eq!(changed(SLOW, fault), Vec::from_iter(expected), "{fault}");
    }
}

#[test]
fn the_title_of_a_step_has_no_expressions() {
    let plan = checked(SMALL).plan.expect("the small plan is valid");
    let titles: Vec<&str> = plan.tests[0].steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!((titles[2], titles[7]), ("exec cat …", "say bought …"));
}
