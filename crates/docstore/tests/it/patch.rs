//! Patches: tables of cases to the byte, the limits, and random patches against a second
//! implementation.

use base::document::{Document, validate};
use base::error::{Code, Coded};
use docstore::patch::{
    OPERATIONS_MAX, Operation, POINTER_BYTES_MAX, Patch, PatchError, PatchErrorKind as Kind,
    Pointer, WORK_BYTES_MAX,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::patch_reference as reference;

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes()).expect(text)
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect(text)
}

fn apply(text: &str, operations: &str) -> Result<String, PatchError> {
    let patch = Patch::parse(operations.as_bytes())?;
    let document = document(text);
    let patched = patch.apply(&document);
    assert_eq!(document.as_bytes(), text.as_bytes(), "the argument stays as it was");
    Ok(String::from_utf8(patched?.as_bytes().to_vec()).expect("documents are UTF-8"))
}

/// The patch makes of the text exactly the expected one.
fn check(text: &str, operations: &str, expect: &str) {
    assert_eq!(apply(text, operations).as_deref(), Ok(expect), "{text} and {operations}");
}

/// The patch is refused at this operation and path.
fn refused(text: &str, operations: &str, kind: Kind, operation: usize, path: &str) {
    let error = apply(text, operations).expect_err(operations);
    let place = (error.operation, error.path.as_deref());
    assert_eq!((error.kind, place), (kind, (Some(operation), Some(path))), "{text}, {operations}");
}

