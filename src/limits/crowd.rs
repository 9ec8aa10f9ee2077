//! Places that all clients share, such as connections: how many of them each address holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::network;

/// How many places each network holds.
#[derive(Default)]
pub struct Crowd(Mutex<HashMap<String, usize>>);

/// A client's place, free again when this is dropped.
pub struct Seat {
    crowd: Arc<Crowd>,
    network: String,
}

impl Crowd {
    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client at `address`, where there may be `each_max`, of `all_max` together; nothing when there is none.
    pub fn enter(self: &Arc<Self>, address: IpAddr, each_max: usize, all_max: usize) -> Option<Seat> {
        let (network, mut held) = (network(address), self.held());
        let here = held.get(&network).copied().unwrap_or_default();
        if here >= each_max || (all_max < usize::MAX && held.values().sum::<usize>() >= all_max) {
            return None;
        }
        held.insert(network.clone(), here + 1);
        Some(Seat { crowd: self.clone(), network })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.crowd.held();
        match held.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_client_has_gone() {
        let (crowd, address) = (Arc::new(Crowd::default()), |text: &str| text.parse().unwrap());
        let enter = |text: &str| crowd.enter(address(text), 2, 3);
        let (one, two) = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(enter("2001:db8::3").is_none(), "a network has its part");
        let _other = enter("10.0.0.1").unwrap();
        assert!(enter("10.0.0.2").is_none(), "there are no more");
        drop(one);
        assert!(enter("2001:db8::3").is_some());
        drop(two);
        assert_eq!(crowd.held().len(), 1, "a network without a place is forgotten");
    }
}
