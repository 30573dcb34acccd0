//! What a field counts for in a query's complexity: what it may have to read and write out.

/// What a list counts beside its rows: a request to each shard and one for the rows.
const LIST: usize = 20;

/// What a read of one customer's entitlements counts.
const ENTITLEMENTS: usize = 20;

/// How many entitlements, or resources, a customer is taken to have.
const USUAL: usize = 20;

/// So high that nothing is allowed it, so low that the sum over a query's fields does not overflow.
const MOST: usize = 1 << 40;

/// A list of rows: what it asks of one, as often as the page may have rows.
pub(super) fn list(first: Option<i32>, last: Option<i32>, child: usize) -> usize {
    const PAGE: usize = 100;
    let asked = first.or(last).map_or(PAGE, |asked| usize::try_from(asked).unwrap_or_default());
    times(asked.min(PAGE), child, LIST)
}

/// The entitlements of a customer, one by one.
pub(super) fn entitlements(child: usize) -> usize {
    times(USUAL, child, ENTITLEMENTS)
}

/// A read of one row or one decision.
pub(super) fn read(child: usize) -> usize {
    times(1, child, ENTITLEMENTS)
}

fn times(count: usize, child: usize, base: usize) -> usize {
    count.saturating_mul(child).saturating_add(base).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_nesting_overflows() {
        let cost = (0..100).fold(1, |cost, _| list(None, None, cost));
        assert_eq!(cost, MOST);
    }
}
