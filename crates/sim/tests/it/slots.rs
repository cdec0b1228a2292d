//! The slots of [`base::slots`] under crashes and failed syncs, which their own crate cannot make.

use std::path::Path;

use base::slots::{Kind, SlotError, Slots};
use sim::disk::{Calls, Crash, Effect, Fault, FaultDisk, Loss};

const KIND: Kind = Kind { magic: *b"TESTSLOT", version: 1 };

fn open(disk: &FaultDisk) -> Result<(Slots, Vec<u8>), SlotError> {
    Slots::open(&disk.shared(), Path::new("/value"), KIND)
}

/// Starts a process that opens the value while its `nth` sync fails, if there are so many.
fn opened_with_a_failing_sync(disk: &FaultDisk, nth: u64) -> FaultDisk {
    let disk = disk.crash(&Crash::Kill);
    disk.inject(Fault::once(Calls::Syncs, nth, Effect::Eio));
    drop(open(&disk));
    disk
}

#[test]
fn however_often_opening_fails_the_value_survives_power_loss() {
    for failing in 1..=3 {
        for last in 1..=4 {
            for stores in 0..4u8 {
                let mut disk = FaultDisk::new();
                let created = Slots::create(&disk.shared(), Path::new("/value"), KIND, &[0]);
                let mut slots = created.expect("a disk without faults");
                for value in 1..=stores {
                    slots.store(&[value]).expect("a disk without faults");
                }
                for round in 0..5 {
                    disk = opened_with_a_failing_sync(&disk, failing);
                    for seed in 0..64 {
                        let after = disk.crash(&Crash::PowerLoss(Loss::Seeded(seed)));
                        let (_, value) = open(&after).expect("one copy is durable");
                        assert_eq!(value, [stores], "sync {failing} failed {round} times");
                    }
                }
                disk = opened_with_a_failing_sync(&disk, last);
                let after = disk.crash(&Crash::PowerLoss(Loss::Everything));
                assert_eq!(open(&after).expect("one copy is durable").1, [stores]);
            }
        }
    }
}

#[test]
fn a_value_that_was_served_after_a_failed_store_stays() {
    for again in 1..=3 {
        let disk = FaultDisk::new();
        let created = Slots::create(&disk.shared(), Path::new("/value"), KIND, b"one");
        let mut slots = created.expect("a disk without faults");
        slots.store(b"two").expect("a disk without faults");
        disk.inject(Fault::once(Calls::Syncs, 1, Effect::Eio));
        slots.store(b"three").expect_err("its sync failed");
        let disk = disk.crash(&Crash::Kill);
        let (_, served) = open(&disk).expect("a disk without faults");
        let disk = opened_with_a_failing_sync(&disk, again);
        for seed in 0..64 {
            let after = disk.crash(&Crash::PowerLoss(Loss::Seeded(seed)));
            assert_eq!(open(&after).expect("one copy is durable").1, served);
        }
    }
}
