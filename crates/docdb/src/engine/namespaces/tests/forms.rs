//! Random documents, and queries of every form about them.
//!
//! Values are few, so that ties are common, and floats are eighths, so that sums of them are exact in any order.

use base::rng::Rng;

/// What the documents have. `extra` is not in it: documents have it all the same.
pub(super) const SCHEMA: &str = r#"{"n":"int","f":"float","s":"string","on":"bool","tags":"[]string",
    "a.b":"datetime","u":"uuid",
    "t":{"type":"string","full_text_search":{"stemming":true}},
    "w":{"type":"[]string","full_text_search":{"k1":0.9,"b":0.4},"filterable":true},
    "v":{"type":"[2]f32","distance_metric":"euclidean_squared"},
    "x":{"type":"[3]i8","distance_metric":"dot","ann":false}}"#;

/// What is declared while there are documents that have it.
pub(super) const EXTRA: &str = r#"{"extra":"int"}"#;

const WORDS: [&str; 12] = [
    "fox", "foxes", "quick", "brown", "lazy", "dog", "jumps", "jumping", "over", "river", "zebra",
    "of",
];

fn pick<'a>(rng: &mut Rng, texts: &[&'a str]) -> &'a str {
    texts[rng.index(texts.len())]
}

fn words(rng: &mut Rng, len: u64) -> String {
    let word = |rng: &mut Rng| {
        let (one, other) = (rng.index(WORDS.len()), rng.index(WORDS.len()));
        WORDS[one.min(other)]
    };
    (0..len).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

fn small(rng: &mut Rng, bound: u64) -> i64 {
    i64::try_from(rng.below(bound)).unwrap()
}

/// A document that fits the schema.
pub(super) fn document(rng: &mut Rng) -> String {
    let mut members = Vec::new();
    let mut add = |rng: &mut Rng, chance: u64, member: fn(&mut Rng) -> String| {
        if rng.chance(chance) {
            members.push(member(rng));
        }
    };
    add(rng, 850, |rng| format!("\"n\":{}", small(rng, 12) - 4));
    add(rng, 800, |rng| format!("\"f\":{}", small(rng, 64) as f64 / 8.0));
    add(rng, 800, |rng| format!("\"s\":\"{}\"", pick(rng, &["red", "green", "blue", ""])));
    add(rng, 500, |rng| format!("\"on\":{}", rng.chance(500)));
    add(rng, 600, |rng| {
        let tags: Vec<&str> =
            (0..rng.below(4)).map(|_| pick(rng, &["\"x\"", "\"y\"", "\"z\""])).collect();
        format!("\"tags\":[{}]", tags.join(","))
    });
    add(rng, 400, |rng| format!("\"a\":{{\"b\":\"2024-01-{:02}\"}}", 1 + rng.below(28)));
    add(rng, 200, |rng| format!("\"u\":\"67e55044-10b1-426f-9247-bb680e5fe0c{}\"", rng.below(4)));
    add(rng, 850, |rng| format!("\"v\":[{},{}]", small(rng, 9) - 4, small(rng, 9) - 4));
    add(rng, 500, |rng| {
        let (x, y, z) = (small(rng, 5) - 2, small(rng, 5) - 2, small(rng, 5) - 2);
        format!("\"x\":[{x},{y},{z}]")
    });
    add(rng, 800, |rng| {
        let len = 1 + rng.below(9);
        format!("\"t\":\"{}\"", words(rng, len))
    });
    add(rng, 300, |rng| format!("\"w\":[\"{}\",\"{}\"]", words(rng, 2), words(rng, 3)));
    add(rng, 500, |rng| format!("\"extra\":{}", small(rng, 5)));
    format!("{{{}}}", members.join(","))
}

/// A patch of what every document may have.
pub(super) fn patch(rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => format!(r#"[{{"op":"set","path":"/n","value":{}}}]"#, small(rng, 12) - 4),
        1 => format!(r#"[{{"op":"set","path":"/t","value":"{}"}}]"#, words(rng, 3)),
        _ => format!(
            r#"[{{"op":"set","path":"/v","value":[{},{}]}}]"#,
            small(rng, 9) - 4,
            small(rng, 9) - 4
        ),
    }
}

/// A filter of any operator, down to some depth.
pub(super) fn filter(rng: &mut Rng, depth: u64) -> String {
    if depth > 0 && rng.chance(450) {
        let inner = |rng: &mut Rng| filter(rng, depth - 1);
        return match rng.below(3) {
            0 => format!("[\"Not\",{}]", inner(rng)),
            n => {
                let name = if n == 1 { "And" } else { "Or" };
                let list: Vec<String> = (0..rng.below(4)).map(|_| inner(rng)).collect();
                format!("[\"{name}\",[{}]]", list.join(","))
            }
        };
    }
    let n = small(rng, 14) - 5;
    let text = pick(rng, &["\"red\"", "\"blue\"", "\"\"", "null", "\"none\""]);
    let tag = pick(rng, &["\"x\"", "\"y\"", "\"q\""]);
    let id = rng.below(60);
    match rng.below(24) {
        0 => format!("[\"n\",\"Gte\",{n}]"),
        1 => format!("[\"n\",\"Lt\",{n}.5]"),
        2 => format!("[\"n\",\"In\",[{n},3,null]]"),
        3 => format!("[\"n\",\"NotIn\",[{n},3]]"),
        4 => format!("[\"s\",\"Eq\",{text}]"),
        5 => format!("[\"s\",\"NotEq\",{text}]"),
        6 => "[\"s\",\"Glob\",\"*e*\"]".to_owned(),
        7 => "[\"s\",\"NotIGlob\",\"R*\"]".to_owned(),
        8 => "[\"s\",\"Regex\",\"^.l\"]".to_owned(),
        9 => "[\"s\",\"Fuzzy\",\"blu\"]".to_owned(),
        10 => format!("[\"tags\",\"Contains\",{tag}]"),
        11 => format!("[\"tags\",\"NotContainsAny\",[{tag},\"z\"]]"),
        12 => format!("[\"tags\",\"AnyGt\",{tag}]"),
        13 => "[\"tags\",\"Eq\",[\"x\",\"y\"]]".to_owned(),
        14 => format!("[\"a.b\",\"Gt\",\"2024-01-{:02}\"]", 1 + rng.below(28)),
        15 => "[\"on\",\"Eq\",true]".to_owned(),
        16 => "[\"u\",\"Eq\",\"67e55044-10b1-426f-9247-bb680e5fe0c1\"]".to_owned(),
        17 => format!("[\"id\",\"In\",[{id},{},\"id-{}\"]]", id + 1, id / 7 * 7 + 3),
        18 => format!("[\"id\",\"Gte\",{id}]"),
        19 => format!("[\"f\",\"Lte\",{}]", small(rng, 64) as f64 / 8.0),
        20 => format!("[\"t\",\"ContainsAllTokens\",\"{}\"]", words(rng, 2)),
        21 => format!("[\"w\",\"ContainsAnyToken\",\"{}\"]", words(rng, 2)),
        22 => format!("[\"t\",\"ContainsTokenSequence\",\"{}\"]", words(rng, 2)),
        _ => format!("[\"t\",\"BM25\",\"{}\"]", words(rng, 1))
            .replace("\"BM25\"", "\"ContainsAnyToken\""),
    }
}

fn text_rank(rng: &mut Rng) -> String {
    let (field, len) = (pick(rng, &["t", "t", "w"]), 1 + rng.below(3));
    let words = words(rng, len);
    let options = pick(
        rng,
        &[
            "",
            "",
            ",{\"last_as_prefix\":true}",
            ",{\"match\":\"all\"}",
            ",{\"match\":\"phrase\"}",
            ",{\"max_edit_distance\":1}",
        ],
    );
    if rng.chance(150) {
        let not = WORDS[rng.index(WORDS.len())];
        return format!(
            r#"["{field}","BM25","{words} -{not} \"quick brown\"",{{"match":"boolean"}}]"#
        );
    }
    format!("[\"{field}\",\"BM25\",\"{words}\"{options}]")
}

/// What rows are ranked by, with its comma; nothing of one that has no rank.
fn rank(rng: &mut Rng) -> String {
    let (a, b) = (small(rng, 9) - 4, small(rng, 9) - 4);
    let rank = match rng.below(13) {
        0 => format!("[\"v\",\"ANN\",[{a},{b}]]"),
        1 => format!("[\"v\",\"kNN\",[{a},0.5]]"),
        2 => format!("[\"x\",\"kNN\",[{a},{b},1]]"),
        3 | 4 => text_rank(rng),
        5 => format!("[\"Product\",{},{}]", rng.below(4), text_rank(rng)),
        6 => format!("[\"Sum\",[{},[\"Product\",2,{}]]]", text_rank(rng), text_rank(rng)),
        7 => format!("[\"Sum\",[{},[\"Attribute\",\"f\"],{}]]", text_rank(rng), filter(rng, 1)),
        8 => format!(
            "[\"Max\",[{},[\"Saturate\",[\"Attribute\",\"n\"],{{\"midpoint\":2}}]]]",
            text_rank(rng)
        ),
        9 => format!("[\"n\",\"{}\"]", pick(rng, &["asc", "desc"])),
        10 => "[[\"s\",\"asc\"],[\"f\",\"desc\"],[\"a.b\",\"asc\"]]".to_owned(),
        11 => format!(
            "[\"Sum\",[[\"Attribute\",\"f\"],[\"Product\",2,{}],[\"Decay\",[\"Dist\",[\"Attribute\",\"a.b\"],\"2024-01-10\"],{{\"midpoint\":\"7d\"}}]]]",
            filter(rng, 1)
        ),
        _ => return String::new(),
    };
    format!("\"rank_by\":{rank},")
}

/// One query.
fn one(rng: &mut Rng, for_fusion: bool) -> String {
    let filter =
        if rng.chance(600) { format!("\"filters\":{},", filter(rng, 2)) } else { String::new() };
    let rank = rank(rng);
    if for_fusion {
        return format!("{{{filter}{rank}\"limit\":{}}}", 1 + rng.below(12));
    }
    let limit = pick(
        rng,
        &[
            r#""limit":3"#,
            r#""limit":5,"offset":2"#,
            r#""limit":1000"#,
            r#""limit":{"total":6,"per":{"attributes":["s"],"limit":2}}"#,
            r#""limit":{"total":9,"per":{"attributes":["n","on"],"limit":1}},"offset":1"#,
            r#""limit":0"#,
        ],
    );
    let numbers = pick(
        rng,
        &[
            r#","aggregate_by":{"c":["Count"],"n":["Sum","n"],"m":["Max","f"]}"#,
            r#","aggregate_by":{"a":["Avg","n"],"x":["Min","a.b"],"t":["Count","tags"]},"group_by":["s"]"#,
            r#","aggregate_by":{"c":["Count"],"f":["Sum","f"]},"group_by":["n","on"]"#,
            r#","facets":["tags",{"attribute":"n","limit":3}]"#,
            "",
            "",
            "",
        ],
    );
    format!("{{{filter}{rank}{limit}{numbers}}}")
}

/// The body of a request: a query, several, or several that are fused.
pub(super) fn body(rng: &mut Rng) -> String {
    match rng.below(8) {
        0 => {
            let queries: Vec<String> = (0..=rng.below(3)).map(|_| one(rng, false)).collect();
            format!("{{\"queries\":[{}]}}", queries.join(","))
        }
        1 => {
            let queries: Vec<String> = (0..=rng.below(3)).map(|_| one(rng, true)).collect();
            let fusion = format!("[\"RRF\",{{\"rank_constant\":{}}}]", rng.below(70));
            format!("{{\"queries\":[{}],\"rerank_by\":{fusion},\"limit\":7}}", queries.join(","))
        }
        2 => {
            let vector = r#"{"rank_by":["v","kNN",[1,0]],"limit":9}"#;
            let text = format!("{{\"rank_by\":{},\"limit\":9}}", text_rank(rng));
            format!("{{\"queries\":[{vector},{text}],\"rerank_by\":[\"Linear\"],\"offset\":1}}")
        }
        _ => one(rng, false),
    }
}
