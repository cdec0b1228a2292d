//! What a database is to those who hold on to it while it is closed, dropped and made again.

use std::sync::mpsc::{Receiver, SyncSender};

use super::*;

impl World {
    fn made(&self, database: &str) -> Arc<Served> {
        let made = name(database);
        ask(|reply| self.engine.change_server(reply, move |e| e.create_database(&made))).unwrap()
    }

    /// Begins work on a database that waits in the middle of it until it is told to go on. Answers how it went.
    fn at_work(&self, served: &Arc<Served>) -> (SyncSender<()>, Receiver<Result<bool>>) {
        let (begin, begun) = sync_channel(1);
        let (go_on, may_go_on) = sync_channel::<()>(1);
        let (tell, told) = sync_channel(1);
        let reply = Reply::new(move |result| tell.send(result).expect("somebody listens"));
        self.engine.work(served, 0, How::default(), reply, move |database| {
            begin.send(()).expect("somebody waits");
            may_go_on.recv_timeout(PATIENCE).expect("it is told to go on");
            Ok(database.get(database.collection(&name("default"))?, &DocId::U64(1))?.is_some())
        });
        begun.recv_timeout(PATIENCE).expect("it begins");
        (go_on, told)
    }

    /// Waits for something that another thread is about to do.
    fn until(&self, is_so: impl Fn() -> bool) {
        let late = self.engine.clock().now().after(PATIENCE);
        while !is_so() {
            assert!(self.engine.clock().now() < late, "it never happens");
            std::thread::yield_now();
        }
    }

    /// Closes a database as idle: whoever was answered may be about to leave it.
    pub(super) fn until_closed(&self, served: &Arc<Served>) {
        self.until(|| {
            self.engine.close_if_idle(served, Duration::ZERO);
            served.condition() == Condition::Closed
        });
    }

    fn page(&self, served: &Arc<Served>, cursor: Option<Box<str>>) -> Result<ScanPage> {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        let scan = Scan { collection: name("default"), from, to, limit: 1, cursor };
        ask(|reply| self.engine.scan(served, scan, How::default(), reply))
    }
}

#[test]
fn what_is_asked_of_a_database_never_befalls_another_of_the_same_name() {
    let world = world(|_| {});
    let old = world.made("shop");
    world.engine.drop_database(&old).unwrap();
    let new = world.made("shop");
    world.execute("shop", vec![upsert(1, "1")], Together::Atomic).unwrap();
    assert_eq!(code(world.engine.drop_database(&old)).unwrap().0, Code::DbNotFound);
    world.engine.close_if_idle(&old, Duration::ZERO);
    world.engine.close_database(&old).unwrap();
    assert_eq!(new.condition(), Condition::Open);
    assert_eq!(world.get("shop", 1).unwrap(), "1");
    let opened = ask(|reply| world.engine.open_database(&old, How::default(), reply));
    assert_eq!(code(opened).unwrap().0, Code::DbNotFound);
    assert!(Arc::ptr_eq(&world.served("shop"), &new));
}

#[test]
fn a_database_is_not_closed_under_the_hands_of_those_who_work_on_it() {
    let world = world(|options| options.databases_open_max = 1);
    let other = world.made("other");
    let served = world.served("default");
    world.execute("default", vec![upsert(1, "1")], Together::Atomic).unwrap();
    let (go_on, told) = world.at_work(&served);
    world.engine.close_if_idle(&served, Duration::ZERO);
    assert_eq!(served.condition(), Condition::Open, "somebody uses it");
    // Another is asked for, and there is room for one only.
    let (tell, opened) = sync_channel(1);
    let reply = Reply::new(move |result| tell.send(result).expect("somebody listens"));
    world.engine.open_database(&other, How::default(), reply);
    world.until(|| served.condition() != Condition::Open);
    go_on.send(()).unwrap();
    assert!(told.recv_timeout(PATIENCE).unwrap().unwrap(), "the work has found its document");
    opened.recv_timeout(PATIENCE).unwrap().unwrap();
    // Whoever comes now waits until it is open again.
    assert_eq!(world.get("default", 1).unwrap(), "1");
}

