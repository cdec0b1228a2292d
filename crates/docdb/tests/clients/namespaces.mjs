// Uses namespaces by the JavaScript client of turbopuffer, as it is.
//
// Run as `node namespaces.mjs http://127.0.0.1:PORT` where the package can be found.

import assert from "node:assert/strict";

import Turbopuffer from "@turbopuffer/turbopuffer";

const baseURL = process.argv[2];
const client = new Turbopuffer({ apiKey: "none", baseURL, maxRetries: 0 });

async function refused(status, work) {
  await assert.rejects(work, (error) => error.status === status);
}

const ids = (answer) => (answer.rows ?? []).map((row) => row.id);

const notes = client.namespace("js-notes");
if (await notes.exists()) {
  await notes.deleteAll();
}
const written = await notes.write({
  upsert_rows: [
    { id: 1, vector: [0.1, 0.2], title: "Walden", year: 1854, tags: ["a"] },
    { id: "two", vector: [0.3, -0.4], title: "Emma", year: 1815 },
  ],
  distance_metric: "cosine_distance",
  schema: { title: { type: "string", full_text_search: true, filterable: true } },
});
assert.equal(written.rows_affected, 2);
assert.equal(await notes.exists(), true);
const patched = await notes.write({
  upsert_columns: { id: [3, 4], vector: [[1, 0], [0, 1]], year: [1900, 1950] },
  patch_rows: [{ id: 1, year: 1855 }],
  deletes: ["two"],
  return_affected_ids: true,
});
assert.deepEqual([patched.rows_upserted, patched.rows_patched, patched.rows_deleted], [2, 1, 1]);
assert.deepEqual(patched.deleted_ids, ["two"]);

const near = await notes.query({
  rank_by: ["vector", "ANN", [0.1, 0.2]],
  top_k: 2,
  include_attributes: ["title"],
});
assert.deepEqual(ids(near), [1, 4]);
assert.equal(near.rows[0].title, "Walden");
assert.ok(Math.abs(near.rows[0].$dist) < 1e-6);
const filtered = await notes.query({
  rank_by: ["year", "desc"],
  filters: ["And", [["year", "Gte", 1900], ["year", "Lt", 2000]]],
  limit: 5,
});
assert.deepEqual(ids(filtered), [4, 3]);
const counted = await notes.query({ aggregate_by: { n: ["Count"], sum: ["Sum", "year"] } });
assert.deepEqual(counted.aggregations, { n: 3, sum: 1855 + 1900 + 1950 });
const several = await notes.multiQuery({
  queries: [
    { rank_by: ["vector", "ANN", [0, 1]], top_k: 1 },
    { rank_by: ["year", "asc"], top_k: 2 },
  ],
});
assert.deepEqual(several.results.map(ids), [[4], [1, 3]]);

assert.equal((await notes.metadata()).approx_row_count, 3);
assert.equal((await notes.schema()).year.type, "int");
assert.equal((await notes.updateSchema({ schema: { note: "string" } })).note.type, "string");
assert.equal((await notes.hintCacheWarm()).status, "ACCEPTED");
assert.equal((await notes.recall({ num: 2, top_k: 2 })).avg_recall, 1);
assert.match((await notes.explainQuery({ rank_by: ["year", "asc"], top_k: 1 })).plan_text, /scan/);

const copy = client.namespace("js-copy");
assert.equal((await copy.copyFrom({ source_namespace: "js-notes" })).rows_affected, 3);
const names = [];
for await (const namespace of client.namespaces({ prefix: "js-", page_size: 1 })) {
  names.push(namespace.id);
}
assert.deepEqual(names, ["js-copy", "js-notes"]);
await refused(409, () => copy.copyFrom({ source_namespace: "js-notes" }));
await copy.deleteAll();
await refused(404, () => copy.metadata());
await refused(400, () => notes.write({ upsert_rows: [{ id: 5, vector: [1, 2, 3] }] }));

const packing = new Turbopuffer({ apiKey: "none", baseURL, maxRetries: 0, compression: true });
const rows = Array.from({ length: 300 }, (_, n) => ({ id: n + 10, vector: [n, 1], year: n }));
assert.equal((await packing.namespace("js-notes").write({ upsert_rows: rows })).rows_affected, 300);
await notes.deleteAll();
console.log("@turbopuffer/turbopuffer: writes, queries, copies and refusals");
