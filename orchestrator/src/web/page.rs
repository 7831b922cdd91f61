//! The page's files, as this binary has them.

/// A file, what it is, and its text.
type Asset = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

macro_rules! assets {
    ($($kind:ident $path:literal)*) => {
        &[$(($path, $kind, include_str!(concat!("page/", $path)))),*]
    };
}

/// All of them. A test holds the folder against it.
const ASSETS: &[Asset] = assets! {
    HTML "index.html"
    ICON "icon.svg"
    STYLE "style.css"
    SCRIPT "main.js"
    SCRIPT "mesh/calls.js"
    SCRIPT "mesh/connection.js"
    SCRIPT "mesh/link.js"
    SCRIPT "mesh/mesh.js"
    SCRIPT "mesh/process.js"
    SCRIPT "mesh/stand_in.js"
    SCRIPT "mesh/watch.js"
    SCRIPT "run/run.js"
    SCRIPT "view/chat.js"
    SCRIPT "view/console.js"
    SCRIPT "view/dom.js"
    SCRIPT "view/feed.js"
    SCRIPT "view/health.js"
    SCRIPT "view/lanes.js"
    SCRIPT "view/topology.js"
    SCRIPT "view/verdict.js"
    SCRIPT "view/words.js"
    SCRIPT "wire/bytes.js"
    SCRIPT "wire/identity.js"
    SCRIPT "wire/signal.js"
};

/// What is served at this path.
pub(super) fn at(path: &str) -> Option<(&'static str, &'static str)> {
    let name = if path == "/" { "index.html" } else { path.strip_prefix('/')? };
    ASSETS.iter().find(|(asset, ..)| *asset == name).map(|(_, kind, text)| (*kind, *text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Everything that the page loads, in bytes. The aim is 250 kB.
    const MOST_BYTES: usize = 250_000;

    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => files(&path, found),
                path => found.push(path),
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served_and_the_page_is_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page");
        let mut found = Vec::new();
        files(&folder, &mut found);
        let there: BTreeSet<String> = found
            .iter()
            .map(|path| path.strip_prefix(&folder).expect("it is in there").to_string_lossy().into_owned())
            .collect();
        let served: BTreeSet<String> = ASSETS.iter().map(|(path, ..)| (*path).to_owned()).collect();
        assert_eq!(there, served);
        let bytes: usize = ASSETS.iter().map(|(.., text)| text.len()).sum();
        println!("{} files, {bytes} bytes", ASSETS.len());
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
        assert!(at("/").is_some_and(|(kind, _)| kind == HTML) && at("/main.js").is_some());
        for nothing in ["", "//", "/../web.rs", "/main", "/page/main.js"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
    }
}
