//! A page of a list: as many items as were asked for, and where the next page begins.

/// How many items to read for a page of `limit`: one more shows whether there is a next page.
pub const fn to_read(limit: usize) -> usize {
    limit.saturating_add(1)
}

/// Items of a list, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The items, at most as many as were asked for.
    pub items: Vec<T>,
    /// The last item's place, if more items follow.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// The page of at most `limit` items, of those that were read; `place` names an item's place in the list.
    pub fn cut(mut items: Vec<T>, limit: usize, place: impl FnOnce(&T) -> K) -> Self {
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(place);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_one_when_more_was_read_than_asked_for() {
        let cut = |read: &[i32], limit| Page::cut(read.to_vec(), limit, |item| *item);
        assert_eq!(cut(&[1, 2, 3], 2), Page { items: vec![1, 2], next: Some(2) });
        assert_eq!(cut(&[1, 2], 2), Page { items: vec![1, 2], next: None });
        assert_eq!(cut(&[], 2), Page { items: vec![], next: None });
        assert_eq!(to_read(2), 3);
    }
}
