//! The definitions of the kinds, as `deploy/chart/crds` has them.

use kube::CustomResourceExt as _;

use super::{MeshPool, MeshRun};

/// File name and YAML of each.
pub fn files() -> Vec<(&'static str, String)> {
    let yaml = |definition| {
        let text = serde_saphyr::to_string(&definition).expect("a definition is plain data");
        format!("# Generated: `cargo run -p meshproof-operator -- crds deploy/chart/crds`\n{text}")
    };
    vec![("meshpools.yaml", yaml(MeshPool::crd())), ("meshruns.yaml", yaml(MeshRun::crd()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charts_definitions_are_those_of_the_code() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../chart/crds");
        for (name, text) in files() {
            let path = folder.join(name);
            if std::env::var_os("UPDATE_CRDS").is_some() {
                std::fs::write(&path, &text).expect("the folder is there");
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, text, "{} is old: run this test with UPDATE_CRDS=1", path.display());
        }
    }
}
