//! What a session cost.
use gemini_live::{TokenModality, UsageMetadata};
use std::collections::BTreeMap;
use std::time::Duration;

/// Tokens of a second of sound, each way.
const TOKENS_PER_SECOND: u128 = 25;

/// Which way tokens go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the model.
    Input,
    /// From the model.
    Output,
}

/// What a million tokens cost, in millionths of a dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Of sound.
    pub audio_micro_usd: u64,
    /// Of anything else.
    pub text_micro_usd: u64,
}

/// What tokens cost, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceTable {
    /// To the model.
    pub input: Price,
    /// From the model.
    pub output: Price,
}

impl Default for PriceTable {
    /// The translate family's.
    fn default() -> Self {
        let both = |micro_usd| Price {
            audio_micro_usd: micro_usd,
            text_micro_usd: micro_usd,
        };
        Self {
            input: both(3_500_000),
            output: both(21_000_000),
        }
    }
}

/// Tokens and seconds of a session, all connections together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    tokens: BTreeMap<(Direction, TokenModality), u64>,
    reports: u64,
    sent: Duration,
    received: Duration,
}

impl Usage {
    /// Tokens of a kind that the server reported.
    pub fn tokens(&self, direction: Direction, modality: TokenModality) -> u64 {
        self.tokens.get(&(direction, modality)).copied().unwrap_or(0)
    }

    /// All tokens that the server reported, by direction and modality.
    pub fn all_tokens(&self) -> impl Iterator<Item = (Direction, TokenModality, u64)> {
        self.tokens
            .iter()
            .map(|((direction, modality), tokens)| (*direction, *modality, *tokens))
    }

    /// Reports of the server.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// Sound sent, silence and repeats included.
    pub fn sent(&self) -> Duration {
        self.sent
    }

    /// Sound received, silence included.
    pub fn received(&self) -> Duration {
        self.received
    }

    /// What the reported tokens cost, in billionths of a dollar.
    pub fn reported_nano_usd(&self, prices: &PriceTable) -> u128 {
        self.all_tokens()
            .map(|(direction, modality, tokens)| {
                u128::from(tokens) * rate(prices, direction, modality) / 1000
            })
            .sum()
    }

    /// What the seconds cost by the clock, in billionths of a dollar: a model may report nothing at all.
    pub fn clocked_nano_usd(&self, prices: &PriceTable) -> u128 {
        let of = |length: Duration, direction| {
            length.as_millis() * TOKENS_PER_SECOND * rate(prices, direction, TokenModality::Audio) / 1_000_000
        };
        of(self.sent, Direction::Input) + of(self.received, Direction::Output)
    }

    /// The higher of both, in billionths of a dollar.
    pub fn nano_usd(&self, prices: &PriceTable) -> u128 {
        self.reported_nano_usd(prices).max(self.clocked_nano_usd(prices))
    }

    /// Cost of an hour of source at the rate so far, in millionths of a dollar; nothing before the first second.
    pub fn micro_usd_per_hour(&self, prices: &PriceTable) -> Option<u128> {
        let millis = self.sent.as_millis();
        (millis >= 1000).then(|| self.nano_usd(prices) * 3_600 / millis)
    }

    pub(crate) fn note_sent(&mut self, length: Duration) {
        self.sent += length;
    }

    pub(crate) fn note_received(&mut self, length: Duration) {
        self.received += length;
    }

    pub(crate) fn report(&mut self, usage: &UsageMetadata) {
        self.reports += 1;
        let sides = [
            (Direction::Input, usage.prompt, &usage.prompt_details),
            (Direction::Output, usage.response, &usage.response_details),
        ];
        for (direction, total, details) in sides {
            let mut detailed = 0;
            // A detail without a count has what the others leave of the total; there is one such at most.
            let mut uncounted = TokenModality::Other;
            for detail in details {
                match detail.count {
                    Some(count) => {
                        self.add(direction, detail.modality, count);
                        detailed += count;
                    }
                    None => uncounted = detail.modality,
                }
            }
            let rest = total.unwrap_or(0).saturating_sub(detailed);
            self.add(direction, uncounted, rest);
        }
        self.add(
            Direction::Output,
            TokenModality::Text,
            usage.thoughts.unwrap_or(0),
        );
    }

    fn add(&mut self, direction: Direction, modality: TokenModality, tokens: u64) {
        if tokens > 0 {
            let sum = self.tokens.entry((direction, modality)).or_insert(0);
            *sum = sum.saturating_add(tokens);
        }
    }
}

/// Price of a million tokens. A token of unknown kind is sound: nearly all are, and it is never the cheaper guess.
fn rate(prices: &PriceTable, direction: Direction, modality: TokenModality) -> u128 {
    let price = match direction {
        Direction::Input => prices.input,
        Direction::Output => prices.output,
    };
    u128::from(match modality {
        TokenModality::Audio | TokenModality::Other => price.audio_micro_usd,
        TokenModality::Text | TokenModality::Image | TokenModality::Video => price.text_micro_usd,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gemini_live::ModalityTokens;

    fn tokens(modality: TokenModality, count: Option<u64>) -> ModalityTokens {
        ModalityTokens { modality, count }
    }

    #[test]
    fn an_hour_of_translation_costs_what_the_price_list_says() {
        let mut usage = Usage::default();
        usage.note_sent(Duration::from_secs(3600));
        usage.note_received(Duration::from_secs(3600));
        let prices = PriceTable::default();
        // 90,000 tokens each way at 3.50 and 21 dollars a million.
        assert_eq!(usage.clocked_nano_usd(&prices), 2_205_000_000);
        assert_eq!(usage.micro_usd_per_hour(&prices), Some(2_205_000));
    }

    #[test]
    fn tokens_are_told_apart_and_a_missing_count_has_the_rest() {
        let mut usage = Usage::default();
        usage.report(&UsageMetadata {
            prompt: Some(515),
            response: Some(31),
            prompt_details: vec![
                tokens(TokenModality::Text, Some(500)),
                tokens(TokenModality::Audio, Some(15)),
            ],
            response_details: vec![tokens(TokenModality::Audio, None)],
            ..UsageMetadata::default()
        });
        usage.report(&UsageMetadata {
            prompt: Some(25),
            ..UsageMetadata::default()
        });
        assert_eq!(usage.tokens(Direction::Input, TokenModality::Text), 500);
        assert_eq!(usage.tokens(Direction::Input, TokenModality::Audio), 15);
        assert_eq!(usage.tokens(Direction::Input, TokenModality::Other), 25);
        assert_eq!(usage.tokens(Direction::Output, TokenModality::Audio), 31);
        let prices = PriceTable::default();
        assert_eq!(usage.reported_nano_usd(&prices), 540 * 3_500 + 31 * 21_000);
        assert_eq!(usage.nano_usd(&prices), usage.reported_nano_usd(&prices));
    }
}
