"""Uses the client that was generated from /openapi.json: every kind of request, answers checked.

Run as `exercise.py http://127.0.0.1:PORT`, with the generated package in PYTHONPATH. The documents
that it leaves in the collection `default` are what schemathesis finds there.
"""

import io
import json
import sys

from docdb_client import Client
from docdb_client.api.default import (
    backup,
    batch,
    begin_transaction,
    bulk_import,
    changes,
    checkpoint,
    commit_transaction,
    create_collection,
    create_database,
    create_document,
    database_stats,
    delete_document,
    drop_collection,
    drop_database,
    ensure_collection,
    ensure_database,
    get_document,
    get_validation,
    health,
    list_collections,
    list_databases,
    patch_document,
    put_document,
    remove_validation,
    rollback_transaction,
    root,
    scan_documents,
    set_validation,
    transaction_get_document,
    transaction_operations,
    transaction_put_document,
)
from docdb_client.models import (
    Batch,
    BatchOperation,
    BatchOperationOp,
    Error,
    NewName,
    PatchItem,
    PatchItemOp,
    PutDocumentIds,
)
from docdb_client.types import File


class Exercise:
    """One run against one server."""

    def __init__(self, address):
        self.client = Client(base_url=address, timeout=60.0)

    def ask(self, operation, *path, status=200, **arguments):
        """Makes a request; its answer must have this status, and a shape that the client knows."""
        answer = operation.sync_detailed(*path, client=self.client, **arguments)
        assert answer.status_code == status, (operation.__name__, answer)
        return answer

    def refused(self, operation, *path, status, code, **arguments):
        """Makes a request that must fail with this code."""
        answer = self.ask(operation, *path, status=status, **arguments)
        assert isinstance(answer.parsed, Error), answer
        assert answer.parsed.error.code == code, answer.parsed
        return answer

    def run(self):
        self.databases_and_collections()
        self.documents()
        self.batches()
        self.transactions()
        self.bulk_and_scans()
        self.feed()
        self.schemas()
        self.operations()
        self.ask(drop_collection, "shop", "books", force=True, status=204)
        self.ask(drop_database, "shop", status=204)
        self.refused(scan_documents, "shop", "books", status=404, code="DbNotFound")

    def databases_and_collections(self):
        assert self.ask(root).parsed.name == "docdb"
        made = self.ask(create_database, body=NewName(name="shop"), status=201).parsed
        assert (made.name, made.state) == ("shop", "open"), made
        self.refused(create_database, body=NewName(name="shop"), status=409, code="DbExists")
        self.refused(create_database, body=NewName(name="../x"), status=400, code="InvalidName")
        assert self.ask(ensure_database, "shop").parsed.uuid == made.uuid
        names = [database.name for database in self.ask(list_databases).parsed.databases]
        assert names == ["default", "shop"], names
        self.ask(create_collection, "shop", body=NewName(name="books"), status=201)
        assert self.ask(ensure_collection, "shop", "books").parsed.documents == 0
        found = self.ask(list_collections, "shop").parsed.collections
        assert [collection.name for collection in found] == ["books", "default"], found

    def documents(self):
        at = ("shop", "books", "1")
        book = {"title": "Walden", "price": 9.5, "tags": ["woods"]}
        made = self.ask(put_document, *at, body=book, status=201)
        assert (made.parsed.id, made.parsed.effect) == (1, "created"), made
        found = self.ask(get_document, *at)
        assert found.parsed == book and found.headers["etag"] == f'"{made.parsed.revision}"', found
        self.ask(get_document, *at, if_none_match=found.headers["etag"], status=304)
        self.refused(create_document, *at, body=book, status=409, code="DocExists")
        changes_ = [PatchItem(op=PatchItemOp.SET, path="/price", value=7)]
        self.ask(patch_document, *at, body=changes_, if_match=found.headers["etag"])
        self.refused(
            patch_document, *at, body=changes_, if_match=found.headers["etag"],
            status=412, code="RevisionMismatch",
        )
        assert self.ask(get_document, *at).parsed["price"] == 7
        text = self.ask(put_document, *at, body=book, ids=PutDocumentIds.TEXT, ttl_ms=3_600_000).parsed
        assert (text.id, text.id_type) == ("1", "u64"), text
        assert "docdb-expires-at" in self.ask(get_document, *at).headers
        self.ask(delete_document, *at)
        self.refused(get_document, *at, status=404, code="DocNotFound")
        for value in (True, 1.5, "text", [], {}, {"deep": [None, {"": ""}]}):
            self.ask(put_document, "shop", "books", "any", body=value, status=201)
            assert self.ask(get_document, "shop", "books", "any").parsed == value
            self.ask(delete_document, "shop", "books", "any")

    def batches(self):
        def put(id_, document, **more):
            return BatchOperation(
                op=BatchOperationOp.PUT, collection="books", id=id_, document=document, **more
            )

        done = self.ask(batch, "shop", body=Batch([put(1, {"n": 1}), put("two", {"n": 2})])).parsed
        assert [result.effect for result in done.results] == ["created", "created"], done
        assert done.lsn == max(result.revision for result in done.results), done
        refused = self.refused(
            batch, "shop", body=Batch([put(3, {}), put(1, {}, if_absent=True)]),
            status=409, code="DocExists",
        )
        assert refused.parsed.error.operation == 1, refused
        self.refused(get_document, "shop", "books", "3", status=404, code="DocNotFound")

    def transactions(self):
        number = self.ask(begin_transaction, "shop", status=201).parsed.transaction
        within = ("shop", number, "books", "1")
        self.ask(transaction_put_document, *within, body={"n": 10})
        assert self.ask(transaction_get_document, *within).parsed == {"n": 10}
        assert self.ask(get_document, "shop", "books", "1").parsed == {"n": 1}
        delete = BatchOperation(op=BatchOperationOp.DELETE, collection="books", id="two")
        self.ask(transaction_operations, "shop", number, body=Batch([delete]))
        done = self.ask(commit_transaction, "shop", number).parsed
        assert [result.effect for result in done.results] == ["replaced", "deleted"], done
        self.refused(commit_transaction, "shop", number, status=404, code="TxnNotFound")
        number = self.ask(begin_transaction, "shop", status=201).parsed.transaction
        self.ask(transaction_put_document, "shop", number, "books", "1", body={"n": 11})
        self.ask(rollback_transaction, "shop", number, status=204)
        assert self.ask(get_document, "shop", "books", "1").parsed == {"n": 10}

    def bulk_and_scans(self):
        rows = [{"id": n, "document": {"n": n, "text": "x" * n}} for n in range(100)]
        lines = "".join(json.dumps(row) + "\n" for row in rows) + "no JSON\n"
        for database, collection in (("default", "default"), ("shop", "books")):
            body = File(payload=io.BytesIO(lines.encode()))
            done = self.ask(bulk_import, database, collection, body=body).parsed
            assert (done.lines, done.refused) == (101, 1), done
            assert done.created + done.replaced == 100, done
            assert [(error.line, error.error.code) for error in done.errors] == [
                (101, "InvalidJson")
            ], done
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            given = {} if cursor is None else {"cursor": cursor}
            page = self.ask(scan_documents, "shop", "books", limit=30, **given).parsed
            found += [(one.id, one.document["n"]) for one in page.documents]
            cursor, pages = page.next_, pages + 1
        assert found == [(n, n) for n in range(100)] and pages == 4, (found, pages)
        some = self.ask(scan_documents, "shop", "books", from_="5", before="8").parsed.documents
        assert [one.id for one in some] == [5, 6, 7], some
        self.refused(
            scan_documents, "shop", "books", cursor="no cursor", status=400, code="InvalidQuery"
        )

    def feed(self):
        seen, position = [], 0
        while True:
            piece = self.ask(changes, "shop", after=position, limit=50).parsed
            if not piece.changes:
                break
            seen += [change.lsn for change in piece.changes]
            position = piece.position
        assert len(seen) > 100 and seen == sorted(set(seen)), seen
        waited = self.ask(changes, "shop", after=position, wait_ms=20).parsed
        assert waited.changes == [] and waited.position >= position, waited

    def schemas(self):
        schema = {"type": "object", "required": ["n"]}
        assert self.ask(get_validation, "shop", "books").parsed is None
        self.ask(set_validation, "shop", "books", body=schema, status=204)
        assert self.ask(get_validation, "shop", "books").parsed == schema
        self.refused(
            put_document, "shop", "books", "1", body={}, status=400, code="InvalidSchema"
        )
        self.ask(remove_validation, "shop", "books", status=204)

    def operations(self):
        assert self.ask(checkpoint, "shop").parsed.flushed >= 100
        stats = self.ask(database_stats, "shop").parsed
        assert stats.documents == 100 and stats.log.poisoned is None, stats
        saved = self.ask(backup, "shop", body=NewName(name="exercise")).parsed
        assert saved.lost_documents == 0 and saved.copied_files > 0, saved
        state = self.ask(health).parsed
        assert state.status == "ok", state


if __name__ == "__main__":
    Exercise(sys.argv[1]).run()
    print("exercise: every answer was as described")
