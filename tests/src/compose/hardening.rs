//! What a container may do, from what the engine was told and from what the kernel holds it to. Nothing is asked here.

use super::ports::MEDIA;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// What a container has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Neither user nor group is root's.
    NonRoot,
    /// Nothing but mounts can be written.
    ReadOnlyRoot,
    /// No capability, and none to be had.
    NoCapabilities,
    /// A program with another owner's rights gives none.
    NoNewPrivileges,
    /// Nothing of the machine's own.
    NotPrivileged,
    /// No namespace of the machine's.
    OwnNamespaces,
    /// The engine cannot be told anything from inside.
    NoEngineSocket,
    /// Memory is bounded.
    MemoryLimit,
    /// Processor time is bounded.
    CpuLimit,
    /// Processes are bounded.
    PidsLimit,
    /// Ports besides media's answer this machine only.
    LoopbackPorts,
    /// No secret is in the environment.
    NoSecretInEnvironment,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub property: Property,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.seen)
    }
}

/// A container as the engine and the kernel show it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'e> {
    /// `docker inspect` of it.
    pub inspected: &'e Value,
    /// `/proc/PID/status` of each of its processes.
    pub statuses: &'e [String],
    /// `/proc/PID/mountinfo` of its first process.
    pub mounts: &'e str,
}

/// Everything that does not hold.
pub fn findings(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    found.user(evidence);
    found.root(evidence);
    found.capabilities(evidence);
    found.isolation(evidence.inspected);
    found.socket(evidence);
    found.limits(&evidence.inspected["HostConfig"]);
    found.ports(&evidence.inspected["HostConfig"]["PortBindings"]);
    found.environment(&evidence.inspected["Config"]["Env"]);
    found.0
}

/// The properties among findings.
pub fn properties(findings: &[Finding]) -> BTreeSet<Property> {
    findings.iter().map(|finding| finding.property).collect()
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, property: Property, seen: impl Into<String>) {
        self.0.push(Finding {
            property,
            seen: seen.into(),
        });
    }

    fn user(&mut self, evidence: &Evidence<'_>) {
        let user = evidence.inspected["Config"]["User"].as_str().unwrap_or_default();
        let name = user.split(':').next().unwrap_or_default();
        if ["", "0", "root"].contains(&name) {
            self.add(Property::NonRoot, format!("the user is {user:?}"));
        }
        if evidence.statuses.is_empty() {
            self.add(Property::NonRoot, "it has no process");
        }
        for status in evidence.statuses {
            for key in ["Uid:", "Gid:"] {
                let ids = field(status, key);
                if ids.is_empty() || ids.split_whitespace().any(|id| id == "0") {
                    self.add(
                        Property::NonRoot,
                        format!("{} has {key} {}", field(status, "Name:"), ids.replace('\t', " ")),
                    );
                }
            }
        }
    }

    fn root(&mut self, evidence: &Evidence<'_>) {
        if evidence.inspected["HostConfig"]["ReadonlyRootfs"] != true {
            self.add(Property::ReadOnlyRoot, "ReadonlyRootfs is not set");
        }
        match options_of(evidence.mounts, "/") {
            Some(options) if options.split(',').any(|option| option == "ro") => {}
            Some(options) => self.add(Property::ReadOnlyRoot, format!("/ is mounted {options}")),
            None => self.add(Property::ReadOnlyRoot, "no mount of / was seen"),
        }
    }

    fn capabilities(&mut self, evidence: &Evidence<'_>) {
        let host = &evidence.inspected["HostConfig"];
        let words = |key: &str| -> Vec<String> {
            let list = host[key].as_array().cloned().unwrap_or_default();
            list.iter()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect()
        };
        if words("CapDrop") != ["ALL"] {
            self.add(
                Property::NoCapabilities,
                format!("cap_drop is {:?}", words("CapDrop")),
            );
        }
        if !words("CapAdd").is_empty() {
            self.add(
                Property::NoCapabilities,
                format!("cap_add is {:?}", words("CapAdd")),
            );
        }
        let told = words("SecurityOpt");
        if !told
            .iter()
            .any(|word| word.starts_with("no-new-privileges") && !word.ends_with("false"))
        {
            self.add(Property::NoNewPrivileges, format!("security_opt is {told:?}"));
        }
        for status in evidence.statuses {
            let name = field(status, "Name:");
            for key in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                let set = field(status, key);
                if set.is_empty() || set.bytes().any(|digit| digit != b'0') {
                    self.add(Property::NoCapabilities, format!("{name} has {key} {set}"));
                }
            }
            let set = field(status, "NoNewPrivs:");
            if set != "1" {
                self.add(Property::NoNewPrivileges, format!("{name} has NoNewPrivs {set}"));
            }
        }
    }

    fn isolation(&mut self, inspected: &Value) {
        let host = &inspected["HostConfig"];
        if host["Privileged"] != false {
            self.add(Property::NotPrivileged, "it is privileged");
        }
        for key in ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode"] {
            if host[key] == "host" {
                self.add(Property::OwnNamespaces, format!("{key} is host"));
            }
        }
    }

    fn socket(&mut self, evidence: &Evidence<'_>) {
        let mounts = evidence.inspected["Mounts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for mount in &mounts {
            for key in ["Source", "Destination"] {
                let path = mount[key].as_str().unwrap_or_default();
                if ["docker.sock", "containerd.sock"]
                    .iter()
                    .any(|name| path.ends_with(name))
                {
                    self.add(Property::NoEngineSocket, format!("{path} is mounted"));
                }
            }
        }
    }

    fn limits(&mut self, host: &Value) {
        let is_set = |key: &str| host[key].as_i64().is_some_and(|limit| limit > 0);
        if !is_set("Memory") {
            self.add(Property::MemoryLimit, "no memory limit");
        }
        if !is_set("NanoCpus") && !is_set("CpuQuota") {
            self.add(Property::CpuLimit, "no cpu limit");
        }
        if !is_set("PidsLimit") {
            self.add(Property::PidsLimit, "no pids limit");
        }
    }

    fn ports(&mut self, bindings: &Value) {
        for (inside, hosts) in bindings.as_object().into_iter().flatten() {
            let protocol = inside.split('/').nth(1).unwrap_or("tcp");
            for host in hosts.as_array().into_iter().flatten() {
                let address = host["HostIp"].as_str().unwrap_or_default();
                let port = format!("{}/{protocol}", host["HostPort"].as_str().unwrap_or_default());
                if !["127.0.0.1", "::1"].contains(&address) && !MEDIA.contains(&port.as_str()) {
                    self.add(Property::LoopbackPorts, format!("{port} is open on {address:?}"));
                }
            }
        }
    }

    fn environment(&mut self, pairs: &Value) {
        for pair in pairs.as_array().into_iter().flatten() {
            let (key, value) = pair
                .as_str()
                .and_then(|pair| pair.split_once('='))
                .unwrap_or_default();
            if is_secret(key) && !value.is_empty() {
                self.add(Property::NoSecretInEnvironment, format!("{key} is set"));
            }
        }
    }
}

