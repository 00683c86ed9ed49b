//! The voice network of Silero VAD 6.2.3 (16 kHz), computed here: four convolutions over a spectrum, one LSTM cell, one
//! probability for 512 samples. Its weights are those of that release, see `model/`. Plain loops over rows that a
//! compiler turns into vector instructions; no allocation after the start.
use crate::StartError;
use std::collections::BTreeMap;

/// Where they come from and their SHA-256 stand in `model/README.md`.
const FILE: &[u8] = include_bytes!("../model/silero_vad_16k.safetensors");

/// Samples (16 kHz) that one probability is about.
pub const CHUNK: usize = 512;
/// Samples of the chunk before that the network sees again.
const CONTEXT: usize = 64;
/// Samples put behind the chunk, mirrored.
const PAD: usize = 64;
const WINDOW: usize = 256;
const HOP: usize = 128;
const BINS: usize = 129;
/// Columns of the spectrum of one chunk.
const COLUMNS: usize = (CONTEXT + CHUNK + PAD - WINDOW) / HOP + 1;
const HIDDEN: usize = 128;

/// A convolution of width 3 over columns, or with one tap a plain matrix: for each tap `[inputs][outputs]`.
struct Layer {
    taps: Vec<Vec<f32>>,
    bias: Vec<f32>,
    stride: usize,
}

/// `out += weights * input`, where `weights` holds one row of outputs for each input.
fn add_product(weights: &[f32], input: &[f32], out: &mut [f32]) {
    for (row, value) in weights.chunks_exact(out.len()).zip(input) {
        for (sum, weight) in out.iter_mut().zip(row) {
            *sum += weight * value;
        }
    }
}

impl Layer {
    /// Columns in, columns out, rectified.
    fn run(&self, columns: &[f32], width: usize, out: &mut [f32]) {
        let half = self.taps.len() / 2;
        let count = columns.len() / width;
        for (at, column) in out.chunks_exact_mut(self.bias.len()).enumerate() {
            column.copy_from_slice(&self.bias);
            for (tap, weights) in self.taps.iter().enumerate() {
                let Some(from) = (at * self.stride + tap)
                    .checked_sub(half)
                    .filter(|from| *from < count)
                else {
                    continue;
                };
                add_product(weights, &columns[from * width..(from + 1) * width], column);
            }
            column.iter_mut().for_each(|value| *value = value.max(0.0));
        }
    }
}

/// The network and what it remembers.
pub struct Network {
    spectrum: Vec<f32>,
    layers: [Layer; 4],
    gates_input: Vec<f32>,
    gates_hidden: Vec<f32>,
    gates_bias: Vec<f32>,
    last: Vec<f32>,
    last_bias: f32,
    samples: [f32; CONTEXT + CHUNK + PAD],
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
    waves: [f32; 2 * BINS],
    gates: [f32; 4 * HIDDEN],
    columns: [Vec<f32>; 5],
}

