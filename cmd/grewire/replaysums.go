package main

import (
	"fmt"
	"net/netip"

	"github.com/grewire/grewire/bridge/capture"
	"github.com/grewire/grewire/track/wire"
)

// sumsMode is what replay makes of the TCP checksums in a capture. The running
// box verifies them, always.
type sumsMode string

const (
	sumsAuto   sumsMode = "auto"   // believes hosts that left them to their NIC
	sumsVerify sumsMode = "verify" // as the running box does
	sumsIgnore sumsMode = "ignore" // takes all of them for right
)

// set takes the value of -checksums.
func (m *sumsMode) set(value string) error {
	switch mode := sumsMode(value); mode {
	case sumsAuto, sumsVerify, sumsIgnore:
		*m = mode
		return nil
	}
	return fmt.Errorf("must be %s, %s or %s", sumsAuto, sumsVerify, sumsIgnore)
}

// replaySums says of each frame what was left of its checksum. The zero value
// verifies.
type replaySums struct {
	mode sumsMode
	file *capture.Checksums // of the file that is played
	// believed counts the frames that were believed though their checksum is
	// wrong; from is who sent the first of them.
	believed uint64
	from     netip.Addr
}

// left returns what a frame's sender left to be finished.
func (s *replaySums) left(rec *capture.Record) wire.Offload {
	switch s.mode {
	case sumsIgnore:
		return wire.CheckedChecksum()
	case sumsAuto:
		left, from := s.file.Unfinished(rec)
		s.count(from)
		return left
	}
	return wire.Offload{}
}

// count counts a frame that was believed, if it has a sender.
func (s *replaySums) count(from netip.Addr) {
	if !from.IsValid() {
		return
	}
	if s.believed == 0 {
		s.from = from
	}
	s.believed++
}
