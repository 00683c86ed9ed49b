//! `media-edge elements`, and what the service does about a missing one: on the plugins of this machine, of which
//! some are kept from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use gstreamer::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder_of_plugins() -> PathBuf {
    media_edge::gst::init().unwrap();
    let core = gstreamer::ElementFactory::find("fakesink").unwrap();
    let file = core.plugin().unwrap().filename().unwrap();
    file.parent().unwrap().to_path_buf()
}

/// A machine without some plugins.
fn machine_without(name: &str, plugins: &[&str]) -> PathBuf {
    let machine = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&machine).ok();
    std::fs::create_dir_all(machine.join("plugins")).unwrap();
    // Some that are used, not all that there are: a scan of every plugin takes seconds.
    for entry in std::fs::read_dir(folder_of_plugins()).unwrap().flatten() {
        let file = entry.file_name().into_string().unwrap();
        let plugin = file.trim_start_matches("libgst").trim_end_matches(".so");
        let is_used = [
            "alaw",
            "audioconvert",
            "audioparsers",
            "audioresample",
            "coreelements",
            "flv",
            "libav",
            "mpegtsdemux",
            "mulaw",
            "opus",
            "rtmp",
            "rtmp2",
            "rtp",
            "rtpmanager",
            "rtsp",
            "srt",
            "videoparsersbad",
            "voaacenc",
        ]
        .contains(&plugin);
        if is_used && !plugins.contains(&plugin) {
            std::os::unix::fs::symlink(entry.path(), machine.join("plugins").join(file)).unwrap();
        }
    }
    machine
}

fn media_edge(machine: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_media-edge"));
    command
        .args(args)
        .env("GST_PLUGIN_SYSTEM_PATH_1_0", machine.join("plugins"))
        .env("GST_REGISTRY", machine.join("registry"))
        .env_remove("GST_PLUGIN_PATH_1_0")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_plugins_that_the_list_names_are_enough() {
    let machine = machine_without("complete", &[]);
    let output = media_edge(&machine, &["elements"]);
    let (list, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{list}{said}");
    assert!(list.lines().all(|line| line.ends_with("  ok")), "{list}");
    assert!(
        list.contains("rtspsrc  gstreamer1.0-plugins-good  ok\n"),
        "{list}"
    );
}

#[test]
fn a_missing_plugin_is_named_with_its_package_and_ends_the_list_with_1_and_the_service_with_69() {
    let machine = machine_without("without-libav", &["libav", "srt"]);
    let output = media_edge(&machine, &["elements"]);
    let (list, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{list}{said}");
    assert!(
        list.contains("avdec_aac  gstreamer1.0-libav  missing\n"),
        "{list}"
    );
    let reason = "`avdec_aac` is missing: install gstreamer1.0-libav";
    assert!(said.contains(reason), "{said}");

    let free = [
        "MEDIA_EDGE_GRPC_ADDR=127.0.0.1:0",
        "MEDIA_EDGE_ADMIN_ADDR=127.0.0.1:0",
    ];
    let output = media_edge(&machine, &["serve", "--set", free[0], "--set", free[1]]);
    let (log, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(69), "{log}{said}");
    assert!(said.contains(reason) && !said.contains("srtsrc"), "{said}");
    let warned = log
        .lines()
        .any(|line| line.contains("\"warn\"") && line.contains("`srtsrc`"));
    assert!(warned, "{log}");
}

#[test]
fn without_an_optional_plugin_the_list_ends_with_0_and_says_what_does_not_work() {
    let machine = machine_without("without-srt", &["srt"]);
    let output = media_edge(&machine, &["elements"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("`srtsrc`") && said.contains("no source is pulled over SRT"),
        "{said}"
    );
}

#[test]
fn help_shows_the_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_media-edge"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(
        text(&output.stdout).contains("elements:"),
        "{}",
        text(&output.stdout)
    );
}
