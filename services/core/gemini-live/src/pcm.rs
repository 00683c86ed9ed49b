//! Sound on the wire: signed 16 bit, little endian, mono.
use bytes::Bytes;

/// Rate that the service takes without resampling.
pub const INPUT_RATE_HZ: u32 = 16_000;
/// Rate of what it returns, also where it does not say so.
pub const OUTPUT_RATE_HZ: u32 = 24_000;

/// Makes samples of the bytes of one connection. A chunk may end in the middle of a sample.
#[derive(Clone, Debug, Default)]
pub struct PcmReader {
    held: Option<u8>,
}

impl PcmReader {
    /// The samples that are complete with these bytes.
    pub fn read(&mut self, bytes: &Bytes) -> Vec<i16> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        let mut low = self.held.take();
        for byte in bytes {
            match low.take() {
                Some(first) => samples.push(i16::from_le_bytes([first, *byte])),
                None => low = Some(*byte),
            }
        }
        self.held = low;
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_byte_waits_for_the_next_chunk() {
        let all: Vec<i16> = vec![1, -2, 300, -400, 5];
        let bytes: Vec<u8> = all.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for cut in 0..=bytes.len() {
            let mut reader = PcmReader::default();
            let (head, tail) = bytes.split_at(cut);
            let mut got = reader.read(&Bytes::copy_from_slice(head));
            got.extend(reader.read(&Bytes::copy_from_slice(tail)));
            assert_eq!(got, all, "cut at {cut}");
        }
    }
}
