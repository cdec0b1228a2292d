//! Names: what a kill and a power loss leave of creates, renames and removals.

use base::io::{Disk, Open};
use sim::FaultDisk;
use sim::disk::{Calls, Crash, Effect, Fate, Fault, Loss, Op};

use crate::{after, found, named_file, names, p};

const APPLIED: Fate = Fate::APPLIED;
const LOST: Fate = Fate::LOST;

fn written(disk: &FaultDisk, path: &str, content: &[u8]) {
    let file = disk.open(p(path), Open::CreateNew).unwrap();
    file.write_at(content, 0).unwrap();
    file.sync_data().unwrap();
}

#[test]
fn a_file_whose_name_was_never_synced_may_be_gone_however_often_it_was_synced() {
    let disk = FaultDisk::new();
    written(&disk, "/f", b"synced");
    assert_eq!(found(&disk, "/f", &[LOST]), None);
    assert_eq!(found(&disk, "/f", &[APPLIED]), Some(b"synced".to_vec()));
    assert_eq!(names(&disk.crash(&Crash::Kill)), "f");
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(found(&disk, "/f", &[]), Some(b"synced".to_vec()));
}

#[test]
fn a_renamed_file_is_under_the_old_name_or_the_new_one() {
    let disk = FaultDisk::new();
    written(&disk, "/new", b"new");
    written(&disk, "/value", b"old");
    disk.sync_dir(p("/")).unwrap();
    disk.rename(p("/new"), p("/value")).unwrap();
    let kept = after(&disk, &[LOST]);
    assert_eq!((names(&kept), kept.peek(p("/value"))), ("new value".into(), Some(b"old".to_vec())));
    let moved = after(&disk, &[APPLIED]);
    assert_eq!((names(&moved), moved.peek(p("/value"))), ("value".into(), Some(b"new".to_vec())));
}

#[test]
fn a_rename_may_be_durable_before_the_data_of_its_file() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/new");
    file.write_at(b"data", 0).unwrap();
    disk.rename(p("/new"), p("/value")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(found(&disk, "/value", &[LOST]), Some(vec![]));
}

#[test]
fn operations_of_one_directory_are_lost_each_on_its_own() {
    let disk = FaultDisk::new();
    named_file(&disk, "/old");
    written(&disk, "/a", b"");
    written(&disk, "/b", b"");
    disk.remove_file(p("/old")).unwrap();
    for (fates, expect) in [
        ([LOST, LOST, LOST], "old"),
        ([LOST, APPLIED, LOST], "b old"),
        ([APPLIED, LOST, APPLIED], "a"),
        ([LOST, LOST, APPLIED], ""),
        ([APPLIED, APPLIED, APPLIED], "a b"),
    ] {
        assert_eq!(names(&after(&disk, &fates)), expect, "{fates:?}");
    }
}

#[test]
fn an_operation_without_its_precondition_is_lost_with_it() {
    let disk = FaultDisk::new();
    written(&disk, "/f", b"first");
    disk.sync_dir(p("/")).unwrap();
    disk.remove_file(p("/f")).unwrap();
    written(&disk, "/f", b"second");
    disk.rename(p("/f"), p("/g")).unwrap();
    // The removal is lost: the name is taken, so there is no second file to rename either.
    let kept = after(&disk, &[LOST, APPLIED, APPLIED]);
    assert_eq!((names(&kept), kept.peek(p("/f"))), ("f".into(), Some(b"first".to_vec())));
    assert_eq!(names(&after(&disk, &[APPLIED, LOST, APPLIED])), "");
    assert_eq!(found(&disk, "/g", &[APPLIED; 3]), Some(b"second".to_vec()));
}

