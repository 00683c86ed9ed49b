//! Compiles the wire contract into `OUT_DIR` without a protoc on the machine.
use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 4] = [
    "media/v1/media.proto",
    "dub/v1/dub.proto",
    "edge/v1/edge.proto",
    "orchestrator/v1/orchestrator.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .bytes(".dub.v1.Audio.pcm")
        .bytes(".dub.v1.Speech.pcm")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
