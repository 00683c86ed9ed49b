//! When a stack accepts streams: every service says so itself, and MediaMTX's Control API answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::http;
use crate::listeners::Ports;
use crate::part::Name;

/// How long one look may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Asks every part once.
///
/// # Errors
/// Every part that does not accept work yet, with what it says about it.
pub async fn look(ports: &Ports, with_twin: bool) -> Result<(), Vec<(Name, String)>> {
    let asked = [
        (Name::MediaMtx, ports.mediamtx_api, "/v3/paths/list"),
        (Name::Dubber, ports.dubber_admin, "/readyz"),
        (Name::MediaEdge, ports.media_edge_admin, "/readyz"),
        (Name::Orchestrator, ports.orchestrator_admin, "/readyz"),
    ];
    let mut open = Vec::new();
    for (name, port, path) in asked {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match http::get(address, path, ANSWER_WITHIN).await {
            Ok(answer) if answer.is_ok() => {}
            Ok(answer) => open.push((name, format!("{} {}", answer.status, answer.body.trim()))),
            Err(error) => open.push((name, format!("{error:#}"))),
        }
    }
    if with_twin {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.twin));
        // Without a key the twin refuses, as Google does; that it answers is what is asked.
        if let Err(error) = http::get(address, "/v1beta/models", ANSWER_WITHIN).await {
            open.push((Name::Twin, format!("{error:#}")));
        }
    }
    if open.is_empty() { Ok(()) } else { Err(open) }
}