#[test]
fn set_replaces_adds_and_makes_parents() {
    check(r#"{"a":1}"#, r#"[{"op":"set","path":"/a","value":2}]"#, r#"{"a":2}"#);
    check(r#"{"a":1}"#, r#"[{"op":"set","path":"/b","value":null}]"#, r#"{"a":1,"b":null}"#);
    check("{}", r#"[{"op":"set","path":"/a/b/c","value":1}]"#, r#"{"a":{"b":{"c":1}}}"#);
    check("{ }", r#"[{"op":"set","path":"/0/x","value":1}]"#, r#"{"0":{"x":1} }"#);
    check("[1,2,3]", r#"[{"op":"set","path":"/1","value":[ ]}]"#, "[1,[ ],3]");
    check("[1,2]", r#"[{"op":"set","path":"/2","value":3}]"#, "[1,2,3]");
    check("[1,2]", r#"[{"op":"set","path":"/-","value":3}]"#, "[1,2,3]");
    check("[]", r#"[{"op":"set","path":"/-/a/b","value":3}]"#, r#"[{"a":{"b":3}}]"#);
    check("[{}]", r#"[{"op":"set","path":"/1/a","value":3}]"#, r#"[{},{"a":3}]"#);
    check(r#" {"a":1} "#, r#"[{"op":"set","path":"","value": [1, 2] }]"#, " [1, 2] ");
}

#[test]
fn set_does_not_step_through_scalars_nor_skip_elements() {
    refused("[1]", r#"[{"op":"set","path":"/2","value":3}]"#, Kind::PastTheEnd { len: 1 }, 0, "/2");
    refused(
        "[1]",
        r#"[{"op":"set","path":"/2/a","value":3}]"#,
        Kind::PastTheEnd { len: 1 },
        0,
        "/2",
    );
    refused("[1]", r#"[{"op":"set","path":"/x","value":3}]"#, Kind::NotAnIndex, 0, "/x");
    refused("[1]", r#"[{"op":"set","path":"/00/a","value":3}]"#, Kind::NotAnIndex, 0, "/00");
    let into_null = r#"[{"op":"set","path":"/a/b/c","value":3}]"#;
    refused(r#"{"a":null}"#, into_null, Kind::NotAContainer, 0, "/a");
    refused("5", r#"[{"op":"set","path":"/a","value":3}]"#, Kind::NotAContainer, 0, "");
}

#[test]
fn insert_never_overwrites() {
    check("[1,2]", r#"[{"op":"insert","path":"/0","value":0}]"#, "[0,1,2]");
    check("[1,2]", r#"[{"op":"insert","path":"/1","value":0}]"#, "[1,0,2]");
    check("[1,2]", r#"[{"op":"insert","path":"/2","value":0}]"#, "[1,2,0]");
    check("[]", r#"[{"op":"insert","path":"/0","value":0}]"#, "[0]");
    check("[ ]", r#"[{"op":"insert","path":"/-","value":0}]"#, "[0 ]");
    check(r#"{"a":1}"#, r#"[{"op":"insert","path":"/b","value":2}]"#, r#"{"a":1,"b":2}"#);
    let there = r#"[{"op":"insert","path":"/a","value":2}]"#;
    refused(r#"{"a":null}"#, there, Kind::Exists, 0, "/a");
    refused(
        "[1]",
        r#"[{"op":"insert","path":"/3","value":0}]"#,
        Kind::PastTheEnd { len: 1 },
        0,
        "/3",
    );
    refused("{}", r#"[{"op":"insert","path":"/a/b","value":0}]"#, Kind::NotFound, 0, "/a");
    refused("null", r#"[{"op":"insert","path":"","value":0}]"#, Kind::Exists, 0, "");
}

#[test]
fn delete_takes_what_is_there() {
    for op in ["delete", "remove"] {
        let at = |path: &str| format!(r#"[{{"op":"{op}","path":"{path}"}}]"#);
        check(r#"{"a":1,"b":null,"c":3}"#, &at("/b"), r#"{"a":1,"c":3}"#);
        check(r#"{"a":1}"#, &at("/a"), "{}");
        check("[1,2,3]", &at("/0"), "[2,3]");
        check("[1,2,3]", &at("/2"), "[1,2]");
        refused("{}", &at("/a"), Kind::NotFound, 0, "/a");
        refused("[1]", &at("/1"), Kind::PastTheEnd { len: 1 }, 0, "/1");
        refused("[1]", &at("/-"), Kind::NotFound, 0, "/-");
        refused("{}", &at(""), Kind::RootRemoved, 0, "");
    }
}

#[test]
fn bytes_that_no_operation_names_stay() {
    let pretty = "{\n  \"a\" : 1.50,\n  \"b\" : [ 1 ,  2 ] ,\n  \"\\u0063\" : \"\\/\"\n}\n";
    let set = r#"[{"op":"set","path":"/b/1","value":3},{"op":"set","path":"/c","value":1e400}]"#;
    let after = "{\n  \"a\" : 1.50,\n  \"b\" : [ 1 ,  3 ] ,\n  \"\\u0063\" : 1e400\n}\n";
    check(pretty, set, after);
    let without = "{\n  \"a\" : 1.50,\n  \"b\" : [ 1 ,  2 ] \n}\n";
    check(pretty, r#"[{"op":"delete","path":"/c"}]"#, without);
    let numbers = "[1E400, -0, 0.10, 123456789012345678901234567890.12345678901234567890]";
    check(numbers, r#"[{"op":"insert","path":"/4","value":0}]"#, &numbers.replace("90]", "90,0]"));
    // A value comes as the patch writes it, and goes on a journey as it is written.
    let journey = r#"[{"op":"set","path":"/x","value": {"k" :[ 1.0,"\u0041" ] }},
        {"op":"copy","from":"/x/k","path":"/y"},{"op":"move","from":"/x","path":"/z"}]"#;
    let arrived = r#"{"y":[ 1.0,"\u0041" ],"z":{"k" :[ 1.0,"\u0041" ] }}"#;
    check("{}", journey, arrived);
}

#[test]
fn keys_are_compared_once_escapes_are_decoded() {
    check(r#"{"\u0061":1}"#, r#"[{"op":"set","path":"/a","value":2}]"#, r#"{"\u0061":2}"#);
    check(r#"{"a":1}"#, r#"[{"op":"set","path":"/\u0061","value":2}]"#, r#"{"a":2}"#);
    check(r#"{"a/b":1,"~":2}"#, r#"[{"op":"delete","path":"/a~1b"}]"#, r#"{"~":2}"#);
    check(r#"{"a/b":1,"~":2}"#, r#"[{"op":"delete","path":"/~0"}]"#, r#"{"a/b":1}"#);
    check(r#"{"":{"":1}}"#, r#"[{"op":"set","path":"//","value":2}]"#, r#"{"":{"":2}}"#);
    let odd = r#"[{"op":"set","path":"/\"\\\n\r\t\b\f\u0001é😀\u007f","value":1}]"#;
    check("{}", odd, "{\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001é😀\u{7f}\":1}");
}

/// The cases of RFC 6902, appendix A, on documents of our own, by its numbers.
#[test]
fn the_examples_of_rfc_6902_hold() {
    // A.1 to A.5: adding and removing members and elements, replacing.
    check(r#"{"k":"v"}"#, r#"[{"op":"add","path":"/n","value":"w"}]"#, r#"{"k":"v","n":"w"}"#);
    check(r#"{"k":[7,9]}"#, r#"[{"op":"add","path":"/k/1","value":8}]"#, r#"{"k":[7,8,9]}"#);
    check(r#"{"n":"w","k":"v"}"#, r#"[{"op":"remove","path":"/n"}]"#, r#"{"k":"v"}"#);
    check(r#"{"k":[7,8,9]}"#, r#"[{"op":"remove","path":"/k/1"}]"#, r#"{"k":[7,9]}"#);
    check(r#"{"n":1,"k":2}"#, r#"[{"op":"replace","path":"/n","value":3}]"#, r#"{"n":3,"k":2}"#);
    // A.6 and A.7: moving a member and an element.
    check(
        r#"{"from":{"a":1,"gone":2},"to":{"b":3}}"#,
        r#"[{"op":"move","from":"/from/gone","path":"/to/there"}]"#,
        r#"{"from":{"a":1},"to":{"b":3,"there":2}}"#,
    );
    check("[[5,6,7,8]]", r#"[{"op":"move","from":"/0/1","path":"/0/3"}]"#, "[[5,7,8,6]]");
    // A.8 and A.9: testing, with success and without.
    let tests = r#"[{"op":"test","path":"/k","value":"v"},{"op":"test","path":"/l/1","value":2}]"#;
    check(r#"{"k":"v","l":["a",2,"c"]}"#, tests, r#"{"k":"v","l":["a",2,"c"]}"#);
    refused(r#"{"k":"v","l":[]}"#, tests, Kind::PastTheEnd { len: 0 }, 1, "/l/1");
    let test = r#"[{"op":"test","path":"/k","value":"w"}]"#;
    refused(r#"{"k":"v"}"#, test, Kind::TestFailed, 0, "/k");
    // A.10 and A.11: nested additions, and members of an operation that mean nothing.
    check("{}", r#"[{"op":"add","path":"/c","value":{"g":{}}}]"#, r#"{"c":{"g":{}}}"#);
    check("[]", r#"[{"op":"add","path":"/0","value":1,"why":[2]}]"#, "[1]");
    // A.12: adding to a parent that is not there.
    refused("{}", r#"[{"op":"add","path":"/no/n","value":1}]"#, Kind::NotFound, 0, "/no");
    // A.13: an operation with two names is not JSON that docdb accepts.
    let twice = r#"[{"op":"add","path":"/n","value":1,"op":"remove"}]"#;
    assert!(matches!(apply("{}", twice).unwrap_err().kind, Kind::Json(_)));
    // A.14 to A.16: escapes in pointers, numbers are no strings, arrays are values.
    let tilde = r#"[{"op":"test","path":"/~01","value":10}]"#;
    check(r#"{"/":9,"~1":10}"#, tilde, r#"{"/":9,"~1":10}"#);
    let text = r#"[{"op":"test","path":"/~01","value":"10"}]"#;
    refused(r#"{"/":9,"~1":10}"#, text, Kind::TestFailed, 0, "/~01");
    check(r#"{"k":[7]}"#, r#"[{"op":"add","path":"/k/-","value":[8,9]}]"#, r#"{"k":[7,[8,9]]}"#);
}

#[test]
fn the_operations_of_rfc_6902_keep_to_their_rules() {
    check(r#"{"a":1}"#, r#"[{"op":"add","path":"/a","value":2}]"#, r#"{"a":2}"#);
    check("1", r#"[{"op":"add","path":"","value":2}]"#, "2");
    check("1", r#"[{"op":"replace","path":"","value":2}]"#, "2");
    check(r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a/b","path":"/a"}]"#, r#"{"a":1}"#);
    check(r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a","path":""}]"#, r#"{"b":1}"#);
    check(r#"{"a":1,"b":2}"#, r#"[{"op":"move","from":"/a","path":"/a"}]"#, r#"{"a":1,"b":2}"#);
    check(r#"{"a":1}"#, r#"[{"op":"copy","from":"","path":"/b"}]"#, r#"{"a":1,"b":{"a":1}}"#);
    check(r#"{"a":1}"#, r#"[{"op":"test","path":"","value":{ "a" : 1.0 }}]"#, r#"{"a":1}"#);
    let replace = r#"[{"op":"replace","path":"/a","value":2}]"#;
    refused("{}", replace, Kind::NotFound, 0, "/a");
    let past = r#"[{"op":"replace","path":"/1","value":2}]"#;
    refused("[0]", past, Kind::PastTheEnd { len: 1 }, 0, "/1");
    refused("[0]", r#"[{"op":"replace","path":"/-","value":2}]"#, Kind::NotFound, 0, "/-");
    let inward = r#"[{"op":"move","from":"/a","path":"/a/b"}]"#;
    refused(r#"{"a":{}}"#, inward, Kind::IntoItself, 0, "/a");
    let everything = r#"[{"op":"move","from":"","path":"/a"}]"#;
    refused("{}", everything, Kind::IntoItself, 0, "");
    refused("{}", r#"[{"op":"move","from":"/x","path":"/x"}]"#, Kind::NotFound, 0, "/x");
    refused("{}", r#"[{"op":"copy","from":"/x/y","path":"/z"}]"#, Kind::NotFound, 0, "/x");
    // The path of a move counts once the value is gone.
    refused(
        "[0]",
        r#"[{"op":"move","from":"/0","path":"/1"}]"#,
        Kind::PastTheEnd { len: 0 },
        0,
        "/1",
    );
}

#[test]
fn a_copy_of_what_the_patch_changed_is_independent_of_it() {
    let operations = r#"[{"op":"set","path":"/a/x","value":1},{"op":"copy","from":"/a","path":"/b"},
        {"op":"set","path":"/a/x","value":2},{"op":"set","path":"/b/y","value":3},
        {"op":"copy","from":"","path":"/a/all"}]"#;
    let expect = r#"{"a":{"x":2,"all":{"a":{"x":2},"b":{"x":1,"y":3}}},"b":{"x":1,"y":3}}"#;
    check(r#"{"a":{}}"#, operations, expect);
}

#[test]
fn operations_see_what_came_before_them_and_nothing_is_half_done() {
    let operations = r#"[{"op":"set","path":"/a","value":[1]},{"op":"insert","path":"/a/0","value":0},
        {"op":"test","path":"/a","value":[0,1]},{"op":"delete","path":"/a/0"},
        {"op":"test","path":"/a/0","value":2}]"#;
    refused("{}", operations, Kind::TestFailed, 4, "/a/0");
    check("{}", "[]", "{}");
    check(" {} ", " [ ] ", " {} ");
}

#[test]
fn malformed_patches_are_refused_before_they_touch_anything() {
    let parse = |text: &str| {
        let error = Patch::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.code(), Code::InvalidPatch, "{text}");
        (error.kind, error.operation, error.path.map(String::from))
    };
    assert_eq!(parse("{}"), (Kind::NotAnArray, None, None));
    assert_eq!(parse("null"), (Kind::NotAnArray, None, None));
    assert!(matches!(parse("["), (Kind::Json(_), None, None)));
    assert_eq!(parse("[[]]"), (Kind::NotAnObject, Some(0), None));
    assert_eq!(parse("[{}]"), (Kind::MissingMember("op"), Some(0), None));
    let path = |text: &str| Some(text.to_owned());
    for (operation, kind) in [
        (r#"{"op":"set","path":"/a"}"#, Kind::MissingMember("value")),
        (r#"{"op":"test","path":"/a"}"#, Kind::MissingMember("value")),
        (r#"{"op":"move","path":"/a"}"#, Kind::MissingMember("from")),
        (r#"{"op":"copy","path":"/a","from":1}"#, Kind::NotAString("from")),
        (r#"{"op":"copy","path":"/a","from":"b"}"#, Kind::PointerWithoutSlash),
        (r#"{"op":7,"path":"/a"}"#, Kind::NotAString("op")),
        (r#"{"op":"SET","path":"/a","value":1}"#, Kind::UnknownOperation),
    ] {
        let good = r#"{"op":"delete","path":"/a"}"#;
        assert_eq!(parse(&format!("[{good},{operation}]")), (kind, Some(1), path("/a")));
    }
    assert_eq!(parse(r#"[{"op":"delete"}]"#), (Kind::MissingMember("path"), Some(0), None));
    assert_eq!(parse(r#"[{"op":"delete","path":[]}]"#), (Kind::NotAString("path"), Some(0), None));
    let relative = (Kind::PointerWithoutSlash, Some(0), path("a"));
    assert_eq!(parse(r#"[{"op":"delete","path":"a"}]"#), relative);
    let tilde = (Kind::PointerEscape, Some(0), path("/~"));
    assert_eq!(parse(r#"[{"op":"delete","path":"/~"}]"#), tilde);
    let long = format!(r#"[{{"op":"delete","path":"/{}"}}]"#, "a".repeat(POINTER_BYTES_MAX));
    assert_eq!(parse(&long), (Kind::PointerTooLong, Some(0), None));
}

#[test]
fn members_of_an_operation_may_be_escaped_and_in_any_order() {
    let operations = r#"[{"value":1,"\u0070ath":"\/a","op":"s\u0065t"}]"#;
    check("{}", operations, r#"{"a":1}"#);
}

#[test]
fn too_many_operations_are_refused() {
    let operations = |count: usize| {
        format!("[{}]", vec![r#"{"op":"set","path":"/a","value":1}"#; count].join(","))
    };
    assert!(Patch::parse(operations(OPERATIONS_MAX).as_bytes()).is_ok());
    let error = Patch::parse(operations(OPERATIONS_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::TooManyOperations, Code::PayloadTooLarge));
    let set = Operation::Set { path: pointer("/a"), value: document("1") };
    assert!(Patch::new(vec![set.clone(); OPERATIONS_MAX]).is_ok());
    let error = Patch::new(vec![set; OPERATIONS_MAX + 1]).unwrap_err();
    assert_eq!(error.kind, Kind::TooManyOperations);
}

#[test]
fn what_a_patch_makes_nests_no_deeper_than_a_document_may() {
    let arrays = |depth: usize| match depth {
        0 => "0".to_owned(),
        _ => format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
    };
    let set = |path: &str, depth: usize| {
        let set = Operation::Set { path: pointer(path), value: document(&arrays(depth)) };
        Patch::new(vec![set]).expect("one operation").apply(&document("{}"))
    };
    assert!(set("/a", 127).is_ok());
    assert_eq!(set("/a", 128).unwrap_err().kind, Kind::TooDeep);
    assert!(set("", 128).is_ok());
    assert!(set(&"/a".repeat(128), 0).is_ok());
    assert_eq!(set(&"/a".repeat(128), 1).unwrap_err().kind, Kind::TooDeep);
    // What was opened before it is moved or copied is measured as well.
    let deep = format!(r#"{{"a":{}}}"#, arrays(126));
    let operations = |last: &str| {
        format!(
            r#"[{{"op":"set","path":"/a/-","value":1}},{{"op":"set","path":"/b/c","value":1}},
            {{"op":"move","from":"/a","path":"/b/c"}},{{"op":"copy","from":"/b","path":"{last}"}}]"#
        )
    };
    assert!(apply(&deep, &operations("/d")).is_ok());
    refused(&deep, &operations("/b/d"), Kind::TooDeep, 3, "/b/d");
}

#[test]
fn a_result_above_the_limit_is_refused() {
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(9 * 1024 * 1024));
    let copy = r#"[{"op":"copy","from":"/a","path":"/b"}]"#;
    let error = apply(&text, copy).unwrap_err();
    let bytes = 2 * text.len() - 1;
    assert_eq!(error.kind, Kind::ResultTooLarge { bytes });
    assert_eq!((error.code(), error.operation), (Code::PayloadTooLarge, None));
    // Only the result counts, not what it was in between.
    let replace = r#"[{"op":"copy","from":"/a","path":"/b"},{"op":"delete","path":"/a"}]"#;
    check(&text, replace, &text.replace("\"a\"", "\"b\""));
}

#[test]
fn the_work_of_copies_and_tests_is_limited() {
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(1024 * 1024 - 2));
    let fits = WORK_BYTES_MAX / (1024 * 1024);
    let test = r#"{"op":"test","path":"/a","value":""}"#;
    let error = apply(&text, &format!("[{test}]")).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::TestFailed, Code::ConditionFailed));
    let copy = r#"{"op":"copy","from":"/a","path":"/b"}"#;
    let copies = |count: usize| format!("[{}]", vec![copy; count].join(","));
    assert!(apply(&text, &copies(fits)).is_ok());
    let error = apply(&text, &copies(fits + 1)).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::TooMuchWork, Code::PayloadTooLarge));
    assert_eq!(error.operation, Some(fits));
    // Doubling comes to its end by the same rule.
    let double = r#"{"op":"copy","from":"","path":"/-"}"#;
    let doubles = format!("[{}]", vec![double; 100].join(","));
    assert_eq!(apply("[0]", &doubles).unwrap_err().kind, Kind::TooMuchWork);
}

/// Objects and arrays beyond one run, so that runs of text, lists and the index of keys all take
/// part; the second implementation says what is right.
#[test]
fn large_containers_are_patched_like_small_ones() {
    let members = |count: usize| {
        let member = |n: usize| format!(r#""k{n}" : {{"n":{n},"a":[{n}, {n}]}}"#);
        (0..count).map(member).collect::<Vec<_>>().join(" ,\n")
    };
    let text = document(&format!("{{{} }}", members(2000)));
    let set =
        |path: String, value: &str| Operation::Set { path: pointer(&path), value: document(value) };
    let mut operations = vec![set("/list".to_owned(), "[]")];
    let mut rng = base::rng::Rng::new(5);
    for n in 0..400 {
        // The first thousand stay objects; what comes after 2000 is absent until it is set.
        let (object, any) = (rng.index(1000), 1000 + rng.index(1100));
        let value = n.to_string();
        operations.push(match rng.below(6) {
            0 => set(format!("/k{any}"), &value),
            1 => set(format!("/k{object}/a"), "[ ]"),
            2 => set(format!("/k{object}/n"), &value),
            3 => set(format!("/new{any}"), &value),
            4 => set("/list/-".to_owned(), &value),
            _ => Operation::Copy { from: pointer("/k7"), path: pointer(&format!("/k{any}")) },
        });
        if n % 3 == 0 {
            // A member that was there, or one that was just added.
            let path = format!("/k{}", 1000 + rng.index(1100));
            operations.push(set(path.clone(), "0"));
            operations.push(Operation::Delete { path: pointer(&path) });
        }
    }
    let patch = Patch::new(operations).expect("fewer than the limit");
    agrees(&patch, &text);
    assert!(patch.apply(&text).is_ok(), "the case is about success");
}

#[test]
fn elements_of_a_large_array_are_found_by_their_index_after_every_change() {
    let elements: Vec<String> = (0..5000).map(|n| format!(" {n}")).collect();
    let text = document(&format!("[{}\n]", elements.join(" ,")));
    let mut rng = base::rng::Rng::new(9);
    let operation = |n: usize, rng: &mut base::rng::Rng| {
        let path = pointer(&format!("/{}", rng.index(4000)));
        let value = document(&format!("\"{n}\""));
        match rng.below(4) {
            0 => Operation::Set { path, value },
            1 => Operation::Delete { path },
            2 => Operation::Insert { path, value },
            _ => Operation::Move { from: pointer(&format!("/{}", rng.index(4000))), path },
        }
    };
    let operations = (0..1000).map(|n| operation(n, &mut rng)).collect();
    let patch = Patch::new(operations).expect("the limit exactly");
    agrees(&patch, &text);
    assert!(patch.apply(&text).is_ok(), "the case is about success");
}

/// A thousand operations on the largest document. Were it read again for each, this test would
/// take minutes.
#[test]
fn many_operations_on_the_largest_document_do_not_read_it_again_for_each() {
    let filler = |bytes: usize| vec!["0"; bytes / 2].join(",");
    let quarter = 4 * 1024 * 1024 - 50_000;
    let keys: Vec<String> = (0..quarter / 12).map(|n| format!(r#""{n:07}":0"#)).collect();
    let nested = format!("{}{}{}", "[".repeat(120), filler(quarter), "]".repeat(120));
    let text = format!(
        r#"{{"array":[{}],"object":{{{}}},"nested":{nested},"string":"{}"}}"#,
        filler(quarter),
        keys.join(","),
        "x".repeat(quarter),
    );
    let paths = (0..880).map(|n| match n % 4 {
        0 => "/array/0".to_owned(),
        1 => format!("/array/{}", n * 1000),
        2 => format!("/object/{:07}", n * 300),
        _ => format!("/object/absent{n}"),
    });
    // Each level of the nested arrays is opened by an operation of its own, from the outside in.
    let levels = (0..120).map(|depth| format!("/nested{}/-", "/0".repeat(depth)));
    let operation = |path: String| {
        let (path, value) = (pointer(&path), document("1"));
        if path.as_str() == "/array/0" {
            Operation::Insert { path, value }
        } else {
            Operation::Set { path, value }
        }
    };
    let operations: Vec<Operation> = paths.chain(levels).map(operation).collect();
    assert_eq!(operations.len(), OPERATIONS_MAX);
    let patched = Patch::new(operations).expect("the limit exactly").apply(&document(&text));
    let patched = patched.expect("every path is there or can be made");
    assert_eq!(validate(patched.as_bytes()), Ok(()));
}

/// Both implementations say the same, to the byte or to the operation that fails.
fn agrees(patch: &Patch, document: &Document) {
    let ours = patch.apply(document);
    match reference::apply(patch, document) {
        Ok(text) => {
            let shown = || String::from_utf8_lossy(&text).into_owned();
            let ours = ours.unwrap_or_else(|e| panic!("{e}, where it gives {}", shown()));
            assert_eq!(ours.as_bytes(), text, "expected {}", shown());
            assert_eq!(validate(ours.as_bytes()), Ok(()));
        }
        Err(number) => {
            let error = ours.expect_err("the second implementation refuses it");
            assert_eq!(error.operation, number, "{error}");
        }
    }
}

/// Whitespace, mostly none.
fn blank() -> impl Strategy<Value = &'static str> + Clone {
    select(vec!["", "", "", " ", "\n\t"])
}

/// Keys and tokens from a few, so that paths meet something; the token first.
const KEYS: &[(&str, &str)] = &[
    ("a", "a"),
    ("a", "\\u0061"),
    ("b", "b"),
    ("0", "0"),
    ("1", "1"),
    ("-", "-"),
    ("", ""),
    ("~1é", "\\/é"),
    ("~0", "~"),
    ("\\\"", "\\\""),
];

fn json() -> impl Strategy<Value = String> {
    let scalars = select(vec![
        "0",
        "-0.0",
        "1",
        "1.0",
        "10e-1",
        "1e2",
        "100",
        "12345678901234567890.5",
        "true",
        "null",
        "\"\"",
        "\"a\"",
        "\"\\u0061\"",
        "\"\\n,]\\\"}\"",
        "false",
    ]);
    let leaf = scalars.prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 5, |inner| {
        let spaced = (blank(), inner, blank()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let array = prop::collection::vec(spaced.clone(), 0..5);
        let keys = prop::sample::subsequence(KEYS.iter().skip(1).collect::<Vec<_>>(), 0..5);
        let object = (keys.prop_shuffle(), prop::collection::vec((blank(), spaced, blank()), 5));
        prop_oneof![
            (array, blank()).prop_map(|(items, tail)| format!("[{}{tail}]", items.join(","))),
            (object, blank()).prop_map(|((keys, values), tail)| {
                let member = |(key, (a, value, b)): (&&(&str, &str), &(&str, String, &str))| {
                    format!("{a}\"{}\"{b}:{value}", key.1)
                };
                let members: Vec<String> = keys.iter().zip(&values).map(member).collect();
                format!("{{{}{tail}}}", members.join(","))
            }),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(select(KEYS), 0..4)
        .prop_map(|tokens| tokens.iter().map(|(token, _)| format!("/{token}")).collect())
}

fn operation() -> impl Strategy<Value = String> {
    let names = select(vec![
        "set", "set", "set", "insert", "add", "delete", "replace", "move", "copy", "test",
    ]);
    (names, path(), path(), json()).prop_map(|(op, path, from, value)| {
        format!(r#"{{"op":"{op}","path":"{path}","from":"{from}","value":{value}}}"#)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_patches_do_what_the_second_implementation_does(
        text in json(),
        operations in prop::collection::vec(operation(), 1..5),
    ) {
        let patch = Patch::parse(format!("[{}]", operations.join(",")).as_bytes());
        agrees(&patch.expect("the patch is well formed"), &document(&text));
    }
}

/// The examples of the guide: three blocks each, a document, a patch and the result.
#[test]
fn the_examples_of_the_guide_hold() {
    let guide = include_str!("../../../../docs/guides/patch.md");
    let blocks = guide.split("```json\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("\n```").next()).collect();
    assert_eq!(blocks.len(), 9, "three examples of three blocks");
    for example in blocks.chunks(3) {
        check(example[0], example[1], example[2]);
    }
}
