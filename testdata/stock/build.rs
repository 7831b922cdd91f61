//! Makes the code of `acme.Stock` from its description.

use std::path::PathBuf;

use prost::Message as _;

fn main() {
    println!("cargo::rerun-if-changed=proto/stock.proto");
    let described = protox::compile(["stock.proto"], ["proto"]).expect("proto/stock.proto is a good description");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where"));
    // What reflection answers with.
    std::fs::write(out.join("stock.bin"), described.encode_to_vec()).expect("room for a file");
    tonic_prost_build::configure().build_client(false).compile_fds(described).expect("code can be made");
}
