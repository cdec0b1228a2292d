//! What the server finds wrong with itself, on real databases and a real disk.

use docdb::alerts::{Condition, Look, Subject};

use super::world::World;

fn conditions(world: &World) -> Vec<Condition> {
    let look = Look::at(&world.engine.health());
    // How full the disk of the machine is says nothing of the server.
    let of_server = |condition: &Condition| *condition != Condition::DiskNearlyFull;
    look.found.iter().map(|finding| finding.subject.condition).filter(of_server).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test damages files itself")]
fn a_database_that_cannot_be_opened_is_found_until_it_can_be() {
    let world = World::new();
    world.json("PUT", "/v1/databases/shop", "");
    let name = base::words::Name::new("shop").unwrap();
    let served = world.engine.database(&name).unwrap();
    assert_eq!(conditions(&world), []);
    world.engine.close_database(&served).unwrap();
    let closed = Look::at(&world.engine.health());
    let subject = Subject::of(Condition::DatabaseDamaged, "shop");
    assert!(closed.unknown.contains(&subject), "a closed database says nothing");

    let dir = std::fs::read_dir(&world.data).unwrap().map(|entry| entry.unwrap().path());
    let dir = dir.filter(|path| path.display().to_string().ends_with(&served.id().to_string()));
    let slots = std::fs::read_dir(dir.last().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let good: Vec<_> = slots
        .filter(|path| path.display().to_string().contains("MANIFEST"))
        .map(|path| (std::fs::read(&path).unwrap(), path))
        .collect();
    assert!(!good.is_empty());
    for (_, slot) in &good {
        std::fs::write(slot, b"damaged").unwrap();
    }
    let stats = "/v1/databases/shop/stats";
    assert!(world.ask("GET", stats, "").status >= 500);
    let look = Look::at(&world.engine.health());
    let found = look.found.iter().find(|finding| finding.subject == subject).unwrap();
    assert!(found.code.is_some() && found.message.contains("cannot be opened"), "{found:?}");

    for (bytes, slot) in good {
        std::fs::write(slot, bytes).unwrap();
    }
    world.engine.try_again(&served);
    assert_eq!(world.ask("GET", stats, "").status, 200);
    assert_eq!(conditions(&world), []);
    assert!(!Look::at(&world.engine.health()).unknown.contains(&subject));
}
