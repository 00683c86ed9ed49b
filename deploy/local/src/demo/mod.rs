//! demo
use crate::settings::StackSettings;
/// Runs the demo.
pub async fn run(_settings: StackSettings) -> anyhow::Result<u8> {
    anyhow::bail!("not yet")
}
