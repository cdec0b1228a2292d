//! Makes an index of rows most of which another index has: its centroids and codes are kept where they still fit.
//!
//! A merge of segments writes all rows again, but learns little that is new of them. So the centroids of the largest
//! input stay; the rows of the others go to the nearest of them. Where that makes a cluster too large it is split, where
//! too little was left it is dissolved, and then only rows that this may concern are looked at again: those of the
//! clusters split or dissolved, and, about a cluster that was split, the rows of its neighbours, which may be
//! nearer to one of its halves than to their own centroid (Xu and others, "SPFresh: Incremental In-Place Update
//! for Billion-Scale Vector Search", SOSP 2023: the rule of LIRE, here applied when a new file is written). The codes of a
//! row that stays with its centroid are copied.
//!
//! What has changed since the recall was measured is counted, and it is measured again when that is a tenth of the
//! rows. Where the other index is of no use, an index is built as if there were none.
//!
//! The result depends on the rows, the other index, the options and the seed alone.

use base::rng::Rng;
use base::workers::parallel;

use super::VectorIndex;
use super::build::{self, Build, CLUSTER_ROWS, Encoding, Options, SEED_OF_BUILDS};
use super::code::Encoder;
use super::error::VectorError;
use super::index::Index;
use super::kmeans::Means;
use super::list::{Builder, List};
use super::source::Rows;

/// The number of a row that the new index does not have.
pub const GONE: u32 = u32::MAX;
/// A row without a cluster yet.
const NOWHERE: u32 = u32::MAX;
/// A cluster is split when it has more than so many times the rows that one should have.
const SPLIT_OVER: usize = 2;
/// A cluster is dissolved when it has less than this part of the rows that one should have.
const DISSOLVE_UNDER: usize = 4;
/// Clusters about one that was split whose rows are looked at again.
const NEIGHBOURS: usize = 32;
/// Rows in a unit of work of a thread.
const PART: usize = 1024;
/// The recall is measured again when this part of the rows has changed since it was.
const CALIBRATED_PART: usize = 10;

/// An index whose rows, or some of them, are to be in the new one.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// The index.
    pub index: &'a VectorIndex,
    /// The new number of each of its rows, ascending; [`GONE`] for one that the new index does not have.
    pub numbers: &'a [u32],
}

/// What a merge came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows whose codes were copied.
    pub copied: usize,
    /// Rows that were encoded.
    pub encoded: usize,
    /// Clusters that were split.
    pub split: usize,
    /// Clusters that were dissolved.
    pub dissolved: usize,
    /// Whether the recall was measured again.
    pub calibrated: bool,
}

/// The clusters of the new index.
#[derive(Debug)]
struct Clusters {
    /// Where each is, rotated.
    centroids: Vec<f32>,
    /// The number in the other index of each that was kept.
    from: Vec<Option<u32>>,
    /// The cluster of each row.
    assigned: Vec<u32>,
}

/// Merges; see [`VectorIndex::merge`].
pub(crate) fn merge(
    options: &Options,
    kept: Kept<'_>,
    rows: Rows<'_>,
) -> Result<(VectorIndex, Changes), VectorError> {
    check(&kept, rows)?;
    let stay = kept.numbers.iter().filter(|number| **number != GONE).count();
    if !is_of_use(options, kept.index, rows, stay) {
        let index = build::build(options, rows)?;
        let (encoded, calibrated) = (rows.len(), true);
        return Ok((index, Changes { encoded, calibrated, ..Changes::default() }));
    }
    let index = &kept.index.index;
    let build = Build {
        rows,
        metric: options.metric,
        kernels: options.kernels,
        threads: options.threads.max(1),
        shape: index.shape,
        rotation: index.rotation.clone(),
    };
    let means = Means { kernels: build.kernels, threads: build.threads, dims: index.shape.dims };
    let target = options.clusters.map_or(CLUSTER_ROWS, |clusters| rows.len().div_ceil(clusters));
    let merge = Merge { build: &build, means, kept, target, seed: options.seed };
    let (clusters, mut changes) = merge.clusters()?;
    let lists = merge.lists(&clusters);
    let copied: usize = lists.iter().map(|(_, copied)| copied).sum();
    changes.copied = copied;
    changes.encoded = rows.len() - copied;
    let lists: Vec<List> = lists.into_iter().map(|(list, _)| list).collect();
    let mut made = build.index(index.seed, &clusters.centroids, &lists);
    let changed = (kept.numbers.len() - stay) + (rows.len() - stay) + index.uncalibrated as usize;
    changes.calibrated = changed.saturating_mul(CALIBRATED_PART) > rows.len();
    if changes.calibrated {
        let mut rng = Rng::new(options.seed ^ SEED_OF_BUILDS);
        made.calibration = build::calibrate(&made, &lists, rows, build.threads, &mut rng)?;
    } else {
        made.calibration = index.calibration.clone();
        made.uncalibrated = u32::try_from(changed).unwrap_or(u32::MAX);
    }
    Ok((VectorIndex::new(made, clusters.centroids, lists), changes))
}