#[test]
fn a_directory_that_power_loss_filled_again_is_not_removed() {
    let disk = FaultDisk::new();
    disk.create_dir(p("/d")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    named_file(&disk, "/d/f");
    disk.remove_file(p("/d/f")).unwrap();
    disk.remove_dir(p("/d")).unwrap();
    assert_eq!(names(&after(&disk, &[LOST, APPLIED])), "d");
    assert_eq!(names(&after(&disk, &[APPLIED, APPLIED])), "");
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(names(&after(&disk, &[LOST])), "", "a synced removal stands");
}

#[test]
fn directories_are_independent_and_their_names_need_their_parents_sync() {
    let disk = FaultDisk::new();
    disk.create_dir(p("/a")).unwrap();
    disk.create_dir(p("/b")).unwrap();
    written(&disk, "/a/f", b"");
    written(&disk, "/b/f", b"");
    disk.sync_dir(p("/b")).unwrap();
    // What is left to decide: /a, /b and /a/f.
    let lost = after(&disk, &[APPLIED, LOST, APPLIED]);
    assert_eq!(names(&lost), "a");
    assert_eq!(lost.peek(p("/a/f")), Some(vec![]));
    assert_eq!(found(&disk, "/b/f", &[LOST, APPLIED, LOST]), Some(vec![]));
    assert_eq!(found(&disk, "/a/f", &[APPLIED, APPLIED, LOST]), None);
}

#[test]
fn a_rename_between_directories_is_durable_when_both_are_synced() {
    let disk = FaultDisk::new();
    disk.create_dir(p("/a")).unwrap();
    disk.create_dir(p("/b")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    named_file(&disk, "/a/f");
    disk.rename(p("/a/f"), p("/b/f")).unwrap();
    disk.sync_dir(p("/b")).unwrap();
    let old = after(&disk, &[LOST]);
    assert_eq!((old.peek(p("/a/f")), old.peek(p("/b/f"))), (Some(vec![]), None));
    disk.sync_dir(p("/a")).unwrap();
    let new = after(&disk, &[]);
    assert_eq!((new.peek(p("/a/f")), new.peek(p("/b/f"))), (None, Some(vec![])));
}

#[test]
fn a_failed_sync_of_a_directory_is_not_mended_by_a_later_one() {
    let disk = FaultDisk::new();
    disk.inject(Fault::once(Calls::Only(Op::SyncDir), 1, Effect::Eio));
    written(&disk, "/f", b"x");
    disk.sync_dir(p("/")).unwrap_err();
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(names(&after(&disk, &[LOST])), "");
    // What a later sync covers stands even when what it built on does not.
    disk.rename(p("/f"), p("/g")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    for fate in [LOST, APPLIED] {
        assert_eq!(names(&after(&disk, &[fate])), "g");
    }
}

#[test]
fn a_directory_moves_with_all_that_is_in_it() {
    let disk = FaultDisk::new();
    disk.create_dir(p("/tmp")).unwrap();
    written(&disk, "/tmp/f", b"x");
    disk.sync_dir(p("/tmp")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    disk.rename(p("/tmp"), p("/db")).unwrap();
    assert_eq!(found(&disk, "/db/f", &[APPLIED]), Some(b"x".to_vec()));
    assert_eq!(found(&disk, "/tmp/f", &[LOST]), Some(b"x".to_vec()));
}

#[test]
fn names_answer_what_a_file_system_answers() {
    use std::io::ErrorKind as Kind;
    let disk = FaultDisk::new();
    disk.create_dir(p("/d")).unwrap();
    written(&disk, "/d/f", b"xyz");
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    let open = |path, how| disk.open(p(path), how).map(|_| ());
    assert_eq!(kind(open("/d/f", Open::CreateNew)), Kind::AlreadyExists);
    assert_eq!(kind(open("/d", Open::Read)), Kind::IsADirectory);
    assert_eq!(kind(open("/d/f/g", Open::Read)), Kind::NotADirectory);
    assert_eq!(kind(open("/no/f", Open::CreateNew)), Kind::NotFound);
    assert_eq!(kind(open("relative", Open::CreateNew)), Kind::InvalidInput);
    assert_eq!(kind(disk.create_dir(p("/d"))), Kind::AlreadyExists);
    assert_eq!(kind(disk.remove_dir(p("/d"))), Kind::DirectoryNotEmpty);
    assert_eq!(kind(disk.remove_file(p("/d"))), Kind::IsADirectory);
    assert_eq!(kind(disk.rename(p("/no"), p("/x"))), Kind::NotFound);
    assert_eq!(kind(disk.rename(p("/d/f"), p("/d"))), Kind::IsADirectory);
    assert_eq!(kind(disk.rename(p("/d"), p("/d/e"))), Kind::InvalidInput);
    assert_eq!(kind(disk.sync_dir(p("/no"))), Kind::NotFound);
    assert_eq!(disk.stat(p("/d/f")).unwrap().unwrap().len, 3);
    assert_eq!(disk.stat(p("/d/no")).unwrap(), None);
    let reader = disk.open(p("/d/f"), Open::Read).unwrap();
    assert_eq!(reader.write_at(b"x", 0).unwrap_err().raw_os_error(), Some(9));
    disk.remove_file(p("/d/f")).unwrap();
    let mut buf = [0; 8];
    assert_eq!(reader.read_at(&mut buf, 0).unwrap(), 3, "an open handle outlives the name");
}

#[test]
fn a_file_without_a_name_is_found_by_nobody_after_a_power_loss() {
    let disk = FaultDisk::new();
    written(&disk, "/f", b"x");
    disk.sync_dir(p("/")).unwrap();
    disk.remove_file(p("/f")).unwrap();
    let back = disk.crash(&Crash::PowerLoss(Loss::Everything));
    assert_eq!(back.peek(p("/f")), Some(b"x".to_vec()), "the removal was lost");
    assert_eq!(names(&disk.crash(&Crash::PowerLoss(Loss::Nothing))), "");
}

#[test]
fn a_directory_that_power_loss_filled_again_is_not_replaced() {
    let disk = FaultDisk::new();
    disk.create_dir(p("/a")).unwrap();
    disk.create_dir(p("/b")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    named_file(&disk, "/b/f");
    disk.remove_file(p("/b/f")).unwrap();
    disk.rename(p("/a"), p("/b")).unwrap();
    let kept = after(&disk, &[LOST, APPLIED]);
    assert_eq!((names(&kept), kept.peek(p("/b/f"))), ("a b".into(), Some(vec![])));
    let replaced = after(&disk, &[APPLIED, APPLIED]);
    assert_eq!((names(&replaced), replaced.peek(p("/b/f"))), ("b".into(), None));
}

#[test]
fn a_synced_rename_leaves_no_older_name_though_the_one_before_it_was_lost() {
    let disk = FaultDisk::new();
    named_file(&disk, "/one");
    disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
    disk.rename(p("/one"), p("/two")).unwrap();
    disk.sync_dir(p("/")).unwrap_err();
    disk.rename(p("/two"), p("/three")).unwrap();
    disk.sync_dir(p("/")).unwrap();
    for fate in [LOST, APPLIED] {
        assert_eq!(names(&after(&disk, &[fate])), "three");
    }
}
