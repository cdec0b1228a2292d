//! k-means, for the centroids of an index: two levels, on a sample.
//!
//! Finding the nearest of `k` centroids by comparing with all of them would cost most of a build. So
//! centroids form a tree of two levels: about `√k` groups, and a row is compared with the centroids of
//! the few groups that are nearest to it. Comparing is a blocked matrix product
//! ([`Kernels::panel_dots`]): rows are gathered by group, eight at a time meet panels of 32 centroids.
//!
//! The result depends on rows, `k` and seed alone: neither on the number of threads nor on the
//! instruction set.

use base::rng::Rng;
use base::workers::parallel;

use super::kernel::{Kernels, PANEL, STRIP};

/// Rounds of the algorithm on each level.
const ROUNDS: usize = 8;
/// Rounds over all centroids after the two levels.
const FINAL_ROUNDS: usize = 3;
/// Groups whose centroids a row is compared with.
const GROUPS_TRIED: usize = 8;
/// Centroids up to which one level is enough.
const ONE_LEVEL_MAX: usize = 64;
/// Rows in a unit of work of a thread.
const PART: usize = 1024;

/// How to train and assign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    pub(crate) kernels: Kernels,
    pub(crate) threads: usize,
    pub(crate) dims: usize,
}

/// Centroids as panels for the matrix product.
#[derive(Debug, Clone)]
struct Panels {
    dims: usize,
    count: usize,
    data: Vec<f32>,
    /// Squared lengths; infinite behind the last, which is then nearest to nothing.
    norms: Vec<f32>,
}

impl Panels {
    fn new(kernels: Kernels, dims: usize, centroids: &[f32]) -> Self {
        let count = centroids.len() / dims;
        let slots = count.next_multiple_of(PANEL);
        let mut data = vec![0.0; slots * dims];
        let mut norms = vec![f32::INFINITY; slots];
        for (index, centroid) in centroids.chunks_exact(dims).enumerate() {
            norms[index] = kernels.dot(centroid, centroid);
            let panel = &mut data[index / PANEL * PANEL * dims..][..PANEL * dims];
            for (x, at) in centroid.iter().zip(panel.chunks_exact_mut(PANEL)) {
                at[index % PANEL] = *x;
            }
        }
        Self { dims, count, data, norms }
    }

    /// For each of eight rows and each centroid: its squared distance less that of the row from zero.
    fn visit(&self, kernels: Kernels, strip: &[f32], mut visit: impl FnMut(usize, usize, f32)) {
        let mut dots = [[0.0; PANEL]; STRIP];
        for (index, panel) in self.data.chunks_exact(PANEL * self.dims).enumerate() {
            kernels.panel_dots(strip, panel, &mut dots);
            let first = index * PANEL;
            let norms = &self.norms[first..first + PANEL];
            for (row, dots) in dots.iter().enumerate() {
                for (at, (dot, norm)) in dots.iter().zip(norms).enumerate() {
                    visit(row, first + at, norm - 2.0 * dot);
                }
            }
        }
    }
}

/// Centroids in two levels.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    groups: Panels,
    /// The centroids of each group, and their numbers.
    members: Vec<(Panels, Vec<u32>)>,
}

