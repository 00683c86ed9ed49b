//! `.env.example` is what the programs declare: nothing less, nothing more, nothing else.

use crate::tree::{expect_none, text};
use local_stack::listeners::{LISTENERS, Transport};
use local_stack::part::Name;
use service_kit::Setting;
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = ".env.example";

/// A setting of something that has no table of its own.
pub const fn setting(
    key: &'static str,
    default: &'static str,
    allowed: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        default,
        allowed,
        help,
    }
}

/// What the hook program reads besides what MediaMTX hands it. It has no table of its own, being nearly nothing but
/// the standard library, so the test below compares these with its source.
const HOOK: &[Setting] = &[
    setting(
        "ORCH_HOOK_BASE_URL",
        "http://orchestrator:8080",
        "http://HOST[:PORT]",
        "Where the hook program reaches the orchestrator",
    ),
    setting(
        "MTX_API_PORT",
        "9997",
        "1..65535",
        "Port at which `mtx-hook health` asks MediaMTX on this host",
    ),
    setting(
        "MTX_HEALTH_URL",
        "",
        "http://HOST[:PORT]/PATH",
        "What `mtx-hook health` asks instead",
    ),
];

/// Settings of MediaMTX that a user of this stack touches besides its listen addresses.
const MEDIAMTX: &[Setting] = &[
    setting(
        "MTX_WEBRTCADDITIONALHOSTS",
        "127.0.0.1",
        "addresses, comma separated",
        "Where a browser that publishes by WHIP reaches MediaMTX",
    ),
    setting(
        "MTX_PATHDEFAULTS_RECORDPATH",
        "/recordings/%path/%Y-%m-%d_%H-%M-%S-%f",
        "a path with %path and %Y %m %d %H %M %S %f",
        "Where recordings lie",
    ),
];

/// Listen addresses of MediaMTX and Jaeger as their own config files have them.
fn real_parts() -> Vec<(String, String)> {
    let mediamtx = text("deploy/mediamtx/mediamtx.yml");
    let jaeger = text("deploy/jaeger/jaeger.yaml");
    let mut found = Vec::new();
    for listener in LISTENERS {
        let value = match listener.part {
            Name::MediaMtx => mediamtx.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                (format!("MTX_{}", key.to_uppercase()) == listener.key).then(|| value.trim().to_owned())
            }),
            Name::Jaeger => jaeger.lines().find_map(|line| {
                let (_, value) = line.split_once(&format!("${{env:{}:-", listener.key))?;
                Some(value.split('}').next().unwrap_or_default().to_owned())
            }),
            Name::Orchestrator | Name::MediaEdge | Name::Dubber | Name::Twin => continue,
        };
        let value = value.unwrap_or_else(|| panic!("{} stands in no config file", listener.key));
        found.push((listener.key.to_owned(), value));
    }
    found
}

#[test]
fn the_example_and_mediamtx_agree_on_where_recordings_lie() {
    let config = text("deploy/mediamtx/mediamtx.yml");
    let path = config
        .lines()
        .find_map(|line| line.strip_prefix("  recordPath: "));
    let declared = MEDIAMTX
        .iter()
        .find(|setting| setting.key == "MTX_PATHDEFAULTS_RECORDPATH");
    assert_eq!(path, declared.map(|setting| setting.default));
}

/// Where a setting is declared, and the setting.
fn declared() -> Vec<(&'static str, &'static Setting)> {
    let tables: [(&str, &[Setting]); 11] = [
        ("orchestrator", orchestrator::config::SETTINGS),
        ("media-edge", media_edge::config::SETTINGS),
        ("dubber", dubber::config::SETTINGS),
        ("dubber", dubber::config::endpoint::ENDPOINT_SETTINGS),
        ("dubber", dubber::config::session::SESSION_SETTINGS),
        ("telemetry", service_kit::telemetry::TELEMETRY_SETTINGS),
        ("local-stack", local_stack::settings::STACK_SETTINGS),
        ("bench", dub_tests::bench::SETTINGS),
        ("mtx-hook", HOOK),
        ("MediaMTX", MEDIAMTX),
        ("compose", crate::compose::COMPOSE),
    ];
    tables
        .into_iter()
        .flat_map(|(place, table)| table.iter().map(move |setting| (place, setting)))
        .collect()
}

/// Key and default of everything that is declared.
fn expected() -> BTreeMap<String, String> {
    let mut expected: BTreeMap<String, String> = real_parts().into_iter().collect();
    for (_, setting) in declared() {
        expected.insert(setting.key.to_owned(), setting.default.to_owned());
        if setting.is_secret() {
            expected.insert(format!("{}_FILE", setting.key), String::new());
        }
    }
    expected
}

/// One assignment of the file: key, value, and the two lines above it.
struct Assignment {
    key: String,
    value: String,
    above: String,
    before: String,
}