/// Whether the numbers are such as [`Kept::numbers`] says.
fn check(kept: &Kept<'_>, rows: Rows<'_>) -> Result<(), VectorError> {
    let (wanted, found) = (kept.index.len(), kept.numbers.len());
    if wanted != found {
        let (what, min, max) = ("numbers of rows", wanted, wanted);
        return Err(VectorError::OutOfRange { what, min, max, found });
    }
    let mut least = 0;
    for &number in kept.numbers.iter().filter(|number| **number != GONE) {
        let (found, max) = (number as usize, rows.len().saturating_sub(1));
        if found < least || found > max || rows.is_empty() {
            return Err(VectorError::OutOfRange { what: "a row's number", min: least, max, found });
        }
        least = found + 1;
    }
    Ok(())
}

/// Whether the new index should be like the other one, and have most of its rows from there.
fn is_of_use(options: &Options, other: &VectorIndex, rows: Rows<'_>, stay: usize) -> bool {
    let Index { metric, shape, rotation, .. } = &other.index;
    let extra_bits = options.extra_bits.unwrap_or_else(|| build::extra_bits_for(rows.dims()));
    let clusters = options.clusters.unwrap_or_else(|| build::clusters_for(rows.len()));
    *metric == options.metric
        && rotation.dims() == rows.dims()
        && shape.extra_bits == extra_bits
        && (clusters == 1) == (other.clusters() == 1)
        && stay * 2 >= rows.len()
        && stay > 0
}

/// A merge under way.
struct Merge<'a> {
    build: &'a Build<'a>,
    means: Means,
    kept: Kept<'a>,
    /// Rows that a cluster should have.
    target: usize,
    seed: u64,
}

