//! What outlives the program: its real process, killed and started again, between a MediaMTX and a media-edge that only
//! pretend.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
mod support;

use dub_proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use dub_proto::orchestrator::v1::{ListStreamsRequest, StartStreamRequest, StopStreamRequest, Stream};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::edge::FakeEdge;
use support::eventually;
use support::mediamtx::FakeMediaMtx;

const IN: &str = "live/derby/in";
const LIVE: [&str; 2] = ["H264", "MPEG-4 Audio"];

/// The program while it runs. Dropped, it is killed.
struct Process {
    child: Child,
    log: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Process {
    async fn start(house: &House) -> Self {
        Self::start_in(house, &[]).await
    }

    /// With more in its environment.
    async fn start_in(house: &House, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .env_clear()
            .env("ORCH_HTTP_ADDR", "127.0.0.1:0")
            .env("ORCH_GRPC_ADDR", "127.0.0.1:0")
            .env("ORCH_ADMIN_ADDR", "127.0.0.1:0")
            .env("ORCH_EDGE_URL", house.edge.url())
            .env("ORCH_MEDIAMTX_API_URL", house.mediamtx.url())
            .env("ORCH_RECONCILE_INTERVAL", "100ms")
            .env("ORCH_STATE_DIR", &house.state)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
        let (lines, stdout) = (Arc::clone(&log), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let process = Self { child, log };
        eventually("it listens", || async { !process.said("listening").is_empty() }).await;
        process
    }

    /// Lines of the log with these words in their message.
    fn said(&self, words: &str) -> Vec<serde_json::Value> {
        let log = self.log.lock().unwrap();
        let has_words = |line: &&serde_json::Value| line["message"].as_str().unwrap().contains(words);
        log.iter().filter(has_words).cloned().collect()
    }

    fn address(&self, name: &str) -> String {
        format!("http://{}", self.said("listening")[0][name].as_str().unwrap())
    }

    async fn metrics(&self) -> String {
        let page = reqwest::get(format!("{}/metrics", self.address("admin"))).await;
        page.unwrap().text().await.unwrap()
    }

    async fn stream(&self) -> Stream {
        let mut client = OrchestratorServiceClient::connect(self.address("grpc"))
            .await
            .unwrap();
        let streams = client.list_streams(ListStreamsRequest {}).await.unwrap();
        streams.into_inner().streams.pop().unwrap_or_default()
    }

    async fn stop_stream(&self) {
        let mut client = OrchestratorServiceClient::connect(self.address("grpc"))
            .await
            .unwrap();
        let stream_id = "derby".to_owned();
        client.stop_stream(StopStreamRequest { stream_id }).await.unwrap();
    }

    async fn start_stream(&self) {
        let mut client = OrchestratorServiceClient::connect(self.address("grpc"))
            .await
            .unwrap();
        let request = StartStreamRequest {
            stream_id: "derby".to_owned(),
            settings: None,
        };
        client.start_stream(request).await.unwrap();
    }

    /// SIGKILL: nothing is written any more.
    fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct House {
    edge: FakeEdge,
    mediamtx: FakeMediaMtx,
    state: PathBuf,
}

impl House {
    async fn new(name: &str) -> Self {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::remove_dir_all(&state).ok();
        std::fs::remove_file(&state).ok();
        Self {
            edge: FakeEdge::start().await,
            mediamtx: FakeMediaMtx::start().await,
            state,
        }
    }

    /// With publisher `a` and its worker.
    async fn live(name: &str) -> (Self, Process) {
        let house = Self::new(name).await;
        house.mediamtx.publish(IN, "a", &LIVE);
        let process = Process::start(&house).await;
        eventually("a worker", || async { house.starts().len() == 1 }).await;
        eventually("its file", || async { house.file().is_file() }).await;
        (house, process)
    }

    fn file(&self) -> PathBuf {
        self.state.join("derby.json")
    }

    fn starts(&self) -> Vec<(String, u32, u64)> {
        let state = self.edge.state();
        let told = |start: &dub_proto::edge::v1::StartWorkerRequest| {
            (start.run_id.clone(), start.epoch, start.first_fragment_seq)
        };
        state.starts.iter().map(told).collect()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.state).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The whole machine goes down and comes up again; the publisher's session lives elsewhere.
    async fn power_cut(&self, process: Process) -> Process {
        process.crash();
        self.edge.die();
        self.edge.come_back().await;
        Process::start(self).await
    }
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(800)).await;
}

#[tokio::test]
async fn after_a_power_cut_the_same_publisher_goes_on_in_its_run_with_higher_epoch_and_numbers() {
    let (house, process) = House::live("power-cut").await;
    house.edge.tell_fragment("derby", 730);
    eventually("the number is kept", || async {
        std::fs::read_to_string(house.file()).unwrap().contains("800")
    })
    .await;
    let process = house.power_cut(process).await;
    eventually("a second worker", || async { house.starts().len() == 2 }).await;
    let starts = house.starts();
    assert_eq!((&starts[1].0, starts[1].1, starts[1].2), (&starts[0].0, 2, 1800));

    // Whoever publishes instead after the next one is somebody else.
    process.crash();
    house.mediamtx.publish(IN, "b", &LIVE);
    house.edge.die();
    house.edge.come_back().await;
    let _process = Process::start(&house).await;
    eventually("a third worker", || async { house.starts().len() == 3 }).await;
    let starts = house.starts();
    assert_ne!(starts[2].0, starts[0].0);
    assert_eq!((starts[2].1, starts[2].2), (1, 0));
}

#[tokio::test]
async fn an_operators_stop_outlives_crashes_until_the_operator_starts_or_another_publisher_comes() {
    let (house, process) = House::live("stop").await;
    process.stop_stream().await;
    // Answered means kept: there is no time between the answer and the crash.
    let process = house.power_cut(process).await;
    a_while().await;
    assert_eq!(house.starts().len(), 1);
    let stream = process.stream().await;
    assert!(stream.publishing && !stream.want_worker, "{stream:?}");
    let process = house.power_cut(process).await;
    a_while().await;
    assert_eq!(house.starts().len(), 1, "once more: it was kept again");

    process.start_stream().await;
    eventually("a worker", || async { house.starts().len() == 2 }).await;
    assert_ne!(house.starts()[0].0, house.starts()[1].0);
    process.stop_stream().await;
    process.crash();
    house.mediamtx.publish(IN, "b", &LIVE);
    let _process = Process::start(&house).await;
    eventually("the next publisher's worker", || async {
        house.starts().len() == 3
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_lived_on_is_adopted_and_the_file_of_an_ended_stream_goes() {
    let (house, process) = House::live("adopt").await;
    process.crash();
    let process = Process::start(&house).await;
    eventually("it runs", || async { process.stream().await.epoch == 1 }).await;
    a_while().await;
    assert_eq!((house.starts().len(), house.edge.state().stops.len()), (1, 0));
    assert_eq!(house.files(), ["derby.json"]);
    process.crash();

    house.mediamtx.unpublish(IN);
    house.edge.kill_worker("derby", 0);
    let process = Process::start(&house).await;
    eventually("nothing is kept", || async { house.files().is_empty() }).await;
    eventually("nor remembered", || async {
        process.stream().await.stream_id.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_leads_outside_does_not_stand_before_the_control_api() {
    let house = House::new("proxy").await;
    house.mediamtx.publish(IN, "a", &LIVE);
    // Nobody listens there.
    let proxy = "http://127.0.0.1:9";
    let proxies = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|key| (key, proxy));
    let process = Process::start_in(&house, &proxies).await;
    eventually("a worker", || async { house.starts().len() == 1 }).await;
    assert_eq!(process.said("control api does not answer").len(), 0);
}

#[tokio::test]
async fn leftovers_and_corrupt_files_are_tidied_with_one_warning_and_stop_nothing() {
    let (house, process) = House::live("tidy").await;
    process.crash();
    let good = std::fs::read_to_string(house.file()).unwrap();
    for (name, text) in [
        ("derby.json.tmp", "{"),
        ("half.json", &good[..good.len() / 2]),
        ("other.json", &good),
        ("empty.json", ""),
        (
            "newer.json",
            &good
                .replace("\"version\":1", "\"version\":2")
                .replace("derby", "newer"),
        ),
        ("readme.txt", "of somebody else"),
    ] {
        std::fs::write(house.state.join(name), text).unwrap();
    }
    let process = Process::start(&house).await;
    let warned = process.said("set aside");
    assert_eq!(warned.len(), 1, "{warned:?}");
    let files = warned[0]["files"].as_str().unwrap();
    for name in ["half.json", "other.json", "empty.json", "newer.json"] {
        assert!(files.contains(name), "{name} is not in {files}");
    }
    let left = [
        "derby.json",
        "empty.json.corrupt",
        "half.json.corrupt",
        "newer.json.corrupt",
        "other.json.corrupt",
        "readme.txt",
    ];
    assert_eq!(house.files(), left);
    assert_eq!(process.stream().await.stream_id, "derby");
    process.crash();
    let process = Process::start(&house).await;
    assert!(process.said("set aside").is_empty(), "it is said once");
}

#[tokio::test]
async fn a_disk_that_fails_costs_one_error_and_a_count_and_streams_go_on_until_it_works_again() {
    let (house, process) = House::live("disk").await;
    // Nobody can write below a file, whatever their rights.
    let away = house.state.with_extension("away");
    std::fs::remove_dir_all(&away).ok();
    std::fs::rename(&house.state, &away).unwrap();
    std::fs::write(&house.state, "no folder").unwrap();
    house.mediamtx.publish("live/other/in", "o", &LIVE);
    eventually("the other's worker", || async { house.starts().len() == 2 }).await;
    process.stop_stream().await;
    eventually("an error", || async {
        !process.said("state cannot be kept").is_empty()
    })
    .await;
    a_while().await;
    let errors = process.said("state cannot be kept");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0]["remedy"].as_str().unwrap().contains("ORCH_STATE_DIR"),
        "{errors:?}"
    );
    let metrics = process.metrics().await;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("orchestrator_state_write_failures_total "));
    assert!(
        count.is_some_and(|count| count.parse::<u32>().unwrap() >= 1),
        "{metrics}"
    );

    // Not the old content: all of it is written anew.
    std::fs::remove_file(&house.state).unwrap();
    eventually("it is kept again", || async {
        !process.said("kept again").is_empty()
    })
    .await;
    assert_eq!(house.files(), ["derby.json", "other.json"]);
    std::fs::remove_file(house.file()).unwrap();
    eventually("a deleted file is there again", || async {
        house.file().is_file()
    })
    .await;
}

#[tokio::test]
async fn without_a_folder_that_is_said_once_and_an_unwritable_one_stops_the_start_with_64() {
    let mut house = House::new("none").await;
    house.state = PathBuf::new();
    let process = Process::start(&house).await;
    assert_eq!(process.said("no state is kept").len(), 1);

    let output = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .env_clear()
        .env("ORCH_STATE_DIR", "/dev/null/state")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(
        said.contains("ORCH_STATE_DIR=\"/dev/null/state\"") && said.contains("make it writable"),
        "{said}"
    );
}
