"""Uses namespaces by the Python client of turbopuffer, as it is: every form of write and query.

Run as `namespaces.py http://127.0.0.1:PORT`. What docdb refuses is asked for too, and must be
refused with the status that the client makes its own error of. The namespace `books` that it leaves
is what schemathesis finds there.
"""

import sys

import turbopuffer
from turbopuffer import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    Turbopuffer,
)


def check(found, expected):
    """Compares, and shows both when they differ."""
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def refused(kind, status, work):
    """Checks that `work` fails with this error."""
    try:
        work()
    except kind as error:
        check(error.status_code, status)
        return error
    raise AssertionError("it was not refused")


def ids(answer):
    return [row.id for row in answer.rows or []]


def write(client):
    """Rows, columns, patches, deletions, conditions and filters."""
    books = client.namespace("sdk-books")
    check(books.exists(), False)
    written = books.write(
        upsert_rows=[
            {"id": 1, "vector": [0.1, 0.2], "title": "Walden", "year": 1854, "tags": ["a", "b"]},
            {"id": 2, "vector": [0.3, 0.4], "title": "Emma", "year": 1815, "tags": ["b"]},
        ],
        distance_metric="cosine_distance",
        schema={
            "title": {"type": "string", "full_text_search": True, "filterable": True},
            "shelf": "uuid",
        },
    )
    check((written.status, written.rows_affected, written.rows_upserted), ("OK", 2, 2))
    check(books.exists(), True)
    written = books.write(
        upsert_columns={
            "id": [3, "four"],
            "vector": [[0.5, -0.5], [0.0, 1.0]],
            "title": ["Faust", None],
            "year": [1808, 1900],
        },
    )
    check(written.rows_upserted, 2)
    written = books.write(
        patch_rows=[{"id": 1, "year": 1855}, {"id": 404, "year": 1}],
        deletes=[2],
        return_affected_ids=True,
    )
    check((written.rows_patched, written.rows_deleted), (1, 1))
    check((written.patched_ids, written.deleted_ids), ([1], [2]))
    written = books.write(patch_columns={"id": [3], "pages": [500]})
    check(written.rows_patched, 1)
    written = books.write(
        upsert_rows=[{"id": 1, "vector": [1.0, 0.0], "year": 1800}],
        upsert_condition=("year", "Lt", {"$ref_new": "year"}),
    )
    check(written.rows_affected, 0)
    written = books.write(
        patch_by_filter={"filters": ("year", "Gte", 1850), "patch": {"old": False}},
    )
    check((written.rows_patched, written.rows_remaining), (2, False))
    written = books.write(
        delete_by_filter=("And", (("old", "Eq", False), ("title", "Eq", None))),
        delete_by_filter_allow_partial=True,
    )
    check(written.rows_deleted, 1)
    written = books.write(deletes=[3], delete_condition=("year", "Eq", 1))
    check(written.rows_affected, 0)
    return books


