//! How each fault of the list is drilled: when it strikes, for how long, and which of the client's limits sees it. The
//! limits are those of specs/011-gemini-live, section 9; of the client nothing else is known here.

use super::case::Family;
use gemini_twin::faults::{Class, Fault, Models, When};

/// When a fault strikes after its connection is set up, if nothing else is said.
const STRIKES_S: f64 = 15.0;
/// What a quota that is spent takes to come back here; the client asks again after 65 s ± 20 %.
const QUOTA_S: f64 = 40.0;
/// The longest first wait of the client for a quota.
const QUOTA_WAIT_S: f64 = 78.0;

/// The client presents handles.
const RESUMES: &[(&str, &str)] = &[("WORKER_GEMINI_RESUMPTION", "true")];

/// How one fault is drilled.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The fault.
    pub fault: &'static Fault,
    /// How the model is spoken to.
    pub family: Family,
    /// When it strikes; unset leaves it its own time.
    pub after_s: Option<f64>,
    /// How long it lasts, where it has no end of its own.
    pub lasts_s: Option<f64>,
    /// On how many connections.
    pub times: Option<u32>,
    /// The client's limit that sees it, in seconds.
    pub watchdog_s: f64,
    /// Length of the programme.
    pub seconds: f64,
    /// Where the programme is silent.
    pub hole: Option<(u32, u32)>,
    /// Settings of the client that are not its defaults.
    pub settings: &'static [(&'static str, &'static str)],
}

impl Plan {
    /// The plan for a fault; `family` where both have it.
    pub fn of(fault: &'static Fault, family: Family) -> Self {
        let family = match fault.models {
            Models::Both => family,
            Models::Translate => Family::Translate,
            Models::Dialogue => Family::Dialogue,
        };
        let mut plan = Self {
            fault,
            family,
            after_s: (!matches!(fault.when, When::Open)).then_some(STRIKES_S),
            lasts_s: None,
            times: None,
            watchdog_s: watchdog_s(fault.name, family),
            seconds: 50.0,
            hole: None,
            settings: &[],
        };
        match fault.class {
            Class::Transparent => plan.seconds = 50.0,
            Class::Recover => plan.seconds = STRIKES_S + plan.watchdog_s + 30.0,
            // The breaker, a look that fails, the breaker again.
            Class::Overload => {
                plan.seconds = 125.0;
                plan.times = Some(if fault.name == "overload_storm" { 6 } else { 5 });
            }
            Class::Quota => plan.seconds = STRIKES_S + QUOTA_WAIT_S + 20.0,
            Class::Fatal => plan.seconds = 40.0,
        }
        plan.particulars();
        plan
    }

