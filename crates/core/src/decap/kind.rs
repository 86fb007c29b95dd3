/// The layers that unwrapping knows: encapsulations, and the headers that lead to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // `name` says what each is
pub enum Kind {
    Link,
    Ethernet,
    Ip,
    Udp,
    Vxlan,
    VxlanGpe,
    Geneve,
    Gre,
    Nvgre,
    Pptp,
    Erspan1,
    Erspan2,
    Erspan3,
    Mpls,
    IpIp,
    Gtpu,
    Pppoe,
    Ppp,
    L2tp,
    Teredo,
    Nsh,
    Pbb,
    FabricPath,
    Tzsp,
    Capwap,
    Pim,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 26] = [
        Self::Link,
        Self::Ethernet,
        Self::Ip,
        Self::Udp,
        Self::Vxlan,
        Self::VxlanGpe,
        Self::Geneve,
        Self::Gre,
        Self::Nvgre,
        Self::Pptp,
        Self::Erspan1,
        Self::Erspan2,
        Self::Erspan3,
        Self::Mpls,
        Self::IpIp,
        Self::Gtpu,
        Self::Pppoe,
        Self::Ppp,
        Self::L2tp,
        Self::Teredo,
        Self::Nsh,
        Self::Pbb,
        Self::FabricPath,
        Self::Tzsp,
        Self::Capwap,
        Self::Pim,
    ];

    /// Its name in tables and interface blocks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Ethernet => "ethernet",
            Self::Ip => "ip",
            Self::Udp => "udp",
            Self::Vxlan => "vxlan",
            Self::VxlanGpe => "vxlan-gpe",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Nvgre => "nvgre",
            Self::Pptp => "pptp",
            Self::Erspan1 => "erspan1",
            Self::Erspan2 => "erspan2",
            Self::Erspan3 => "erspan3",
            Self::Mpls => "mpls",
            Self::IpIp => "ipip",
            Self::Gtpu => "gtpu",
            Self::Pppoe => "pppoe",
            Self::Ppp => "ppp",
            Self::L2tp => "l2tp",
            Self::Teredo => "teredo",
            Self::Nsh => "nsh",
            Self::Pbb => "pbb",
            Self::FabricPath => "fabricpath",
            Self::Tzsp => "tzsp",
            Self::Capwap => "capwap",
            Self::Pim => "pim",
        }
    }

    /// The one with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
