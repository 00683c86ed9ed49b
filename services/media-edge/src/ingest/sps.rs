//! What a sequence parameter set of H.264 tells: picture size and reorder depth (H.264 7.3.2.1.1, E.1.1). Pure.

/// The fields that are of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub width: u32,
    pub height: u32,
    /// How many pictures may be sent ahead of one that is shown before them; `None` when it is not told.
    pub reorder_frames: Option<u32>,
}

/// The first parameter set of an `AVCDecoderConfigurationRecord`.
pub(super) fn from_codec_data(record: &[u8]) -> Option<Sps> {
    let length = usize::from(u16::from_be_bytes([*record.get(6)?, *record.get(7)?]));
    let nal = record.get(8..8 + length)?;
    parse(&unescaped(nal.get(1..)?))
}

/// Without the bytes that keep start codes out of a NAL unit.
fn unescaped(nal: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    fn flag(&mut self) -> Option<bool> {
        self.bit().map(|bit| bit == 1)
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | self.bit()?))
    }

    /// Exp-Golomb code, unsigned.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1_u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// Exp-Golomb code, signed.
    fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let half = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { half } else { -half })
    }
}

fn parse(bytes: &[u8]) -> Option<Sps> {
    let mut bits = Bits { bytes, at: 0 };
    let profile = bits.bits(8)?;
    bits.bits(16)?;
    bits.ue()?;
    let chroma = if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        high_profile(&mut bits)?
    } else {
        1
    };
    bits.ue()?;
    picture_order(&mut bits)?;
    bits.ue()?;
    bits.flag()?;
    let (width_blocks, height_units) = (bits.ue()? + 1, bits.ue()? + 1);
    let fields = if bits.flag()? { 1 } else { 2 };
    if fields == 2 {
        bits.flag()?;
    }
    bits.flag()?;
    let (mut width, mut height) = (
        width_blocks.checked_mul(16)?,
        height_units.checked_mul(16 * fields)?,
    );
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma {
            1 => (2, 2 * fields),
            2 => (2, fields),
            _ => (1, fields),
        };
        width = width.checked_sub(unit_x * (bits.ue()?.checked_add(bits.ue()?)?))?;
        height = height.checked_sub(unit_y * (bits.ue()?.checked_add(bits.ue()?)?))?;
    }
    let reorder_frames = if bits.flag()? { usability(&mut bits) } else { None };
    Some(Sps {
        width,
        height,
        reorder_frames,
    })
}

/// The fields of the high profiles; the chroma format.
fn high_profile(bits: &mut Bits<'_>) -> Option<u32> {
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.flag()?;
    }
    bits.ue()?;
    bits.ue()?;
    bits.flag()?;
    if bits.flag()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.flag()? {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma)
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.flag()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// `max_num_reorder_frames` of the usability information, if it goes that far.
fn usability(bits: &mut Bits<'_>) -> Option<u32> {
    if bits.flag()? && bits.bits(8)? == 255 {
        bits.bits(32)?;
    }
    if bits.flag()? {
        bits.flag()?;
    }
    if bits.flag()? {
        bits.bits(4)?;
        if bits.flag()? {
            bits.bits(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.flag()? {
        bits.bits(32)?;
        bits.bits(32)?;
        bits.flag()?;
    }
    let (nal, vcl) = (hypothetical_decoder(bits)?, hypothetical_decoder(bits)?);
    if nal || vcl {
        bits.flag()?;
    }
    bits.flag()?;
    if !bits.flag()? {
        return None;
    }
    bits.flag()?;
    for _ in 0..4 {
        bits.ue()?;
    }
    bits.ue()
}

fn hypothetical_decoder(bits: &mut Bits<'_>) -> Option<bool> {
    let present = bits.flag()?;
    if present {
        let count = bits.ue()?.min(31) + 1;
        bits.bits(8)?;
        for _ in 0..count {
            bits.ue()?;
            bits.ue()?;
            bits.flag()?;
        }
        bits.bits(20)?;
    }
    Some(present)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(nal: &str) -> Vec<u8> {
        let nal: Vec<u8> = (0..nal.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&nal[at..at + 2], 16).unwrap())
            .collect();
        let mut record = vec![
            1,
            nal[1],
            nal[2],
            nal[3],
            0xff,
            0xe1,
            0,
            u8::try_from(nal.len()).unwrap(),
        ];
        record.extend(nal);
        record
    }

    #[test]
    fn x264_tells_its_reorder_depth_and_the_cropped_size() {
        let main = record("674d401ed900a02ff93011000003000100000300320f162e48");
        assert_eq!(
            from_codec_data(&main),
            Some(Sps {
                width: 640,
                height: 362,
                reorder_frames: Some(0)
            })
        );
        let interlaced = "67640028acd94078044fde022000000300200000064c080005b8d8000b71b498601f162d96";
        let hd = from_codec_data(&record(interlaced)).unwrap();
        assert_eq!((hd.width, hd.height), (1920, 1080));
        assert_eq!(hd.reorder_frames, Some(2));
    }

    #[test]
    fn broken_bytes_are_no_parameter_set() {
        assert_eq!(from_codec_data(&[]), None);
        assert_eq!(from_codec_data(&[1, 2, 3, 4, 5, 6, 0, 200, 1]), None);
        assert_eq!(
            from_codec_data(&[1, 2, 3, 4, 5, 6, 0, 6, 0x67, 100, 0, 40, 0, 0]),
            None
        );
    }
}