    /// Settings of the client, as an environment has them.
    pub fn environment(&self) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.settings.iter().map(owned).collect()
    }

    /// What is special to some.
    fn particulars(&mut self) {
        match self.fault.name {
            "no_goaway_1011" => {
                // The client's own deadline is what is drilled: it is over long before the server's.
                self.settings = &[
                    ("WORKER_GEMINI_SESSION_AGE", "15s"),
                    ("WORKER_GEMINI_SESSION_AGE_JITTER", "0s"),
                    ("WORKER_GEMINI_SESSION_AGE_LIMIT", "40s"),
                ];
                self.after_s = Some(38.0);
                self.seconds = 60.0;
            }
            // Who presents no handle never meets them.
            "resume_ok"
            | "resume_while_open"
            | "resume_bad_handle"
            | "poisoned_handle"
            | "not_resumable_update"
            | "setup_1007_generic" => self.settings = RESUMES,
            "quota_at_start" | "quota_midway" => self.lasts_s = Some(QUOTA_S),
            "http_429" => self.seconds = 50.0,
            "handover_replacement_fails" => self.seconds = 90.0,
            "source_silence_10min" | "source_silence_nothing" => {
                self.hole = Some((15, 50));
                self.seconds = 75.0;
            }
            "burst_starve" => {
                self.lasts_s = Some(25.0);
                self.seconds = 60.0;
            }
            "slow_generation" => {
                self.lasts_s = Some(20.0);
                self.seconds = 70.0;
            }
            "usage_shapes" => self.seconds = 80.0,
            "middlebox_150s" => self.times = Some(2),
            "no_handle_yet" => {
                self.after_s = None;
                self.settings = RESUMES;
            }
            "odd_shapes" | "unknowns" => self.after_s = Some(5.0),
            _ => {}
        }
    }

    /// Whether the client is to be gone before the fault comes.
    pub fn is_evaded(&self) -> bool {
        self.fault.name == "no_goaway_1011"
    }

    /// The scenario of the twin.
    pub fn scenario(&self) -> String {
        let mut text = format!(
            "hears = \"codes\"\n[voice]\nlength_ratio = 0.9\n[[fault]]\nname = \"{}\"\n",
            self.fault.name
        );
        let mut say = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("{key} = {value}\n"));
            }
        };
        let time = |seconds: Option<f64>| seconds.map(|it| format!("\"{}ms\"", (it * 1000.0) as u64));
        say("after", time(self.after_s));
        say("for", time(self.lasts_s));
        say("times", self.times.map(|times| times.to_string()));
        text
    }

    /// What differs from the defaults, in a few words.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(after) = self.after_s {
            words.push(format!("at {after:.0} s"));
        }
        if let Some(lasts) = self.lasts_s {
            words.push(format!("for {lasts:.0} s"));
        }
        if let Some(times) = self.times {
            words.push(format!("{times} times"));
        }
        words.extend(self.settings.iter().map(|(key, value)| {
            let key = key.trim_start_matches("WORKER_GEMINI_").to_lowercase();
            format!("{key}={value}")
        }));
        words.join(", ")
    }

    /// The bar in a few words.
    pub fn bar(&self) -> String {
        match self.fault.class {
            Class::Transparent => "nothing heard".to_owned(),
            Class::Recover => format!("back in {:.0} s", self.recovers_s()),
            Class::Overload => "breaker, back 35 s after".to_owned(),
            Class::Quota => format!("slow retry, back in {:.0} s", self.recovers_s()),
            Class::Fatal => "cause in 5 s, no storm".to_owned(),
        }
    }

    /// Within which time of its beginning (of its end, where the breaker is the bar) the dub has to be back.
    pub fn recovers_s(&self) -> f64 {
        match self.fault.class {
            Class::Transparent | Class::Fatal => 0.0,
            Class::Recover => self.watchdog_s + 5.0,
            Class::Overload => 35.0,
            // Retry-After of the service, or the client's own wait.
            Class::Quota if self.fault.name == "http_429" => 5.0 + 5.0,
            Class::Quota => QUOTA_WAIT_S + 5.0,
        }
    }
}

/// The limit that sees a fault, or how long the fault itself lasts; nothing for what shows at once.
fn watchdog_s(name: &str, family: Family) -> f64 {
    let is_dialogue = family == Family::Dialogue;
    match name {
        // Message, or send stall.
        "half_open" if is_dialogue => 15.0,
        "half_open" => 5.0,
        "setup_slow" => 7.0,
        "setup_never" => 8.0,
        "handover_both_die" => 6.0,
        // Answer: a window in the dialogue family, heard speech in the other.
        "asr_alive_no_audio" | "poisoned_handle" if is_dialogue => 15.0,
        "asr_alive_no_audio" | "poisoned_handle" => 8.0,
        // Voice.
        "zero_audio" | "near_zero_audio" => 4.0,
        "no_target" => 10.0,
        "tone" => 5.0,
        // Three windows, and the answers that they did not get.
        "b_phantom_interrupt" | "b_rejected" => 20.0,
        // What was said of the window, and the one that is spoken meanwhile.
        "b_interrupted" => 5.0,
        "slow_generation" => 20.0,
        // Send stall; its buffers fill first.
        "slow_server_reader" => 10.0,
        "error_object" => 1.0,
        "no_handle_yet" => 5.0,
        "not_resumable_update" => 10.0,
        "goaway_early_close" => 5.0,
        "goaway_no_timeleft" => 2.0,
        "goaway_fraction_short" => 1.25,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use gemini_twin::faults;
    use gemini_twin::scenario::Scenario;

    #[test]
    fn every_fault_of_the_list_has_a_scenario_that_the_twin_reads() {
        for fault in faults::all() {
            for family in [Family::Translate, Family::Dialogue] {
                let plan = Plan::of(fault, family);
                let read = Scenario::parse(&plan.scenario()).unwrap();
                assert_eq!(read.faults[0].name, fault.name);
                let strikes = plan.after_s.unwrap_or(0.0);
                assert!(strikes + plan.recovers_s().min(35.0) < plan.seconds, "{plan:?}");
            }
        }
    }
}
