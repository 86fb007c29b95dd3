"""Filters that people really write, one per feature of the language."""

EXPRESSIONS = """\
ip
ip6
arp
tcp
udp
icmp
icmp6
not tcp
host 10.0.0.1
src host 10.0.0.1
dst host 10.0.0.2
host 10.0.0.1 and host 10.0.0.2
host 10.0.0.1 or 10.0.0.2
net 10.0.0.0/8
net 10.0.0.0 mask 255.255.255.252
src net 192.168
not net 10.0.0.0/8
host fe80::1
ip6 host fe80::2
net fe80::/10
ether host 02:00:00:00:00:01
ether src 02:00:00:00:00:02
ether dst 02:00:00:00:00:03
ether broadcast
ether multicast
ip multicast
ip6 multicast
multicast
broadcast
ether proto 0x88cc
ether proto \\arp
ip proto 17
ip proto \\tcp
ip6 proto 58
port 80
tcp port 80
tcp port 80 or 443
udp port 53
src port 22
dst port 5432
tcp src port 443 and dst port 40000
portrange 1-1024
tcp portrange 8000-9000
port http
tcp port 22 and not host 10.0.0.4
tcp or udp
(tcp or udp) and port 53
not (tcp port 22 or arp)
tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
tcp[tcpflags] == tcp-syn
tcp[13] = 18
tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420
icmp[icmptype] = icmp-echo
icmp[0] == 8 or icmp[0] == 0
ip[8] < 65
ip[6:2] & 0x1fff = 0
ip[0] & 0xf != 5
ip[2:2] - ((ip[0] & 0xf) << 2) > 100
ip6[6] = 17
ether[0] & 1 = 0
ether[12:2] = 0x0800
len > 100
less 60
greater 200
len * 2 - 10 = 98
vlan
vlan 10
vlan 10 and ip
vlan and tcp port 80
vlan 10 and vlan 20
not vlan
mpls
pppoes
stp
llc
ip and not tcp and not udp
tcp && !port 22 || arp
udp and ip[2:2] > 40 and (host 10.0.0.1 or host 10.0.0.3)
arp[6:2] = 1
geneve
""".splitlines()
