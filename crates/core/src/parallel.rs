//! Waiting for many slow system calls at once.

use std::thread;

/// `work` on every item, on threads of their own; the results in the items' order.
///
/// Opening and closing a ring each wait for every processor (RCU): one after another, that takes
/// seconds for hundreds of them.
pub fn parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    const THREADS: usize = 64;
    let share = items.len().div_ceil(THREADS).max(1);
    let mut items = items.into_iter();
    let shares = std::iter::from_fn(|| {
        let share: Vec<T> = items.by_ref().take(share).collect();
        (!share.is_empty()).then_some(share)
    });
    let shares: Vec<Vec<T>> = shares.collect();
    if shares.len() == 1 {
        return shares.into_iter().flatten().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let run = |share: Vec<T>| scope.spawn(move || share.into_iter().map(work).collect());
        let threads: Vec<thread::ScopedJoinHandle<'_, Vec<R>>> =
            shares.into_iter().map(run).collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        for count in [0, 1, 2, 63, 64, 65, 1000] {
            let doubled = parallel((0..count).collect(), |n: usize| n * 2);
            assert_eq!(doubled, (0..count).map(|n| n * 2).collect::<Vec<_>>());
        }
    }
}
