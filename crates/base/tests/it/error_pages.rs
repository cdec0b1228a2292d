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
    // What clients say and no server has pages as well, and no code.
    let is_of_code = |name: &String| {
        name != "README.md"
            && !read(&pages().join(name)).contains("\n\nNo code: clients say this, ")
    };
    let found: BTreeSet<_> = files.into_iter().map(|file| file.name).filter(is_of_code).collect();
    let expected: BTreeSet<_> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_page_says_meaning_occasion_remedy_and_whether_to_retry() {
    for code in Code::ALL {
        let text = read(&pages().join(format!("{code}.md")));
        let (number, category) = (code.number(), code.category().name());
        let meaning = code.meaning();
        // Which status of HTTP it is, is the server's to say, and to check.
        let head = format!("# {code}\n\nCode {number}, category {category}, HTTP status ");
        let rest = text.strip_prefix(&head).and_then(|rest| rest.split_once(". "));
        let (status, rest) = rest.unwrap_or_else(|| panic!("{code} does not begin with\n{head}"));
        assert!(status.len() == 3 && status.parse::<u16>().is_ok(), "{code}: status {status}");
        let says = format!("{meaning}\n\n## When\n\n");
        assert!(rest.starts_with(&says), "{code}: the page does not go on with\n{says}");
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
