//! Claiming ports: a lock file per offset keeps stacks of several programs apart, and a port that something else
//! holds is refused with the port, its setting and its holder before anything starts.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use service_kit::exit::{ExitWith, code};
use service_kit::settings::Env;

use crate::listeners::{LISTENERS, Listener, Transport};
use crate::part::Name;

/// Step between automatic offsets. No two listeners share their last two digits, so blocks never overlap.
const STEP: u16 = 100;
/// Automatic offsets. With these no port lies where Linux takes those of outgoing connections from, 32768..60999: one
/// of them may be gone between the claim and the start of who listens.
const AUTOMATIC: RangeInclusive<u16> = 11_000..=14_900;
/// Largest offset: the highest port, 50060, stays below 65536.
pub(crate) const OFFSET_MAX: u16 = *AUTOMATIC.end();

/// The right to use the ports of one offset, as long as it lives.
#[derive(Debug)]
pub struct PortBlock {
    /// Added to every port.
    pub offset: u16,
    _lock: File,
}

/// Claims a given offset.
pub fn claim(offset: u16, env: &Env, parts: &[Name]) -> Result<PortBlock> {
    let refused = |text: String| anyhow::Error::new(ExitWith(code::CONFIG)).context(text);
    let Some(lock) = lock(offset)? else {
        let holder = holder_of_lock(offset);
        let (rtmp, key) = LISTENERS
            .first()
            .map_or((0, ""), |first| (first.address(env, offset).port(), first.key));
        return Err(refused(format!(
            "STACK_PORT_OFFSET={offset}: a stack with this offset runs already, its ports ({rtmp} of {key} and the others) \
             {holder}; stop it or choose another offset"
        )));
    };
    let taken: Vec<String> = LISTENERS
        .iter()
        .filter(|listener| parts.contains(&listener.part))
        .filter_map(|listener| refusal(listener, listener.address(env, offset), offset))
        .collect();
    if !taken.is_empty() {
        return Err(refused(taken.join("\n")));
    }
    Ok(PortBlock { offset, _lock: lock })
}

/// Claims the first offset whose ports are all free. Programs begin at different places, so that they do not queue up
/// for the same locks.
pub fn claim_free(env: &Env, parts: &[Name]) -> Result<PortBlock> {
    let (least, most) = (*AUTOMATIC.start(), *AUTOMATIC.end());
    let blocks = 1 + (most - least) / STEP;
    let first = u16::try_from(std::process::id() % u32::from(blocks)).unwrap_or(0);
    for index in 0..blocks {
        let offset = least + STEP * ((first + index) % blocks);
        let Some(lock) = lock(offset)? else { continue };
        let free = LISTENERS
            .iter()
            .filter(|listener| parts.contains(&listener.part))
            .all(|listener| is_free(listener.transport, listener.address(env, offset)));
        if free {
            return Ok(PortBlock { offset, _lock: lock });
        }
    }
    bail!("no free block of ports between offsets {least} and {most}");
}

fn lock_path(offset: u16) -> PathBuf {
    std::env::temp_dir()
        .join("dub-stack-ports")
        .join(format!("{offset}.lock"))
}

/// `None` when another stack holds the lock.
fn lock(offset: u16) -> Result<Option<File>> {
    let path = lock_path(offset);
    let folder = path.parent().context("lock file without a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    // For the message of whoever is refused; the lock itself does not depend on it.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    Ok(Some(file))
}

fn holder_of_lock(offset: u16) -> String {
    let mut text = String::new();
    let _ = File::open(lock_path(offset)).and_then(|mut file| file.read_to_string(&mut text));
    match text.trim().parse::<u32>() {
        Ok(pid) => format!("are held by process {pid}"),
        Err(_) => "are held by a process that is not known".to_owned(),
    }
}

fn is_free(transport: Transport, address: SocketAddr) -> bool {
    match transport {
        Transport::Tcp => TcpListener::bind(address).is_ok(),
        Transport::Udp => UdpSocket::bind(address).is_ok(),
    }
}

fn refusal(listener: &Listener, address: SocketAddr, offset: u16) -> Option<String> {
    let bound = match listener.transport {
        Transport::Tcp => TcpListener::bind(address).map(drop),
        Transport::Udp => UdpSocket::bind(address).map(drop),
    };
    let error = bound.err()?;
    let (port, key, part) = (address.port(), listener.key, listener.part);
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return Some(format!("{key}={address}: cannot listen for {part}: {error}"));
    }
    let holder = holder(listener.transport, port)
        .unwrap_or_else(|| "a process that is not visible from here (another user or container)".to_owned());
    Some(format!(
        "port {port} ({key} of {part}, STACK_PORT_OFFSET={offset}) is in use, held by {holder}; \
         stop that process or set STACK_PORT_OFFSET to another value, for example {}",
        if offset < OFFSET_MAX { offset + STEP } else { 0 },
    ))
}

