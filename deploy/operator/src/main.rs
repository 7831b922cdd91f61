//! The operator as a program: what it does is said by its first argument.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use meshproof_operator::kinds::crds;

/// meshproof on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "meshproof-operator", version)]
enum Command {
    /// Writes the definitions of the kinds MeshPool and MeshRun
    Crds {
        /// Where to; without it they are printed
        folder: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Crds { folder } => write(folder),
    }
}

fn write(folder: Option<PathBuf>) -> anyhow::Result<()> {
    for (name, text) in crds::files() {
        match &folder {
            Some(folder) => {
                let path = folder.join(name);
                std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => println!("---\n{text}"),
        }
    }
    Ok(())
}
