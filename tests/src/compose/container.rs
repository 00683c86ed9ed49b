//! What `docker inspect` says of a container, as far as the drills need it.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Label under which compose keeps the name of the service.
const SERVICE: &str = "com.docker.compose.service";

/// A container of the stack.
#[derive(Clone, Debug)]
pub struct Container {
    /// Everything that the engine says.
    pub inspected: Value,
}

impl Container {
    /// Id of the engine.
    pub fn id(&self) -> &str {
        self.inspected["Id"].as_str().unwrap_or_default()
    }

    /// Service of the compose file.
    pub fn service(&self) -> &str {
        self.inspected["Config"]["Labels"][SERVICE]
            .as_str()
            .unwrap_or_default()
    }

    /// Image as the compose file names it.
    pub fn image(&self) -> &str {
        self.inspected["Config"]["Image"].as_str().unwrap_or_default()
    }

    /// First process, by the host's number; 0 while it does not run.
    pub fn pid(&self) -> u32 {
        let pid = self.inspected["State"]["Pid"].as_u64().unwrap_or_default();
        u32::try_from(pid).unwrap_or_default()
    }

    /// `running`, `exited` and the like.
    pub fn status(&self) -> &str {
        self.inspected["State"]["Status"].as_str().unwrap_or_default()
    }

    /// Whether it runs and its own check says so.
    pub fn is_healthy(&self) -> bool {
        self.status() == "running" && self.health() == "healthy"
    }

    /// `healthy`, `starting`, `unhealthy`; `none` without a check.
    pub fn health(&self) -> &str {
        self.inspected["State"]["Health"]["Status"]
            .as_str()
            .unwrap_or("none")
    }

    /// Exit code of the last end.
    pub fn exit_code(&self) -> i64 {
        self.inspected["State"]["ExitCode"].as_i64().unwrap_or(-1)
    }

    /// When it was started last.
    pub fn started_at(&self) -> Result<SystemTime> {
        let text = self.inspected["State"]["StartedAt"]
            .as_str()
            .context("no time of the start")?;
        humantime::parse_rfc3339(text).with_context(|| format!("{text} is no time"))
    }

    /// How long it has been running.
    pub fn age(&self) -> Result<Duration> {
        Ok(self.started_at()?.elapsed().unwrap_or_default())
    }

    /// How long a stop may take.
    pub fn stop_grace(&self) -> Duration {
        let seconds = self.inspected["Config"]["StopTimeout"].as_u64();
        // What the engine takes where nothing is said.
        Duration::from_secs(seconds.unwrap_or(10))
    }

    /// Networks that it is in.
    pub fn networks(&self) -> Vec<&str> {
        let networks = self.inspected["NetworkSettings"]["Networks"].as_object();
        networks
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Folder inside at which a named volume is mounted.
    pub fn mount_of(&self, volume: &str) -> Option<&str> {
        let mounts = self.inspected["Mounts"].as_array()?;
        mounts.iter().find(|mount| mount["Name"] == volume)?["Destination"].as_str()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_without_a_check_is_not_healthy() {
        let mut container = Container {
            inspected: json!({"State": {"Status": "running", "Pid": 7, "StartedAt": "2026-11-22T10:00:00.123456789Z"}}),
        };
        assert_eq!(
            (container.health(), container.is_healthy(), container.pid()),
            ("none", false, 7)
        );
        assert!(container.started_at().is_ok());
        container.inspected["State"]["Health"] = json!({"Status": "healthy"});
        assert!(container.is_healthy());
        container.inspected["State"]["Status"] = json!("restarting");
        assert!(!container.is_healthy());
    }

    #[test]
    fn a_volume_is_found_by_its_name_at_its_folder() {
        let container = Container {
            inspected: json!({"Mounts": [{"Type": "bind"}, {"Type": "volume", "Name": "p_logs", "Destination": "/var/log/dub"}]}),
        };
        assert_eq!(container.mount_of("p_logs"), Some("/var/log/dub"));
        assert_eq!(container.mount_of("p_state"), None);
    }
}