fn holder(transport: Transport, port: u16) -> Option<String> {
    match transport {
        Transport::Tcp => service_kit::net::holder_of_port(port).map(|holder| holder.to_string()),
        Transport::Udp => udp_holder(port),
    }
}

/// The process with a datagram socket on `port`, from `/proc/net/udp{,6}` and `/proc/*/fd`.
fn udp_holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| udp_inode(line, port))
                .collect::<Vec<_>>()
        })
        .collect();
    std::fs::read_dir("/proc").ok()?.find_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let mut descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let holds = descriptors.any(|descriptor| {
            descriptor
                .and_then(|descriptor| std::fs::read_link(descriptor.path()))
                .is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        });
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        holds.then(|| format!("process {pid} ({})", name.trim()))
    })
}

/// `socket:[inode]` of a line of the table if its local port is `port`.
fn udp_inode(line: &str, port: u16) -> Option<String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let local = columns.get(1)?.rsplit_once(':')?.1;
    (u16::from_str_radix(local, 16).ok()? == port)
        .then(|| columns.get(9).map(|inode| format!("socket:[{inode}]")))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONLY_MEDIAMTX: &[Name] = &[Name::MediaMtx];

    #[test]
    fn two_claims_get_two_blocks() {
        let env = Env::default();
        let first = claim_free(&env, ONLY_MEDIAMTX).unwrap();
        let second = claim_free(&env, ONLY_MEDIAMTX).unwrap();
        assert_ne!(first.offset, second.offset);
    }

    #[test]
    fn no_automatic_port_is_one_of_an_outgoing_connection() {
        let outgoing = 32_768..61_000;
        for offset in [*AUTOMATIC.start(), *AUTOMATIC.end()] {
            let ports = LISTENERS.iter().map(|listener| listener.port.checked_add(offset));
            assert!(ports.into_iter().all(|port| !outgoing.contains(&port.unwrap())));
        }
    }

    #[test]
    fn an_offset_that_is_taken_is_refused_with_its_holder() {
        let env = Env::default();
        let held = claim_free(&env, ONLY_MEDIAMTX).unwrap();
        let said = format!("{:#}", claim(held.offset, &env, ONLY_MEDIAMTX).unwrap_err());
        assert!(
            said.contains("STACK_PORT_OFFSET") && said.contains(&std::process::id().to_string()),
            "{said}"
        );
    }

    #[test]
    fn a_port_in_use_is_refused_with_port_setting_and_holder() {
        let env = Env::default();
        let block = claim_free(&env, ONLY_MEDIAMTX).unwrap();
        let offset = block.offset;
        drop(block);
        let _rtmp = TcpListener::bind(("127.0.0.1", 1935 + offset)).unwrap();
        let _srt = UdpSocket::bind(("127.0.0.1", 8890 + offset)).unwrap();
        let said = format!("{:#}", claim(offset, &env, ONLY_MEDIAMTX).unwrap_err());
        let holder = format!("process {}", std::process::id());
        for word in [
            &(1935 + offset).to_string(),
            &(8890 + offset).to_string(),
            "STACK_PORT_OFFSET",
        ] {
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(said.matches(&holder).count(), 2, "{said}");
    }
}
