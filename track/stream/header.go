package stream

import (
	"bytes"
	"encoding/binary"

	"github.com/grewire/grewire/track/pptp"
)

// cookieAt is where the magic cookie is in a message.
const cookieAt = 4

var cookie = binary.BigEndian.AppendUint32(nil, pptp.MagicCookie)

// HasHeader reports whether a whole plausible header of a control message is
// anywhere in data: of a known type, with the length that this type has.
func HasHeader(data []byte) bool {
	for {
		at := bytes.Index(data, cookie)
		if at < 0 {
			return false
		}
		if at >= cookieAt && len(data)-at >= pptp.HeaderLength-cookieAt && plausible(data[at-cookieAt:]) {
			return true
		}
		data = data[at+1:]
	}
}
