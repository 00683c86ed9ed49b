//! What is printed, and the exit code.
use super::talk::{Outcome, Trouble};
use crate::gemini::dial::Target;
use gemini_live::{Class, INPUT_RATE_HZ, TokenModality};
use gemini_session::{Cause, Direction, PriceTable, Watchdog};
use service_kit::exit::code;
use std::time::Duration;

/// What is printed at the end.
pub struct Report {
    /// Lines.
    pub text: String,
    /// Exit code.
    pub exit: u8,
}

/// What is printed before the call.
pub fn head(target: &Target, model: &str, lang: &str, samples: usize) -> String {
    let seconds = samples as f64 / f64::from(INPUT_RATE_HZ);
    format!(
        "{model} at {}\n{seconds:.1} s of speech, to be dubbed into {lang}\n\n",
        target.endpoint()
    )
}

impl Report {
    /// Of what came.
    pub fn of(outcome: &Outcome, target: &Target, prices: &PriceTable) -> Self {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| lines.push(format!("{name:<12}{value}\n"));
        if let Some(after) = outcome.ready_after {
            line("connected", format!("after {} ms", after.as_millis()));
            line("heard", words(&outcome.heard));
            line("said", words(&outcome.said));
            line(
                "lag",
                outcome.lag.map_or("no sound came".to_owned(), |lag| {
                    format!("{} from first sound to first sound", seconds(lag))
                }),
            );
            line(
                "answer",
                format!(
                    "{} of sound to {} of speech",
                    seconds(outcome.answer),
                    seconds(outcome.sent)
                ),
            );
            line("tokens", tokens(outcome));
            line("cost", cost(outcome, prices));
        }
        for path in &outcome.unknown {
            line("new", format!("{path} (this version does not know it)"));
        }
        let verdict = verdict(outcome, target);
        if let Err((_, cause, remedy)) = &verdict {
            line("FAILED", cause.clone());
            line("remedy", remedy.clone());
        } else {
            line("OK", "speech was heard and answered".to_owned());
        }
        Self {
            text: lines.concat(),
            exit: verdict.map_or_else(|(exit, ..)| exit, |()| code::DONE),
        }
    }
}

/// Nothing, or exit code, cause and remedy.
fn verdict(outcome: &Outcome, target: &Target) -> Result<(), (u8, String, String)> {
    if let Some(trouble) = &outcome.trouble {
        return Err(failure(trouble, target));
    }
    if outcome.lag.is_some() {
        return Ok(());
    }
    let (cause, remedy) = if outcome.heard.trim().is_empty() {
        (
            "nothing was heard and nothing said",
            "try again; if it lasts, try another model (WORKER_GEMINI_MODEL)",
        )
    } else {
        (
            "speech was heard, and no sound came back",
            "choose another language than that of the speech (--lang), or another model (WORKER_GEMINI_MODEL)",
        )
    };
    Err((code::FAILED, cause.to_owned(), remedy.to_owned()))
}

fn failure(trouble: &Trouble, target: &Target) -> (u8, String, String) {
    let Some(cause) = trouble.cause else {
        let remedy = "try again; look at the network and at the service's status page if it lasts";
        return (
            code::UNAVAILABLE,
            "the answer did not come to its end".to_owned(),
            remedy.to_owned(),
        );
    };
    let told = match &trouble.words {
        Some(words) => format!("{}: {words}", cause.as_str()),
        None => cause.as_str().to_owned(),
    };
    let (exit, remedy) = match (trouble.fault(), cause) {
        (Some(fault), _) => (exit_of(fault.class()), target.remedy(fault)),
        (None, Cause::Silent(Watchdog::Upgrade)) => (
            code::UNAVAILABLE,
            "check WORKER_GEMINI_BASE_URL, proxy and firewall: the server does not answer",
        ),
        (None, Cause::Silent(_) | Cause::Slow | Cause::InFlight | Cause::Ended(_)) => (
            code::FAILED,
            "try again; if it lasts, try another model (WORKER_GEMINI_MODEL)",
        ),
    };
    (exit, told, remedy.to_owned())
}

const fn exit_of(class: Class) -> u8 {
    match class {
        Class::Auth | Class::InvalidInput => code::CONFIG,
        Class::Timeout | Class::RateLimit | Class::Overloaded | Class::Closed => code::UNAVAILABLE,
    }
}

fn words(text: &str) -> String {
    match text.trim() {
        "" => "-".to_owned(),
        text => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn seconds(length: Duration) -> String {
    format!("{:.1} s", length.as_secs_f64())
}

fn tokens(outcome: &Outcome) -> String {
    let parts: Vec<String> = outcome
        .usage
        .all_tokens()
        .map(|(direction, modality, count)| {
            let direction = match direction {
                Direction::Input => "in",
                Direction::Output => "out",
            };
            let modality = match modality {
                TokenModality::Text => "text",
                TokenModality::Audio => "audio",
                TokenModality::Image => "image",
                TokenModality::Video => "video",
                TokenModality::Other => "other",
            };
            format!("{direction} {modality} {count}")
        })
        .collect();
    if parts.is_empty() {
        return "none were reported; the cost is counted by the clock".to_owned();
    }
    parts.join(", ")
}

fn cost(outcome: &Outcome, prices: &PriceTable) -> String {
    let dollars = outcome.nano_usd as f64 / 1e9;
    match outcome.usage.micro_usd_per_hour(prices) {
        Some(hour) => format!("{dollars:.4} USD, {:.2} USD an hour", hour as f64 / 1e6),
        None => format!("{dollars:.4} USD"),
    }
}
