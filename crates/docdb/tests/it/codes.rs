//! The client has a list of error codes of its own, because it stands alone. It is this one.

use base::error::Code;
use client::ErrorCode;

#[test]
fn the_client_knows_every_error_code_by_its_number_and_name() {
    let ours: Vec<(u8, &str)> = Code::ALL.iter().map(|code| (code.number(), code.name())).collect();
    let theirs: Vec<(u8, &str)> =
        ErrorCode::ALL.iter().map(|code| (code.number(), code.name())).collect();
    assert_eq!(ours, theirs);
}