impl Means {
    /// `count` centroids of `rows`, fewer when there are fewer rows.
    pub(crate) fn train(self, rows: &[f32], count: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed);
        let available = rows.len() / self.dims;
        let count = count.clamp(1, available.max(1));
        if count <= ONE_LEVEL_MAX {
            return self.lloyd(rows, self.pick(rows, count, &mut rng), ROUNDS, &mut rng);
        }
        let groups = count.isqrt();
        let first = self.pick(rows, groups, &mut rng);
        let coarse = self.lloyd(rows, first, ROUNDS, &mut rng);
        let of_row = self.tree_of_one(&coarse).assign(self, rows);
        let mut by_group = vec![Vec::new(); groups];
        for (row, group) in rows.chunks_exact(self.dims).zip(&of_row) {
            by_group[*group as usize].extend_from_slice(row);
        }
        let shares = shares(&by_group, self.dims, count);
        let seeds: Vec<u64> = (0..groups).map(|_| rng.next_u64()).collect();
        // Each group is a task of one thread.
        let alone = Self { threads: 1, ..self };
        let parts = parallel::map("vector-train", self.threads, groups, |group| {
            let mut rng = Rng::new(seeds[group]);
            let rows = &by_group[group];
            if shares[group] == 0 {
                return Vec::new();
            }
            alone.lloyd(rows, alone.pick(rows, shares[group], &mut rng), ROUNDS, &mut rng)
        });
        self.lloyd(rows, parts.concat(), FINAL_ROUNDS, &mut rng)
    }

    /// `count` rows, each once, at random.
    fn pick(self, rows: &[f32], count: usize, rng: &mut Rng) -> Vec<f32> {
        let available = rows.len() / self.dims;
        let mut numbers: Vec<usize> = (0..available).collect();
        let mut picked = Vec::with_capacity(count * self.dims);
        for at in 0..count.min(available) {
            numbers.swap(at, at + rng.index(available - at));
            let from = numbers[at] * self.dims;
            picked.extend_from_slice(&rows[from..from + self.dims]);
        }
        picked
    }

    /// Rounds of Lloyd's algorithm.
    fn lloyd(
        self,
        rows: &[f32],
        mut centroids: Vec<f32>,
        rounds: usize,
        rng: &mut Rng,
    ) -> Vec<f32> {
        for _ in 0..rounds {
            let tree = self.tree(&centroids);
            let nearest = tree.assign(self, rows);
            let mut counts = vec![0_u32; centroids.len() / self.dims];
            let mut sums = vec![0.0; centroids.len()];
            for (row, &centroid) in rows.chunks_exact(self.dims).zip(&nearest) {
                let centroid = centroid as usize;
                counts[centroid] += 1;
                let sum = &mut sums[centroid * self.dims..][..self.dims];
                for (sum, x) in sum.iter_mut().zip(row) {
                    *sum += x;
                }
            }
            self.means(&mut centroids, &sums, &counts, rng);
        }
        centroids
    }

    /// Sets each centroid to the mean of its rows. One without rows takes half of those of the
    /// largest: both go a little to either side of where that one was.
    fn means(self, centroids: &mut [f32], sums: &[f32], counts: &[u32], rng: &mut Rng) {
        let mut counts = counts.to_vec();
        for (index, centroid) in centroids.chunks_exact_mut(self.dims).enumerate() {
            if counts[index] > 0 {
                let scale = 1.0 / counts[index] as f32;
                for (x, sum) in centroid.iter_mut().zip(&sums[index * self.dims..]) {
                    *x = sum * scale;
                }
            }
        }
        for index in 0..counts.len() {
            let largest = (0..counts.len()).max_by_key(|&i| (counts[i], std::cmp::Reverse(i)));
            let Some(largest) = largest.filter(|&i| counts[index] == 0 && counts[i] > 1) else {
                continue;
            };
            for dim in 0..self.dims {
                let x = centroids[largest * self.dims + dim];
                let push = if rng.chance(500) { 1.0 / 1024.0 } else { -1.0 / 1024.0 };
                centroids[index * self.dims + dim] = x * (1.0 + push);
                centroids[largest * self.dims + dim] = x * (1.0 - push);
            }
            counts[index] = counts[largest] / 2;
            counts[largest] -= counts[index];
        }
    }

    /// The tree of these centroids in which every one is compared with.
    pub(crate) fn tree_of_one(self, centroids: &[f32]) -> Tree {
        let numbers = (0..).take(centroids.len() / self.dims).collect();
        let zero = Panels::new(self.kernels, self.dims, &vec![0.0; self.dims]);
        let members = vec![(Panels::new(self.kernels, self.dims, centroids), numbers)];
        Tree { groups: zero, members }
    }

    /// The tree of these centroids.
    pub(crate) fn tree(self, centroids: &[f32]) -> Tree {
        let count = centroids.len() / self.dims;
        if count <= ONE_LEVEL_MAX * 2 {
            return self.tree_of_one(centroids);
        }
        // A fixed seed: the same centroids always have the same tree.
        let mut rng = Rng::new(count as u64);
        let alone = Self { threads: self.threads.min(count / 512 + 1), ..self };
        let first = alone.pick(centroids, count.isqrt(), &mut rng);
        let groups = alone.lloyd(centroids, first, ROUNDS / 2, &mut rng);
        let of_centroid = alone.tree_of_one(&groups).assign(alone, centroids);
        let mut members = vec![(Vec::new(), Vec::new()); groups.len() / self.dims];
        for ((number, centroid), group) in
            (0_u32..).zip(centroids.chunks_exact(self.dims)).zip(of_centroid)
        {
            let (vectors, numbers) = &mut members[group as usize];
            vectors.extend_from_slice(centroid);
            numbers.push(number);
        }
        let members = members
            .into_iter()
            .map(|(vectors, numbers)| (Panels::new(self.kernels, self.dims, &vectors), numbers))
            .collect();
        Tree { groups: Panels::new(self.kernels, self.dims, &groups), members }
    }
}

