//! Queries of words beside tantivy as it comes: one segment, its own pruning, the same tokens. Both answer the ids of the ten
//! best.

use std::cell::RefCell;
use std::io;

use base::rng::Rng;
use benches::{Bench, Case, Stopwatch};
use search::index::Way;
use search::query::Query;
use tantivy::collector::TopDocs;
use tantivy::columnar::Column;
use tantivy::query::{
    BooleanQuery, ConstScoreQuery, Occur, PhraseQuery, Query as TantivyQuery, TermQuery,
};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STRING, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{SimpleTokenizer, TextAnalyzer};
use tantivy::{Index, IndexReader, IndexWriter, TantivyDocument, Term};

use crate::data::{text, word};
use crate::world::{Asked, World, failed, query};

/// Documents.
const ROWS: u64 = 500_000;
/// Queries of a round.
const QUERIES: u64 = 300;
/// Of ours no less than this part of the peer's rate.
const LEAST: f64 = 0.9;
const PEER: &str = "tantivy 0.27";

/// A plain index of the same documents.
struct Plain {
    index: Index,
    reader: IndexReader,
    title: Field,
    country: Field,
    id: Field,
}

/// What is asked: words, and a country to be of.
#[derive(Clone)]
struct Words {
    words: Vec<String>,
    is_phrase: bool,
    country: Option<u64>,
}

