//! The stack as a compose project of its own: its name, its settings, its containers, and its end.
//!
//! The project is not the user's: another name, so that containers, volumes and networks are others, and neither the
//! user's `.env` nor the settings of the shell reach it. Only host ports are the same, as the compose file has them.

use super::container::Container;
use super::docker::Docker;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the project.
pub const NAME: &str = "dub-test";
/// A first start loads images and waits for health.
const UP: Duration = Duration::from_secs(240);
/// Every service stops within its grace, one after the other at worst.
const DOWN: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a drill wants the stack to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    /// Settings of services: service, key, value.
    pub settings: Vec<(&'static str, &'static str, String)>,
    /// Variables that compose puts into its files.
    pub variables: BTreeMap<String, String>,
    /// Profiles.
    pub profiles: Vec<&'static str>,
    /// A compose file of the repository that is laid over the first.
    pub laid_over: Option<&'static str>,
    /// Lines below a service in a further override file.
    pub undone: Option<(&'static str, String)>,
}

impl Setup {
    /// The mock's coded tones, behind a short hold.
    pub fn coded() -> Self {
        let settings = [
            ("dubber", "WORKER_STS_PROVIDER", "mock"),
            ("dubber", "DUBBER_MOCK_MODE", "coded"),
            ("orchestrator", "WORKER_BUFFER_TARGET", "6s"),
            ("orchestrator", "WORKER_FRAGMENT_TARGET_DUR", "2s"),
            ("orchestrator", "ORCH_GRACE_PERIOD", "10s"),
        ];
        Self {
            settings: settings
                .into_iter()
                .map(|(service, key, value)| (service, key, value.to_owned()))
                .collect(),
            ..Self::default()
        }
    }

    /// The same with a setting of a service.
    pub fn setting(mut self, service: &'static str, key: &'static str, value: &str) -> Self {
        self.settings.push((service, key, value.to_owned()));
        self
    }

    /// The same with another compose file of the repository laid over it.
    pub fn laid_over(mut self, file: &'static str) -> Self {
        self.laid_over = Some(file);
        self
    }

    /// The same with a variable for compose.
    pub fn variable(mut self, key: &str, value: &str) -> Self {
        self.variables.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with a profile.
    pub fn profile(mut self, name: &'static str) -> Self {
        self.profiles.push(name);
        self
    }

    /// The same with lines that replace what the compose file says of a service.
    pub fn undoing(mut self, service: &'static str, lines: impl Into<String>) -> Self {
        self.undone = Some((service, lines.into()));
        self
    }

    /// The override file. No service reads the user's `.env`.
    pub fn override_file(&self, services: &BTreeSet<String>) -> String {
        let mut text = String::from("# Written by the compose drills.\nservices:\n");
        for service in services {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  {service}:\n    env_file: !reset []");
            let own: Vec<_> = self.settings.iter().filter(|(of, _, _)| of == service).collect();
            if !own.is_empty() {
                text.push_str("    environment:\n");
            }
            for (_, key, value) in own {
                let _ = writeln!(text, "      {key}: {}", Value::from(value.as_str()));
            }
        }
        text
    }

    /// The further override file.
    fn undone_file(&self) -> Option<String> {
        let (service, lines) = self.undone.as_ref()?;
        let mut text = format!("services:\n  {service}:\n");
        for line in lines.lines() {
            let _ = writeln!(text, "    {line}");
        }
        Some(text)
    }
}

/// The project.
#[derive(Debug)]
pub struct Project {
    /// The command line.
    pub docker: Docker,
    /// Folder of what the drills write.
    pub dir: PathBuf,
    services: BTreeSet<String>,
    setup: Setup,
}

impl Project {
    /// Reads the compose file of the folder that the program was started in.
    pub fn open(docker: Docker, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let mut project = Self {
            docker,
            dir: dir.to_path_buf(),
            services: BTreeSet::new(),
            setup: Setup::default(),
        };
        project.write(&Setup::default())?;
        let listed = project.compose(&["--profile", "*", "config", "--services"], UP)?;
        project.services = listed.lines().map(|line| line.trim().to_owned()).collect();
        if project.services.is_empty() {
            bail!("docker-compose.yml has no services: start the drills in the root of the repository");
        }
        project.write(&Setup::default())?;
        Ok(project)
    }

