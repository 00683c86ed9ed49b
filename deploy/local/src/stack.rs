//! A whole stack as one value: started, looked at, hurt, stopped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use service_kit::exit::{ExitWith, code};
use service_kit::settings::Env;
use tokio::time::{Instant, sleep};

use crate::listeners::Ports;
use crate::log_sink;
use crate::part::{Name, Order, Spec, Status};
use crate::ports::{self, PortBlock};
use crate::readiness;
use crate::settings::Twin;
use crate::supervisor::Supervisor;
use crate::tools::{self, Tool};
use crate::{Signal, binaries, environment, process};

/// How long a stack may take until it accepts streams.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at the parts.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which ports a stack stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// The first block of ports that is free.
    Auto,
    /// The plain ports plus this.
    Fixed(u16),
}

/// Says how a stack is started. The defaults are those of a test: free ports, clean state, no Jaeger, quiet.
#[derive(Debug, Clone)]
pub struct Builder {
    env: Vec<(String, String)>,
    offset: Offset,
    dir: Option<PathBuf>,
    bin_dir: Option<PathBuf>,
    restart: bool,
    jaeger: bool,
    twin: Option<Twin>,
    echo: bool,
    dotenv: bool,
    fresh: bool,
}

impl Builder {
    /// Sets a setting of every part; wins over the environment of this process.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Chooses the ports.
    #[must_use]
    pub fn offset(mut self, offset: Offset) -> Self {
        self.offset = offset;
        self
    }

    /// Folder of state and logs; default `.run/stack-<offset>` in the root of the repository.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Folder of our binaries; default `STACK_BIN_DIR`, else beside this executable.
    #[must_use]
    pub fn bin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(dir.into());
        self
    }

    /// Whether dead parts come back.
    #[must_use]
    pub fn restart(mut self, restart: bool) -> Self {
        self.restart = restart;
        self
    }

    /// Whether a Jaeger is part of it. Its binary must be at hand: the cache, or `JAEGER_BIN`.
    #[must_use]
    pub fn jaeger(mut self, jaeger: bool) -> Self {
        self.jaeger = jaeger;
        self
    }

    /// Puts the Gemini twin in Google's place: the dubber dubs there, whatever the environment says of the provider.
    #[must_use]
    pub fn twin(mut self, twin: Twin) -> Self {
        self.twin = Some(twin);
        self
    }

    /// Whether the parts' logs are shown on stderr.
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Whether settings of `.env` in the root of the repository are taken, below the environment.
    #[must_use]
    pub fn dotenv(mut self, dotenv: bool) -> Self {
        self.dotenv = dotenv;
        self
    }

    /// Whether state and logs of an earlier stack in the same folder are deleted first.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// Starts the stack and returns when it accepts streams.
    pub async fn start(self) -> Result<Stack> {
        let stack = self.launch().await?;
        stack.wait_ready().await?;
        Ok(stack)
    }

    /// Starts the stack and returns at once.
    pub async fn launch(self) -> Result<Stack> {
        let root = binaries::root()?;
        let said = self.said(&root);
        let bin_dir = self
            .bin_dir
            .clone()
            .or_else(|| said.get("STACK_BIN_DIR").map(PathBuf::from));
        let bin_dir = binaries::folder(bin_dir.as_deref())?;
        let mediamtx = find_mediamtx(said.clone()).await?;
        let jaeger = self.jaeger.then(|| tools::find(Tool::Jaeger, &said)).flatten();
        if self.jaeger && jaeger.is_none() {
            say(
                self.echo,
                "no Jaeger at hand: this stack runs untraced (`local-stack tools jaeger` gets one)",
            );
        }
        let parts: Vec<Name> = Name::ALL
            .into_iter()
            .filter(|name| *name != Name::Jaeger || jaeger.is_some())
            .filter(|name| *name != Name::Twin || self.twin.is_some())
            .collect();
        let block = match self.offset {
            Offset::Auto => ports::claim_free(&said, &parts)?,
            Offset::Fixed(offset) => ports::claim(offset, &said, &parts)?,
        };
        let dir = self
            .dir
            .clone()
            .unwrap_or_else(|| root.join(format!(".run/stack-{}", block.offset)));
        let dir = std::path::absolute(&dir).with_context(|| format!("resolving {}", dir.display()))?;
        prepare_dir(&dir, self.fresh)?;
        let (hook, state) = (bin_dir.join("mtx-hook"), dir.join("state"));
        let facts = environment::Facts {
            offset: block.offset,
            hook: &hook,
            state: &state,
            jaeger: jaeger.is_some(),
            twin: self.twin.is_some(),
        };
        let env = environment::wired(self.pointed(said, block.offset), &facts);
        let mark = new_mark();
        let programs = Programs {
            root,
            bin_dir,
            mediamtx,
            jaeger: jaeger.map(|found| found.path),
            twin: self.twin,
        };
        let specs = parts
            .iter()
            .map(|name| programs.spec(*name, &env, &dir, &mark, self.echo))
            .collect::<Result<Vec<_>>>()?;
        let ports = Ports::of(&env, block.offset);
        let supervisor = Supervisor::spawn(mark, specs, self.restart)?;
        let (traced, has_twin) = (facts.jaeger, facts.twin);
        Ok(Stack {
            supervisor,
            ports,
            dir,
            env,
            traced,
            has_twin,
            _block: block,
        })
    }
}

