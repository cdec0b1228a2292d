//! Every code has its page in docs/errors, and the pages say what the list of codes says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base::error::Code;
use base::io::{Disk, Open, RealDisk, read_full_at};

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn read(page: &Path) -> String {
    let file = RealDisk.open(page, Open::Read).expect("the page can be opened");
    let len = usize::try_from(file.len().expect("the page has a length")).expect("pages are small");
    let mut text = vec![0; len];
    let read = read_full_at(&*file, &mut text, 0).expect("the page can be read");
    assert_eq!(read, len);
    String::from_utf8(text).expect("pages are UTF-8")
}

#[test]
fn every_code_has_a_page_and_every_page_has_a_code() {
    let files = RealDisk.list(&pages()).expect("docs/errors is there");
    let found: BTreeSet<_> =
        files.into_iter().map(|file| file.name).filter(|name| name != "README.md").collect();
    let expected: BTreeSet<_> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_page_says_meaning_occasion_remedy_and_whether_to_retry() {
    for code in Code::ALL {
        let text = read(&pages().join(format!("{code}.md")));
        let (number, category) = (code.number(), code.category().name());
        let meaning = code.meaning();
        let head =
            format!("# {code}\n\nCode {number}, category {category}. {meaning}\n\n## When\n\n");
        assert!(text.starts_with(&head), "{code}: the page does not begin with\n{head}");
        let sections: Vec<_> = text.split("\n## ").skip(1).collect();
        let titles: Vec<_> = sections.iter().filter_map(|s| s.lines().next()).collect();
        assert_eq!(titles, ["When", "What to do", "May the caller retry?"], "{code}");
        let empty = |section: &&str| section.lines().skip(1).all(|line| line.trim().is_empty());
        assert!(!sections.iter().any(empty), "{code} has an empty section");
        let advice = sections.last().and_then(|s| s.split_once("\n\n")).map_or("", |(_, a)| a);
        let contradicted = if code.retryable() { "No" } else { "Yes" };
        assert!(!advice.starts_with(contradicted), "{code}: its page says {advice}");
    }
}