/// Whether a variable of this name would hold a secret.
fn is_secret(key: &str) -> bool {
    const WORDS: [&str; 6] = [
        "API_KEY",
        "SECRET",
        "PASSWORD",
        "TOKEN",
        "PRIVATE_KEY",
        "CREDENTIAL",
    ];
    let key = key.to_uppercase();
    !key.ends_with("_FILE") && WORDS.iter().any(|word| key.contains(word))
}

/// A field of `/proc/PID/status`.
fn field<'s>(status: &'s str, key: &str) -> &'s str {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_default().trim()
}

/// Options of the last mount at a place.
fn options_of<'m>(mounts: &'m str, place: &str) -> Option<&'m str> {
    let at = |line: &'m str| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(4) == Some(&place))
            .then(|| fields.get(5).copied())
            .flatten()
    };
    mounts.lines().rev().find_map(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const STATUS: &str = "Name:\tdubber\nUmask:\t0022\nUid:\t10001\t10001\t10001\t10001\nGid:\t10001\t10001\t10001\t10001\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
    const MOUNTS: &str = "602 530 0:72 / / ro,relatime master:1 - overlay overlay rw,lowerdir=/x\n\
        603 602 0:75 / /tmp rw,nosuid - tmpfs tmpfs rw\n";

    fn inspected() -> Value {
        json!({
            "Config": {"User": "10001:10001", "Env": ["PATH=/usr/bin", "WORKER_GEMINI_API_KEY=", "WORKER_GEMINI_API_KEY_FILE=/run/secrets/k"]},
            "HostConfig": {
                "ReadonlyRootfs": true, "CapDrop": ["ALL"], "CapAdd": null, "Privileged": false,
                "SecurityOpt": ["no-new-privileges:true"], "Memory": 268_435_456, "NanoCpus": 1_000_000_000, "PidsLimit": 64,
                "NetworkMode": "dub_default", "PidMode": "", "IpcMode": "private",
                "PortBindings": {
                    "1935/tcp": [{"HostIp": "", "HostPort": "1935"}], "8890/udp": [{"HostIp": "0.0.0.0", "HostPort": "8890"}],
                    "50053/tcp": [{"HostIp": "127.0.0.1", "HostPort": "50053"}]}
            },
            "Mounts": [{"Type": "volume", "Source": "/var/lib/docker/volumes/dub_logs/_data", "Destination": "/var/log/dub"}]
        })
    }

    fn of(inspected: &Value, status: &str, mounts: &str) -> BTreeSet<Property> {
        properties(&findings(&Evidence {
            inspected,
            statuses: &[status.to_owned()],
            mounts,
        }))
    }

    #[test]
    fn a_hardened_container_has_no_finding() {
        assert_eq!(of(&inspected(), STATUS, MOUNTS), BTreeSet::new());
    }

    #[test]
    fn each_word_of_the_engine_that_is_switched_back_is_one_finding() {
        let cases = [
            ("/Config/User", json!("0"), Property::NonRoot),
            ("/Config/User", json!(""), Property::NonRoot),
            ("/HostConfig/ReadonlyRootfs", json!(false), Property::ReadOnlyRoot),
            ("/HostConfig/CapDrop", json!(null), Property::NoCapabilities),
            ("/HostConfig/CapAdd", json!(["NET_RAW"]), Property::NoCapabilities),
            ("/HostConfig/SecurityOpt", json!(null), Property::NoNewPrivileges),
            (
                "/HostConfig/SecurityOpt",
                json!(["no-new-privileges:false"]),
                Property::NoNewPrivileges,
            ),
            ("/HostConfig/Privileged", json!(true), Property::NotPrivileged),
            ("/HostConfig/IpcMode", json!("host"), Property::OwnNamespaces),
            ("/HostConfig/Memory", json!(0), Property::MemoryLimit),
            ("/HostConfig/NanoCpus", json!(0), Property::CpuLimit),
            ("/HostConfig/PidsLimit", json!(null), Property::PidsLimit),
            (
                "/HostConfig/PortBindings/50053~1tcp/0/HostIp",
                json!("0.0.0.0"),
                Property::LoopbackPorts,
            ),
            (
                "/HostConfig/PortBindings/50053~1tcp/0/HostIp",
                json!(""),
                Property::LoopbackPorts,
            ),
            (
                "/Config/Env/1",
                json!("WORKER_GEMINI_API_KEY=k"),
                Property::NoSecretInEnvironment,
            ),
            (
                "/Mounts/0/Source",
                json!("/var/run/docker.sock"),
                Property::NoEngineSocket,
            ),
        ];
        for (pointer, value, property) in cases {
            let mut spoiled = inspected();
            *spoiled.pointer_mut(pointer).unwrap() = value;
            assert_eq!(of(&spoiled, STATUS, MOUNTS), [property].into(), "{pointer}");
        }
    }

    #[test]
    fn what_the_kernel_holds_a_process_to_counts_whatever_the_engine_says() {
        let zero = "0000000000000000";
        let cases = [
            ("Uid:\t10001\t10001", "Uid:\t10001\t0", Property::NonRoot),
            ("Gid:\t10001", "Gid:\t0", Property::NonRoot),
            (
                &format!("CapBnd:\t{zero}"),
                "CapBnd:\t0000000000002000",
                Property::NoCapabilities,
            ),
            (
                &format!("CapEff:\t{zero}"),
                "CapEff:\t0000000000000001",
                Property::NoCapabilities,
            ),
            (&format!("CapPrm:\t{zero}\n"), "", Property::NoCapabilities),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", Property::NoNewPrivileges),
        ];
        for (from, to, property) in cases {
            let spoiled = STATUS.replace(from, to);
            assert_ne!(spoiled, STATUS);
            assert_eq!(of(&inspected(), &spoiled, MOUNTS), [property].into(), "{to}");
        }
        let writable = MOUNTS.replace("/ / ro,", "/ / rw,");
        assert_eq!(
            of(&inspected(), STATUS, &writable),
            [Property::ReadOnlyRoot].into()
        );
        assert_eq!(of(&inspected(), STATUS, ""), [Property::ReadOnlyRoot].into());
    }

    #[test]
    fn a_container_that_does_not_run_proves_nothing() {
        let found = findings(&Evidence {
            inspected: &inspected(),
            statuses: &[],
            mounts: MOUNTS,
        });
        assert_eq!(properties(&found), [Property::NonRoot].into());
    }
}