    fn write(&mut self, setup: &Setup) -> Result<()> {
        std::fs::write(self.dir.join("override.yml"), setup.override_file(&self.services))?;
        std::fs::write(self.dir.join("empty.env"), "")?;
        let undone = self.dir.join("undone.yml");
        match setup.undone_file() {
            Some(text) => std::fs::write(undone, text)?,
            None if undone.exists() => std::fs::remove_file(undone)?,
            None => {}
        }
        self.setup = setup.clone();
        Ok(())
    }

    /// Arguments in front of compose's own word.
    fn front(&self) -> Vec<String> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut words: Vec<String> = ["compose", "-p", NAME, "--env-file"].map(str::to_owned).to_vec();
        words.push(file("empty.env"));
        let files = ["docker-compose.yml"].into_iter().chain(self.setup.laid_over);
        words.extend(files.flat_map(|file| ["-f".to_owned(), file.to_owned()]));
        // Without services the override file is no YAML of compose.
        if !self.services.is_empty() {
            words.extend(["-f".to_owned(), file("override.yml")]);
        }
        if self.setup.undone.is_some() {
            words.extend(["-f".to_owned(), file("undone.yml")]);
        }
        for profile in &self.setup.profiles {
            words.extend(["--profile".to_owned(), (*profile).to_owned()]);
        }
        words
    }

