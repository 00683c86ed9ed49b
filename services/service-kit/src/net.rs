//! Listening: a port in use is refused with the port, its setting and, on Linux, the process that holds it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::settings::Setting;

/// An address to listen on, and the setting that named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Key of the setting, where known.
    pub setting: Option<&'static str>,
    /// The address.
    pub address: SocketAddr,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            setting: None,
            address,
        }
    }
}

impl From<(&'static str, SocketAddr)> for Endpoint {
    fn from((setting, address): (&'static str, SocketAddr)) -> Self {
        Self {
            setting: Some(setting),
            address,
        }
    }
}

impl From<(&Setting, SocketAddr)> for Endpoint {
    fn from((setting, address): (&Setting, SocketAddr)) -> Self {
        Self {
            setting: Some(setting.key),
            address,
        }
    }
}

/// An address that cannot be bound, in words for the person who can change it.
#[derive(Debug, thiserror::Error)]
#[error("{setting}={address}: {words}")]
pub struct BindError {
    setting: String,
    address: SocketAddr,
    words: String,
    source: io::Error,
}

/// Binds a TCP listener.
///
/// # Errors
/// When the address cannot be bound, with [`bind_error`]'s words.
pub async fn bind(endpoint: impl Into<Endpoint>) -> anyhow::Result<TcpListener> {
    let Endpoint { setting, address } = endpoint.into();
    TcpListener::bind(address)
        .await
        .map_err(|error| bind_error(setting.unwrap_or("its setting"), address, error))
}

/// The words for an address that cannot be bound: port, setting, holder, remedy. Asks for exit code 64: the same
/// start fails again until someone changes something.
#[must_use]
pub fn bind_error(setting: &str, address: SocketAddr, error: io::Error) -> anyhow::Error {
    let port = address.port();
    let words = if error.kind() == io::ErrorKind::AddrInUse {
        let holder = match holder_of_port(port) {
            Some(holder) => format!("held by {holder}"),
            None => "its holder is not visible from here (another user, container or system)".to_owned(),
        };
        format!("port {port} is in use, {holder}; stop that process or set {setting} to a free port")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!("this user may not listen on port {port}; set {setting} to a port above 1023")
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        format!(
            "this host has no address {}; set {setting} to 0.0.0.0:{port}",
            address.ip()
        )
    } else {
        format!("cannot listen: {error}")
    };
    BindError {
        setting: setting.to_owned(),
        address,
        words,
        source: error,
    }
    .into()
}

/// A process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name as the kernel shows it.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// The process that listens on `port`, from `/proc/net/tcp{,6}` and `/proc/*/fd`; `None` where the system or the
/// rights do not show it.
#[must_use]
pub fn holder_of_port(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| holds_one_of(*pid, &inodes))
        .map(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Holder {
                pid,
                name: name.trim().to_owned(),
            }
        })
}

fn holds_one_of(pid: u32, inodes: &[String]) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
}

/// Inodes of the sockets of a `/proc/net/tcp` table that listen on `port`.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let local_port = u16::from_str_radix(columns.get(1)?.rsplit_once(':')?.1, 16).ok()?;
            let is_listening = *columns.get(3)? == LISTEN;
            let inode = columns.get(9)?.parse().ok()?;
            (is_listening && local_port == port).then_some(inode)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_table_row_names_its_socket_only_when_it_listens_on_that_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4242 1 0 100 0 0 10 0\n\
             1: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000  1000 0 4343 1 0 100 0 0 10 0\n";
        assert_eq!(listening_inodes(table, 8080), vec![4242]);
        assert!(listening_inodes(table, 8081).is_empty());
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused_with_port_setting_and_holder() {
        let occupied = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = occupied.local_addr().unwrap();

        let error = bind(("DUBBER_GRPC_ADDR", address)).await.unwrap_err();

        let text = error.to_string();
        assert!(text.contains("DUBBER_GRPC_ADDR"), "{text}");
        assert!(
            text.contains(&format!("port {} is in use", address.port())),
            "{text}"
        );
        assert!(
            text.contains(&format!("process {} (", std::process::id())),
            "{text}"
        );
        assert_eq!(crate::exit::code_of(&error), crate::exit::code::CONFIG);
    }

    #[tokio::test]
    async fn an_address_of_another_host_is_refused_with_its_setting() {
        let error = bind(("ORCH_HTTP_ADDR", SocketAddr::from(([192, 0, 2, 1], 0))))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("ORCH_HTTP_ADDR=192.0.2.1:0"),
            "{error}"
        );
    }
}
