//! Closed sets of words. Each has one spelling, used in settings, JSON, logs and metrics alike.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A text that is none of the words of a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {allowed}{instead}")]
pub struct UnknownWord {
    /// What was said.
    pub text: String,
    /// What may be said.
    pub allowed: String,
    /// Behind a semicolon, what to say instead of a word that is understood and refused.
    pub instead: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }
     $(refused { $($refused:literal = $instead:literal,)* })?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }
        impl $name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Every spelling, for messages.
            pub const WORDS: &'static [&'static str] = &[$($text,)*];
            /// The one spelling.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownWord {
                        text: text.to_owned(),
                        allowed: Self::WORDS.join(", "),
                        instead: match text {
                            $($($refused => $instead,)*)?
                            _ => "",
                        },
                    }),
                }
            }
        }
    };
}

words! {
    /// What a range of the run airs.
    AirState {
        /// The dub where there is one, the original elsewhere.
        Dub = "dub",
        /// The dub over the audible original.
        VoiceOver = "voice-over",
        /// The original only.
        Original = "original",
        /// The programme sound without speech only.
        Bed = "bed",
        /// Silence.
        Mute = "mute",
        /// No source: nothing to air.
        Outage = "outage",
    }
}

words! {
    /// How the speech of a stream is treated.
    StsMode {
        /// Speech is dubbed.
        Enabled = "enabled",
        /// Fragments are cut and accounted for, the original airs.
        Passthrough = "passthrough",
        /// No fragments, no dubber: the original airs.
        Disabled = "disabled",
    }
}

words! {
    /// What airs where no dub is due in time.
    Fallback {
        /// The original, untouched.
        PassThrough = "pass-through",
        /// The original, lowered.
        DuckedOriginal = "ducked-original",
        /// Silence.
        Silence = "silence",
    }
    refused {
        "background-only" = "; nothing separates speech from its background in this version: take ducked-original",
        "last-good-dub" = "; a sentence is not heard again where nobody says it: take ducked-original",
    }
}

words! {
    /// What the original does under a dub.
    BedMode {
        /// It stays, lowered by the duck gain.
        Ducked = "ducked",
        /// It is gone.
        None = "none",
    }
}

words! {
    /// The one final outcome of a fragment.
    Fate {
        /// The dub was heard in full.
        Success = "success",
        /// Part of the dub was heard.
        Partial = "partial",
        /// Neither dub nor original was heard, though the dub should have been.
        Failed = "failed",
        /// The fallback, or what the operator chose, was heard.
        Fallback = "fallback",
    }
}

words! {
    /// Why a fragment did not air as a dub.
    Reason {
        /// The dub came too late, or never.
        Timeout = "timeout",
        /// The provider answered with an error.
        Error = "error",
        /// Too much speech was under way already.
        Overload = "overload",
        /// The answer could not be used.
        InvalidOutput = "invalid_output",
        /// The breaker towards the provider is open, or the dubber is gone.
        BreakerOpen = "breaker_open",
        /// The operator chose otherwise.
        Operator = "operator",
        /// No dubbing was asked for.
        Bypass = "bypass",
        /// There was no source.
        Outage = "outage",
    }
}

words! {
    /// Kinds of errors at a provider.
    ErrorClass {
        /// No answer in time.
        Timeout = "timeout",
        /// Too many requests.
        RateLimit = "rate_limit",
        /// Refused credentials.
        Auth = "auth",
        /// Input that the provider does not accept.
        InvalidInput = "invalid_input",
        /// Overloaded.
        Overloaded = "overloaded",
        /// Connection closed.
        Closed = "closed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_that_this_version_refuses_says_what_to_take_instead() {
        for refused in ["background-only", "last-good-dub"] {
            let said = refused.parse::<Fallback>().map_err(|error| error.to_string());
            assert!(
                said.as_ref().is_err_and(|said| said.contains(refused)
                    && said.contains("pass-through, ducked-original, silence; ")
                    && said.ends_with("take ducked-original")),
                "{said:?}"
            );
        }
        let unknown = "loud".parse::<Fallback>().map_err(|error| error.to_string());
        assert_eq!(
            unknown,
            Err("\"loud\" is none of pass-through, ducked-original, silence".to_owned())
        );
    }
}
