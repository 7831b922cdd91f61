//! Makes the code of `acme.Stock` from its description, which lies beside the plan that names it: a plan reads no file outside of
//! its folder.

use std::path::PathBuf;

use prost::Message as _;

fn main() {
    println!("cargo::rerun-if-changed=../verbs/grpc/stock.proto");
    let described = protox::compile(["stock.proto"], ["../verbs/grpc"]).expect("stock.proto is a good description");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where"));
    // What reflection answers with.
    std::fs::write(out.join("stock.bin"), described.encode_to_vec()).expect("room for a file");
    tonic_prost_build::configure().build_client(false).compile_fds(described).expect("code can be made");
}
