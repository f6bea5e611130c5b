//! The order of ports: a port's place is its slot, so that a configuration that follows another lists
//! the ports of both as the other does, and its own behind them.

use super::types::Config;

impl Config {
    /// Gives ports that `old` has, too, the places that they have there; those that are new follow
    /// as they stand in the file. Everything that names a port names the same one as before.
    pub fn order_ports_as(&mut self, old: &Self) {
        let order = self.ports_as(old);
        if order.is_sorted() {
            return;
        }
        let mut moved = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &at)| moved[at] = new);
        self.ports = order.iter().map(|&at| self.ports[at].clone()).collect();
        self.receivers.iter_mut().for_each(|receiver| receiver.port = moved[receiver.port]);
        for rule in &mut self.rules {
            rule.input.ports.iter_mut().for_each(|port| *port = moved[*port]);
            rule.input.ports.sort_unstable();
            rule.outputs.iter_mut().for_each(|output| output.port = moved[output.port]);
        }
    }

    /// Whether the ports have these places already.
    pub(super) fn has_ports_as(&self, old: &Self) -> bool {
        self.ports_as(old).is_sorted()
    }

    /// The ports as `old` has them: by their places in the file.
    fn ports_as(&self, old: &Self) -> Vec<usize> {
        let place = |name: &str| old.ports.iter().position(|port| port.name == name);
        let mut order: Vec<usize> = (0..self.ports.len()).collect();
        // Stable: new ones stay as they are.
        order.sort_by_key(|&at| place(&self.ports[at].name).unwrap_or(usize::MAX));
        order
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::canonical;

    /// Ports in this order, and rules that name them all.
    fn config(ports: &[&str]) -> Config {
        let mut text = "schema = 1\n".to_owned();
        for name in ports {
            text += &format!("[[port]]\nname = \"{name}\"\ndevice = \"net_ring_{name}\"\n");
        }
        text += "[[receiver]]\nname = \"desk\"\nport = \"b\"\n\
                 [[rule]]\nname = \"r\"\ninput = { port = [\"a\", \"c\"], destination = \"239.1.1.1\" }\n\
                 output = [{ receiver = \"desk\" }, { port = \"c\", destination = \"239.2.2.2\" }]\n\
                 [[rule]]\nname = \"any\"\ninput = { destination = \"239.1.1.2\" }\n\
                 output = [{ port = \"a\", destination = \"239.2.2.3\" }]\n";
        let loaded = crate::config::load_bytes(Path::new("p.toml"), text.into(), &|_| None);
        loaded.unwrap_or_else(|errors| panic!("{errors}")).config
    }

    #[test]
    fn ports_keep_their_places_and_what_names_them_names_the_same() {
        let old = config(&["a", "b", "c"]);
        for ports in [["c", "a", "b"], ["b", "a", "c"], ["a", "b", "c"]] {
            let mut new = config(&ports);
            new.order_ports_as(&old);
            assert_eq!(new, old, "{ports:?}");
        }
        let mut new = config(&["new", "c", "newer", "b", "a"]);
        new.order_ports_as(&old);
        assert_eq!(new, config(&["a", "b", "c", "new", "newer"]));
        assert_eq!(canonical(&new), canonical(&config(&["a", "b", "c", "new", "newer"])));
    }

    #[test]
    fn where_one_is_gone_the_others_follow_in_order() {
        let mut new = config(&["new", "c", "b", "a"]);
        new.order_ports_as(&config(&["a", "gone", "b", "c"]));
        assert_eq!(new, config(&["a", "b", "c", "new"]));
    }
}