    fn words(&self, arguments: &[&str]) -> Vec<String> {
        let mut words = self.front();
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Runs compose; a failure is an error.
    pub fn compose(&self, arguments: &[&str], within: Duration) -> Result<String> {
        self.docker
            .with_variables(&self.setup.variables)
            .text(&self.words(arguments), within)
    }

    /// Brings the stack to a setup and waits until it is healthy; how long that took. What is as wanted is left alone.
    pub fn up(&mut self, setup: &Setup) -> Result<Duration> {
        self.write(setup)?;
        let begun = Instant::now();
        self.compose(
            &[
                "up",
                "--detach",
                "--wait",
                "--no-build",
                "--pull",
                "never",
                "--remove-orphans",
            ],
            UP,
        )?;
        Ok(begun.elapsed())
    }

    /// Brings one service to a setup without waiting for its health.
    pub fn recreate(&mut self, setup: &Setup, service: &str) -> Result<()> {
        self.write(setup)?;
        let words = [
            "up",
            "--detach",
            "--no-build",
            "--pull",
            "never",
            "--no-deps",
            service,
        ];
        self.compose(&words, UP).map(|_| ())
    }

    /// Stops services of a profile and removes their containers: compose leaves them alone once the profile is gone.
    pub fn remove(&self, services: &[&str]) -> Result<()> {
        let mut words = vec!["--profile", "*", "rm", "--stop", "--force"];
        words.extend(services);
        self.compose(&words, DOWN).map(|_| ())
    }

    /// The compose file as it is in force.
    pub fn config(&self) -> Result<Value> {
        let text = self.compose(&["config", "--format", "json"], UP)?;
        serde_json::from_str(&text).context("compose's config is no JSON")
    }

    /// The compose file as it would be in force with a setup.
    pub fn config_of(&mut self, setup: &Setup) -> Result<Value> {
        let before = self.setup.clone();
        self.write(setup)?;
        let config = self.config();
        self.write(&before)?;
        config
    }

    /// Every container of the project, those that have ended too, by service.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let label = format!("label=com.docker.compose.project={NAME}");
        let ids = self
            .docker
            .ask(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label])?;
        let mut words = vec!["container", "inspect"];
        words.extend(ids.lines());
        if words.len() == 2 {
            return Ok(Vec::new());
        }
        let inspected = self.docker.json(&words)?;
        let mut found: Vec<Container> = inspected
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| Container {
                inspected: one.clone(),
            })
            .collect();
        found.sort_by(|a, b| a.service().cmp(b.service()));
        Ok(found)
    }

    /// The container of a service.
    pub fn container(&self, service: &str) -> Result<Container> {
        let all = self.containers()?;
        all.into_iter()
            .find(|one| one.service() == service)
            .with_context(|| format!("{service} has no container"))
    }

    /// Asks for a container until it is as wanted; how long that took.
    pub fn container_when(
        &self,
        service: &str,
        within: Duration,
        wanted: impl Fn(&Container) -> bool,
    ) -> Result<(Container, Duration)> {
        let begun = Instant::now();
        // By its id, which it keeps over restarts: one call instead of two.
        let id = self.container(service)?.id().to_owned();
        loop {
            let inspected = self.docker.json(&["container", "inspect", &id])?;
            let container = Container {
                inspected: inspected[0].clone(),
            };
            if wanted(&container) {
                return Ok((container, begun.elapsed()));
            }
            if begun.elapsed() > within {
                bail!(
                    "{service} is not as wanted after {within:?}: {}, {}",
                    container.status(),
                    container.health()
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What a container wrote, of this start and of those before.
    pub fn log(&self, container: &Container) -> Result<String> {
        let ended = self.docker.run(&["logs", container.id()], UP)?;
        Ok(format!("{}{}", ended.stdout, ended.stderr))
    }

    /// Lines of a service's log that say ERROR: a human must look.
    pub fn error_lines(&self, service: &str) -> Result<Vec<String>> {
        let log = self.log(&self.container(service)?)?;
        let is_error = |line: &&str| line.contains("\"level\":\"error\"");
        Ok(log.lines().filter(is_error).map(str::to_owned).collect())
    }

    /// Keeps the logs of all containers in a file.
    pub fn keep_logs(&self, name: &str) -> Result<()> {
        let text = self.compose(&["--profile", "*", "logs", "--no-color", "--timestamps"], UP)?;
        Ok(std::fs::write(self.dir.join(format!("{name}.log")), text)?)
    }

    /// Folder of a volume on this machine.
    pub fn folder_of(&self, volume: &str) -> Result<PathBuf> {
        let path = self
            .docker
            .ask(&["volume", "inspect", "--format", "{{.Mountpoint}}", volume])?;
        Ok(PathBuf::from(path.trim()))
    }

    /// Takes down containers, networks and volumes, even if the drills were interrupted.
    pub fn down(&self) -> Result<()> {
        let words = [
            "--profile",
            "*",
            "down",
            "--volumes",
            "--remove-orphans",
            "--timeout",
            "30",
        ];
        let docker = self.docker.reopened().with_variables(&self.setup.variables);
        docker.text(&self.words(&words), DOWN).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_override_holds_each_service_s_own_settings_and_shuts_the_user_s_env_file_out() {
        let services = ["dubber", "jaeger"].map(str::to_owned).into();
        let mut setup = Setup::default();
        setup
            .settings
            .push(("dubber", "WORKER_TTS_VOICE", "a \"b\"".to_owned()));
        let text = setup.override_file(&services);
        assert_eq!(
            text,
            "# Written by the compose drills.\nservices:\n  dubber:\n    env_file: !reset []\n    environment:\n      \
             WORKER_TTS_VOICE: \"a \\\"b\\\"\"\n  jaeger:\n    env_file: !reset []\n"
        );
    }

    #[test]
    fn what_is_undone_stands_below_its_service() {
        let setup = Setup::coded().undoing("jaeger", "cap_add:\n  - NET_RAW");
        assert_eq!(
            setup.undone_file().unwrap(),
            "services:\n  jaeger:\n    cap_add:\n      - NET_RAW\n"
        );
        assert_eq!(Setup::coded().undone_file(), None);
    }
}
