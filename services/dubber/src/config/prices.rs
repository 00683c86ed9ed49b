//! What tokens cost: `input.audio=3.5,output.audio=21`, US dollars a million.
use gemini_session::{Price, PriceTable};

/// Most that a million tokens may cost, in dollars; beyond it a comma or a unit is wrong.
const USD_MAX: f64 = 10_000.0;
const MICRO: f64 = 1_000_000.0;

/// Prices of a family as its maker publishes them.
pub fn of_family(translate: bool) -> PriceTable {
    if translate {
        return PriceTable::default();
    }
    PriceTable {
        input: Price {
            audio_micro_usd: 3_000_000,
            text_micro_usd: 750_000,
        },
        output: Price {
            audio_micro_usd: 12_000_000,
            text_micro_usd: 4_500_000,
        },
    }
}

/// Reads prices into a table; what is not named stays.
pub fn read(said: &str, table: &mut PriceTable) -> Result<(), String> {
    for entry in said.split(',').map(str::trim) {
        let (name, value) = entry
            .split_once('=')
            .ok_or_else(|| format!("has {entry:?}, which is no NAME=USD"))?;
        let price = match name.trim() {
            "input.audio" => &mut table.input.audio_micro_usd,
            "input.text" => &mut table.input.text_micro_usd,
            "output.audio" => &mut table.output.audio_micro_usd,
            "output.text" => &mut table.output.text_micro_usd,
            other => return Err(format!("has {other:?}, which is no kind of token")),
        };
        let usd: Option<f64> = value.trim().parse().ok();
        let usd = usd.filter(|usd| (0.0..=USD_MAX).contains(usd));
        *price = usd.map(|usd| (usd * MICRO).round() as u64).ok_or_else(|| {
            format!(
                "has {:?} for {name}, which is no price of 0 to {USD_MAX} dollars",
                value.trim()
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_taken_and_the_rest_stays() {
        let mut table = of_family(false);
        assert_eq!(read("output.audio=11.5, input.text=0", &mut table), Ok(()));
        assert_eq!(
            (table.input.audio_micro_usd, table.input.text_micro_usd),
            (3_000_000, 0)
        );
        assert_eq!(
            (table.output.audio_micro_usd, table.output.text_micro_usd),
            (11_500_000, 4_500_000)
        );
    }

    #[test]
    fn what_is_no_price_is_named() {
        for (said, part) in [
            ("3.5", "\"3.5\""),
            ("input.sound=1", "input.sound"),
            ("input.audio=cheap", "cheap"),
            ("input.audio=-1", "-1"),
            ("input.audio=NaN", "NaN"),
            ("input.audio=1,", "\"\""),
        ] {
            let problem = read(said, &mut of_family(true)).err().unwrap_or_default();
            assert!(problem.contains(part), "{said}: {problem}");
        }
    }
}
