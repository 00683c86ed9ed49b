//! FLV tags: a parser that can be fed piece by piece, a writer, and what an AVC tag holds.
//!
//! FLV is what RTMP carries: its tags keep PTS and DTS of the wire and the bytes of every NAL unit.

use anyhow::{Result, bail, ensure};
use sha2::{Digest as _, Sha256};

/// What a tag carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
    /// `onMetaData` and the like.
    Script,
}

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// Decoding time in milliseconds, as on the wire (signed: ffmpeg writes negative ones for B-frames).
    pub dts_ms: i32,
    /// Body, codec bytes included.
    pub body: Vec<u8>,
}

/// Collects bytes and gives whole tags.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Vec<u8>,
    header_seen: bool,
}

impl Parser {
    /// Takes more bytes and gives the tags that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Tag>> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        if !self.header_seen {
            if self.pending.len() < 13 {
                return Ok(Vec::new());
            }
            ensure!(self.pending.starts_with(b"FLV"), "this is no FLV");
            at = u32::from_be_bytes([self.pending[5], self.pending[6], self.pending[7], self.pending[8]])
                as usize
                + 4;
            self.header_seen = true;
        }
        let mut tags = Vec::new();
        while let Some(header) = self.pending.get(at..at + 11) {
            let size = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let Some(body) = self.pending.get(at + 11..at + 11 + size) else {
                break;
            };
            if self.pending.len() < at + 15 + size {
                break;
            }
            let kind = match header[0] & 0x1f {
                8 => TagKind::Audio,
                9 => TagKind::Video,
                18 => TagKind::Script,
                other => bail!("an FLV tag of type {other}"),
            };
            let dts_ms = time(header[7], [header[4], header[5], header[6]]);
            tags.push(Tag {
                kind,
                dts_ms,
                body: body.to_vec(),
            });
            at += 15 + size;
        }
        self.pending.drain(..at);
        Ok(tags)
    }
}

/// ffmpeg clears the sign bit of a negative time: the last 24 days of the positive range are read as negative.
fn time(extension: u8, low: [u8; 3]) -> i32 {
    let sign = if (0x78..0x80).contains(&extension) {
        0x80
    } else {
        0
    };
    i32::from_be_bytes([extension | sign, low[0], low[1], low[2]])
}

/// All whole tags of a file; a torn one at the end is left out.
pub fn tags(bytes: &[u8]) -> Result<Vec<Tag>> {
    Parser::default().push(bytes)
}

/// The header that starts a file with sound and picture.
pub const HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];

impl Tag {
    /// The tag as bytes, with the size that follows it in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let code = match self.kind {
            TagKind::Audio => 8,
            TagKind::Video => 9,
            TagKind::Script => 18,
        };
        let size = (self.body.len() as u32).to_be_bytes();
        let dts = self.dts_ms.to_be_bytes();
        let mut out = Vec::with_capacity(self.body.len() + 15);
        out.extend_from_slice(&[
            code, size[1], size[2], size[3], dts[1], dts[2], dts[3], dts[0], 0, 0, 0,
        ]);
        out.extend_from_slice(&self.body);
        out.extend_from_slice(&(self.body.len() as u32 + 11).to_be_bytes());
        out
    }

    /// What an H.264 tag holds; `None` for other codecs.
    pub fn avc(&self) -> Option<Avc<'_>> {
        if self.kind != TagKind::Video || self.body.len() < 5 || self.body[0] & 0x8f != 7 {
            return None;
        }
        let cts = i32::from_be_bytes([0, self.body[2], self.body[3], self.body[4]]);
        // 24 bits, signed.
        let cts_ms = (cts << 8) >> 8;
        match self.body[1] {
            0 => Some(Avc::Config(&self.body[5..])),
            1 => Some(Avc::Unit {
                cts_ms,
                key: self.body[0] >> 4 == 1,
                payload: &self.body[5..],
            }),
            _ => Some(Avc::End),
        }
    }

    /// Whether this is the configuration of a decoder, not media.
    pub fn is_config(&self) -> bool {
        match self.kind {
            TagKind::Script => true,
            TagKind::Video => {
                self.body.get(1) == Some(&0) && self.body.first().is_some_and(|b| b & 0x8f == 7)
            }
            TagKind::Audio => self.body.get(1) == Some(&0) && self.body.first().is_some_and(|b| b >> 4 == 10),
        }
    }
}

/// Content of an H.264 tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Avc<'t> {
    /// An `AVCDecoderConfigurationRecord`.
    Config(&'t [u8]),
    /// An access unit.
    Unit {
        /// Presentation minus decoding time.
        cts_ms: i32,
        /// Whether it is a key frame.
        key: bool,
        /// NAL units, each behind its length.
        payload: &'t [u8],
    },
    /// The end of a sequence.
    End,
}

/// Bytes of the length in front of each NAL unit, from a configuration record.
pub fn length_size(config: &[u8]) -> usize {
    config.get(4).map_or(4, |byte| usize::from(byte & 3) + 1)
}

/// The NAL units of an access unit.
pub fn nals(payload: &[u8], length_size: usize) -> Result<Vec<&[u8]>> {
    let mut out = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        ensure!(rest.len() >= length_size, "an access unit ends inside a length");
        let (length, after) = rest.split_at(length_size);
        let length = length
            .iter()
            .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        ensure!(after.len() >= length, "a NAL unit is longer than its access unit");
        let (nal, after) = after.split_at(length);
        out.push(nal);
        rest = after;
    }
    Ok(out)
}

/// Fingerprint of an access unit over its slices (types 1 to 5) and SEI (6) alone: servers repeat parameter sets
/// and strip delimiters, which changes nothing of the picture.
pub fn fingerprint(payload: &[u8], length_size: usize) -> Result<u64> {
    let mut hash = Sha256::new();
    for nal in nals(payload, length_size)? {
        if nal.first().is_some_and(|byte| (1..=6).contains(&(byte & 0x1f))) {
            hash.update((nal.len() as u32).to_be_bytes());
            hash.update(nal);
        }
    }
    let digest = hash.finalize();
    Ok(digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}
