//! What the server says about cost.
use crate::fields::Fields;

/// What tokens are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenModality {
    /// Words.
    Text,
    /// Sound.
    Audio,
    /// Pictures.
    Image,
    /// Moving pictures.
    Video,
    /// Not said, or new to us.
    Other,
}

/// Tokens of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModalityTokens {
    /// What they are made of.
    pub modality: TokenModality,
    /// How many; the server may leave it out.
    pub count: Option<u64>,
}

/// What it cost: an increment in the translate family, a turn in the dialogue family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageMetadata {
    /// Tokens in.
    pub prompt: Option<u64>,
    /// Tokens out; Vertex calls them candidates.
    pub response: Option<u64>,
    /// Tokens thought.
    pub thoughts: Option<u64>,
    /// All tokens.
    pub total: Option<u64>,
    /// Tokens in, by what they are made of.
    pub prompt_details: Vec<ModalityTokens>,
    /// Tokens out, by what they are made of.
    pub response_details: Vec<ModalityTokens>,
}

impl UsageMetadata {
    pub(crate) fn read(mut fields: Fields<'_>) -> Self {
        let mut details = |names: [&str; 2]| {
            let mut found = fields.objects(names[0], ModalityTokens::read);
            found.extend(fields.objects(names[1], ModalityTokens::read));
            found
        };
        let prompt_details = details(["promptTokensDetails", "toolUsePromptTokensDetails"]);
        let response_details = details(["responseTokensDetails", "candidatesTokensDetails"]);
        let usage = Self {
            prompt: fields.count("promptTokenCount"),
            response: fields
                .count("responseTokenCount")
                .or_else(|| fields.count("candidatesTokenCount")),
            thoughts: fields.count("thoughtsTokenCount"),
            total: fields.count("totalTokenCount"),
            prompt_details,
            response_details,
        };
        for known in [
            "trafficType",
            "cachedContentTokenCount",
            "cacheTokensDetails",
            "toolUsePromptTokenCount",
        ] {
            fields.ignore(known);
        }
        fields.finish();
        usage
    }
}

impl ModalityTokens {
    pub(crate) fn read(mut fields: Fields<'_>) -> Self {
        let modality = match fields.text("modality").as_deref() {
            Some("TEXT" | "DOCUMENT") => TokenModality::Text,
            Some("AUDIO") => TokenModality::Audio,
            Some("IMAGE") => TokenModality::Image,
            Some("VIDEO") => TokenModality::Video,
            Some(_) | None => TokenModality::Other,
        };
        let count = fields.count("tokenCount");
        fields.finish();
        Self { modality, count }
    }
}