impl Network {
    /// Reads the weights and allocates all that it will need.
    pub fn new() -> Result<Self, StartError> {
        let tensors = tensors(FILE).ok_or(StartError::Weights("file"))?;
        let get = |name: &'static str, length: usize| {
            let values = tensors.get(name).filter(|values| values.len() == length);
            values.cloned().ok_or(StartError::Weights(name))
        };
        let layer = |weight, bias, inputs: usize, outputs: usize, stride| {
            let all = get(weight, outputs * inputs * 3)?;
            let tap = |tap: usize| by_input(inputs, outputs, |i, o| all[(o * inputs + i) * 3 + tap]);
            Ok::<_, StartError>(Layer {
                taps: (0..3).map(tap).collect(),
                bias: get(bias, outputs)?,
                stride,
            })
        };
        let spectrum = get("stft_conv.weight", 2 * BINS * WINDOW)?;
        let input = get("lstm_cell.weight_ih", 4 * HIDDEN * HIDDEN)?;
        let hidden = get("lstm_cell.weight_hh", 4 * HIDDEN * HIDDEN)?;
        let (bias_input, bias_hidden) = (
            get("lstm_cell.bias_ih", 4 * HIDDEN)?,
            get("lstm_cell.bias_hh", 4 * HIDDEN)?,
        );
        let square = |all: &[f32]| by_input(HIDDEN, 4 * HIDDEN, |i, o| all[o * HIDDEN + i]);
        let last_bias = get("final_conv.bias", 1)?.first().copied().unwrap_or_default();
        Ok(Self {
            spectrum: by_input(WINDOW, 2 * BINS, |i, o| spectrum[o * WINDOW + i]),
            layers: [
                layer("conv1.weight", "conv1.bias", BINS, 128, 1)?,
                layer("conv2.weight", "conv2.bias", 128, 64, 2)?,
                layer("conv3.weight", "conv3.bias", 64, 64, 2)?,
                layer("conv4.weight", "conv4.bias", 64, HIDDEN, 1)?,
            ],
            gates_input: square(&input),
            gates_hidden: square(&hidden),
            gates_bias: bias_input.iter().zip(&bias_hidden).map(|(a, b)| a + b).collect(),
            last: get("final_conv.weight", HIDDEN)?,
            last_bias,
            samples: [0.0; CONTEXT + CHUNK + PAD],
            hidden: [0.0; HIDDEN],
            cell: [0.0; HIDDEN],
            waves: [0.0; 2 * BINS],
            gates: [0.0; 4 * HIDDEN],
            columns: [COLUMNS * BINS, COLUMNS * 128, 2 * 64, 64, HIDDEN].map(|length| vec![0.0; length]),
        })
    }

    /// What follows continues nothing.
    pub fn reset(&mut self) {
        self.samples.fill(0.0);
        self.hidden.fill(0.0);
        self.cell.fill(0.0);
    }

    /// Probability of speech in the next chunk.
    pub fn predict(&mut self, chunk: &[f32; CHUNK]) -> f32 {
        self.samples.copy_within(CHUNK..CHUNK + CONTEXT, 0);
        self.samples[CONTEXT..CONTEXT + CHUNK].copy_from_slice(chunk);
        let end = CONTEXT + CHUNK;
        for behind in 0..PAD {
            self.samples[end + behind] = self.samples[end - 2 - behind];
        }
        for (at, column) in self.columns[0].chunks_exact_mut(BINS).enumerate() {
            self.waves.fill(0.0);
            let window = &self.samples[at * HOP..at * HOP + WINDOW];
            add_product(&self.spectrum, window, &mut self.waves);
            let (real, imaginary) = self.waves.split_at(BINS);
            for ((bin, re), im) in column.iter_mut().zip(real).zip(imaginary) {
                *bin = (re * re + im * im).sqrt();
            }
        }
        let mut width = BINS;
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, behind) = self.columns.split_at_mut(index + 1);
            layer.run(&before[index], width, &mut behind[0]);
            width = layer.bias.len();
        }
        self.remember();
        let sum: f32 = self
            .hidden
            .iter()
            .zip(&self.last)
            .map(|(h, w)| h.max(0.0) * w)
            .sum();
        sigmoid(sum + self.last_bias)
    }

    fn remember(&mut self) {
        self.gates.copy_from_slice(&self.gates_bias);
        add_product(&self.gates_input, &self.columns[4], &mut self.gates);
        add_product(&self.gates_hidden, &self.hidden, &mut self.gates);
        for at in 0..HIDDEN {
            let gate = |number: usize| self.gates[number * HIDDEN + at];
            let (take, keep, new, show) = (
                sigmoid(gate(0)),
                sigmoid(gate(1)),
                gate(2).tanh(),
                sigmoid(gate(3)),
            );
            self.cell[at] = keep * self.cell[at] + take * new;
            self.hidden[at] = show * self.cell[at].tanh();
        }
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

fn by_input(inputs: usize, outputs: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let weight = &weight;
    (0..inputs)
        .flat_map(|input| (0..outputs).map(move |output| weight(input, output)))
        .collect()
}

/// The tensors of a safetensors file of 32-bit floats.
fn tensors(file: &[u8]) -> Option<BTreeMap<String, Vec<f32>>> {
    #[derive(serde::Deserialize)]
    struct Place {
        data_offsets: (usize, usize),
    }
    let length = usize::try_from(u64::from_le_bytes(file.get(..8)?.try_into().ok()?)).ok()?;
    let places: BTreeMap<String, Place> = serde_json::from_slice(file.get(8..8 + length)?).ok()?;
    let data = file.get(8 + length..)?;
    places
        .into_iter()
        .map(|(name, place)| {
            let bytes = data.get(place.data_offsets.0..place.data_offsets.1)?;
            let values = bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect();
            Some((name, values))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::voice::Voice;

    /// What ONNX Runtime 1.31.1 answers with the ONNX file of the same release, chunk by chunk, to [`Voice`] at 16 kHz.
    const PUBLISHED: [f32; 93] = [
        0.72631, 0.85162, 0.73596, 0.53640, 0.53960, 0.34527, 0.31977, 0.75287, 0.62871, 0.58046, 0.69025,
        0.77042, 0.94274, 0.91793, 0.78376, 0.96313, 0.99027, 0.99425, 0.99651, 0.99549, 0.99271, 0.99345,
        0.98957, 0.97494, 0.93818, 0.85735, 0.87911, 0.98876, 0.99520, 0.98519, 0.99618, 0.89477, 0.09225,
        0.06158, 0.05610, 0.02492, 0.01663, 0.01409, 0.01253, 0.01226, 0.01209, 0.01178, 0.01142, 0.01105,
        0.01070, 0.01036, 0.07710, 0.56830, 0.42005, 0.15185, 0.04091, 0.02315, 0.03204, 0.14800, 0.17347,
        0.39391, 0.32335, 0.27908, 0.66129, 0.93463, 0.93234, 0.96434, 0.92714, 0.97331, 0.96041, 0.92724,
        0.95999, 0.96473, 0.94879, 0.97888, 0.98609, 0.97191, 0.97663, 0.98244, 0.99647, 0.99641, 0.99446,
        0.99264, 0.00867, 0.00236, 0.00880, 0.00729, 0.00568, 0.00506, 0.00521, 0.00569, 0.00629, 0.00687,
        0.00738, 0.00783, 0.00823, 0.00855, 0.00878,
    ];

    #[test]
    fn it_answers_what_the_published_runtime_answers() {
        let voice = Voice { rate_hz: 16_000 };
        let mut network = Network::new().unwrap();
        for round in 0..2 {
            let mut worst = 0.0_f32;
            for (number, expected) in PUBLISHED.iter().enumerate() {
                let mut chunk = [0.0; CHUNK];
                for (at, sample) in chunk.iter_mut().enumerate() {
                    *sample = voice.sample(number * CHUNK + at) as f32;
                }
                worst = worst.max((network.predict(&chunk) - expected).abs());
            }
            assert!(worst < 5e-4, "round {round} is off by {worst}");
            network.reset();
        }
    }

    #[test]
    fn weights_that_are_cut_short_or_another_file_are_no_weights() {
        assert!(tensors(&FILE[..FILE.len() - 4]).is_none());
        assert!(tensors(b"ONNX").is_none());
        assert!(tensors(FILE).unwrap().contains_key("final_conv.bias"));
    }
}
