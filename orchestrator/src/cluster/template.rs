//! What a service's pod is made from: a file of the user's, a service or a type of services each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meshproof_proto::id::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::plan::compiled::Service;
use crate::plan::limits::MAX_BESIDE_BYTES;
use crate::plan::{Plan, Span};

/// Where a project has its own.
const FOLDER: &str = "deploy/templates";

/// The one of services that are an image.
pub const DEFAULT: &str = include_str!("../../../deploy/templates/default.yaml");

/// A Pod, as far as something is put into it. All else stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    #[serde(default)]
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default)]
    pub(super) init_containers: Vec<Value>,
    pub(super) containers: Vec<Container>,
    #[serde(default)]
    pub(super) volumes: Vec<Value>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<Vec<String>>,
    #[serde(default)]
    pub(super) env_from: Vec<Value>,
    #[serde(default)]
    pub(super) volume_mounts: Vec<Value>,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// There is no pod for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTemplate {
    /// Where the plan says what lacks one.
    pub span: Span,
    pub why: Missing,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Missing {
    #[error("`{service}` has no image, and no template says what its pod is made from")]
    Unknown { service: Name, create: PathBuf },
    #[error("the template {} cannot be used: {why}", path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("the template {} names no image, and neither does the plan for `{service}`", path.display())]
    NoImage { service: Name, path: PathBuf },
}

impl Missing {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Unknown { create, .. } => format!(
                "create {}, a Pod whose first container is the service, as deploy/templates/default.yaml of meshproof is; or say its `image`",
                create.display()
            ),
            Self::Unusable { .. } => {
                "a Pod is expected: `spec` with `containers`, the first of which is the service".to_owned()
            }
            Self::NoImage { .. } => "say `image` in one of them".to_owned(),
        }
    }
}

