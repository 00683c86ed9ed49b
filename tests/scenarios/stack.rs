//! The program that people start: `local-stack up` as a process of its own.
use anyhow::{Context, Result, ensure};
use dub_tests::{
    flash_beep, http_get,
    processes::{self, is_alive, kill_hard, name_of, wait_until},
    scratch,
};
use local_stack::{Ports, Signal, binaries, part::Name, ports, process};
use media_judge::{Publisher, publish::PublishOptions, source::ClipSpec};
use service_kit::settings::Env;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// An offset whose ports are free. Stacks that choose their own offset stand on multiples of 100; a quarter of that
/// beside them no port is shared.
fn free_offset(after: u16) -> u16 {
    // Programs begin at different places, and the second search of one program far from its first.
    let place = std::process::id() + if after > 0 { 19 } else { 0 };
    let first = u16::try_from(place % 38).unwrap();
    let candidates = (0..38).map(|index| 11_025 + (first + index) % 38 * 100);
    let free = |offset: &u16| *offset != after && ports::claim(*offset, &Env::default(), &Name::ALL).is_ok();
    candidates.into_iter().find(free).expect("no free ports")
}

/// A running `local-stack up`.
struct Up {
    child: Child,
    offset: u16,
    lines: Receiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Up {
    fn start(name: &str, offset: u16, settings: &[(&str, &str)]) -> Self {
        let dir = dir(name);
        std::fs::remove_dir_all(&dir).ok();
        let mut command = command(&dir, offset);
        command
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tx, lines) = sync_channel(16);
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tx.send(line))
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (said, from) = (Arc::clone(&stderr), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                *said.lock().unwrap_or_else(PoisonError::into_inner) += &(line + "\n");
            }
        });
        Self {
            child,
            offset,
            lines,
            stderr,
        }
    }

    fn said(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ready(&self) -> Duration {
        let begun = Instant::now();
        let line = self.lines.recv_timeout(60 * SECOND).map_err(|_| self.said());
        assert_eq!(line.as_deref(), Ok("ready"));
        begun.elapsed()
    }

    fn ports(&self) -> Ports {
        Ports::of(&Env::default(), self.offset)
    }

    /// Every living process that belongs to this stack, the program itself aside.
    fn processes(&self) -> Vec<u32> {
        process::marked(&format!("{}-", self.child.id()))
    }

    fn first_process(&self, part: Name) -> Result<u32> {
        let program = part.as_str();
        let of_part = self
            .processes()
            .into_iter()
            .filter(|pid| name_of(*pid) == program);
        // Workers and ingests are the same program, and younger.
        of_part
            .min_by_key(|pid| started(*pid))
            .with_context(|| format!("no process of {part}"))
    }

    /// Sends a signal and waits for the end.
    fn end(mut self, signal: Signal) -> (ExitStatus, Duration, Vec<(u32, String)>) {
        let before: Vec<(u32, String)> = self
            .processes()
            .into_iter()
            .map(|pid| (pid, name_of(pid)))
            .collect();
        process::signal(self.child.id(), signal).unwrap();
        let begun = Instant::now();
        let child = &mut self.child;
        wait_until("the stack has ended", 15 * SECOND, || {
            matches!(child.try_wait(), Ok(Some(_)))
        })
        .unwrap();
        let took = begun.elapsed();
        let status = self.child.wait().unwrap();
        let left = before.into_iter().filter(|(pid, _)| is_alive(*pid)).collect();
        let more: Vec<String> = self.lines.try_iter().collect();
        assert!(more.is_empty(), "more than one line on stdout: {more:?}");
        (status, took, left)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The kernel takes the parts along.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When a process began, in ticks since the machine's start.
fn started(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split(' ')
        .nth(19)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(u64::MAX)
}

fn dir(name: &str) -> PathBuf {
    scratch().join(name)
}

fn command(dir: &Path, offset: u16) -> Command {
    let mut command = Command::new(binaries::folder(None).unwrap().join("local-stack"));
    command
        .arg("up")
        .env("STACK_PORT_OFFSET", offset.to_string())
        .env("STACK_DIR", dir);
    command
        .env("WORKER_BUFFER_TARGET", "5s")
        .env_remove("STACK_BIN_DIR")
        .stdin(Stdio::null());
    command
}

fn is_ready(port: u16) -> bool {
    http_get(port, "/readyz").is_ok_and(|body| body.trim() == "ready" || body.contains("serving"))
}

fn worker_runs(ports: &Ports) -> bool {
    let page = http_get(ports.media_edge_admin, "/metrics").unwrap_or_default();
    page.lines().any(|line| line == "media_edge_workers_active 1")
}

fn publish(up: &Up, id: &str) -> Publisher {
    let clip = flash_beep(&ClipSpec::small(40), "flv").unwrap();
    let publisher = Publisher::start(
        &clip,
        &up.ports().rtmp_url(&format!("live/{id}/in")),
        &PublishOptions::default(),
    );
    let ports = up.ports();
    wait_until("a worker runs", 15 * SECOND, || worker_runs(&ports)).unwrap();
    publisher.unwrap()
}

#[test]
fn a_stack_says_ready_once_takes_streams_and_leaves_no_process_ten_seconds_after_sigterm() {
    let up = Up::start("up-drain", free_offset(0), &[]);
    let ready = up.ready();
    let _publisher = publish(&up, "a");
    // The service, its worker and the worker's ingest are one program.
    let edges = || {
        up.processes()
            .into_iter()
            .filter(|pid| name_of(*pid) == "media-edge")
            .count()
    };
    wait_until("worker and ingest run", 10 * SECOND, || edges() >= 3).unwrap();
    let running = up.processes().len();
    let (status, took, left) = up.end(Signal::SIGTERM);
    eprintln!("up: ready after {ready:?}, {running} processes, gone {took:?} after SIGTERM with {status}");
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(status.success() && took <= 10 * SECOND, "{status} {took:?}");
}

#[test]
fn ctrl_c_ends_a_stack_like_sigterm_does() {
    let up = Up::start("up-interrupt", free_offset(0), &[]);
    up.ready();
    let (status, took, left) = up.end(Signal::SIGINT);
    eprintln!("up: gone {took:?} after SIGINT");
    assert!(
        status.success() && left.is_empty() && took <= 10 * SECOND,
        "{status} {took:?} {left:?}"
    );
}

#[test]
fn a_second_stack_on_the_same_ports_is_refused_and_one_beside_it_runs() {
    let first = Up::start("up-first", free_offset(0), &[]);
    first.ready();
    let refused = processes::run(&mut command(&dir("up-same"), first.offset), 20 * SECOND).unwrap();
    eprintln!("up: second on the same ports: {}", refused.stderr);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (Some(64), ""),
        "{refused:#?}"
    );
    let holder = first.child.id().to_string();
    let taken = first.ports().rtmp.to_string();
    for word in [
        "STACK_PORT_OFFSET",
        &first.offset.to_string(),
        "MTX_RTMPADDRESS",
        &taken,
        &holder,
    ] {
        assert!(
            refused.stderr.contains(word),
            "{word} is not in {}",
            refused.stderr
        );
    }
    // One that is not ours holds a single port of the block beside it.
    let beside = free_offset(first.offset);
    let rtmp = Ports::of(&Env::default(), beside).rtmp;
    let stranger = std::net::TcpListener::bind(("127.0.0.1", rtmp)).unwrap();
    let refused = processes::run(&mut command(&dir("up-same"), beside), 20 * SECOND).unwrap();
    eprintln!("up: on a port that a stranger holds: {}", refused.stderr);
    assert_eq!(refused.code, Some(64), "{refused:#?}");
    let me = std::process::id().to_string();
    for word in [&rtmp.to_string(), "MTX_RTMPADDRESS", "STACK_PORT_OFFSET", &me] {
        assert!(
            refused.stderr.contains(word),
            "{word} is not in {}",
            refused.stderr
        );
    }
    drop(stranger);

    let second = Up::start("up-second", beside, &[]);
    second.ready();
    let _publishers = (publish(&first, "a"), publish(&second, "a"));
    let (status, _, left) = second.end(Signal::SIGTERM);
    assert!(status.success() && left.is_empty(), "{status} {left:?}");
    assert!(
        worker_runs(&first.ports()),
        "the end of one stack disturbed the other"
    );
    let (status, took, left) = first.end(Signal::SIGTERM);
    eprintln!("up: two side by side; the first gone after {took:?}");
    assert!(status.success() && left.is_empty(), "{status} {left:?}");
}

fn comes_back(up: &Up, part: Name, port: u16) -> Result<Duration> {
    let pid = up.first_process(part)?;
    kill_hard(pid)?;
    let begun = Instant::now();
    wait_until("it is dead", SECOND, || !is_alive(pid))?;
    wait_until(&format!("{part} is ready again"), 10 * SECOND, || {
        up.first_process(part).is_ok_and(|now| now != pid) && (part == Name::MediaMtx || is_ready(port))
    })?;
    ensure!(
        up.said().contains("killed by SIGKILL"),
        "the end of {part} was not said: {}",
        up.said()
    );
    Ok(begun.elapsed())
}

#[test]
fn a_dead_part_comes_back_as_a_container_engine_would_bring_it() {
    let up = Up::start("up-restart", free_offset(0), &[]);
    up.ready();
    let ports = up.ports();
    for (part, port) in [
        (Name::Orchestrator, ports.orchestrator_admin),
        (Name::MediaEdge, ports.media_edge_admin),
        (Name::Dubber, ports.dubber_admin),
        (Name::MediaMtx, ports.mediamtx_api),
    ] {
        let took = comes_back(&up, part, port).unwrap();
        eprintln!("up: {part} back {took:?} after kill -9");
        assert!(took <= 5 * SECOND);
    }
    // The stack is as good as before: it takes a stream.
    let _publisher = publish(&up, "a");
    let (status, _, left) = up.end(Signal::SIGTERM);
    assert!(status.success() && left.is_empty(), "{status} {left:?}");
}

#[test]
fn with_restart_turned_off_a_dead_part_stays_dead() {
    let up = Up::start("up-dead", free_offset(0), &[("STACK_RESTART", "0")]);
    up.ready();
    kill_hard(up.first_process(Name::Dubber).unwrap()).unwrap();
    wait_until("the end is said", 3 * SECOND, || {
        up.said().contains("killed by SIGKILL")
    })
    .unwrap();
    std::thread::sleep(2 * SECOND);
    assert!(up.first_process(Name::Dubber).is_err(), "it came back");
    assert!(up.first_process(Name::MediaEdge).is_ok() && up.first_process(Name::Orchestrator).is_ok());
    let (status, _, left) = up.end(Signal::SIGTERM);
    assert!(status.success() && left.is_empty(), "{status} {left:?}");
}
