#!/bin/sh
# Builds the programs of plan.yaml into built/, with the SDKs as their registries have them.
set -eu
cd "$(dirname "$0")"
mkdir -p built/js
cargo build --quiet --locked --manifest-path rust/Cargo.toml --target-dir built/rust
cp js/package.json js/package-lock.json js/ping.js built/js
cd built/js
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