/// How many centroids each group gets: in proportion to its rows, `count` in all.
fn shares(by_group: &[Vec<f32>], dims: usize, count: usize) -> Vec<usize> {
    let rows: Vec<usize> = by_group.iter().map(|rows| rows.len() / dims).collect();
    let all: usize = rows.iter().sum::<usize>().max(1);
    let mut shares = Vec::with_capacity(rows.len());
    let (mut seen, mut given) = (0, 0);
    for rows in rows {
        seen += rows;
        let upto = (count * seen).div_ceil(all).min(count);
        let share = (upto - given).min(rows);
        given += share;
        shares.push(share);
    }
    shares
}

impl Tree {
    /// The nearest centroid of each row.
    pub(crate) fn assign(&self, means: Means, rows: &[f32]) -> Vec<u32> {
        let parts: Vec<&[f32]> = rows.chunks(PART * means.dims).collect();
        parallel::map("vector-assign", means.threads, parts.len(), |part| {
            self.assign_part(means, parts[part])
        })
        .concat()
    }

    /// The nearest centroid of each of a few rows, on this thread.
    pub(crate) fn assign_part(&self, means: Means, rows: &[f32]) -> Vec<u32> {
        let dims = means.dims;
        let count = rows.len() / dims;
        let mut nearest = vec![(f32::INFINITY, u32::MAX); count];
        for (group, of_group) in self.rows_by_group(means, rows).iter().enumerate() {
            let (panels, numbers) = &self.members[group];
            if panels.count == 0 {
                continue;
            }
            let mut strip = vec![0.0; STRIP * dims];
            for eight in of_group.chunks(STRIP) {
                for (to, &row) in strip.chunks_exact_mut(dims).zip(eight) {
                    to.copy_from_slice(&rows[row * dims..(row + 1) * dims]);
                }
                panels.visit(means.kernels, &strip, |row, centroid, distance| {
                    if row < eight.len() && distance <= nearest[eight[row]].0 {
                        let candidate = (distance, numbers.get(centroid).copied());
                        if let (distance, Some(number)) = candidate {
                            let best = &mut nearest[eight[row]];
                            // Of two at the same distance the first, however they are grouped.
                            if distance < best.0 || number < best.1 {
                                *best = (distance, number);
                            }
                        }
                    }
                });
            }
        }
        // A row with an infinite distance to everything is nowhere better than in the first.
        nearest.into_iter().map(|(_, number)| if number == u32::MAX { 0 } else { number }).collect()
    }

