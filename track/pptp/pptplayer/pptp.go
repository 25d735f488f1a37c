// Package pptplayer is PPTP for gopacket: a layer for the control messages of
// RFC 2637. Importing it is enough to let gopacket find them on TCP port 1723:
//
//	import _ "github.com/grewire/grewire/track/pptp/pptplayer"
//
// gopacket.NewPacket looks into TCP only with DecodeStreamsAsDatagrams among
// its options; a gopacket.DecodingLayerParser always does. Both look at one
// segment at a time: a message that two segments share ends in a decode
// failure, and the packet is marked as truncated. Where that matters, put the
// stream together first and decode the messages from there.
package pptplayer

import (
	"encoding/binary"
	"errors"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/grewire/grewire/track/pptp"
)

// LayerTypePPTP is the layer type of PPTP control messages.
const LayerTypePPTP gopacket.LayerType = pptp.Port

func init() {
	gopacket.RegisterLayerType(int(LayerTypePPTP), gopacket.LayerTypeMetadata{
		Name: "PPTP", Decoder: gopacket.DecodeFunc(decodePPTP),
	})
	layers.RegisterTCPPortLayerType(pptp.Port, LayerTypePPTP)
}

// PPTP is one control message. If the segment has more of them, each is a layer
// of its own, the payload of the one before. A gopacket.DecodingLayerParser
// decodes them all into the same PPTP, which then holds the last one.
type PPTP struct {
	layers.BaseLayer
	// Length is the message's own Length, in octets. SerializeTo with
	// FixLengths sets it, without FixLengths writes it as it stands.
	Length uint16
	// Message is one of package pptp's message structs.
	Message pptp.Message
}

// LayerType returns LayerTypePPTP.
func (p *PPTP) LayerType() gopacket.LayerType { return LayerTypePPTP }

// CanDecode returns LayerTypePPTP.
func (p *PPTP) CanDecode() gopacket.LayerClass { return LayerTypePPTP }

// NextLayerType returns LayerTypePPTP if more octets follow the message.
func (p *PPTP) NextLayerType() gopacket.LayerType {
	if len(p.Payload()) > 0 {
		return LayerTypePPTP
	}
	return gopacket.LayerTypeZero
}

// Payload returns the octets that follow the message in the segment.
func (p *PPTP) Payload() []byte { return p.BaseLayer.Payload }

// DecodeFromBytes decodes the message at the start of data. Its errors are
// those of pptp.Decode.
func (p *PPTP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	message, err := pptp.Decode(data)
	if errors.Is(err, pptp.ErrTruncated) {
		df.SetTruncated()
	}
	if err != nil {
		return err
	}
	p.Message, p.Length = message, pptp.View(data).Length()
	p.Contents, p.BaseLayer.Payload = data[:p.Length], data[p.Length:]
	return nil
}

// SerializeTo writes the message in front of what b holds already.
func (p *PPTP) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	if p.Message == nil {
		return errors.New("pptplayer: a PPTP layer without a Message cannot be serialized")
	}
	encoded, err := pptp.Encode(p.Message)
	if err != nil {
		return err
	}
	if opts.FixLengths {
		p.Length = pptp.View(encoded).Length()
	}
	binary.BigEndian.PutUint16(encoded, p.Length)
	room, err := b.PrependBytes(len(encoded))
	if err != nil {
		return err
	}
	copy(room, encoded)
	return nil
}

func decodePPTP(data []byte, p gopacket.PacketBuilder) error {
	layer := new(PPTP)
	if err := layer.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(layer)
	p.SetApplicationLayer(layer)
	return p.NextDecoder(layer.NextLayerType())
}
