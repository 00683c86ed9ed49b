//! The script of MediaMTX's HLS page, which its module archive lacks: `hls.min.js` of the version that MediaMTX names.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::job;
use super::release::hex;

/// The package.
const PACKAGE: &str = "hls.js@1.7.0";
/// Its archive, as npm names it.
const ARCHIVE: &str = "hls.js-1.7.0.tgz";
/// The script in it.
const MEMBER: &str = "package/dist/hls.min.js";
/// Digest of the script.
const SHA256: &str = "1f28c6a43deedddbd59aea4c119bd788f5e2347772c19da1f6f92f8d0032d9dc";

/// Fetches the script. The inner error says why there is none, which only costs the web page; a script that is not
/// the expected one is refused.
pub fn fetch(folder: &Path, log: &Path) -> Result<std::result::Result<Vec<u8>, String>> {
    let mut npm = Command::new("npm");
    npm.args(["pack", PACKAGE, "--silent"]).current_dir(folder);
    if let Err(error) = job::run(&mut npm, "mediamtx: fetching hls.js", "", log) {
        let first = format!("{error:#}");
        return Ok(Err(first.lines().next().unwrap_or_default().to_owned()));
    }
    let mut tar = Command::new("tar");
    tar.args(["-xzf", ARCHIVE, MEMBER]).current_dir(folder);
    job::run(&mut tar, "unpacking hls.js", "", log)?;
    let bytes = std::fs::read(folder.join(MEMBER)).context("reading hls.min.js")?;
    let found = hex(&Sha256::digest(&bytes));
    if found != SHA256 {
        bail!("hls.min.js of {PACKAGE} has sha256 {found}, expected {SHA256}");
    }
    Ok(Ok(bytes))
}
