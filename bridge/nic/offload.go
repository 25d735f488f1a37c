package nic

// Offloads are the features that matter to a bridge, see ethtool -k. All are
// false for a driver that does not tell.
type Offloads struct {
	LRO        bool // rx-lro
	GRO        bool // rx-gro
	HWGRO      bool // rx-gro-hw
	TSO        bool // tx-tcp-segmentation
	USO        bool // tx-udp-segmentation
	GSO        bool // tx-generic-segmentation
	TXChecksum bool // tx-checksum-ip-generic or tx-checksum-ipv4
	RXVLAN     bool // rx-vlan-hw-parse
	TXVLAN     bool // tx-vlan-hw-insert
	VLANFilter bool // rx-vlan-filter
	HWTC       bool // hw-tc-offload
	RXFCS      bool // rx-fcs
	RXAll      bool // rx-all
}

// readOffloads picks the offloads out of all features.
func readOffloads(f map[string]Feature) Offloads {
	on := func(name string) bool { return f[name].On }
	return Offloads{
		LRO: on(lroFeature), GRO: on("rx-gro"), HWGRO: on("rx-gro-hw"),
		TSO: on("tx-tcp-segmentation"), USO: on("tx-udp-segmentation"), GSO: on("tx-generic-segmentation"),
		TXChecksum: on("tx-checksum-ip-generic") || on("tx-checksum-ipv4"),
		RXVLAN:     on("rx-vlan-hw-parse"), TXVLAN: on("tx-vlan-hw-insert"), VLANFilter: on("rx-vlan-filter"),
		HWTC: on("hw-tc-offload"), RXFCS: on("rx-fcs"), RXAll: on("rx-all"),
	}
}

// Offload is one of the Offloads with what it means for a box.
type Offload struct {
	Name    string // as ethtool -K takes it
	On      bool
	Meaning string // what it does to frames when it is on, and who deals with it
}

// List returns all offloads.
func (o Offloads) List() []Offload {
	return []Offload{
		{"lro", o.LRO, "received segments are merged beyond repair: the box turns it off while it runs"},
		{"gro", o.GRO, "received segments are merged: they cross whole, the other NIC takes them apart as they were"},
		{"rx-gro-hw", o.HWGRO, "the NIC itself merges received segments, in a way that can be undone: as gro"},
		{"tso", o.TSO, "super-frames of TCP are taken apart by the NIC that sends them"},
		{"tx-udp-segmentation", o.USO, "super-frames of UDP are taken apart by the NIC that sends them"},
		{"gso", o.GSO, "super-frames are taken apart by the kernel as late as can be"},
		{"tx-checksum", o.TXChecksum, "unfinished checksums are finished by the NIC that sends them"},
		{"rx-vlan", o.RXVLAN, "tags arrive beside the frame: the box puts them back"},
		{"tx-vlan", o.TXVLAN, "tags may leave beside the frame: the box sends them inside, so it has no effect"},
		{"rx-vlan-filter", o.VLANFilter, "VLANs that the host does not use may be filtered; most drivers stop at promiscuous mode, which the box sets"},
		{"hw-tc-offload", o.HWTC, "tc rules may act in the NIC, on frames that the box then never sees: have none on this NIC"},
		{"rx-fcs", o.RXFCS, "frames arrive with their checksum at the end and would leave so: turn it off"},
		{"rx-all", o.RXAll, "damaged frames are received too and would leave as if sound: turn it off"},
	}
}
