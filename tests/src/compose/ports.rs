//! Host ports that the stack publishes: a running stack of the user's has the same ones.

use super::docker::Docker;
use anyhow::{Result, bail};
use serde_json::Value;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Ports of media, which are open to the network; all others are for this machine alone.
pub const MEDIA: [&str; 6] = [
    "1935/tcp", "8554/tcp", "8890/udp", "8888/tcp", "8889/tcp", "8189/udp",
];

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Who publishes it.
    pub service: String,
    /// Port of this machine.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.port, self.protocol, self.service)
    }
}

/// Every port that a compose file publishes.
pub fn of_config(config: &Value) -> Vec<Published> {
    let services = config["services"].as_object();
    services
        .into_iter()
        .flatten()
        .flat_map(|(name, service)| {
            let ports = service["ports"].as_array().cloned().unwrap_or_default();
            ports.into_iter().filter_map(move |port| {
                Some(Published {
                    service: name.clone(),
                    port: port["published"].as_str()?.parse().ok()?,
                    protocol: port["protocol"].as_str().unwrap_or("tcp").to_owned(),
                })
            })
        })
        .collect()
}

/// Refuses ports that something holds, each with its holder.
pub fn refuse_taken(docker: &Docker, ports: &[Published]) -> Result<()> {
    let taken: Vec<String> = ports
        .iter()
        .filter(|port| !is_free(port))
        .map(|port| format!("  port {port} is held by {}", holder(docker, port)))
        .collect();
    if !taken.is_empty() {
        bail!(
            "the drills start a stack on the ports of docker-compose.yml, and some are taken:\n{}\n\
             stop what holds them (`make down` for a stack of your own; its volumes stay) and start again",
            taken.join("\n")
        );
    }
    Ok(())
}

fn is_free(port: &Published) -> bool {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.port));
    if port.protocol == "udp" {
        UdpSocket::bind(address).is_ok()
    } else {
        TcpListener::bind(address).is_ok()
    }
}

fn holder(docker: &Docker, port: &Published) -> String {
    let publishes = format!("publish={}/{}", port.port, port.protocol);
    let containers = docker
        .ask(&["ps", "--filter", &publishes, "--format", "container {{.Names}}"])
        .unwrap_or_default();
    if !containers.trim().is_empty() {
        return containers.lines().collect::<Vec<_>>().join(", ");
    }
    let holder = (port.protocol == "tcp").then(|| service_kit::net::holder_of_port(port.port));
    holder.flatten().map_or_else(
        || "a process that is not visible from here".to_owned(),
        |it| it.to_string(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_read_as_compose_writes_them() {
        let config = json!({"services": {"mediamtx": {"ports": [
            {"mode": "ingress", "target": 1935, "published": "1935", "protocol": "tcp"},
            {"mode": "ingress", "host_ip": "127.0.0.1", "target": 8890, "published": "8890", "protocol": "udp"},
            {"target": 7}]}, "dubber": {}}});
        let found: Vec<String> = of_config(&config).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["1935/tcp (mediamtx)", "8890/udp (mediamtx)"]);
    }

    #[test]
    fn a_port_in_use_is_refused_with_its_holder() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Published {
            service: "dubber".to_owned(),
            port: held.local_addr().unwrap().port(),
            protocol: "tcp".to_owned(),
        };
        // No engine is asked: this one starts nothing.
        let docker = Docker::default();
        docker.end();
        let said = refuse_taken(&docker, std::slice::from_ref(&port))
            .unwrap_err()
            .to_string();
        let me = std::process::id().to_string();
        assert!(said.contains(&port.to_string()) && said.contains(&me), "{said}");
        drop(held);
        assert!(refuse_taken(&docker, &[port]).is_ok());
    }
}
