package afpacket

import "golang.org/x/sys/unix"

const (
	// slotReserve, by PACKET_RESERVE, leads to a frame 82 octets into its slot
	// and its IP header on a multiple of 16. A VLAN tag is put back in place
	// there, over the virtio_net_hdr that was read before.
	slotReserve = 6
	// slotOverhead is how far into its slot a frame begins: TPACKET2_HDRLEN (52)
	// and 16, rounded up to 16, less the Ethernet header, and what was asked for.
	slotOverhead = 80 - etherLen + vnetHdrLen + slotReserve
	// blockSize is what the kernel allocates at a time.
	blockSize = 64 << 10
	// maxSlot bounds a slot for NICs of enormous MTU (lo); longer frames go by
	// the queue.
	maxSlot = 16 << 10
	// tpacketAlign is TPACKET_ALIGNMENT.
	tpacketAlign = 16
)

// geometry is how slots lie in a ring: blocks of slots, the rest of a block
// unused.
type geometry struct {
	slotSize, perBlock, blocks int
}

// geometry returns the ring's. A slot holds a frame of full MTU with two tags
// (the outer one is beside the frame); longer ones go by the queue.
func (o *Options) geometry(mtu int) geometry {
	size := slotOverhead + min(mtu+etherLen+vlanTagLen, o.frameSize)
	size = min((size+tpacketAlign-1)&^(tpacketAlign-1), maxSlot)
	g := geometry{slotSize: size, perBlock: blockSize / size}
	g.blocks = (o.RingSlots + g.perBlock - 1) / g.perBlock
	return g
}

func (g *geometry) slots() int { return g.perBlock * g.blocks }

// behind is where the slot begins that comes behind the one that begins at at.
// It is asked for several times for a frame, hence without a division.
func (g *geometry) behind(at int) int {
	at += g.slotSize
	if at&(blockSize-1) > blockSize-g.slotSize {
		at = (at | (blockSize - 1)) + 1
	}
	if at == g.blocks*blockSize {
		return 0
	}
	return at
}

// size is that of the ring, in octets.
func (g geometry) size() int { return g.blocks * blockSize }

func (g *geometry) request() *unix.TpacketReq {
	return &unix.TpacketReq{
		Block_size: blockSize, Block_nr: uint32(g.blocks),
		Frame_size: uint32(g.slotSize), Frame_nr: uint32(g.slots()),
	}
}
