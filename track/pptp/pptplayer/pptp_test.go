package pptplayer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/grewire/grewire/track/pptp"
)

// Frames of captures of real calls between pptp 1.10.0 and pptpd 1.4.0.
const (
	replyFrame = "" + // one Outgoing-Call-Reply, from the server
		"6e5900d30d2f6ed89971c11c08004500005471cd40004006b4300a4d00020a4d000b06bbe3ecb0caece7fb92952580180040" +
		"37b700000101080a1031f5e0ef963c76002000011a2b3c4d000800000000f00801000000009896800003000000000000"
	clearFrames = "" + // three Call-Clear-Requests, from a client
		"4a6bbea4e475121aa5bc33da080045000064f705400040062ee80a4d000b0a4d0002cba806bb5823f348917916ef8019003f" +
		"941e00000101080ab3e24cd7f6dc7ccd001000011a2b3c4d000c0000f7c30000001000011a2b3c4d000c00002b2a00000010" +
		"00011a2b3c4d000c00006c350000"
	splitFrame = "" + // the first half of a Start-Control-Connection-Request
		"86192a061afa42e6d02c62ae080045000080472040004006deb10a4d000b0a4d00029a9006bb9291ead3c9b5df5a80100040" +
		"b02300000101080ad65b132efffe6c2e009c00011a2b3c4d00010000010000000000000300000003ffff00016c6f63616c00" +
		"000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)

func decode(t *testing.T, frame string) gopacket.Packet {
	t.Helper()
	data, err := hex.DecodeString(frame)
	if err != nil {
		t.Fatal(err)
	}
	return gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{DecodeStreamsAsDatagrams: true})
}

// messages returns the messages of all PPTP layers of a packet.
func messages(packet gopacket.Packet) (found []pptp.Message) {
	for _, layer := range packet.Layers() {
		if p, ok := layer.(*PPTP); ok {
			found = append(found, p.Message)
		}
	}
	return found
}

func TestDecodeFrame(t *testing.T) {
	packet := decode(t, replyFrame)
	if failure := packet.ErrorLayer(); failure != nil {
		t.Fatal(failure.Error())
	}
	layer, ok := packet.Layer(LayerTypePPTP).(*PPTP)
	if !ok {
		t.Fatalf("no PPTP layer in %v", packet)
	}
	reply, ok := layer.Message.(*pptp.OutgoingCallReplyMessage)
	if !ok || reply.CallID != 0 || reply.PeerCallID != 0xF008 || reply.ResultCode != pptp.OutCallResultConnected {
		t.Errorf("message: %v", layer.Message)
	}
	if layer.Length != 32 || len(layer.LayerContents()) != 32 || len(layer.LayerPayload()) != 0 {
		t.Errorf("Length %d, %d octets of contents, %d of payload", layer.Length, len(layer.LayerContents()), len(layer.LayerPayload()))
	}
	if packet.ApplicationLayer() != layer {
		t.Errorf("application layer is %v", packet.ApplicationLayer())
	}
}

func TestDecodeSeveralMessages(t *testing.T) {
	packet := decode(t, clearFrames)
	found := messages(packet)
	if len(found) != 3 || packet.ErrorLayer() != nil {
		t.Fatalf("%d messages, error layer %v, want 3 and none", len(found), packet.ErrorLayer())
	}
	ids := map[uint16]bool{}
	for _, message := range found {
		clearing, ok := message.(*pptp.CallClearRequestMessage)
		if !ok {
			t.Fatalf("message: %v", message)
		}
		ids[clearing.CallID] = true
	}
	if len(ids) != 3 {
		t.Errorf("call IDs %v, want three different ones", ids)
	}
}

func TestDecodeSplitMessage(t *testing.T) {
	packet := decode(t, splitFrame)
	failure := packet.ErrorLayer()
	if failure == nil || !errors.Is(failure.Error(), pptp.ErrTruncated) || !packet.Metadata().Truncated {
		t.Errorf("error layer %v, truncated %v", failure, packet.Metadata().Truncated)
	}
	if packet.Layer(layers.LayerTypeTCP) == nil {
		t.Error("the TCP layer is gone")
	}
}

func TestDecodingLayerParser(t *testing.T) {
	data, err := hex.DecodeString(clearFrames)
	if err != nil {
		t.Fatal(err)
	}
	var (
		eth     layers.Ethernet
		ip      layers.IPv4
		tcp     layers.TCP
		message PPTP
		decoded []gopacket.LayerType
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip, &tcp, &message)
	if err := parser.DecodeLayers(data, &decoded); err != nil {
		t.Fatal(err)
	}
	if len(decoded) != 6 || decoded[5] != LayerTypePPTP || message.Message.ControlType() != pptp.CallClearRequest {
		t.Errorf("decoded %v, last %v", decoded, message.Message)
	}
}

// TestSerializeFrames takes real frames apart and puts them together again.
func TestSerializeFrames(t *testing.T) {
	for frame, count := range map[string]int{replyFrame: 1, clearFrames: 3} {
		packet := decode(t, frame)
		if found := len(messages(packet)); found != count {
			t.Fatalf("%d messages, want %d", found, count)
		}
		var parts []gopacket.SerializableLayer
		for _, layer := range packet.Layers() {
			if p, ok := layer.(*PPTP); ok {
				p.Length = 0 // FixLengths must find it again
			}
			parts = append(parts, layer.(gopacket.SerializableLayer))
		}
		if err := packet.TransportLayer().(*layers.TCP).SetNetworkLayerForChecksum(packet.NetworkLayer()); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), packet.Data()) {
			t.Errorf("serialized\n%x\nwant\n%x", b.Bytes(), packet.Data())
		}
	}
}

func TestSerializeLength(t *testing.T) {
	for _, c := range []struct {
		fix  bool
		want uint16
	}{{true, 16}, {false, 99}} {
		layer := PPTP{Length: 99, Message: &pptp.EchoRequestMessage{Identifier: 1}}
		b := gopacket.NewSerializeBuffer()
		if err := layer.SerializeTo(b, gopacket.SerializeOptions{FixLengths: c.fix}); err != nil {
			t.Fatal(err)
		}
		if got := pptp.View(b.Bytes()).Length(); got != c.want || layer.Length != c.want || len(b.Bytes()) != 16 {
			t.Errorf("FixLengths %v: Length %d, in the layer %d, %d octets; want %d", c.fix, got, layer.Length, len(b.Bytes()), c.want)
		}
	}
}

func TestSerializeErrors(t *testing.T) {
	tooLong := &pptp.EchoRequestMessage{Common: pptp.Common{Trailing: make([]byte, 1<<16)}}
	for name, layer := range map[string]*PPTP{"no message": {}, "too long": {Message: tooLong}} {
		if err := layer.SerializeTo(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzLayers: no panic, also without gopacket's safety net, and every layer
// serializes to the octets that it was made of.
func FuzzLayers(f *testing.F) {
	for _, frame := range []string{replyFrame, clearFrames, splitFrame} {
		data, err := hex.DecodeString(frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[66:]) // what follows Ethernet, IPv4 and TCP
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		packet := gopacket.NewPacket(data, LayerTypePPTP, gopacket.DecodeOptions{SkipDecodeRecovery: true})
		_ = packet.String()
		for _, layer := range packet.Layers() {
			p, ok := layer.(*PPTP)
			if !ok {
				continue
			}
			b := gopacket.NewSerializeBuffer()
			if err := p.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}); err != nil || !bytes.Equal(b.Bytes(), p.Contents) {
				t.Errorf("%x became %x, %v", p.Contents, b.Bytes(), err)
			}
		}
	})
}