    /// The rows to compare with each group: every row is in the few groups nearest to it.
    fn rows_by_group(&self, means: Means, rows: &[f32]) -> Vec<Vec<usize>> {
        let (dims, groups) = (means.dims, self.members.len());
        let count = rows.len() / dims;
        if groups == 1 {
            return vec![(0..count).collect()];
        }
        let mut by_group = vec![Vec::new(); groups];
        let mut strip = vec![0.0; STRIP * dims];
        let mut distances = vec![(0.0_f32, 0_usize); groups * STRIP];
        for (index, eight) in rows.chunks(STRIP * dims).enumerate() {
            strip[..eight.len()].copy_from_slice(eight);
            self.groups.visit(means.kernels, &strip, |row, group, distance| {
                if group < groups {
                    distances[row * groups + group] = (distance, group);
                }
            });
            for row in 0..eight.len() / dims {
                let nearest = &mut distances[row * groups..(row + 1) * groups];
                let tried = GROUPS_TRIED.min(groups);
                nearest.select_nth_unstable_by(tried - 1, |a, b| {
                    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
                });
                for (_, group) in &nearest[..tried] {
                    by_group[*group].push(index * STRIP + row);
                }
            }
        }
        by_group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: usize = 16;

    fn means(threads: usize, kernels: Kernels) -> Means {
        Means { kernels, threads, dims: DIMS }
    }

    /// Rows around `count` centres far from each other.
    fn clustered(count: usize, rows: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed);
        let mut unit = || (rng.below(2001) as f32 - 1000.0) / 1000.0;
        let centres: Vec<f32> = (0..count * DIMS).map(|_| unit() * 10.0).collect();
        (0..rows)
            .flat_map(|row| {
                let centre = row % count * DIMS;
                let row: Vec<f32> =
                    centres[centre..centre + DIMS].iter().map(|c| c + unit()).collect();
                row
            })
            .collect()
    }

    /// The mean squared distance of rows to the nearest of all centroids, and to that assigned.
    fn distortion(rows: &[f32], centroids: &[f32], assigned: &[u32]) -> (f64, f64) {
        let kernels = Kernels::best();
        let (mut best, mut found) = (0.0, 0.0);
        for (row, assigned) in rows.chunks_exact(DIMS).zip(assigned) {
            let distance = |c: &[f32]| f64::from(kernels.squared(row, c));
            best += centroids.chunks_exact(DIMS).map(distance).fold(f64::INFINITY, f64::min);
            found += distance(&centroids[*assigned as usize * DIMS..][..DIMS]);
        }
        let count = assigned.len() as f64;
        (best / count, found / count)
    }

    #[test]
    fn clusters_far_apart_are_found() {
        let rows = clustered(30, 3000, 1);
        let means = means(2, Kernels::best());
        let centroids = means.train(&rows, 60, 7);
        let assigned = means.tree(&centroids).assign(means, &rows);
        let (best, found) = distortion(&rows, &centroids, &assigned);
        assert!(found <= best * 1.0001, "one level compares with all centroids");
        // The noise around a centre has a variance of a third in each dimension.
        assert!(best < DIMS as f64 / 3.0 * 1.1, "{best}");
    }

    #[test]
    fn two_levels_are_nearly_as_good_as_comparing_with_all() {
        let rows = clustered(50, 6000, 2);
        let means = means(2, Kernels::best());
        let centroids = means.train(&rows, 400, 7);
        assert_eq!(centroids.len(), 400 * DIMS);
        let assigned = means.tree(&centroids).assign(means, &rows);
        let (best, found) = distortion(&rows, &centroids, &assigned);
        assert!(found < best * 1.02, "{found} for {best}");
        let used: std::collections::BTreeSet<u32> = assigned.iter().copied().collect();
        assert!(used.len() > 380, "{} of 400 centroids have rows", used.len());
    }

    #[test]
    fn threads_and_instructions_do_not_change_the_result() {
        let rows = clustered(20, 2500, 3);
        let expect = means(1, Kernels::scalar()).train(&rows, 130, 5);
        for kernels in Kernels::available() {
            for threads in [1, 3] {
                assert_eq!(means(threads, kernels).train(&rows, 130, 5), expect);
            }
        }
        assert_ne!(means(1, Kernels::best()).train(&rows, 130, 6), expect);
    }

    #[test]
    fn fewer_rows_than_centroids_and_rows_all_alike_are_rows_too() {
        let means = means(2, Kernels::best());
        let three = clustered(3, 3, 4);
        assert_eq!(means.train(&three, 10, 1).len(), 3 * DIMS);
        let alike = vec![1.0; 500 * DIMS];
        let centroids = means.train(&alike, 100, 1);
        assert!(centroids.iter().all(|x| x.is_finite()));
        assert_eq!(means.tree(&centroids).assign(means, &alike).len(), 500);
    }
}
