//! Names of network devices by their numbers, over rtnetlink.

use std::{collections::HashMap, io};

use super::netlink::{Ask, Netlink, attributes, text, u32_at};

const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
/// Bytes of `struct ifinfomsg`, and where it has the number.
const IFINFO_BYTES: usize = 16;
const INDEX_AT: usize = 4;

/// All devices of this network namespace.
pub(super) fn names(netlink: &Netlink) -> io::Result<HashMap<u32, String>> {
    let mut names = HashMap::new();
    netlink.ask(Ask::Dump, RTM_GETLINK, &[0; IFINFO_BYTES], |_, body| names.extend(parse(body)))?;
    Ok(names)
}

fn parse(body: &[u8]) -> Option<(u32, String)> {
    let name = attributes(body.get(IFINFO_BYTES..)?).find(|it| it.0 == IFLA_IFNAME)?.1;
    Some((u32_at(body, INDEX_AT)?, text(name)))
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::NETLINK_ROUTE;

    use super::*;

    #[test]
    fn the_loopback_device_is_number_one() {
        let names = names(&Netlink::open(NETLINK_ROUTE).unwrap()).unwrap();
        assert_eq!(names.get(&1).map(|it| &**it), Some("lo"));
    }

    #[test]
    fn a_link_that_is_cut_off_has_no_name() {
        assert_eq!(parse(&[0; 10]), None);
        assert_eq!(parse(&[0; IFINFO_BYTES]), None);
    }
}