/// The template of each service: the file of its name, or, if it is an image, `default.yaml`, or the one that is built in. They are
/// looked for in `folder`, or else in `deploy/templates` of the plan's folder and of those around it, up to the repository's top.
///
/// # Errors
/// Those services that have none, each with the file to create.
pub fn templates(
    plan: &Plan,
    plan_dir: &Path,
    folder: Option<&Path>,
) -> Result<BTreeMap<Name, Template>, Vec<NoTemplate>> {
    let folders = folder.map_or_else(|| around(plan_dir), |folder| vec![folder.to_owned()]);
    let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
    for service in &plan.services {
        match of(service, &folders) {
            Ok(template) => drop(found.insert(service.name.clone(), template)),
            Err(why) => missing.push(NoTemplate { span: service.span, why }),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(missing) }
}

/// The nearest first.
fn around(plan_dir: &Path) -> Vec<PathBuf> {
    let top = plan_dir.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(plan_dir);
    let folders = plan_dir.ancestors().take_while(|folder| folder.starts_with(top));
    folders.map(|folder| folder.join(FOLDER)).collect()
}

fn of(service: &Service, folders: &[PathBuf]) -> Result<Template, Missing> {
    let named =
        |name: &str| folders.iter().map(|folder| folder.join(format!("{name}.yaml"))).find(|path| path.exists());
    let own = named(service.name.as_str());
    let path = own.or_else(|| service.image.as_ref().and_then(|_| named("default")));
    let template = match (&path, &service.image) {
        (Some(path), _) => read(path)?,
        (None, Some(_)) => parse(DEFAULT).expect("a test reads it"),
        (None, None) => {
            let create = folders.last().cloned().unwrap_or_default().join(format!("{}.yaml", service.name));
            return Err(Missing::Unknown { service: service.name.clone(), create });
        }
    };
    let has_image = template.spec.containers.first().is_some_and(|first| first.image.is_some());
    match path {
        Some(path) if !has_image && service.image.is_none() => {
            Err(Missing::NoImage { service: service.name.clone(), path })
        }
        _ => Ok(template),
    }
}

fn read(path: &Path) -> Result<Template, Missing> {
    let unusable = |why: String| Missing::Unusable { path: path.to_owned(), why };
    let bytes = crate::beside::read(path).map_err(|error| unusable(error.to_string()))?;
    if bytes.len() > MAX_BESIDE_BYTES {
        return Err(unusable(format!("it has more than {MAX_BESIDE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is no text".to_owned()))?;
    parse(&text).map_err(unusable)
}

fn parse(text: &str) -> Result<Template, String> {
    // by way of a value: what is left over is taken as it is
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let kind = value.get("kind").and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| *kind != "Pod") {
        return Err(format!("it is a {kind}"));
    }
    let template: Template = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if template.spec.containers.is_empty() { Err("it has no containers".to_owned()) } else { Ok(template) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Inputs, check};

    fn plan(services: &str) -> Plan {
        let head = "meshproof: 1\nplan: p\nservices:\n";
        let text = format!("{head}{services}tests:\n  - {{ id: t, steps: [{{ to: a, http: {{ get: / }} }}] }}\n");
        let checked = check("plan.yaml", text.as_bytes(), &Inputs::default());
        checked.plan.map_err(|mistakes| format!("{mistakes:?}")).expect("a good plan")
    }

    const IMAGE: &str = "  a: { image: shop:1, ports: { http: 80 } }\n";
    const PROGRAM: &str = "  a: { exec: { argv: [shop] }, ports: { http: 80 } }\n";

    fn image(found: &Result<BTreeMap<Name, Template>, Vec<NoTemplate>>) -> Option<String> {
        found.as_ref().ok()?.values().next()?.spec.containers[0].image.clone()
    }

    #[test]
    fn an_image_needs_no_template_and_the_nearest_file_of_its_name_comes_first() {
        let place = tempfile::tempdir().expect("a folder");
        let (top, deep) = (place.path(), place.path().join("tests/shop"));
        std::fs::create_dir_all(top.join(".git")).expect("a repository");
        let write = |folder: &Path, name: &str, image: &str| {
            std::fs::create_dir_all(folder.join(FOLDER)).expect("a folder");
            let text = format!("spec:\n  containers:\n    - name: x\n      image: {image}\n  hostNetwork: false\n");
            std::fs::write(folder.join(FOLDER).join(name), text).expect("a file");
        };
        std::fs::create_dir_all(&deep).expect("a folder");
        let found = || templates(&plan(IMAGE), &deep, None);
        assert_eq!(image(&found()), None, "it is the built-in one");
        for (folder, name, text) in
            [(top, "default.yaml", "d"), (top, "a.yaml", "top"), (&deep, "a.yaml", "deep"), (&deep, "b.yaml", "other")]
        {
            write(folder, name, text);
            let expected = if text == "other" { "deep" } else { text };
            assert_eq!(image(&found()).as_deref(), Some(expected));
        }
        let kept = &found().expect("it is there")[&"a".parse::<Name>().expect("a name")];
        assert_eq!(kept.spec.rest["hostNetwork"], false, "what is not ours stays");
        assert!(templates(&plan(IMAGE), &deep, Some(&top.join("none"))).is_ok(), "only there is looked");
    }

    #[test]
    fn what_is_missing_or_of_no_use_is_told_with_its_path() {
        let place = tempfile::tempdir().expect("a folder");
        let told = || {
            let missing = templates(&plan(PROGRAM), place.path(), None).expect_err("nothing says what it is made from");
            (missing[0].why.to_string(), missing[0].why.help())
        };
        let path = place.path().join(FOLDER).join("a.yaml");
        let (what, help) = told();
        assert_eq!(what, "`a` has no image, and no template says what its pod is made from");
        assert!(help.starts_with(&format!("create {}, a Pod", path.display())), "{help}");
        std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
        let table = [
            ("kind: Deployment\n", "it is a Deployment"),
            ("spec: { containers: [] }\n", "it has no containers"),
            ("spec: [\n", "cannot be used"),
            ("spec: { containers: [{ image: 3 }] }\n", "cannot be used"),
            ("spec: { containers: [{ name: x }] }\n", "names no image"),
        ];
        for (text, why) in table {
            std::fs::write(&path, text).expect("a file");
            let (what, _) = told();
            assert!(what.contains(why) && what.contains("a.yaml"), "{what}");
        }
    }
}
