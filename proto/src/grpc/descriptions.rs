//! What `.proto` files describe, from their texts: for the agents that call, and for whoever judges a plan before.

use std::collections::BTreeSet;

use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use protox::prost_reflect::DescriptorPool;

/// Files by their paths; one imports another by the end of its path.
#[derive(Debug)]
struct Given(Vec<(String, String)>);

/// A file that describes nothing.
#[derive(Debug)]
pub struct Undescribed {
    /// Its place among those that were given.
    pub at: usize,
    /// As the others import it.
    pub name: String,
    pub error: protox::Error,
}

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let wanted = |path: &str| path == name || path.ends_with(&format!("/{name}"));
        match self.0.iter().find(|(path, _)| wanted(path)) {
            Some((_, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// What files describe together, each given as its path and its text. Google's own may be imported without being given.
///
/// # Errors
/// One of them is no description, or imports what is not there.
pub fn described(files: Vec<(String, String)>) -> Result<DescriptorPool, Undescribed> {
    let names = names(&files);
    let mut resolver = ChainFileResolver::new();
    resolver.add(Given(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    for (at, name) in names.into_iter().enumerate() {
        compiler.open_file(&name).map_err(|error| Undescribed { at, name, error })?;
    }
    Ok(compiler.descriptor_pool())
}

/// The name of each file as the others import it, or its path: under two names it would be two files.
fn names(files: &[(String, String)]) -> Vec<String> {
    let imports = files.iter().filter_map(|(path, text)| File::from_source(path, text).ok());
    let imports: BTreeSet<String> = imports.flat_map(|file| file.file_descriptor_proto().dependency.clone()).collect();
    let mut names: Vec<String> = Vec::new();
    for (path, _) in files {
        let imported = imports.iter().find(|name| path.ends_with(&format!("/{name}")) && !names.contains(name));
        names.push(imported.map_or_else(|| path.clone(), Clone::clone));
    }
    names
}