def query(books):
    """Every form of query that docdb answers."""
    near = books.query(
        rank_by=("vector", "ANN", [0.1, 0.2]), top_k=10, include_attributes=["title", "vector"]
    )
    check(ids(near), [1, 3])
    first = near.rows[0]
    check(first.title, "Walden")
    check([round(float(x), 6) for x in first.vector], [0.1, 0.2])
    assert abs(first["$dist"]) < 1e-6, first
    packed = books.query(
        rank_by=("vector", "kNN", [0.1, 0.2]),
        filters=("id", "Eq", 1),
        top_k=1,
        include_attributes=["vector"],
        vector_encoding="base64",
    )
    check(len(packed.rows), 1)
    orders = [
        (("year", "asc"), [3, 1]),
        (("year", "desc"), [1, 3]),
        ([("old", "asc"), ("year", "desc")], [1, 3]),
        (("Sum", [("Attribute", "year"), ("Product", 1000, ("title", "Eq", "Faust"))]), [3, 1]),
        (("Saturate", ("Attribute", "year"), {"midpoint": 1000}), [1, 3]),
        (("Decay", ("Dist", ("Attribute", "year"), 1808), {"midpoint": 10}), [3, 1]),
    ]
    for rank_by, expected in orders:
        check(ids(books.query(rank_by=rank_by, top_k=5)), expected)
    filters = [
        (("title", "Eq", "Walden"), [1]),
        (("title", "NotEq", "Walden"), [3]),
        (("title", "In", ["Walden", "Faust"]), [1, 3]),
        (("title", "Glob", "F*"), [3]),
        (("title", "IGlob", "w*"), [1]),
        (("title", "Regex", "^W.*n$"), [1]),
        (("title", "Fuzzy", "Waldan"), [1]),
        (("tags", "Contains", "a"), [1]),
        (("tags", "ContainsAny", ["a", "z"]), [1]),
        (("pages", "Gt", 1), [3]),
        (("pages", "Eq", None), [1]),
        (("Not", ("pages", "Eq", None)), [3]),
        (("Or", (("year", "Lt", 1810), ("year", "Gte", 1855))), [1, 3]),
    ]
    for filters, expected in filters:
        check(sorted(ids(books.query(filters=filters, rank_by=("id", "asc"), top_k=9))), expected)
    words = [
        (("title", "BM25", "walden of the woods"), [1]),
        (("title", "BM25", "fau", {"last_as_prefix": True}), [3]),
        (("Sum", [("title", "BM25", "walden"), ("Product", 2, ("title", "BM25", "faust"))]), [3, 1]),
        (("Max", [("title", "BM25", "faust"), ("Product", 3, ("title", "BM25", "walden"))]), [1, 3]),
    ]
    for rank_by, expected in words:
        found = books.query(rank_by=rank_by, top_k=5)
        check(ids(found), expected)
        assert found.rows[0]["$dist"] > 0, found
    tokens = [
        (("title", "ContainsAllTokens", "WALDEN"), [1]),
        (("title", "ContainsAllTokens", "walden faust"), []),
        (("title", "ContainsAnyToken", "walden faust"), [1, 3]),
        (("title", "ContainsTokenSequence", "faust"), [3]),
    ]
    for filters, expected in tokens:
        check(ids(books.query(filters=filters, rank_by=("id", "asc"), top_k=9)), expected)
    hybrid = books.multi_query(
        queries=[
            {"rank_by": ("vector", "ANN", [0.1, 0.2]), "top_k": 2},
            {"rank_by": ("title", "BM25", "faust"), "top_k": 2},
        ],
        rerank_by=("RRF",),
        limit=2,
    )
    rows = getattr(hybrid, "rows", None) or hybrid.results[0].rows
    check([row["id"] if isinstance(row, dict) else row.id for row in rows], [3, 1])
    counted = books.query(aggregate_by={"n": ("Count",), "sum": ("Sum", "year")})
    check(counted.aggregations, {"n": 2, "sum": 1855 + 1808})
    groups = books.query(aggregate_by={"n": ("Count",)}, group_by=["title"])
    found = [(group["title"], group["n"]) for group in groups.aggregation_groups]
    check(found, [("Faust", 1), ("Walden", 1)])
    limited = books.query(
        rank_by=("year", "asc"), limit={"total": 9, "per": {"attributes": ["title"], "limit": 1}}
    )
    check(ids(limited), [3, 1])
    eventual = books.query(
        rank_by=("year", "asc"),
        top_k=1,
        consistency={"level": "eventual"},
        exclude_attributes=["vector"],
    )
    check((ids(eventual), eventual.rows[0].year), ([3], 1808))
    queries = [
        {"rank_by": ("vector", "ANN", [0.1, 0.2]), "top_k": 2},
        {"rank_by": ("year", "asc"), "top_k": 1, "include_attributes": ["year"]},
    ]
    several = books.multi_query(queries=queries)
    check([ids(result) for result in several.results], [[1, 3], [3]])
    fused = books.multi_query(queries=queries, rerank_by=("RRF",), limit=1)
    rows = getattr(fused, "rows", None) or fused.results[0].rows
    check([row["id"] if isinstance(row, dict) else row.id for row in rows], [3])
    plan = books.explain_query(rank_by=("year", "asc"), top_k=1)
    assert "scan" in plan.plan_text, plan


