//! The commonest words of languages, which say nothing about what a text is about.
//!
//! tantivy has lists for thirteen languages; those of the others are ours, and short: articles,
//! conjunctions, prepositions, pronouns and the forms of "to be".

use tantivy::tokenizer::{
    Language as Stemmed, RawTokenizer, StopWordFilter, TextAnalyzer, TokenStream as _,
};

use crate::schema::Language;

/// The language as tantivy calls it; none when it has no stemmer.
pub(super) const fn stemmed(language: Language) -> Option<Stemmed> {
    Some(match language {
        Language::Arabic => Stemmed::Arabic,
        Language::Danish => Stemmed::Danish,
        Language::Dutch => Stemmed::Dutch,
        Language::English => Stemmed::English,
        Language::Finnish => Stemmed::Finnish,
        Language::French => Stemmed::French,
        Language::German => Stemmed::German,
        Language::Greek => Stemmed::Greek,
        Language::Hungarian => Stemmed::Hungarian,
        Language::Italian => Stemmed::Italian,
        Language::Norwegian => Stemmed::Norwegian,
        Language::Portuguese => Stemmed::Portuguese,
        Language::Romanian => Stemmed::Romanian,
        Language::Russian => Stemmed::Russian,
        Language::Spanish => Stemmed::Spanish,
        Language::Swedish => Stemmed::Swedish,
        Language::Tamil => Stemmed::Tamil,
        Language::Turkish => Stemmed::Turkish,
        Language::Chinese | Language::Japanese | Language::Korean => return None,
    })
}

/// What leaves out the stop words of a language; they are in lower case.
pub(super) fn filter(language: Language) -> StopWordFilter {
    let known = stemmed(language).and_then(StopWordFilter::new);
    known.unwrap_or_else(|| {
        StopWordFilter::remove(ours(language).split_whitespace().map(str::to_owned))
    })
}

/// Asks of single words whether they are stop words.
#[derive(Clone)]
pub(super) struct StopWords(TextAnalyzer);

impl StopWords {
    pub(super) fn new(language: Language) -> Self {
        Self(TextAnalyzer::builder(RawTokenizer::default()).filter(filter(language)).build())
    }

    /// Whether a word is one, written in whatever case.
    pub(super) fn contain(&mut self, word: &str) -> bool {
        !self.0.token_stream(&word.to_lowercase()).advance()
    }
}

/// Lists of ours, words parted by spaces.
#[expect(clippy::wildcard_enum_match_arm, reason = "tantivy has lists for the others")]
const fn ours(language: Language) -> &'static str {
    match language {
        Language::Arabic => {
            "في من على إلى عن مع هذا هذه ذلك تلك التي الذي الذين هو هي هم أن إن كان كانت لا ما لم لن \
             قد أو و ثم كل بعد قبل بين"
        }
        Language::Greek => {
            "ο η το οι τα του της των τον την και κι ή να θα δεν μη με σε από για προς που πως ότι \
             είναι ήταν ένα ένας μια στο στη στην στον στα αλλά αν ως όπως"
        }
        Language::Romanian => {
            "și şi în la de pe cu din pentru prin sau dar nu un o unei unui al ai ale a este sunt era \
             fi fost că să se care ce ca acest această acel mai el ea ei ele"
        }
        Language::Tamil => {
            "ஒரு என்று மற்றும் இந்த அந்த இது அது என்ற உள்ள என அல்லது ஆனால் நான் நாம் நீ அவர் அவள் \
             அவன் இல்லை மேலும் போன்ற வரை பின்"
        }
        Language::Turkish => {
            "ve veya ile bir bu şu o da de ki mi mı mu mü için gibi kadar ama fakat ancak çok daha en \
             ben sen biz siz onlar ne ise olan değil var yok"
        }
        Language::Chinese => {
            "的 了 和 是 在 也 与 及 或 就 都 而 着 把 被 这 那 个 之 我 你 他 她 它 我们 你们 他们 不 吗 呢 吧"
        }
        Language::Japanese => {
            "の に は を た が で て と し れ さ も へ や か な ます です だ ある いる する から まで より この その あの これ それ あれ"
        }
        Language::Korean => "이 그 저 것 수 등 및 또 은 는 을 를 가 의 에 와 과 도 로",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_stop_words() {
        let common = |language: Language| match language {
            Language::Arabic => "من",
            Language::Chinese => "的",
            Language::Danish | Language::Norwegian | Language::Swedish => "och og",
            Language::Dutch => "de",
            Language::English => "The",
            Language::Finnish => "ja",
            Language::French | Language::Spanish => "la",
            Language::German => "und",
            Language::Greek => "ΚΑΙ",
            Language::Hungarian => "és",
            Language::Italian => "che",
            Language::Japanese => "は",
            Language::Korean => "는",
            Language::Portuguese => "não",
            Language::Romanian => "și",
            Language::Russian => "и",
            Language::Tamil => "ஒரு",
            Language::Turkish => "ve",
        };
        for language in Language::ALL {
            let mut words = StopWords::new(*language);
            let found = common(*language).split(' ').any(|word| words.contain(word));
            assert!(found, "{}", language.name());
            assert!(!words.contain("docdb"), "{}", language.name());
        }
    }
}
