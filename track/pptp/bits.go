package pptp

import "fmt"

// FramingCapability says which framings an end can do, as bits (RFC 2637,
// section 2.1).
type FramingCapability uint32

// The bits of FramingCapability.
const (
	FramingCapabilityAsync FramingCapability = 1 << iota
	FramingCapabilitySync
)

// String returns "A" for asynchronous and "S" for synchronous framing, both,
// or nothing; bits without a meaning are left out.
func (c FramingCapability) String() string { return [4]string{"", "A", "S", "AS"}[c&3] }

// BearerCapability says which bearers an end can do, as bits (RFC 2637,
// section 2.1).
type BearerCapability uint32

// The bits of BearerCapability.
const (
	BearerCapabilityAnalog BearerCapability = 1 << iota
	BearerCapabilityDigital
)

// String returns "D" for digital and "A" for analog bearers, both, or nothing;
// bits without a meaning are left out.
func (c BearerCapability) String() string { return [4]string{"", "A", "D", "DA"}[c&3] }

// FramingType is the framing that a call uses or asks for (RFC 2637, sections
// 2.7 and 2.11).
type FramingType uint32

// The values of FramingType.
const (
	FramingTypeAsync FramingType = 1 + iota
	FramingTypeSync
	FramingTypeEither
)

var framingTypeNames = codeNames{FramingTypeAsync: "A", FramingTypeSync: "S", FramingTypeEither: "E"}

// String returns "A", "S", "E" for either, or the number.
func (t FramingType) String() string { return describe32(framingTypeNames, "FramingType", uint32(t)) }

// BearerType is the bearer that a call uses or asks for (RFC 2637, sections
// 2.7 and 2.9).
type BearerType uint32

// The values of BearerType.
const (
	BearerTypeAnalog BearerType = 1 + iota
	BearerTypeDigital
	BearerTypeAny
)

var bearerTypeNames = codeNames{BearerTypeAnalog: "A", BearerTypeDigital: "D", BearerTypeAny: "Any"}

// String returns "A", "D", "Any", or the number.
func (t BearerType) String() string { return describe32(bearerTypeNames, "BearerType", uint32(t)) }

func describe32(names codeNames, typeName string, value uint32) string {
	if value > 0xFF {
		return fmt.Sprintf("%s(%d)", typeName, value)
	}
	return names.describe(typeName, uint8(value))
}
