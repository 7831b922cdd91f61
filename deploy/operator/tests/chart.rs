//! The chart in deploy/chart: `.ci/chart` renders it with Helm's own code and holds it against the schemas of Kubernetes' API.

use std::path::Path;
use std::process::Command;

#[test]
fn the_chart_is_as_it_was_rendered_and_kubernetes_would_take_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = root.join("target/tools");
    let missing =
        ["helm_python", "kubernetes_validate", "cel_expr_python"].map(|tool| (tool, tools.join(tool).exists()));
    if let Some((tool, _)) = missing.iter().find(|(_, is_there)| !is_there) {
        println!("skipped: the chart, because {tool} is not in target/tools; .ci/setup brings it");
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci || cfg!(not(target_arch = "x86_64")), "CI has them");
        return;
    }
    let output = Command::new("python3").arg(root.join(".ci/chart")).output().expect("python3 is there");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", said(&output.stdout));
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
