package load

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// End is a NIC and how to get to where it is.
type End struct {
	NIC string
	// Do runs a function in the NIC's network namespace, on a thread that does
	// nothing else meanwhile.
	Do func(func() error) error
}

func (e End) index() (nic *net.Interface, err error) {
	err = e.Do(func() (err error) {
		nic, err = net.InterfaceByName(e.NIC)
		return err
	})
	return nic, err
}

// Path is one direction through a device: frames leave by one NIC and are judged
// at another. It is for one goroutine, but for Counts.
type Path struct {
	from, to End
	nics     [2]*net.Interface // of from, to
	kernel   kernelObjects
	receiver link.Link
	address  net.HardwareAddr // where frames go

	sizes    []int
	template []byte
	flows    []kernelFlow
	socket   *socket
	epoch    uint32
}

// Open makes a path between two NICs. The receiving one has a program at tc
// ingress from now on that drops all GRE in IPv4. It needs CAP_BPF, CAP_NET_ADMIN
// and CAP_NET_RAW, and Linux 6.6 (TCX).
func Open(from, to End) (*Path, error) {
	p := &Path{from: from, to: to}
	if err := p.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("measure from %s to %s: %w", from.NIC, to.NIC, err), p.Close())
	}
	return p, nil
}

func (p *Path) open() (err error) {
	for i, end := range []End{p.from, p.to} {
		if p.nics[i], err = end.index(); err != nil {
			return err
		}
		if len(p.nics[i].HardwareAddr) != 6 {
			return fmt.Errorf("%s has no Ethernet address", end.NIC)
		}
	}
	p.address = p.nics[1].HardwareAddr
	if err := loadKernelObjects(&p.kernel, nil); err != nil {
		return fmt.Errorf("load the kernel programs: %w", err)
	}
	err = p.to.Do(func() (err error) {
		p.receiver, err = link.AttachTCX(link.TCXOptions{
			Interface: p.nics[1].Index, Program: p.kernel.BenchReceive, Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("attach the receiver: %w", err)
	}
	if p.socket, err = openSocket(p.from, p.nics[0].Index); err != nil {
		return fmt.Errorf("open the sender: %w", err)
	}
	return p.SetSizes([]int{MinSize})
}

// Close takes the programs away.
func (p *Path) Close() error {
	var errs []error
	if p.receiver != nil {
		errs = append(errs, p.receiver.Close())
	}
	if p.socket != nil {
		errs = append(errs, p.socket.close())
	}
	if p.kernel.BenchReceive != nil {
		errs = append(errs, p.kernel.Close())
	}
	return errors.Join(errs...)
}

// SetSizes says how long the frames of every flow are, one after the other, in
// octets with their check sequence.
func (p *Path) SetSizes(frameSizes []int) error {
	if err := checkSizes(frameSizes); err != nil {
		return err
	}
	p.sizes = slices.Clone(frameSizes)
	p.template = template([6]byte(p.nics[0].HardwareAddr), [6]byte(p.address), frameSizes)
	var lengths, sums [maxSizes]uint16
	for i, size := range frameSizes {
		lengths[i], sums[i] = uint16(size-FCS), payloadSum(p.template, size)
	}
	v := &p.kernel.kernelVariables
	return errors.Join(v.Sizes.Set(lengths), v.PayloadSums.Set(sums), v.SizesCount.Set(uint32(len(frameSizes))))
}

// SetDestination says which Ethernet address frames go to: the receiving NIC's,
// unless somebody says otherwise.
func (p *Path) SetDestination(mac net.HardwareAddr) error {
	if len(mac) != 6 {
		return fmt.Errorf("%s is no Ethernet address", mac)
	}
	p.address = mac
	return p.SetSizes(p.sizes)
}

// SetFlows says which calls there are: as they are sent, and as they are expected at
// the receiver, where a device that translates gives them other addresses and IDs.
func (p *Path) SetFlows(sent, expected []Flow) error {
	if len(sent) > maxFlows || len(sent) != len(expected) {
		return fmt.Errorf("%d flows, %d expected: want as many, at most %d", len(sent), len(expected), maxFlows)
	}
	p.flows = make([]kernelFlow, len(sent))
	keys, records := make([]uint32, maxFlows), make([]kernelRecord, maxFlows)
	for i := range keys {
		keys[i] = uint32(i)
	}
	for i := range sent {
		entry, err := sent[i].entry(i, p.template)
		arrives, err2 := expected[i].entry(i, p.template)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		p.flows[i], records[i] = entry, arrives.record()
	}
	_, err := p.kernel.BenchRecords.BatchUpdate(keys, records, nil)
	if err == nil && len(sent) > 0 {
		_, err = p.kernel.BenchFlows.BatchUpdate(keys[:len(sent)], p.flows, nil)
	}
	return err
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Counts are what the receiver has seen in a trial.
type Counts struct {
	Received, Octets uint64 // frames of the sender's; octets without check sequences
	Late             uint64 // behind a frame of their call that was sent later, or twice
	Gaps             uint64 // sequence numbers passed over; a late frame fills one
	BadSize          uint64 // not as long as sent, or as their headers say
	BadHeader        uint64 // a header field or the IP checksum is not as sent
	BadAddress       uint64 // addresses or call ID are not their call's
	BadPayload       uint64 // octets behind the headers are not as sent
	Stray            uint64 // GRE that is none of the sender's
	First, Last      int64  // when the first came, and the last or one of the 63 before it, CLOCK_MONOTONIC, ns
}

// Wrong is how many of the frames received were not as they were sent, or not in
// the order of their call.
func (c Counts) Wrong() uint64 {
	return c.Late + c.BadSize + c.BadHeader + c.BadAddress + c.BadPayload + c.Stray
}

// Add adds what another receiver has seen.
func (c *Counts) Add(o Counts) {
	c.add(&kernelCounts{
		Received: o.Received, Octets: o.Octets, Late: o.Late, Gaps: o.Gaps, BadSize: o.BadSize, BadHeader: o.BadHeader,
		BadAddress: o.BadAddress, BadPayload: o.BadPayload, Stray: o.Stray, FirstNs: uint64(o.First), LastNs: uint64(o.Last),
	})
}

// Counts returns what the receiver has seen since Begin. It may be called while
// frames flow.
func (p *Path) Counts() (c Counts, err error) {
	var perCPU []kernelCounts
	if err := p.kernel.BenchCounts.Lookup(uint32(0), &perCPU); err != nil {
		return c, fmt.Errorf("read the receiver's counters: %w", err)
	}
	for _, k := range perCPU {
		c.add(&k)
	}
	return c, nil
}

func (c *Counts) add(k *kernelCounts) {
	c.Received += k.Received
	c.Octets += k.Octets
	c.Late += k.Late
	c.Gaps += k.Gaps
	c.BadSize += k.BadSize
	c.BadHeader += k.BadHeader
	c.BadAddress += k.BadAddress
	c.BadPayload += k.BadPayload
	c.Stray += k.Stray
	if first := int64(k.FirstNs); first > 0 && (c.First == 0 || first < c.First) {
		c.First = first
	}
	c.Last = max(c.Last, int64(k.LastNs))
}

// Begin begins a trial: the receiver counts from zero.
func (p *Path) Begin() error {
	p.epoch++
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	if err := p.kernel.Epoch.Set(p.epoch); err != nil {
		return err
	}
	if err := p.kernel.BenchCounts.Update(uint32(0), make([]kernelCounts, cpus), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("reset the receiver's counters: %w", err)
	}
	return nil
}

// Delays returns how long the timed frames of this trial have been on their way,
// from when they were made to when the receiver's NIC had them, and begins anew.
func (p *Path) Delays() (Histogram, error) {
	size := int(p.kernel.BenchDelays.MaxEntries())
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	keys, values := make([]uint32, size), make([]uint64, size*cpus)
	for i := range keys {
		keys[i] = uint32(i)
	}
	var cursor ebpf.MapBatchCursor
	n, err := p.kernel.BenchDelays.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read the delays: %w", err)
	}
	h := make(Histogram, size)
	for i := range n {
		for cpu := range cpus {
			h[keys[i]] += values[i*cpus+cpu]
		}
	}
	if _, err := p.kernel.BenchDelays.BatchUpdate(keys, make([]uint64, size*cpus), nil); err != nil {
		return nil, fmt.Errorf("reset the delays: %w", err)
	}
	return h, nil
}

// monotonic is CLOCK_MONOTONIC in ns, which the kernel programs read too.
func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail: every kernel has it
	return now.Nano()
}
