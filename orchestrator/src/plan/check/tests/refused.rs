//! What reads well and could not work: refused before it runs, with the reason.

use super::*;
use crate::plan::{SecretInputs, Wanted};

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
fn every_effect_may_be_proved() {
    const SLOW: &str = "{ stub: bank, latency: \"${{ params.limit }}\", jitter: 10ms }";
    for fault in [
        "{ traffic: shop -> ledger, bandwidth: 1mbit }",
        "{ traffic: shop -> ledger, refuse: true }",
        "{ traffic: shop -> ledger, reset: 1s }",
        "{ stub: bank, loss: 100% }",
        "{ traffic: shop -> ledger, loss: 100% }",
        "{ traffic: shop -> ledger, bandwidth: 1mbit, latency: 1s }",
    ] {
        assert_eq!(changed(SLOW, fault), Vec::<String>::new(), "{fault}");
    }
}

#[test]
fn a_param_that_does_not_fit_is_shown_at_its_declaration_and_an_unknown_one_nowhere() {
    let shown = |text: &str, name: &str, value: &str| {
        let params = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let Checked { source, plan } = check("plan.yaml", text.as_bytes(), &Inputs { params, ..Inputs::default() });
        plan.expect_err("it does not fit").render(&source, Look::Plain)
    };
    let typed = shown(SMALL, "limit", "7");
    assert!(typed.contains("[plan.yaml:4:11]") && typed.contains("it was given with --param limit"), "{typed}");
    let end = "1 mistake in plan.yaml; `meshproof explain MP0307` says more about the first\n";
    assert_eq!(
        shown(SMALL, "limt", "7s"),
        format!(
            "MP0307\n\n  x --param cannot set `limt`: the plan's parameters are limit\n  help: did you mean `limit`?\n\n{end}"
        )
    );
    let none =
        SMALL.replace("params: { limit: { type: duration, default: 5s } }\n", "").replace("${{ params.limit }}", "5s");
    assert_eq!(
        shown(&none, "limit", "7s"),
        format!("MP0307\n\n  x --param cannot set `limit`: the plan has no parameters\n\n{end}")
    );
}

#[test]
fn a_file_that_is_no_text_is_said_to_be_none_and_nothing_else() {
    let noise: Vec<u8> = (0..50_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let nothing = [0; 50_000];
    let large = vec![0xff; crate::plan::limits::MAX_PLAN_BYTES + 1];
    for (bytes, message) in [
        (noise.as_slice(), "this byte is not UTF-8"),
        (nothing.as_slice(), "the character U+0000 may not stand in a plan"),
        (large.as_slice(), "the plan has 4194305 bytes"),
    ] {
        let Checked { source, plan } = check("plan.yaml", bytes, &Inputs::default());
        let mistakes = plan.expect_err("it is no plan");
        assert_eq!((mistakes.found.len(), mistakes.found[0].message.as_str()), (1, message));
        let shown = mistakes.render(&source, Look::Plain);
        assert!(shown.chars().count() < 1_500, "{shown}");
    }
}

#[test]
fn a_secret_that_does_not_fit_is_shown_where_it_is_mentioned_and_its_value_nowhere() {
    let text = SMALL.replace("${{ stubs.bank.url }}", "${{ secrets.api-key }}");
    let shown = |given: &[(&str, &str)], environment: &[(&str, &str)], wanted| {
        let texts =
            |texts: &[(&str, &str)]| texts.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let secrets = SecretInputs { given: texts(given), environment: texts(environment), wanted };
        assert!(!format!("{secrets:?}").contains("hunter"), "{secrets:?}");
        let Checked { source, plan } = check("plan.yaml", text.as_bytes(), &Inputs { secrets, ..Inputs::default() });
        assert!(!format!("{plan:?}").contains("hunter"), "{plan:?}");
        plan.map_or_else(|mistakes| mistakes.render(&source, Look::Plain), |_| String::new())
    };
    let missing = shown(&[], &[("API_KEY", "hunter2")], Wanted::Values);
    assert!(missing.contains("the secret `api-key` has no value"), "{missing}");
    assert!(missing.contains("--secret api-key@FILE, or MESHPROOF_SECRET_API_KEY in the environment"), "{missing}");
    assert!(missing.contains("${{ secrets.api-key }}"), "{missing}");
    for (given, environment, wanted) in [
        (&[][..], &[][..], Wanted::Names),
        (&[], &[("MESHPROOF_SECRET_API_KEY", "hunter2")], Wanted::Values),
        // What is given counts before what the environment has.
        (&[("api-key", "hunter2")], &[("MESHPROOF_SECRET_API_KEY", "x")], Wanted::Values),
    ] {
        assert_eq!(shown(given, environment, wanted), "");
    }
    let short = shown(&[], &[("MESHPROOF_SECRET_API_KEY", "hunt")], Wanted::Names);
    assert!(short.contains("has 4 bytes") && short.contains("given by MESHPROOF_SECRET_API_KEY"), "{short}");
    assert!(!short.contains("hunt"), "{short}");
    let stranger = shown(&[("api-key", "hunter2"), ("api-kye", "hunter3")], &[], Wanted::Values);
    assert!(stranger.contains("--secret cannot set `api-kye`: the plan's secrets are api-key"), "{stranger}");
    assert!(stranger.contains("did you mean `api-key`?") && !stranger.contains("hunter"), "{stranger}");
}

#[test]
fn a_secret_that_somebody_wrote_into_the_plan_is_not_shown_by_what_is_wrong_with_it() {
    const PASTED: &str = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0cy1kby1ub3Qtc3RhbmQtaW4tcGxhbnM.4u7Yq0xkZb9TtW8mQ2x";
    let named = SMALL.replace("needs: [ledger]", &format!("needs: [{PASTED}]"));
    let text = format!("{named}secrets: {{ api-key: {PASTED} }}\n");
    let shown = |secrets: SecretInputs, look| {
        let Checked { source, plan } = check("plan.yaml", text.as_bytes(), &Inputs { secrets, ..Inputs::default() });
        plan.expect_err("it has mistakes").render(&source, look)
    };
    let piece = |shown: &str| (0..PASTED.len() - 6).map(|at| &PASTED[at..at + 6]).find(|piece| shown.contains(piece));
    let (name, value) = ("api-key".to_owned(), PASTED.to_owned());
    let given = SecretInputs { given: [(name, value.clone())].into(), ..SecretInputs::default() };
    let variable = ("MESHPROOF_SECRET_API_KEY".to_owned(), value);
    let environment = SecretInputs { environment: [variable].into(), ..SecretInputs::default() };
    for secrets in [given, environment] {
        for look in [Look::Plain, Look::Fancy] {
            let shown = shown(secrets.clone(), look);
            assert_eq!(piece(&shown), None, "{shown}");
            assert!(shown.contains("`***api-key***…` cannot be a name"), "{shown}");
            assert!(shown.contains("secrets: { api-key: *******"), "{shown}");
        }
    }
    let unknown = shown(SecretInputs::default(), Look::Plain);
    assert!(piece(&unknown).is_some(), "nobody can know that it is one: {unknown}");
}