impl Words {
    fn ours(&self) -> io::Result<Query> {
        let words = self.words.join(" ");
        let options = if self.is_phrase { r#",{"match":"phrase"}"# } else { "" };
        let filter = self.country.map(|n| format!(r#""filters":["country","Eq","c{n}"],"#));
        let filter = filter.unwrap_or_default();
        query(&format!(r#"{{"rank_by":["title","BM25","{words}"{options}],{filter}"limit":10}}"#))
    }

    fn plain(&self, plain: &Plain) -> Box<dyn TantivyQuery> {
        let term = |word: &String| Term::from_field_text(plain.title, word);
        let one = |word: &String| -> Box<dyn TantivyQuery> {
            Box::new(TermQuery::new(term(word), IndexRecordOption::WithFreqs))
        };
        let asked: Box<dyn TantivyQuery> = match self.words.as_slice() {
            [word] => one(word),
            words if self.is_phrase => Box::new(PhraseQuery::new(words.iter().map(term).collect())),
            words => Box::new(BooleanQuery::union(words.iter().map(one).collect())),
        };
        let Some(country) = self.country else { return asked };
        let term = Term::from_field_text(plain.country, &format!("c{country}"));
        let filter = TermQuery::new(term, IndexRecordOption::Basic);
        let filter: Box<dyn TantivyQuery> = Box::new(ConstScoreQuery::new(Box::new(filter), 0.0));
        Box::new(BooleanQuery::new(vec![(Occur::Must, asked), (Occur::Must, filter)]))
    }
}

impl Plain {
    fn new(documents: impl Iterator<Item = (u64, String, u64)>) -> io::Result<Self> {
        let mut schema = tantivy::schema::Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("plain")
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let title =
            schema.add_text_field("title", TextOptions::default().set_indexing_options(indexing));
        let country = schema.add_text_field("country", STRING);
        let id = schema.add_u64_field("id", FAST | INDEXED);
        let index = Index::create_in_ram(schema.build());
        index.tokenizers().register("plain", TextAnalyzer::from(SimpleTokenizer::default()));
        // One thread, so that there is one segment.
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 1 << 30).map_err(failed)?;
        for (number, text, place) in documents {
            let mut document = TantivyDocument::default();
            document.add_text(title, &text);
            document.add_text(country, format!("c{place}"));
            document.add_u64(id, number);
            writer.add_document(document).map_err(failed)?;
        }
        writer.commit().map_err(failed)?;
        let segments = index.searchable_segment_ids().map_err(failed)?;
        if segments.len() > 1 {
            writer.merge(&segments).wait().map_err(failed)?;
        }
        writer.wait_merging_threads().map_err(failed)?;
        let reader = index.reader().map_err(failed)?;
        Ok(Self { index, reader, title, country, id })
    }

    fn delete(&self, numbers: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut writer: IndexWriter =
            self.index.writer_with_num_threads(1, 64 << 20).map_err(failed)?;
        writer.set_merge_policy(Box::new(tantivy::merge_policy::NoMergePolicy));
        for number in numbers {
            _ = writer.delete_term(Term::from_field_u64(self.id, number));
        }
        writer.commit().map_err(failed)?;
        writer.wait_merging_threads().map_err(failed)?;
        self.reader.reload().map_err(failed)
    }

    fn all(&self, queries: &[Box<dyn TantivyQuery>], stopwatch: &mut Stopwatch) -> io::Result<()> {
        let searcher = self.reader.searcher();
        let ids: Vec<Column<u64>> = searcher
            .segment_readers()
            .iter()
            .map(|segment| segment.fast_fields().u64("id"))
            .collect::<tantivy::Result<_>>()
            .map_err(failed)?;
        stopwatch.time(queries.len() as u64, || {
            for query in queries {
                let best = TopDocs::with_limit(10).order_by_score();
                let found = searcher.search(&**query, &best).map_err(failed)?;
                for (score, at) in found {
                    let id = ids[at.segment_ord as usize].first(at.doc_id);
                    std::hint::black_box((score, id));
                }
            }
            Ok(())
        })
    }
}

pub(crate) fn run(bench: &mut Bench) -> io::Result<()> {
    let rows = if bench.is_smoke() { 2000 } else { ROWS };
    let mut rng = Rng::new(11);
    let texts: Vec<(String, u64)> = (0..rows).map(|_| (text(&mut rng), rng.below(97))).collect();
    let schema = r#"{"title":{"type":"string","full_text_search":{"stemming":false,"remove_stopwords":false}},
        "country":"string"}"#;
    let mut world = World::new(&bench.scratch().path("text"), schema)?;
    world.fill(rows, |row| {
        let (text, country) = &texts[usize::try_from(row).unwrap_or_default()];
        format!(r#"{{"title":"{text}","country":"c{country}"}}"#)
    })?;
    let documents = (0..).zip(&texts);
    let plain = Plain::new(documents.map(|(row, (text, country))| (row, text.clone(), *country)))?;
    let count = bench.amount(QUERIES);
    // Neighbours in some text, so that phrases are found.
    let phrase = |rng: &mut Rng| {
        let (text, _) = &texts[rng.index(texts.len())];
        text.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut asked = |words: usize, is_phrase: bool, has_filter: bool| -> Vec<Words> {
        let one = |rng: &mut Rng| Words {
            words: if is_phrase { phrase(rng) } else { (0..words).map(|_| word(rng)).collect() },
            is_phrase,
            country: has_filter.then(|| rng.below(97)),
        };
        (0..count).map(|_| one(&mut rng)).collect()
    };
    let kinds = [
        ("text-word", "one word", asked(1, false, false)),
        ("text-any-of-four", "any of four words", asked(4, false, false)),
        ("text-phrase", "a phrase of two words", asked(2, true, false)),
        ("text-word-filtered", "one word, one percent of the rows", asked(1, false, true)),
        (
            "text-any-of-four-filtered",
            "any of four words, one percent of the rows",
            asked(4, false, true),
        ),
        ("text-phrase-filtered", "a phrase, one percent of the rows", asked(2, true, true)),
    ];
    for (name, operation, words) in &kinds {
        case(bench, (&world.asked(), &plain), (name, operation), words)?;
    }
    world.delete((0..rows).step_by(10));
    plain.delete((0..rows).step_by(10))?;
    for (name, operation, words) in &kinds {
        let (name, operation) =
            (format!("{name}-deleted"), format!("{operation}, a tenth deleted"));
        case(bench, (&world.asked(), &plain), (&name, &operation), words)?;
    }
    Ok(())
}

fn case(
    bench: &mut Bench,
    (asked, plain): (&Asked, &Plain),
    (name, operation): (&str, &str),
    words: &[Words],
) -> io::Result<()> {
    let ours: Vec<Query> = words.iter().map(Words::ours).collect::<io::Result<_>>()?;
    let theirs: Vec<_> = words.iter().map(|words| words.plain(plain)).collect();
    let theirs = RefCell::new(theirs);
    bench.case(
        Case { name, operation, peer: PEER, aim: Some(LEAST) },
        |stopwatch| asked.all(Way::Planned, &ours, stopwatch),
        |stopwatch| plain.all(&theirs.borrow(), stopwatch),
    )
}
