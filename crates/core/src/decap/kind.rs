/// One line for each kind: what it is here, and its name in tables and interface blocks.
macro_rules! kinds {
    ($($kind:ident $name:literal)+) => {
        /// The layers that unwrapping knows: encapsulations, and the headers that lead to them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // `name` says what each is
        pub enum Kind {
            $($kind,)+
        }

        impl Kind {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// Its name in tables and interface blocks.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    Link "link"
    Ethernet "ethernet"
    Ip "ip"
    Udp "udp"
    Vxlan "vxlan"
    VxlanGpe "vxlan-gpe"
    Geneve "geneve"
    Gre "gre"
    Nvgre "nvgre"
    Pptp "pptp"
    Erspan1 "erspan1"
    Erspan2 "erspan2"
    Erspan3 "erspan3"
    Mpls "mpls"
    IpIp "ipip"
    Gtpu "gtpu"
    Pppoe "pppoe"
    Ppp "ppp"
    L2tp "l2tp"
    Teredo "teredo"
    Nsh "nsh"
    Pbb "pbb"
    FabricPath "fabricpath"
    Tzsp "tzsp"
    Capwap "capwap"
    Pim "pim"
}

impl Kind {
    /// The one with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