impl Builder {
    /// What the caller said, over the environment, over `.env`.
    fn said(&self, root: &Path) -> Env {
        let from_file = if self.dotenv {
            environment::dotenv(&root.join(".env"))
        } else {
            Env::default()
        };
        from_file
            .overlaid_by(Env::from_process())
            .overlaid_by(Env::from_pairs(self.env.clone()))
    }

    /// The same, with the dubber pointed at the twin where there is one; only the caller's own word goes above that.
    fn pointed(&self, said: Env, offset: u16) -> Env {
        if self.twin.is_none() {
            return said;
        }
        environment::at_twin(&said, offset).overlaid_by(Env::from_pairs(self.env.clone()))
    }
}

/// Building it takes a minute on the first use, hence not on the caller's runtime.
async fn find_mediamtx(said: Env) -> Result<PathBuf> {
    let found = tokio::task::spawn_blocking(move || tools::ensure(Tool::MediaMtx, &said))
        .await
        .context("looking for MediaMTX")??;
    Ok(found.path)
}

fn prepare_dir(dir: &Path, fresh: bool) -> Result<()> {
    for folder in ["state", "logs"] {
        let path = dir.join(folder);
        // Logs are of one life of a stack; state survives it unless a clean stack is wanted.
        if (fresh || folder == "logs") && path.is_dir() {
            std::fs::remove_dir_all(&path).with_context(|| format!("clearing {}", path.display()))?;
        }
        std::fs::create_dir_all(&path)
            .with_context(|| format!("STACK_DIR: cannot create {}", path.display()))?;
    }
    Ok(())
}

fn new_mark() -> String {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    format!("{}-{nanos}", std::process::id())
}

