/// What unwrapping may be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many layers may be taken off; at most `Options::MOST_DEPTH`.
    pub depth: usize,
    /// UDP ports of VXLAN.
    pub vxlan: Vec<u16>,
    /// UDP ports of VXLAN-GPE.
    pub vxlan_gpe: Vec<u16>,
    /// UDP ports of Geneve.
    pub geneve: Vec<u16>,
}

impl Options {
    /// The deepest that can be asked for.
    pub const MOST_DEPTH: usize = 16;
}

impl Default for Options {
    /// The ports that IANA assigned, and the one Linux has always used for VXLAN.
    fn default() -> Self {
        Self {
            depth: 8,
            vxlan: vec![4789, 8472],
            vxlan_gpe: vec![4790],
            geneve: vec![6081],
        }
    }
}