def describe(client, books):
    """What a namespace says of itself, copies, and the list."""
    metadata = books.metadata()
    check((metadata.approx_row_count, metadata.index.status), (2, "up-to-date"))
    schema = books.schema()
    check(schema["year"].type, "int")
    schema = books.update_schema(schema={"note": {"type": "string", "filterable": False}})
    check(schema["note"].filterable, False)
    check(books.hint_cache_warm().status, "ACCEPTED")
    recall = books.recall(num=2, top_k=2)
    check((recall.avg_recall, recall.avg_ann_count), (1.0, 2.0))
    books.update_metadata(read_only=False)
    copy = client.namespace("sdk-copy")
    check(copy.copy_from(source_namespace="sdk-books").rows_affected, 2)
    branch = client.namespace("sdk-branch")
    check(branch.branch_from(source_namespace="sdk-copy").rows_affected, 2)
    copy.write(deletes=[1])
    check((copy.metadata().approx_row_count, branch.metadata().approx_row_count), (1, 2))
    names = [namespace.id for namespace in client.namespaces(prefix="sdk-", page_size=2)]
    check(names, ["sdk-books", "sdk-branch", "sdk-copy"])
    refused(ConflictError, 409, lambda: copy.copy_from(source_namespace="sdk-books"))
    for namespace in (copy, branch):
        check(namespace.delete_all().status, "OK")
    check(copy.exists(), False)


def refusals(client, books):
    """Errors, as the client names them."""
    missing = client.namespace("sdk-missing")
    refused(NotFoundError, 404, missing.metadata)
    refused(NotFoundError, 404, lambda: missing.query(rank_by=("a", "asc"), top_k=1))
    refused(NotFoundError, 404, missing.delete_all)
    bad = [
        lambda: books.write(upsert_rows=[{"id": 9, "vector": [1.0, 2.0, 3.0]}]),
        lambda: books.write(upsert_rows=[{"id": 9, "year": "long ago"}]),
        lambda: books.query(rank_by=("vector", "ANN", [1.0]), top_k=1),
        lambda: books.query(filters=("gone", "Eq", 1), rank_by=("id", "asc"), top_k=1),
        lambda: books.query(rank_by=("tokens", "SparseKNN", {"a": 1.0}), top_k=1),
        lambda: books.update_metadata(pinning=True),
    ]
    for work in bad:
        refused(BadRequestError, 400, work)
    check(books.metadata().approx_row_count, 2)


def large(url):
    """Bodies that the client compresses."""
    client = Turbopuffer(api_key="none", base_url=url, compression=True, max_retries=0)
    namespace = client.namespace("sdk-large")
    rows = [{"id": n, "vector": [float(n), 1.0], "n": n, "text": "word " * 20} for n in range(500)]
    written = namespace.write(upsert_rows=rows, distance_metric="euclidean_squared")
    check(written.rows_affected, 500)
    answer = namespace.query(rank_by=("n", "desc"), top_k=300, include_attributes=True)
    check((len(answer.rows), answer.rows[0].id), (300, 499))
    check(namespace.delete_all().status, "OK")


def main(url):
    client = Turbopuffer(api_key="none", base_url=url, max_retries=0)
    for name in ("sdk-books", "sdk-copy", "sdk-branch", "sdk-large"):
        try:
            client.namespace(name).delete_all()
        except NotFoundError:
            pass
    books = write(client)
    query(books)
    describe(client, books)
    refusals(client, books)
    large(url)
    check(books.delete_all().status, "OK")
    rows = [{"id": n, "vector": [float(n), 1.0], "title": f"title {n}"} for n in range(10)]
    client.namespace("books").write(upsert_rows=rows, distance_metric="cosine_distance")
    print(f"turbopuffer {turbopuffer.__version__}: writes, queries, copies and refusals")


if __name__ == "__main__":
    main(sys.argv[1])
