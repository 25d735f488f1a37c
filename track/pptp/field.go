package pptp

import (
	"fmt"
	"strconv"
)

// A walker visits the fields of a message in the order of the wire. Decoding,
// encoding and printing are walkers, so that each message's shape is written
// down once, in its walk method.
type walker interface {
	// number visits a big-endian number of so many octets (1, 2 or 4) and
	// returns its value afterwards.
	number(f *field, width int, value uint32) uint32
	// octets visits a field of fixed length. shown is how many octets of it
	// are worth printing.
	octets(f *field, b []byte, shown int)
}

func number8[T ~uint8](w walker, f *field, value *T)   { *value = T(w.number(f, 1, uint32(*value))) }
func number16[T ~uint16](w walker, f *field, value *T) { *value = T(w.number(f, 2, uint32(*value))) }
func number32[T ~uint32](w walker, f *field, value *T) { *value = T(w.number(f, 4, uint32(*value))) }

// field describes a field of a message.
type field struct {
	name string // the RFC's
	tag  string // tcpdump's; empty for a reserved field
	// format turns a number into tcpdump's form; nil for decimal.
	format func(value uint32, verbose bool) string
}

// The fields of all messages (RFC 2637, sections 2.1 to 2.15).
var (
	reserved0 = &field{name: "Reserved0"}
	reserved1 = &field{name: "Reserved1"}
	reserved2 = &field{name: "Reserved2"}

	protocolVersion     = &field{name: "Protocol Version", tag: "PROTO_VER", format: formatVersion}
	framingCapabilities = &field{name: "Framing Capabilities", tag: "FRAME_CAP", format: formatFramingCapability}
	bearerCapabilities  = &field{name: "Bearer Capabilities", tag: "BEARER_CAP", format: formatBearerCapability}
	maximumChannels     = &field{name: "Maximum Channels", tag: "MAX_CHAN"}
	firmwareRevision    = &field{name: "Firmware Revision", tag: "FIRM_REV"}
	hostName            = &field{name: "Host Name", tag: "HOSTNAME"}
	vendorString        = &field{name: "Vendor String", tag: "VENDOR"}
	identifier          = &field{name: "Identifier", tag: "ID"}

	startResult      = resultField(startResultNames)
	stopResult       = resultField(stopResultNames)
	echoResult       = resultField(echoResultNames)
	outCallResult    = resultField(outCallResultNames)
	inCallResult     = resultField(inCallResultNames)
	disconnectResult = resultField(disconnectResultNames)
	stopReason       = &field{name: "Reason", tag: "REASON", format: formatCode(stopReasonNames)}
	errorCode        = &field{name: "Error Code", tag: "ERR_CODE", format: formatCode(errorCodeNames)}
	causeCode        = &field{name: "Cause Code", tag: "CAUSE_CODE"}

	callID            = &field{name: "Call ID", tag: "CALL_ID"}
	peerCallID        = &field{name: "Peer's Call ID", tag: "PEER_CALL_ID"}
	callSerialNumber  = &field{name: "Call Serial Number", tag: "CALL_SER_NUM"}
	minimumBPS        = &field{name: "Minimum BPS", tag: "MIN_BPS"}
	maximumBPS        = &field{name: "Maximum BPS", tag: "MAX_BPS"}
	bearerType        = &field{name: "Bearer Type", tag: "BEARER_TYPE", format: formatType(bearerTypeNames)}
	framingType       = &field{name: "Framing Type", tag: "FRAME_TYPE", format: formatType(framingTypeNames)}
	recvWindowSize    = &field{name: "Packet Recv. Window Size", tag: "RECV_WIN"}
	processingDelay   = &field{name: "Packet Processing Delay", tag: "PROC_DELAY"}
	transmitDelay     = &field{name: "Packet Transmit Delay", tag: "PROC_DELAY"}
	connectSpeed      = &field{name: "Connect Speed", tag: "CONN_SPEED"}
	physicalChannelID = &field{name: "Physical Channel ID", tag: "PHY_CHAN_ID"}
	phoneNumberLength = &field{name: "Phone Number Length", tag: "PHONE_NO_LEN"}
	phoneNumber       = &field{name: "Phone Number", tag: "PHONE_NO"}
	dialedLength      = &field{name: "Dialed Number Length", tag: "DIALED_NO_LEN"}
	dialingLength     = &field{name: "Dialing Number Length", tag: "DIALING_NO_LEN"}
	dialedNumber      = &field{name: "Dialed Number", tag: "DIALED_NO"}
	dialingNumber     = &field{name: "Dialing Number", tag: "DIALING_NO"}
	subaddress        = &field{name: "Subaddress", tag: "SUB_ADDR"}
	callStatistics    = &field{name: "Call Statistics", tag: "CALL_STATS"}

	crcErrors       = &field{name: "CRC Errors", tag: "CRC_ERR"}
	framingErrors   = &field{name: "Framing Errors", tag: "FRAMING_ERR"}
	hardwareOverrun = &field{name: "Hardware Overruns", tag: "HARDWARE_OVERRUN"}
	bufferOverrun   = &field{name: "Buffer Overruns", tag: "BUFFER_OVERRUN"}
	timeOutErrors   = &field{name: "Time-out Errors", tag: "TIMEOUT_ERR"}
	alignmentErrors = &field{name: "Alignment Errors", tag: "ALIGN_ERR"}
	sendACCM        = &field{name: "Send ACCM", tag: "SEND_ACCM", format: formatHex}
	receiveACCM     = &field{name: "Receive ACCM", tag: "RECV_ACCM", format: formatHex}
)

func resultField(names codeNames) *field {
	return &field{name: "Result Code", tag: "RESULT_CODE", format: formatCode(names)}
}

// formatCode prints a code as its number, and its text when verbose.
func formatCode(names codeNames) func(uint32, bool) string {
	return func(value uint32, verbose bool) string {
		if !verbose {
			return formatDecimal(value)
		}
		return formatDecimal(value) + ":" + orUnknown(names.lookup(uint8(value)))
	}
}

// formatType prints a framing or bearer type as its letter.
func formatType(names codeNames) func(uint32, bool) string {
	return func(value uint32, _ bool) string {
		if value > 0xFF {
			return orUnknown("")
		}
		return orUnknown(names.lookup(uint8(value)))
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "?"
	}
	return text
}

func formatDecimal(value uint32) string               { return strconv.FormatUint(uint64(value), 10) }
func formatHex(value uint32, _ bool) string           { return fmt.Sprintf("0x%08x", value) }
func formatVersion(value uint32, _ bool) string       { return ProtocolVersion(value).String() }
func formatFramingCapability(v uint32, _ bool) string { return FramingCapability(v).String() }
func formatBearerCapability(v uint32, _ bool) string  { return BearerCapability(v).String() }