fn say(echo: bool, text: &str) {
    if echo {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// What is started.
struct Programs {
    root: PathBuf,
    bin_dir: PathBuf,
    mediamtx: PathBuf,
    jaeger: Option<PathBuf>,
    twin: Option<Twin>,
}

impl Programs {
    fn spec(&self, name: Name, env: &Env, dir: &Path, mark: &str, echo: bool) -> Result<Spec> {
        let config = |file: &str| OsString::from(self.root.join(file));
        let (program, args) = match name {
            Name::MediaMtx => (
                self.mediamtx.clone(),
                vec![config("deploy/mediamtx/mediamtx.yml")],
            ),
            Name::Jaeger => (
                self.jaeger.clone().context("no Jaeger")?,
                vec!["--config".into(), config("deploy/jaeger/jaeger.yaml")],
            ),
            Name::MediaEdge => (self.bin_dir.join("media-edge"), vec!["serve".into()]),
            Name::Orchestrator | Name::Dubber => (self.bin_dir.join(name.as_str()), Vec::new()),
            Name::Twin => (
                binaries::beside(&self.bin_dir, "gemini-twin")?,
                self.twin_arguments(env, dir)?,
            ),
        };
        Ok(Spec {
            name,
            program,
            args,
            env: env
                .pairs()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            mark: format!("{mark}:{name}"),
            log: dir.join("logs").join(format!("{name}.log")),
            echo,
        })
    }

    fn twin_arguments(&self, env: &Env, dir: &Path) -> Result<Vec<OsString>> {
        let twin = self.twin.clone().unwrap_or_default();
        let address = env.get("TWIN_ADDR").context("no address for the twin")?;
        let mut arguments: Vec<OsString> = vec!["--listen".into(), address.into()];
        if let Some(scenario) = &twin.scenario {
            // A part is started from wherever the supervisor stands.
            arguments.extend(["--scenario".into(), std::path::absolute(scenario)?.into()]);
        }
        if let Some(seed) = twin.seed {
            arguments.extend(["--seed".into(), seed.to_string().into()]);
        }
        arguments.extend(["--journal".into(), twin_journal(dir).into()]);
        Ok(arguments)
    }
}

fn twin_journal(dir: &Path) -> PathBuf {
    dir.join("logs/gemini-twin.journal.jsonl")
}

/// A running stack. Dropped, it leaves no process behind.
#[derive(Debug)]
pub struct Stack {
    supervisor: Supervisor,
    ports: Ports,
    dir: PathBuf,
    env: Env,
    traced: bool,
    has_twin: bool,
    _block: PortBlock,
}

impl Stack {
    /// Says how a stack is to be started.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            env: Vec::new(),
            offset: Offset::Auto,
            dir: None,
            bin_dir: None,
            restart: true,
            jaeger: false,
            twin: None,
            echo: false,
            dotenv: false,
            fresh: true,
        }
    }

    /// Its ports.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Folder of its state and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A setting as the parts see it.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.env.get(key)
    }

    /// Whether a Jaeger is part of it.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.traced
    }

    /// Whether a Gemini twin is part of it.
    #[must_use]
    pub fn has_twin(&self) -> bool {
        self.has_twin
    }

    /// File in which the twin says what happens, a line each.
    #[must_use]
    pub fn twin_journal(&self) -> PathBuf {
        twin_journal(&self.dir)
    }

    /// Process id of a part while it lives. Parts: mediamtx, orchestrator, media-edge, dubber, jaeger, gemini-twin.
    #[must_use]
    pub fn pid(&self, part: &str) -> Option<u32> {
        self.status(part)?.pid
    }

    /// Where a part stands.
    #[must_use]
    pub fn status(&self, part: &str) -> Option<Status> {
        self.supervisor.status(part.parse().ok()?)
    }

    /// Sends a signal to the first process of a part.
    pub fn kill(&self, part: &str, signal: Signal) -> Result<()> {
        let pid = self
            .pid(part)
            .with_context(|| format!("no living part {part:?}"))?;
        process::signal(pid, signal).with_context(|| format!("sending {signal} to {part}"))
    }

    /// Whether a part comes back when it dies.
    pub fn set_restart(&self, part: &str, restart: bool) -> Result<()> {
        self.order(part, Order::SetRestart(restart))
    }

    /// Starts a dead part now.
    pub fn start_part(&self, part: &str) -> Result<()> {
        self.order(part, Order::Start)
    }

    fn order(&self, part: &str, order: Order) -> Result<()> {
        let name = part.parse().map_err(anyhow::Error::msg)?;
        self.supervisor.order(name, order)
    }

    /// Everything that a part has written since the stack was started.
    #[must_use]
    pub fn log_text(&self, part: &str) -> String {
        let bytes = std::fs::read(self.log_path(part)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// File with everything that a part has written.
    #[must_use]
    pub fn log_path(&self, part: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{part}.log"))
    }

    /// Waits until streams are accepted.
    pub async fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let Err(open) = readiness::look(&self.ports, self.has_twin).await else {
                return Ok(());
            };
            for (name, said) in &open {
                if self.is_lost(*name) {
                    return Err(self.why_lost(*name, said));
                }
            }
            if deadline <= Instant::now() {
                let said: Vec<String> = open
                    .iter()
                    .map(|(name, said)| format!("{name}: {said}"))
                    .collect();
                let text = format!(
                    "the stack is not ready after {READY_WITHIN:?}: {}",
                    said.join("; ")
                );
                return Err(anyhow::Error::new(ExitWith(code::UNAVAILABLE)).context(text));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waiting on is of no use: the part refuses its settings, or is dead and stays so.
    fn is_lost(&self, name: Name) -> bool {
        self.supervisor.status(name).is_some_and(|status| {
            status.last_code == Some(i32::from(code::CONFIG))
                || (status.pid.is_none() && status.starts > 0 && !status.restarts)
        })
    }

    fn why_lost(&self, name: Name, said: &str) -> anyhow::Error {
        let status = self.supervisor.status(name).unwrap_or_default();
        let end = status.last_end.unwrap_or_else(|| said.to_owned());
        let log = self.log_path(name.as_str());
        let text = format!(
            "{name} does not run: {end}\n{}\n({})",
            log_sink::tail(&log, 12),
            log.display()
        );
        let exit = match status.last_code {
            Some(last) if last == i32::from(code::CONFIG) => code::CONFIG,
            Some(_) | None => code::FAILED,
        };
        anyhow::Error::new(ExitWith(exit)).context(text)
    }

    /// Drains the parts and returns when no process is left.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}
