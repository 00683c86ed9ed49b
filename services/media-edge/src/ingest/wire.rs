//! The socket to the worker. A blocking write is the only back-pressure there is.
use crate::link::frames::{Frame, write_frame};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// The frames' way out, in the order of [`Wire::send`].
#[derive(Debug)]
pub(super) struct Wire {
    out: Option<File>,
}

impl Wire {
    /// Takes standard output for frames. Nothing else may print there.
    pub fn from_stdout() -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self {
            out: Some(File::from(out)),
        })
    }

    /// Writes to any descriptor.
    #[cfg(test)]
    pub fn to(out: File) -> Self {
        Self { out: Some(out) }
    }

    /// Sends one frame; an error means that the worker is gone. After [`Wire::close`] frames are dropped.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let mut joined = Joined {
            out,
            head: Vec::with_capacity(64),
        };
        write_frame(&mut joined, frame)?;
        joined.flush()
    }

    /// Nothing is sent from here on.
    pub fn close(&mut self) {
        self.out = None;
    }
}

/// Joins the header and the payload of a frame into one system call without copying the payload.
struct Joined<'a> {
    out: &'a mut File,
    head: Vec<u8>,
}

/// Longer pieces are payload.
const HEAD_BYTES_MAX: usize = 64;

impl Write for Joined<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() <= HEAD_BYTES_MAX {
            self.head.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let sent = self
            .out
            .write_vectored(&[IoSlice::new(&self.head), IoSlice::new(bytes)])?;
        if sent < self.head.len() {
            self.head.drain(..sent);
            self.flush()?;
            return self.out.write(bytes);
        }
        let sent = sent - self.head.len();
        self.head.clear();
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.head)?;
        self.head.clear();
        Ok(())
    }
}

/// How long the last word may wait for a worker that does not read.
pub(super) const LAST_WORD_WAIT_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::link::frames::{AccessUnit, read_frame};
    use bytes::Bytes;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn small_and_large_frames_arrive_whole_and_a_closed_wire_drops() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let frames: Vec<Frame> = [0, 1, 63, 64, 65, 400_000]
            .map(|length| {
                let data = Bytes::from(vec![7; length]);
                Frame::Video(AccessUnit {
                    pts_ns: 1,
                    dts_ns: 0,
                    key: true,
                    discontinuity: false,
                    data,
                })
            })
            .to_vec();
        let sent = frames.clone();
        let sender = std::thread::spawn(move || {
            let mut wire = Wire::to(File::from(OwnedFd::from(ours)));
            for frame in &sent {
                wire.send(frame).unwrap();
            }
            wire.close();
            wire.send(&sent[0]).unwrap();
        });
        for frame in frames {
            assert_eq!(read_frame(&mut theirs).unwrap(), Some(frame));
        }
        assert_eq!(read_frame(&mut theirs).unwrap(), None);
        sender.join().unwrap();
    }

    #[test]
    fn a_worker_that_is_gone_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut wire = Wire::to(File::from(OwnedFd::from(ours)));
        let frame = Frame::Audio {
            pts_ns: 0,
            discontinuity: false,
            pcm: Bytes::from_static(&[0; 128]),
        };
        assert!(wire.send(&frame).is_err());
    }
}