#[test]
fn a_database_that_is_dropped_is_not_found_by_those_who_were_working_on_it() {
    let world = world(|_| {});
    let served = world.made("shop");
    world.execute("shop", vec![upsert(1, "1")], Together::Atomic).unwrap();
    let (begin, begun) = sync_channel(1);
    let (go_on, may_go_on) = sync_channel::<()>(1);
    let (tell, told) = sync_channel(1);
    let reply = Reply::new(move |result: Result<()>| tell.send(result).expect("somebody listens"));
    world.engine.operate(&served, reply, move |database| {
        begin.send(()).expect("somebody waits");
        may_go_on.recv_timeout(PATIENCE).expect("it is told to go on");
        Ok(database.checkpoint().map(drop)?)
    });
    begun.recv_timeout(PATIENCE).unwrap();
    world.engine.drop_database(&served).unwrap();
    go_on.send(()).unwrap();
    let late = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(code(late).unwrap().0, Code::DbNotFound);
    let read = op(1, OpKind::Read);
    let late = ask(|reply| {
        world.engine.execute(&served, vec![read], Together::Atomic, How::default(), reply);
    });
    assert_eq!(code(late).unwrap().0, Code::DbNotFound);
}

#[test]
fn a_scan_goes_on_where_it_was_though_its_database_is_idle() {
    let world = world(|_| {});
    let served = world.served("default");
    world.execute("default", vec![upsert(1, "1"), upsert(2, "2")], Together::Atomic).unwrap();
    let first = world.page(&served, None).unwrap();
    world.engine.close_if_idle(&served, Duration::ZERO);
    assert_eq!(served.condition(), Condition::Open, "a scan may come back to it");
    let second = world.page(&served, first.next).unwrap();
    assert_eq!(second.documents[0].0, DocId::U64(2));
    let mut next = second.next;
    while next.is_some() {
        next = world.page(&served, next).unwrap().next;
    }
    // Nobody has anything to come back for.
    world.until_closed(&served);
}

#[test]
fn room_is_made_where_no_scan_is_lost_and_a_lost_one_is_told_so() {
    let world = world(|options| options.databases_open_max = 2);
    let [a, b] = ["a", "b"].map(|database| world.made(database));
    let mut cursors = Vec::new();
    for database in ["a", "b"] {
        let ops = vec![upsert(1, "1"), upsert(2, "2")];
        world.execute(database, ops, Together::Atomic).unwrap();
        if database == "a" {
            cursors.push(world.page(&a, None).unwrap().next);
        }
    }
    // `a` is the one that is unused for longest.
    let c = world.made("c");
    assert_eq!((a.condition(), b.condition()), (Condition::Open, Condition::Closed));
    world.execute("c", vec![upsert(1, "1"), upsert(2, "2")], Together::Atomic).unwrap();
    cursors.push(world.page(&c, None).unwrap().next);
    // Both that are open have a scan now: one of them has to go.
    assert_eq!(world.get("b", 1).unwrap(), "1");
    assert_eq!(a.condition(), Condition::Closed);
    let lost = world.page(&a, cursors.remove(0));
    assert_eq!(code(lost).unwrap().0, Code::SnapshotExpired);
}

#[test]
fn a_cursor_of_before_is_never_taken_for_one_of_now() {
    let world = world(|_| {});
    let served = world.served("default");
    world.execute("default", vec![upsert(1, "1"), upsert(2, "2")], Together::Atomic).unwrap();
    let before = world.page(&served, None).unwrap().next;
    world.engine.close_database(&served).unwrap();
    let now = world.page(&served, None).unwrap().next;
    assert!(now.is_some() && before.is_some());
    let lost = world.page(&served, before);
    assert_eq!(code(lost).unwrap().0, Code::SnapshotExpired);
    assert!(world.page(&served, now).is_ok());
}