fn assignments() -> Vec<Assignment> {
    let content = text(FILE);
    let lines: Vec<&str> = content.lines().collect();
    let line = |index: Option<usize>| {
        index
            .and_then(|index| lines.get(index))
            .map_or(String::new(), |line| (*line).to_owned())
    };
    lines
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.starts_with('#') && !text.trim().is_empty())
        .map(|(index, text)| {
            let (key, value) = text
                .split_once('=')
                .unwrap_or_else(|| panic!("{FILE}, line {}: {text}", index + 1));
            Assignment {
                key: key.to_owned(),
                value: value.trim_matches('\'').to_owned(),
                above: line(index.checked_sub(1)),
                before: line(index.checked_sub(2)),
            }
        })
        .collect()
}

#[test]
fn the_example_lists_every_setting_of_every_program_and_no_other() {
    let expected = expected();
    let listed: Vec<String> = assignments().into_iter().map(|line| line.key).collect();
    let distinct: BTreeSet<&String> = listed.iter().collect();
    let mut problems = Vec::new();
    for key in expected.keys().filter(|key| !distinct.contains(key)) {
        let words = declared()
            .into_iter()
            .find(|(_, setting)| setting.key == key)
            .map_or_else(
                || "# what it means".to_owned(),
                |(place, setting)| format!("# {} ({})   [{place}]", setting.help, setting.allowed),
            );
        problems.push(format!("missing: {words}\n         {key}={}", expected[key]));
    }
    problems.extend(
        distinct
            .iter()
            .filter(|key| !expected.contains_key(**key))
            .map(|key| format!("no program reads {key}")),
    );
    if distinct.len() != listed.len() {
        problems.push("a key stands there twice".to_owned());
    }
    expect_none(
        &problems,
        "bring .env.example in line with the settings tables of the programs",
    );
}

#[test]
fn the_example_gives_every_setting_the_default_of_its_program() {
    let expected = expected();
    let problems: Vec<String> = assignments()
        .into_iter()
        .filter_map(|line| {
            let default = expected.get(&line.key)?;
            (*default != line.value).then(|| {
                format!(
                    "{}={}, but the program's default is {default:?}",
                    line.key, line.value
                )
            })
        })
        .collect();
    expect_none(
        &problems,
        "write the program's default into .env.example, or change the program",
    );
}

#[test]
fn every_setting_of_the_example_has_one_line_of_meaning_with_what_is_allowed() {
    let declared = declared();
    let mut problems = Vec::new();
    for line in assignments() {
        let is_comment = |text: &str| text.strip_prefix("# ").is_some_and(|words| words.len() > 10);
        if !is_comment(&line.above) || line.before.starts_with('#') {
            problems.push(format!("{}: not exactly one comment line above it", line.key));
            continue;
        }
        for (_, setting) in declared.iter().filter(|(_, setting)| setting.key == line.key) {
            if !line.above.ends_with(&format!("({})", setting.allowed)) {
                problems.push(format!(
                    "{}: its comment does not end with ({})",
                    line.key, setting.allowed
                ));
            }
        }
    }
    expect_none(
        &problems,
        "write one line above the key: what it means, then in brackets what is allowed, as the program says it",
    );
}

#[test]
fn a_setting_of_several_programs_means_the_same_in_each() {
    let mut seen: BTreeMap<&str, (&str, &Setting)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (place, setting) in declared() {
        if let Some((other, first)) = seen.insert(setting.key, (place, setting))
            && (first.default, first.allowed) != (setting.default, setting.allowed)
        {
            problems.push(format!("{} differs between {other} and {place}", setting.key));
        }
    }
    expect_none(&problems, "give the key one default and one range, or two names");
}

#[test]
fn the_hook_program_reads_the_settings_that_are_listed_for_it() {
    let source = text("services/mtx-hook/src/main.rs");
    let read: BTreeSet<&str> = source
        .split("variable_or(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let listed: BTreeSet<&str> = HOOK.iter().map(|setting| setting.key).collect();
    let mut problems: Vec<String> = read
        .symmetric_difference(&listed)
        .map(|key| format!("only on one side: {key}"))
        .collect();
    for setting in HOOK.iter().filter(|setting| !setting.default.is_empty()) {
        let call = format!("variable_or(\"{}\", \"{}\")", setting.key, setting.default);
        if !source.contains(&call) {
            problems.push(format!("no {call}"));
        }
    }
    expect_none(
        &problems,
        "bring HOOK in tests/architecture/settings.rs and .env.example in line with services/mtx-hook",
    );
}

#[test]
fn every_port_of_the_local_stack_has_its_setting_in_the_example() {
    let listed: BTreeMap<String, String> = assignments()
        .into_iter()
        .map(|line| (line.key, line.value))
        .collect();
    let problems: Vec<String> = LISTENERS
        .iter()
        .filter(|listener| {
            !listed
                .get(listener.key)
                .is_some_and(|value| value.ends_with(&format!(":{}", listener.port)))
        })
        .map(|listener| {
            let transport = match listener.transport {
                Transport::Tcp => "TCP",
                Transport::Udp => "UDP",
            };
            format!(
                "{} of {} is not port {} ({transport})",
                listener.key, listener.part, listener.port
            )
        })
        .collect();
    expect_none(
        &problems,
        "the ports of deploy/local/src/listeners.rs and of .env.example have to agree",
    );
}
