//! Errors on demand, volumes that fill up, and the trace.

use base::io::{Disk, Open, read_exact_at, write_all_at};
use sim::FaultDisk;
use sim::disk::{Calls, Crash, Effect, Fault, Op};

use crate::{named_file, p};

fn errno(result: std::io::Result<usize>) -> Option<i32> {
    result.unwrap_err().raw_os_error()
}

#[test]
fn the_nth_call_fails_once_or_from_then_on() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.inject(Fault::once(Calls::Any, 2, Effect::Eio));
    file.write_at(b"a", 0).unwrap();
    assert_eq!(errno(file.write_at(b"b", 1)), Some(5));
    file.write_at(b"c", 1).unwrap();
    assert_eq!(disk.peek(p("/f")), Some(b"ac".to_vec()), "a failed write does nothing");
    disk.inject(Fault::forever(Calls::Any, 1, Effect::Edquot));
    for _ in 0..3 {
        assert_eq!(errno(file.write_at(b"d", 0)), Some(122));
    }
    disk.clear_faults();
    file.write_at(b"e", 0).unwrap();
}

#[test]
fn a_fault_counts_only_the_calls_and_paths_it_is_about() {
    let disk = FaultDisk::new();
    disk.create_dir(p("/d")).unwrap();
    let (a, b) = (named_file(&disk, "/a"), named_file(&disk, "/d/b"));
    disk.inject(Fault::once(Calls::Mutating, 2, Effect::Eio).under("/d"));
    a.write_at(b"x", 0).unwrap();
    b.write_at(b"x", 0).unwrap();
    assert_eq!(b.len().unwrap(), 1);
    a.write_at(b"x", 0).unwrap();
    assert_eq!(errno(b.write_at(b"x", 0)), Some(5));
    disk.inject(Fault::once(Calls::Only(Op::Rename), 1, Effect::Enospc));
    b.write_at(b"x", 0).unwrap();
    assert_eq!(disk.rename(p("/a"), p("/c")).unwrap_err().raw_os_error(), Some(28));
    assert!(disk.stat(p("/a")).unwrap().is_some());
}

#[test]
fn short_and_interrupted_calls_are_finished_by_the_loops_of_the_seam() {
    for effect in [Effect::Short, Effect::Eintr, Effect::Eagain] {
        let disk = FaultDisk::new();
        let file = named_file(&disk, "/f");
        for nth in [1, 3] {
            disk.inject(Fault::once(Calls::Only(Op::Write), nth, effect));
            disk.inject(Fault::once(Calls::Only(Op::Read), nth, effect));
        }
        write_all_at(&*file, b"0123456789", 0).unwrap();
        let mut buf = [0; 10];
        read_exact_at(&*file, &mut buf, 0).unwrap();
        assert_eq!(&buf, b"0123456789", "{effect:?}");
        let writes = disk.trace().iter().filter(|call| call.op == Op::Write).count();
        assert!(writes >= 2, "{effect:?}: nothing was cut or interrupted");
    }
}

#[test]
fn a_short_call_moves_half() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.inject(Fault::forever(Calls::Any, 1, Effect::Short));
    assert_eq!(file.write_at(&[1; 10], 0).unwrap(), 5);
    assert_eq!(file.write_at(&[1; 1], 5).unwrap(), 1);
    assert_eq!(file.len().unwrap(), 6);
    assert_eq!(file.read_at(&mut [0; 4], 0).unwrap(), 2);
}

#[test]
fn a_full_volume_takes_what_fits_and_then_refuses() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.set_capacity(Some(8192));
    assert_eq!(disk.space(p("/")).unwrap().available, 8192);
    assert_eq!(file.write_at(&[1; 10_000], 0).unwrap(), 8192);
    assert_eq!(disk.space(p("/")).unwrap().available, 0);
    assert_eq!(errno(file.write_at(&[1; 1], 8192)), Some(28));
    file.write_at(&[2; 8192], 0).unwrap();
    disk.set_capacity(Some(3 * 4096));
    file.write_at(&[1; 1], 8192).unwrap();
    disk.remove_file(p("/f")).unwrap();
    assert_eq!(disk.space(p("/")).unwrap().available, 3 * 4096);
}

#[test]
fn a_hole_has_no_room_until_it_is_filled() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    disk.set_capacity(Some(4096));
    file.set_len(3 * 4096).unwrap();
    file.write_at(&[0; 4096], 4096).unwrap();
    assert_eq!(errno(file.write_at(&[0; 1], 0)), Some(28));
    assert_eq!(disk.crash(&Crash::Kill).space(p("/")).unwrap().available, 0, "written zeros count");
}

#[test]
fn a_wild_offset_is_an_error() {
    let file = named_file(&FaultDisk::new(), "/f");
    assert_eq!(errno(file.write_at(b"x", u64::MAX)), Some(27));
    assert_eq!(file.set_len(1 << 40).unwrap_err().raw_os_error(), Some(27));
}

#[test]
fn every_call_is_counted_and_traced_with_its_outcome() {
    let disk = FaultDisk::new();
    let file = named_file(&disk, "/f");
    file.write_at(b"abc", 7).unwrap();
    disk.open(p("/no"), Open::Read).unwrap_err();
    let trace: Vec<String> = disk.trace().iter().map(ToString::to_string).collect();
    assert_eq!(
        trace,
        ["#1 Create /f", "#2 SyncDir /", "#3 Write /f offset=7 len=3", "#4 Open /no errno=0"]
    );
    assert_eq!(disk.calls(), 4);
}

#[test]
fn the_same_run_has_the_same_trace_and_another_run_another() {
    let run = |seed| {
        let disk = FaultDisk::new();
        let file = named_file(&disk, "/f");
        let mut rng = base::rng::Rng::new(seed);
        disk.inject(Fault::once(Calls::Any, 1 + rng.below(20), Effect::Eio));
        for _ in 0..20 {
            _ = file.write_at(&[1; 64], rng.below(4096));
        }
        let crashed = disk.crash(&Crash::PowerLoss(sim::disk::Loss::Seeded(seed)));
        (disk.trace_hash(), crashed.content_hash())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}