impl Merge<'_> {
    fn centroids(&self) -> &[f32] {
        &self.kept.index.centroids
    }

    fn centroid(&self, cluster: usize) -> &[f32] {
        let dims = self.means.dims;
        &self.centroids()[cluster * dims..(cluster + 1) * dims]
    }

    /// The clusters of the new index, and which of the other one are not among them.
    fn clusters(&self) -> Result<(Clusters, Changes), VectorError> {
        let (assigned, changed) = self.first_clusters()?;
        let count = self.kept.index.clusters();
        if count == 1 {
            let centroids = self.centroids().to_vec();
            return Ok((Clusters { centroids, from: vec![Some(0)], assigned }, Changes::default()));
        }
        let members = build::members(&assigned, count);
        let split: Vec<usize> = (0..count)
            .filter(|&cluster| {
                changed[cluster] && members[cluster].len() > SPLIT_OVER * self.target
            })
            .collect();
        let mut dissolved: Vec<usize> = (0..count)
            .filter(|&cluster| {
                changed[cluster] && members[cluster].len() * DISSOLVE_UNDER < self.target
            })
            .collect();
        // Some centroid has to be left.
        dissolved.truncate(count - 1 - split.len().min(count - 1));
        let halves = self.halves(&split, &members);
        let clusters = self.settle(assigned, &members, (&split, &dissolved), &halves);
        let (split, dissolved) = (split.len(), dissolved.len());
        Ok((clusters, Changes { split, dissolved, ..Changes::default() }))
    }

    /// The cluster of the other index that each row belongs to, and which of these came by rows or lost some.
    fn first_clusters(&self) -> Result<(Vec<u32>, Vec<bool>), VectorError> {
        let lists = &self.kept.index.lists;
        let mut assigned = vec![NOWHERE; self.build.rows.len()];
        let mut changed = vec![false; lists.len()];
        for (cluster, list) in (0_u32..).zip(lists) {
            for number in list.numbers() {
                match self.kept.numbers[number as usize] {
                    GONE => changed[cluster as usize] = true,
                    number => assigned[number as usize] = cluster,
                }
            }
        }
        let others: Vec<u32> = (0_u32..)
            .zip(&assigned)
            .filter(|(_, cluster)| **cluster == NOWHERE)
            .map(|(row, _)| row)
            .collect();
        let mut space = vec![0.0; self.build.rows.dims()];
        others.iter().try_for_each(|row| self.build.check_row(*row, &mut space))?;
        for (&row, cluster) in others.iter().zip(self.nearest(self.centroids(), &others)) {
            assigned[row as usize] = cluster;
            changed[cluster as usize] = true;
        }
        Ok((assigned, changed))
    }

    /// The nearest of some centroids to each of some rows.
    fn nearest(&self, centroids: &[f32], rows: &[u32]) -> Vec<u32> {
        let tree = self.means.tree(centroids);
        let parts: Vec<&[u32]> = rows.chunks(PART).collect();
        parallel::map("vector-assign", self.build.threads, parts.len(), |part| {
            tree.assign_part(self.means, &self.build.rotated_rows(parts[part]))
        })
        .concat()
    }

    /// The centroids that each cluster which is split makes way for.
    fn halves(&self, split: &[usize], members: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let alone = Means { threads: 1, ..self.means };
        parallel::map("vector-split", self.build.threads, split.len(), |at| {
            let rows = &members[split[at]];
            let count = rows.len().div_ceil(self.target);
            alone.train(&self.build.rotated_rows(rows), count, self.seed ^ split[at] as u64)
        })
    }

    /// Puts every row that a split or a dissolution may concern where it belongs now.
    fn settle(
        &self,
        mut assigned: Vec<u32>,
        members: &[Vec<u32>],
        (split, dissolved): (&[usize], &[usize]),
        halves: &[Vec<f32>],
    ) -> Clusters {
        let dims = self.means.dims;
        let count = members.len();
        let mut stays = vec![true; count];
        for &cluster in split.iter().chain(dissolved) {
            stays[cluster] = false;
        }
        let from: Vec<usize> = (0..count).filter(|cluster| stays[*cluster]).collect();
        let mut centroids: Vec<f32> =
            from.iter().flat_map(|cluster| self.centroid(*cluster)).copied().collect();
        // What a cluster is called now.
        let mut numbers = vec![NOWHERE; count];
        for (number, &cluster) in (0_u32..).zip(&from) {
            numbers[cluster] = number;
        }
        let near = self.near(split, &stays);
        let mut beside: Vec<Vec<u32>> = vec![Vec::new(); count];
        for (halves, near) in halves.iter().zip(&near) {
            let first = number(centroids.len() / dims);
            let more = number(halves.len() / dims);
            for &cluster in near {
                beside[cluster].extend(first..first + more);
            }
            centroids.extend_from_slice(halves);
        }
        for cluster in &mut assigned {
            *cluster = numbers[*cluster as usize];
        }
        let homeless: Vec<u32> = (0_u32..)
            .zip(&assigned)
            .filter(|(_, cluster)| **cluster == NOWHERE)
            .map(|(row, _)| row)
            .collect();
        for (row, cluster) in homeless.iter().zip(self.nearest(&centroids, &homeless)) {
            assigned[*row as usize] = cluster;
        }
        for (row, cluster) in self.moved(&from, members, &beside, &centroids) {
            assigned[row as usize] = cluster;
        }
        let mut from: Vec<Option<u32>> = from.into_iter().map(|from| Some(number(from))).collect();
        from.resize(centroids.len() / dims, None);
        Clusters { centroids, from, assigned }
    }

    /// The clusters that stay and are nearest to each that is split.
    fn near(&self, split: &[usize], stays: &[bool]) -> Vec<Vec<usize>> {
        parallel::map("vector-near", self.build.threads, split.len(), |at| {
            let here = self.centroid(split[at]);
            let mut near: Vec<(f32, usize)> = (0..stays.len())
                .filter(|cluster| stays[*cluster])
                .map(|cluster| {
                    let there = self.centroid(cluster);
                    let kernels = self.build.kernels;
                    (kernels.dot(there, there) - 2.0 * kernels.dot(here, there), cluster)
                })
                .collect();
            let order =
                |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if near.len() > NEIGHBOURS {
                near.select_nth_unstable_by(NEIGHBOURS - 1, order);
                near.truncate(NEIGHBOURS);
            }
            near.into_iter().map(|(_, cluster)| cluster).collect()
        })
    }

    /// The rows of clusters that stay which one of the new centroids beside theirs is nearer to, and that one.
    fn moved(
        &self,
        from: &[usize],
        members: &[Vec<u32>],
        beside: &[Vec<u32>],
        centroids: &[f32],
    ) -> Vec<(u32, u32)> {
        let dims = self.means.dims;
        let asked: Vec<usize> =
            from.iter().copied().filter(|cluster| !beside[*cluster].is_empty()).collect();
        let moved = parallel::map("vector-move", self.build.threads, asked.len(), |at| {
            let (rows, beside) = (&members[asked[at]], &beside[asked[at]]);
            let mut some = self.centroid(asked[at]).to_vec();
            for &number in beside {
                some.extend_from_slice(&centroids[number as usize * dims..][..dims]);
            }
            let tree = self.means.tree_of_one(&some);
            let nearest = tree.assign_part(self.means, &self.build.rotated_rows(rows));
            let moved = rows.iter().zip(nearest).filter_map(|(&row, nearest)| {
                // The first is its own: of two at one distance that is taken.
                let other = nearest.checked_sub(1)?;
                Some((row, beside[other as usize]))
            });
            moved.collect::<Vec<_>>()
        });
        moved.concat()
    }

    /// The list of each cluster, and how many rows of it were copied.
    fn lists(&self, clusters: &Clusters) -> Vec<(List, usize)> {
        let dims = self.means.dims;
        let shape = self.build.shape;
        let encoder = Encoder::new(dims, shape.extra_bits);
        let members = build::members(&clusters.assigned, clusters.from.len());
        parallel::map("vector-encode", self.build.threads, members.len(), |cluster| {
            let centroid = &clusters.centroids[cluster * dims..(cluster + 1) * dims];
            let from = clusters.from[cluster];
            let old = from.map(|from| &self.kept.index.lists[from as usize]);
            self.list(&encoder, centroid, &members[cluster], old)
        })
    }

    fn list(
        &self,
        encoder: &Encoder,
        centroid: &[f32],
        members: &[u32],
        old: Option<&List>,
    ) -> (List, usize) {
        // Both are ascending, for the new numbers of rows are.
        let mut rest = old
            .into_iter()
            .flat_map(|list| (0..list.rows()).map(move |at| (list, at)))
            .map(|(list, at)| (list, at, self.kept.numbers[list.number(at) as usize]))
            .filter(|(_, _, number)| *number != GONE)
            .peekable();
        let mut builder = Builder::new(self.build.shape, members.len());
        let mut space = Encoding::new(encoder, self.build.rows.dims());
        let mut copied = 0;
        for &row in members {
            while rest.next_if(|(_, _, number)| *number < row).is_some() {}
            if let Some((list, at, number)) = rest.next_if(|(_, _, number)| *number == row) {
                builder.copy(number, list, at);
                copied += 1;
            } else {
                self.build.encode_row(encoder, centroid, row, &mut space, &mut builder);
            }
        }
        (builder.finish(), copied)
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("there are fewer clusters than rows")
}
