//! Languages that the translate family speaks.
use std::fmt;

/// Tags that the translate family takes as a target.
pub const TRANSLATE_LANGUAGES: &[&str] = &[
    "af", "ak", "sq", "am", "ar", "hy", "az", "eu", "be", "bn", "bg", "my", "ca", "zh-Hans", "zh-Hant", "hr",
    "cs", "da", "nl", "en", "et", "fil", "fi", "fr", "gl", "ka", "de", "el", "gu", "ha", "he", "hi", "hu",
    "is", "id", "it", "ja", "jv", "kn", "kk", "km", "rw", "ko", "lo", "lv", "lt", "mk", "ms", "ml", "mr",
    "mn", "ne", "no", "nb", "fa", "pl", "pt-BR", "pt-PT", "pa", "ro", "ru", "sr", "sd", "si", "sk", "sl",
    "es", "su", "sw", "sv", "ta", "te", "th", "tr", "uk", "ur", "uz", "vi", "zu",
];

/// Other tags of the same languages, lower case.
const ALIASES: &[(&str, &str)] = &[
    ("zh", "zh-Hans"),
    ("zh-cn", "zh-Hans"),
    ("zh-sg", "zh-Hans"),
    ("cmn", "zh-Hant"),
    ("zh-tw", "zh-Hant"),
    ("zh-hk", "zh-Hant"),
    ("zh-mo", "zh-Hant"),
    ("pt", "pt-BR"),
    ("iw", "he"),
    ("tl", "fil"),
    ("in", "id"),
];

/// A tag that is none of [`TRANSLATE_LANGUAGES`]. The service does not refuse it: it stays silent for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLanguage(pub String);

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(tag) = self;
        write!(
            f,
            "{tag:?} is no target language of the translate model; allowed are {}",
            TRANSLATE_LANGUAGES.join(" ")
        )
    }
}

impl std::error::Error for UnknownLanguage {}

/// The tag that the translate family takes for a BCP-47 tag: itself, another tag of the same language, or the language
/// without its region.
pub fn translate_language(tag: &str) -> Result<&'static str, UnknownLanguage> {
    let known = |wanted: &str| {
        TRANSLATE_LANGUAGES
            .iter()
            .find(|known| known.eq_ignore_ascii_case(wanted))
            .or_else(|| {
                ALIASES
                    .iter()
                    .find(|(alias, _)| alias.eq_ignore_ascii_case(wanted))
                    .map(|(_, known)| known)
            })
            .copied()
    };
    let mut rest = tag;
    loop {
        if let Some(language) = known(rest) {
            return Ok(language);
        }
        match rest.rsplit_once('-') {
            Some((shorter, _)) => rest = shorter,
            None => return Err(UnknownLanguage(tag.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_finds_the_language_that_the_service_has_for_it() {
        for (tag, wanted) in [
            ("es", "es"),
            ("es-419", "es"),
            ("ES-mx", "es"),
            ("pt", "pt-BR"),
            ("pt-PT", "pt-PT"),
            ("zh", "zh-Hans"),
            ("zh-TW", "zh-Hant"),
            ("zh-Hant-HK", "zh-Hant"),
            ("iw", "he"),
            ("de-CH-1996", "de"),
        ] {
            assert_eq!(translate_language(tag), Ok(wanted), "{tag}");
        }
    }

    #[test]
    fn a_language_that_the_service_would_answer_with_silence_is_refused_by_name() {
        for tag in ["", "tlh", "xx-YY", "english"] {
            let refused = translate_language(tag);
            assert_eq!(refused, Err(UnknownLanguage(tag.to_owned())));
        }
        assert!(UnknownLanguage("tlh".to_owned()).to_string().contains("zh-Hans"));
    }
}
