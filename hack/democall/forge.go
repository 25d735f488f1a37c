package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/grewire/grewire/bridge/bridgetest"
)

// Fields of a GRE header (RFC 2637, section 4.1, and RFC 2784).
const (
	enhancedGRE  = 0x3001 // key and sequence number present, version 1
	protocolPPP  = 0x880b
	plainGRE     = 0x0000 // version 0, nothing optional
	protocolIPv4 = 0x0800
)

// forgedEach is how many packets of each kind are forged.
const forgedEach = 5

// forgery is a kind of GRE that nobody negotiated.
type forgery struct {
	what   string
	reason string // by which the box is to drop it
	packet []byte // from the GRE header on
}

func (d *demo) forgeries() []forgery {
	payload := []byte("forged")
	// The ID of the live call with some bits turned: certainly another one.
	unknown := d.call.PAC.CallID ^ 0x5a5a
	v1 := binary.BigEndian.AppendUint16(nil, enhancedGRE)
	v1 = binary.BigEndian.AppendUint16(v1, protocolPPP)
	v1 = binary.BigEndian.AppendUint16(v1, uint16(len(payload)))
	v1 = binary.BigEndian.AppendUint16(v1, unknown)
	v1 = binary.BigEndian.AppendUint32(v1, 1) // sequence number
	v0 := binary.BigEndian.AppendUint16(nil, plainGRE)
	v0 = binary.BigEndian.AppendUint16(v0, protocolIPv4)
	return []forgery{
		{fmt.Sprintf("PPTP's GRE with call ID %d, which nobody negotiated", unknown), "not-negotiated", append(v1, payload...)},
		{"GRE version 0, which is no part of PPTP", "gre-v0-denied", append(v0, payload...)},
	}
}

// forge sends forged GRE from the client and shows what becomes of it.
func (d *demo) forge(ctx context.Context) error {
	heading("The client sends forged GRE to the server; the box drops it and says why")
	for _, f := range d.forgeries() {
		fmt.Printf("  %d packets: %s\n", forgedEach, f.what)
		if err := d.send(f.packet); err != nil {
			return err
		}
		d.forged += forgedEach
		if _, err := d.expect(ctx, dropped+f.reason); err != nil {
			return err
		}
		if err := d.waitReason(ctx, f.reason); err != nil {
			return err
		}
	}
	return d.noneArrived()
}

// send sends packets from the client through a raw socket: the kernel makes
// the IP header.
func (d *demo) send(packet []byte) error {
	return d.top.Client.Do(func() error {
		conn, err := net.DialIP("ip4:gre", nil, &net.IPAddr{IP: net.ParseIP(bridgetest.ServerAddr)})
		if err != nil {
			return err
		}
		defer conn.Close()
		for range forgedEach {
			if _, err := conn.Write(packet); err != nil {
				return err
			}
		}
		return nil
	})
}

// waitReason waits until the box has counted all forged frames of a kind.
func (d *demo) waitReason(ctx context.Context, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, retryWait)
	defer cancel()
	return poll(ctx, func() error {
		var s stats
		if err := d.askJSON(ctx, &s, "stats"); err != nil {
			return err
		}
		if got := s.Reasons[reason]; got != forgedEach {
			return fmt.Errorf("the box counts %d frames as %s, want %d", got, reason, forgedEach)
		}
		return nil
	}, d.box.Done())
}

// noneArrived looks for forged packets in what the server's NIC has seen.
func (d *demo) noneArrived() error {
	if err := d.capture.Stop(); err != nil {
		return err
	}
	genuine, forged, err := d.countGRE()
	if err != nil {
		return err
	}
	if genuine == 0 || forged > 0 {
		return fmt.Errorf("a capture at the server has %d GRE packets of the call and %d forged ones; want some and none", genuine, forged)
	}
	fmt.Printf("\n  A capture at the server has %d GRE packets of the call and none of the %d forged.\n", genuine, d.forged)
	return nil
}

// countGRE counts the GRE from the client in the server's capture: that of
// the call, and all other.
func (d *demo) countGRE() (genuine, forged int, err error) {
	file, err := os.Open(d.pcap)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		return 0, 0, err
	}
	for packet := range gopacket.NewPacketSource(reader, reader.LinkType()).Packets() {
		ip, _ := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if ip == nil || ip.Protocol != layers.IPProtocolGRE || ip.DstIP.String() != bridgetest.ServerAddr {
			continue
		}
		gre := ip.LayerPayload()
		if len(gre) >= 8 && gre[1]&7 == 1 && binary.BigEndian.Uint16(gre[6:]) == d.call.PAC.CallID {
			genuine++
		} else {
			forged++
		}
	}
	return genuine, forged, nil
}
