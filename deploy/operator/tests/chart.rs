//! The chart in deploy/chart: `.ci/chart` renders it with Helm's own code and holds it against the schemas of Kubernetes' API.

use std::path::Path;
use std::process::Command;

#[test]
fn the_chart_is_as_it_was_rendered_and_kubernetes_would_take_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = root.join("target/tools");
    if !tools.join("helm_python").exists() || !tools.join("kubernetes_validate").exists() {
        println!(
            "skipped: the chart, because helm_python or kubernetes_validate is not in target/tools; .ci/setup brings them"
        );
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci || cfg!(not(target_arch = "x86_64")), "CI has them");
        return;
    }
    let output = Command::new("python3").arg(root.join(".ci/chart")).output().expect("python3 is there");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", said(&output.stdout));
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
